"""What the demo asks can be asked: the robot may stand wherever its questions put it."""

import math
from itertools import combinations

import pytest

from ipt_ros.demo.scenario import Scenario
from ipt_ros.demo.story import HEIGHT_M, STAND_M, CameraMount, Referee
from ipt_ros.parameters.sim_node import SIM_PARAMETERS
from ipt_ros.simulator.robot import Robot, RobotLimits
from ipt_training.scenes.camera import Camera

X, _, Z, _, PITCH, _ = Scenario.MOUNT
VALUES = {row.name: row.default for row in SIM_PARAMETERS}


@pytest.mark.parametrize("seed", [850_003, *range(850_100, 850_110)])
def test_the_robot_may_stand_wherever_a_question_puts_it(seed):
    """In 850003 it ended 0.18 m from the box of a ball whose cells are farther away."""
    limits = RobotLimits()
    assert (limits.radius_m, limits.height_m) == (STAND_M, HEIGHT_M)
    assert VALUES["robot_radius"] == STAND_M
    camera = Camera.from_fov(VALUES["width"], VALUES["height"], VALUES["horizontal_fov"])
    referee = Referee(seed, "room", CameraMount(X, Z, PITCH, camera))
    robot = Robot(referee.scene, limits)
    for turns_only in (False, True):
        question = referee.viewpoint_question(turns_only=turns_only)
        for pose in (question.start, question.viewpoint):
            robot.put(pose.x, pose.y, pose.yaw)


def test_a_tour_goes_far_and_ends_where_the_robot_may_stand():
    camera = Camera.from_fov(VALUES["width"], VALUES["height"], VALUES["horizontal_fov"])
    referee = Referee(850_003, "room", CameraMount(X, Z, PITCH, camera))
    robot = Robot(referee.scene, RobotLimits())
    begin = referee.viewpoint_question().start
    tour = referee.tour(begin, 3)
    assert len(tour) == 3 and tour[:2] == referee.tour(begin, 2)
    stops = [(pose.x, pose.y) for pose in (begin, *tour)]
    assert min(math.dist(a, b) for a, b in combinations(stops, 2)) > 1.0
    for pose in tour:
        robot.put(pose.x, pose.y, pose.yaw)
