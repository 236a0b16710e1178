"""A simulated robot that nobody gives a map: what it has seen is recalled, makes its map, and is
forgotten when it is told to, or when its pose jumps.
"""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("open3d", reason="open3d is not installed")
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist, Vector3
from harness import LATCHED, RELIABLE, peer, running, until
from nav_msgs.msg import OccupancyGrid, Odometry
from std_srvs.srv import Trigger

from imaginative_perception.action import CountObjects, ImagineView, TracePath
from imaginative_perception.srv import SetPose
from ipt_model.messages.poses import yaw_of
from ipt_model.spatial.maps import FREE
from ipt_ros.conversions import grid_to_array, matrix_to_pose, planar_matrix, pose_to_matrix

pytestmark = pytest.mark.slow


class World:
    """The robot, its questions, and what it says of its memory."""

    def __init__(self, tester):
        self.tester = tester
        self.odometry = tester.collect(Odometry, "odom", RELIABLE)
        self.maps = tester.collect(OccupancyGrid, "ipt_node/memory_map", LATCHED)
        self.masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
        self.statuses = tester.collect(DiagnosticArray, "/diagnostics", RELIABLE)
        self._clients = {
            kind: tester.action(kind, f"ipt_node/{name}")
            for kind, name in (
                (ImagineView, "imagine_view"),
                (TracePath, "trace_path"),
                (CountObjects, "count_objects"),
            )
        }
        self._drive = tester.publisher(Twist, "cmd_vel", RELIABLE)
        until(lambda: self.odometry.messages, "odometry comes")
        pose = pose_to_matrix(self.odometry.messages[-1].pose.pose)
        self.home = float(pose[0, 3]), float(pose[1, 3]), yaw_of(pose)

    def ask(self, goal):
        kind = next(k for k in self._clients if isinstance(goal, k.Goal))
        return self.tester.run_goal(self._clients[kind], goal)[1]

    def memory(self):
        """The newest figures of the status `memory`."""
        for message in reversed(self.statuses.messages):
            for status in message.status:
                if status.name.endswith("memory"):
                    return {v.key: v.value for v in status.values}
        return {}

    def turn_once(self):
        """By driving: a robot that is put elsewhere has poses between that it never had."""
        turned, last = 0.0, self.yaw()
        while turned < 2 * math.pi:
            self._drive.publish(Twist(angular=Vector3(z=1.2)))
            time.sleep(0.05)
            turned += math.remainder(self.yaw() - last, 2 * math.pi)
            last = self.yaw()
        self._drive.publish(Twist())

    def yaw(self):
        return yaw_of(pose_to_matrix(self.odometry.messages[-1].pose.pose))


@pytest.fixture(scope="module")
def world(ros_domain, tmp_path_factory):
    domain = ros_domain + 1
    parameters = {
        "model": "ipt-tiny-untrained",
        "flow_steps": 2,
        "map_source": "memory",
        "fixed_frame": "odom",
        "diagnostics_rate_hz": 5.0,
        "imagined_space": True,
        "imagined_space_period_s": 0.5,
        "imagined_space_timeout_s": 60.0,
        "min_map_agreement": 0.0,
        "view_max_age_s": 20.0,
        "pose_source": "odometry",
        "mounts": [0.1, 0.0, 1.2, 0.0, 0.2, 0.0],
        # turning moves the camera 0.12 m/s; a robot put metres away is noticed as long as a busy
        # machine lets a frame through every few seconds
        "memory_fastest_m_s": 0.3,
    }
    simulated = {"camera_x": 0.1, "camera_z": 1.2, "camera_pitch": 0.2, "level": "room"}
    folder = tmp_path_factory.mktemp("memory")
    with (
        running("sim_node", domain, folder, parameters=simulated),
        running("ipt_node", domain, folder, parameters=parameters) as process,
        peer(domain) as tester,
    ):
        process.wait_for_print("ready:")
        one = World(tester)
        one.turn_once()
        yield one


def seen_from(world, forward, turn, mode="recall"):
    x, y, yaw = world.home
    goal = ImagineView.Goal(mode=mode, question="Which side?", options=["left", "right"])
    goal.viewpoint.header.frame_id = "odom"
    there = planar_matrix(x + forward * math.cos(yaw), y + forward * math.sin(yaw), yaw + turn)
    goal.viewpoint.pose = matrix_to_pose(there)
    return world.ask(goal)


