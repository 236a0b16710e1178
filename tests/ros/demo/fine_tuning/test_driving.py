"""A tour through a house: every room is looked at, whatever stands around and however late the
odometry comes.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ipt_ros.demo.fine_tuning.driving import Tour
from ipt_ros.demo.fine_tuning.route import CLEARANCE_M, Route
from ipt_ros.simulator.robot import Furniture, Robot, RobotLimits
from ipt_training.houses.generator import make_scene

SEEDS = (850_000, 850_004, 850_007, 851_000)


def driven(seed, late_s=0.0, every_s=0.1, walled=False):
    """(the scene, the tour, poses x, y, yaw) of a robot that hears its commands late."""
    scene = make_scene(seed, "house")
    route = Route(scene)
    robot = Robot(scene, RobotLimits(command_timeout_s=0.8))
    start = route.places((robot.x, robot.y), most=1)[0]
    robot.put(*start, 0.0)
    tour = Tour(route, route.places(start))
    now, waiting, poses = 0.0, [], []
    while not tour.done and now < 1000:
        command = tour.step(robot.x, robot.y, robot.yaw, now)
        waiting.append((now + late_s, command))
        later = now + every_s
        while waiting and waiting[0][0] <= later:
            at, told = waiting.pop(0)
            if not walled:
                robot.command(told.speed, told.turn, max(at, now))
        now = later
        robot.advance(now)
        poses.append((robot.x, robot.y, robot.yaw))
    assert tour.done
    return scene, tour, np.array(poses)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_room_is_looked_at_all_round(seed):
    scene, tour, poses = driven(seed)
    assert not tour.skipped and len(tour.reached) == len(tour.places)
    rooms = {scene.room_at(x, y) for x, y in tour.places}
    assert rooms == set(range(len(scene.rooms)))
    for x, y in tour.places:
        there = np.hypot(poses[:, 0] - x, poses[:, 1] - y) < 0.4
        looked = np.unique(np.floor(np.degrees(poses[there, 2]) / 30))
        assert len(looked) == 12


@pytest.mark.parametrize(("late_s", "every_s"), [(0.3, 0.1), (0.5, 0.25)])
def test_late_odometry_makes_it_slower_not_lost(late_s, every_s):
    _, tour, _ = driven(SEEDS[3], late_s, every_s)
    assert len(tour.reached) == len(tour.places)


def test_a_robot_that_gets_nowhere_skips_every_place_and_ends():
    _, tour, poses = driven(SEEDS[3], walled=True)
    assert len(tour.skipped) == len(tour.places) > 3
    assert np.ptp(poses, axis=0).max() == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_ways_keep_clear_of_things_and_are_whole(seed):
    scene = make_scene(seed, "house")
    route, furniture = Route(scene), Furniture(scene, 1.3)
    places = route.places((0.0, 0.0))
    for a, b in itertools.pairwise(places):
        way = route.way(a, b)
        assert math.dist(way[0], a) < 1e-9 and math.dist(way[-1], b) < 1e-9
        assert np.hypot(*np.diff(way, axis=0).T).max() < 0.15
        # cells are 0.1 m wide
        assert min(furniture.clearance(*xy) for xy in way) > CLEARANCE_M - 0.1
    assert not route.clear(places[0], (1e3, 1e3))
