"""Faults in random order against one node: each is named or reported, none ends it, no mask is
left standing.

IPT_FAULTS sets how many; the seed makes the order repeatable. `make faults` runs 400.
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from harness import BEST_EFFORT, LATCHED, peer, running, until
from hostile import hostile
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import OccupancyGrid, Odometry
from robot_input import RobotInput
from sensor_msgs.msg import CameraInfo, Image

from imaginative_perception.action import AskSpatial
from ipt_ros.errors import ErrorCode

COUNT = int(os.environ.get("IPT_FAULTS", "30"))
TERMINAL = {4, 5, 6}  # succeeded, canceled, aborted
PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": [0.1, 0.0, 1.2, 0.0, 0.25, 0.0],
    "imagined_space": True,
    "imagined_space_period_s": 0.5,
    "imagined_space_timeout_s": 3.0,
    "imagined_space_imaginations": 1,
    "min_map_agreement": 0.0,
    "flow_steps": 2,
    "view_max_age_s": 0.5,
}


class Bench:
    """The node, a robot to spoil, and somebody who asks."""

    def __init__(self, process, tester, robot, rng):
        self.process, self.tester, self.robot, self.rng = process, tester, robot, rng
        self.client = tester.action(AskSpatial, "ipt_node/ask_spatial")
        self.masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)

    def goal(self, mode="answer"):
        return AskSpatial.Goal(question="Which side?", options=["left", "right"], mode=mode)

    def code(self):
        status, result = self.tester.run_goal(self.client, self.goal())
        assert status in TERMINAL
        return result.error_code

    def works(self):
        until(lambda: self.code() == 0, "the next good question works")

    def named(self, *codes):
        until(lambda: self.code() in codes, f"an error of {codes}")

    def mask_is_clear(self):
        return not self.masks.messages or not any(v != -1 for v in self.masks.newest.data)

    def no_stale_mask(self):
        until(self.mask_is_clear, "the mask is taken back")


def spoil(change):
    def wrong(messages):
        change(messages)
        return messages

    return wrong


def camera_stops(bench):
    bench.robot.wrong = lambda m: {k: v for k, v in m.items() if k == "odometry"}
    bench.named(ErrorCode.STALE_VIEW)
    bench.no_stale_mask()


def odometry_gap(bench):
    bench.robot.wrong = lambda m: {k: v for k, v in m.items() if k != "odometry"}
    bench.named(ErrorCode.NO_POSE)
    bench.no_stale_mask()


def garbage_bytes(bench):
    data = bench.rng.randbytes(bench.rng.randrange(0, 4000))
    bench.robot.wrong = spoil(lambda m: setattr(m["image"], "data", data))
    bench.named(ErrorCode.BAD_IMAGE)


def encoding(bench):
    name = bench.rng.choice(
        ["", "32SC4", "rgb8 ", "RGB8", "jpeg", "bayer_xxxx8", "\x00", "8UC3" * 50]
    )
    bench.robot.wrong = spoil(lambda m: setattr(m["image"], "encoding", name))
    bench.named(ErrorCode.BAD_IMAGE)


def absurd_size(bench):
    def change(m):
        m["image"].height, m["image"].width = 2**31, 2**31

    bench.robot.wrong = spoil(change)
    bench.named(ErrorCode.BAD_IMAGE)


def bad_intrinsics(bench):
    value = bench.rng.choice([float("nan"), float("inf"), 0.0, -5.0])
    k = [value, 0.0, 32.0, 0.0, value, 24.0, 0.0, 0.0, 1.0]
    bench.robot.wrong = spoil(lambda m: setattr(m["info"], "k", k))
    bench.named(ErrorCode.BAD_CAMERA_INFO)


def nan_odometry(bench):
    def change(m):
        m["odometry"].pose.pose.position.x = float("nan")

    bench.robot.wrong = spoil(change)
    bench.named(ErrorCode.NO_POSE)
    bench.no_stale_mask()


def bad_depth(bench):
    bench.robot.wrong = spoil(lambda m: setattr(m["depth"], "encoding", "rgb8"))
    bench.named(ErrorCode.BAD_DEPTH)


def nan_depth_is_no_fault(bench):
    hole = np.full((48, 64), np.nan, np.float32).tobytes()
    bench.robot.wrong = spoil(lambda m: setattr(m["depth"], "data", hole))
    bench.works()


def time_jump(bench):
    def without_info(m):
        del m["info"]
        return m

    bench.robot.wrong = without_info
    bench.robot.offset_ns = -bench.rng.randrange(1, 100) * 10**9
    bench.named(ErrorCode.TIME_JUMP)
    bench.no_stale_mask()


def future_stamps(bench):
    """An hour ahead, and back again: refused or believed, but no mask stands on it for good."""
    bench.robot.offset_ns = 3600 * 10**9
    bench.tester.run_goal(bench.client, bench.goal())
    bench.robot.wrong = lambda m: {}
    bench.robot.offset_ns = 0
    bench.no_stale_mask()


def negative_stamps(bench):
    def change(m):
        for message in m.values():
            message.header.stamp.sec = -bench.rng.randrange(1, 2**31)

    bench.robot.wrong = spoil(change)
    assert bench.code() is not None
    bench.no_stale_mask()


def map_message(bench, columns, rows, yaw=0.0, x=-5.0):
    message = OccupancyGrid()
    message.header.frame_id = "odom"
    message.info.width, message.info.height, message.info.resolution = columns, rows, 0.1
    message.info.origin.position.x = x
    message.info.origin.position.y = -5.0
    message.info.origin.orientation.z = float(np.sin(yaw / 2))
    message.info.origin.orientation.w = float(np.cos(yaw / 2))
    message.data = [bench.rng.choice([-1, 0, 100]) for _ in range(columns * rows)]
    return message


def odd_maps(bench):
    """Empty, turned, rolling, of wrong length: all while a mask is drawn."""
    publisher = bench.tester.publisher(OccupancyGrid, "map", LATCHED)
    for _ in range(20):
        size = bench.rng.choice([0, 1, 40, 100])
        yaw = bench.rng.choice([0.0, 0.7, np.pi, float("nan")])
        message = map_message(bench, size, size, yaw, bench.rng.uniform(-6.0, -4.0))
        if bench.rng.random() < 0.3:
            message.data = message.data[:-1]
        publisher.publish(message)
        bench.code()
    bench.tester.node.destroy_publisher(publisher)
    bench.robot.send_map()


def nonsense_of_every_type(bench):
    for kind, topic, qos in (
        (Image, "camera/image", BEST_EFFORT),
        (Image, "camera/depth_image", BEST_EFFORT),
        (CameraInfo, "camera/camera_info", BEST_EFFORT),
        (Odometry, "odom", BEST_EFFORT),
        (OccupancyGrid, "map", LATCHED),
    ):
        publisher = bench.tester.publisher(kind, topic, qos)
        for _ in range(5):
            publisher.publish(hostile(kind(), bench.rng, bench.rng.random()))
        bench.tester.node.destroy_publisher(publisher)
    bench.robot.send_map()


def nonsense_as_goals(bench):
    for _ in range(5):
        goal = hostile(AskSpatial.Goal(), bench.rng, bench.rng.random())
        handle, ending = bench.tester.start_goal(bench.client, goal)
        bench.tester.cancel_goal(handle)
        assert bench.tester.result(ending, "ended").status in TERMINAL


def goal_storm(bench):
    sent = [bench.tester.send_goal(bench.client, bench.goal()) for _ in range(50)]
    handles = [bench.tester.result(s, "accepted") for s in sent]
    ends = [bench.tester.result(bench.tester.there(h.get_result_async), "ended") for h in handles]
    assert {e.status for e in ends} <= TERMINAL
    assert {e.result.error_code for e in ends} <= {0, ErrorCode.BUSY}


def cancel_storm(bench):
    goals = [bench.tester.start_goal(bench.client, bench.goal("imagine")) for _ in range(4)]
    for handle, _ in goals:
        for _ in range(3):
            bench.tester.cancel_goal(handle)
    ends = [bench.tester.result(ended, "ended") for _, ended in goals]
    assert {e.status for e in ends} <= TERMINAL


def change(bench, number):
    request = ChangeState.Request(transition=Transition(id=number))
    return bench.tester.call(ChangeState, "ipt_node/change_state", request).success


def lifecycle_cycle(bench):
    _, ended = bench.tester.start_goal(bench.client, bench.goal("imagine"))
    assert change(bench, Transition.TRANSITION_DEACTIVATE)
    assert bench.tester.result(ended, "ended").status in TERMINAL
    bench.no_stale_mask()
    bench.named(ErrorCode.NOT_ACTIVE)
    if bench.rng.random() < 0.5:
        assert change(bench, Transition.TRANSITION_CLEANUP)
        bench.named(ErrorCode.NOT_ACTIVE)
        assert change(bench, Transition.TRANSITION_CONFIGURE)
    assert change(bench, Transition.TRANSITION_ACTIVATE)


def robot_killed(bench):
    """As kill -9 of a simulator: every publisher is gone, and comes back as another one."""
    bench.robot.close()
    bench.robot.destroy()
    bench.named(ErrorCode.STALE_VIEW)
    bench.no_stale_mask()
    bench.robot = RobotInput(bench.tester)
    bench.robot.send_map()


FAULTS = (
    camera_stops,
    odometry_gap,
    garbage_bytes,
    encoding,
    absurd_size,
    bad_intrinsics,
    nan_odometry,
    bad_depth,
    nan_depth_is_no_fault,
    time_jump,
    future_stamps,
    negative_stamps,
    odd_maps,
    nonsense_of_every_type,
    nonsense_as_goals,
    goal_storm,
    cancel_storm,
    lifecycle_cycle,
    robot_killed,
)


@pytest.mark.slow(100)
@pytest.mark.timeout(60 + 30 * COUNT)
def test_no_fault_ends_it_and_each_is_named(ros_domain, tmp_path):
    rng = random.Random(20_26)
    # every kind at least once, in random order
    order = [*FAULTS, *(rng.choice(FAULTS) for _ in range(COUNT))][: max(COUNT, len(FAULTS))]
    rng.shuffle(order)
    with (
        running("ipt_node", ros_domain + 2, tmp_path, parameters=PARAMETERS) as process,
        peer(ros_domain + 2) as tester,
    ):
        process.wait_for_print("ready:")
        robot = RobotInput(tester)
        robot.send_map()
        bench = Bench(process, tester, robot, rng)
        bench.works()
        for number, fault in enumerate(order):
            print(f"{number + 1}/{len(order)} {fault.__name__}", flush=True)
            fault(bench)
            bench.robot.wrong = lambda messages: messages
            bench.robot.offset_ns = 0
            bench.works()
            assert process.returncode is None
        bench.robot.close()
        code, _ = process.terminate()
        assert code == 0
        bench.no_stale_mask()