def test_what_lies_behind_the_robot_is_recalled_and_not_drawn(world):
    """The camera looks ahead; what is behind it was seen a moment ago."""
    result = seen_from(world, 0.0, math.pi)
    assert result.error_code == 0, result.error_msg
    assert result.answer.provenance.mode == "recall"
    assert result.answer.provenance.flow_steps == 0
    assert len(result.answer.provenance.source_stamps) >= 1


def test_the_map_is_made_of_memory(world):
    until(lambda: world.maps.messages, "a map comes")
    grid = grid_to_array(world.maps.messages[-1])
    assert world.maps.messages[-1].header.frame_id == "odom"
    known = grid.cells >= 0
    assert known.mean() > 0.02 and (grid.cells[known] == FREE).mean() > 0.5


def test_a_path_that_was_seen_free_is_clear_without_any_map_topic(world):
    grid = grid_to_array(world.maps.messages[-1])
    x, y, _ = world.home
    places = [
        (x + r * math.cos(a), y + r * math.sin(a), a)
        for r in (1.4, 1.7, 2.0, 2.3)
        for a in np.linspace(0, 2 * math.pi, 36, endpoint=False)
    ]
    free = [p for p in places if (grid.values(disc(p[0], p[1], 0.3)) == FREE).all()]
    assert free, "nothing near the robot was seen free"
    goal = TracePath.Goal(mode="answer", robot_radius_m=0.1)
    goal.path.header.frame_id = "odom"
    for step in (-0.05, 0.05):
        at, to, angle = free[0]
        pose = PoseStamped()
        pose.pose = matrix_to_pose(
            planar_matrix(at + step * math.cos(angle), to + step * math.sin(angle), 0.0)
        )
        goal.path.poses.append(pose)
    result = world.ask(goal)
    assert result.error_code == 0, result.error_msg
    assert result.verdict.verdict == result.verdict.CLEAR
    assert result.verdict.probability_blocked == 0.0


def disc(x, y, radius):
    """Points all over a disc, closer than cells."""
    at = np.stack(np.meshgrid(*2 * [np.arange(-radius, radius, 0.03)]), -1).reshape(-1, 2)
    return at[np.hypot(*at.T) <= radius] + (x, y)


def test_a_count_takes_its_views_from_memory(world):
    result = world.ask(CountObjects.Goal(category="chair", mode="answer"))
    assert result.error_code == 0, result.error_msg
    assert len(result.answer.provenance.source_stamps) == 4


def test_the_switch_that_forgets(world):
    assert int(world.memory()["views"]) >= 3
    reply = world.tester.call(Trigger, "ipt_node/forget", Trigger.Request())
    assert reply.success and reply.message.endswith("views forgotten")
    until(lambda: int(world.memory()["views"]) <= 1, "at most the present view is remembered")
    result = world.ask(CountObjects.Goal(category="chair", mode="answer"))
    assert "turn the robot once" in result.error_msg
    world.turn_once()


def test_a_mask_of_forgotten_views_is_taken_back(world):
    def claims(mask):
        return bool((np.array(mask.data, np.int8) != -1).any())

    until(lambda: world.masks.messages and claims(world.masks.messages[-1]), "a mask stands")
    heard = len(world.masks.messages)
    world.tester.call(Trigger, "ipt_node/forget", Trigger.Request())
    until(
        lambda: any(not claims(m) for m in world.masks.messages[heard:]), "it is taken back first"
    )
    world.turn_once()


def test_a_robot_that_is_carried_away_remembers_nothing_of_before(world):
    jumps, before = int(world.memory()["jumps"]), int(world.memory()["views"])
    assert before >= 3
    grid = grid_to_array(world.maps.messages[-1])
    x, y, yaw = world.home
    free = grid.centres()[grid.cells == FREE]
    away_m = np.hypot(*(free - (x, y)).T)
    far = free[np.argsort(-away_m)][: int((away_m > 1.6).sum())]
    for there in far[np.linspace(0, len(far) - 1, 40).astype(int)]:
        pose = matrix_to_pose(planar_matrix(*there, yaw + math.pi))
        request = SetPose.Request(pose=pose)
        if world.tester.call(SetPose, "sim_node/set_pose", request).success:
            break
    else:
        pytest.fail("the simulator has no place far enough away")
    until(lambda: int(world.memory()["jumps"]) > jumps, "the jump is noticed")
    until(lambda: int(world.memory()["views"]) <= 2, "what was seen before is forgotten")
