"""What the mask rests on, spoilt over DDS: clocks, maps and transforms that are not what they
claim to be. One test a clause; docs/nav2.md lists clauses and tests.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from harness import BEST_EFFORT, LATCHED, RELIABLE, peer, running, until
from mask_life import PARAMETERS, claimed_x, claims, life_of_a_node, standing, taken_back
from nav_msgs.msg import OccupancyGrid, Odometry
from robot_input import MOUNT, PINHOLE, RobotInput
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

from imaginative_perception.action import AskSpatial
from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.spatial import maps
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.answering.questions import ask_map
from ipt_ros.conversions import array_to_grid, matrix_to_pose, ns_to_stamp, stamp_to_ns
from ipt_ros.errors import ErrorCode
from ipt_ros.senses.observations import Observation

GOAL = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="answer")
FAKE_TF2 = str(Path(__file__).parents[1] / "fake_tf2")
HOUR_NS = 3600 * 10**9


@pytest.fixture(scope="module")
def life(ros_domain, tmp_path_factory):
    with life_of_a_node(ros_domain + 1, tmp_path_factory.mktemp("ground")) as one:
        yield one


@pytest.fixture
def masks(life):
    """With a mask standing that claims something, and nothing wrong with what it rests on."""
    _, _, masks, robot = life
    robot.wrong = lambda messages: messages
    robot.offset_ns = 0
    masks.wait()
    robot.send_map()
    # not the one that stood on the map of the test before
    until(lambda: masks.newest.info.origin.position.x == -5.0, "a mask on this map")
    return standing(masks)


def map_from(x, seen=(-1.0, 0.0), frame="odom"):
    """10 x 10 m from x to the east and -5 to the north; seen free between two values of x."""
    cells = np.full((100, 100), maps.UNKNOWN, np.int8)
    west, east = (round((s - x) / 0.1) for s in seen)
    cells[:, west:east] = maps.FREE
    return array_to_grid(maps.OccupancyGrid(cells, 0.1, (x, -5.0)), Header(frame_id=frame))


def turned():
    message = map_from(-5.0, frame="nonsense")
    message.info.origin.orientation.z, message.info.origin.orientation.w = 0.6, 0.8
    return message


def empty():
    return OccupancyGrid(header=Header(frame_id="nonsense"))


def cut_short():
    message = map_from(-5.0, frame="nonsense")
    message.data = message.data[:-1]
    return message


def rescaled(resolution):
    message = map_from(-5.0, frame="nonsense")
    message.info.resolution = resolution
    return message


def absurd():
    message = map_from(-5.0)
    message.info.origin.position.x = 1e300
    return message


def drawn_x(robot_x=0.0):
    """From where to where in x a drawing shows the map when the robot is at x and looks east, m;
    a cell on the border may belong to it.
    """
    camera = from_xyz_rpy(robot_x, 0, 0, 0, 0, 0) @ from_xyz_rpy(*MOUNT) @ BODY_FROM_OPTICAL
    rgb = np.zeros((48, 64, 3), np.uint8)
    view = Observation(0, "optical", rgb, None, PINHOLE, camera)
    grid = maps.OccupancyGrid(np.zeros((200, 200), np.int8), 0.1, (-10.0, -10.0))
    shown = ask_map(view, grid, PictureGeometry()).map_view
    return shown.x_min - 0.11, shown.x_min + shown.side_m + 0.11


# -- clocks ---------------------------------------------------------------------------------------


def test_all_clear_when_stamps_run_ahead_of_the_clock(masks, life):
    _, tester, _, robot = life
    since = len(masks)
    robot.offset_ns = HOUR_NS
    taken_back(masks, since)
    _, result = tester.run_goal(tester.action(AskSpatial, "ipt_node/ask_spatial"), GOAL)
    assert result.error_code == ErrorCode.STALE_VIEW and "ahead" in result.error_msg


def test_odometry_from_the_future_is_no_pose(masks, life):
    """One sample ahead of all clocks, then none: what lies between must not pass for known."""
    robot = life[3]
    since = len(masks)
    last = []

    def one_ahead_then_none(messages):
        odometry = messages.pop("odometry")
        if not last:
            ahead_ns = stamp_to_ns(odometry.header.stamp) + HOUR_NS
            odometry.header.stamp = ns_to_stamp(ahead_ns)  # the images share the old one
            messages["odometry"] = odometry
            last.append(True)
        return messages

    robot.wrong = one_ahead_then_none
    taken_back(masks, since)


def test_all_clear_when_the_clock_dies_with_the_camera(ros_domain, tmp_path):
    """With use_sim_time a dead clock stops timers, and no stamp grows older."""
    domain = ros_domain + 3
    parameters = {**PARAMETERS, "use_sim_time": True, "view_max_age_s": 2.0}
    with (
        running("ipt_node", domain, tmp_path, parameters=parameters) as process,
        peer(domain) as tester,
    ):
        masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
        clock = tester.publisher(Clock, "/clock", BEST_EFFORT)
        ticking = True

        def tick():
            while ticking:
                clock.publish(Clock(clock=ns_to_stamp(time.time_ns())))
                time.sleep(0.02)

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        process.wait_for_print("ready:")
        robot = RobotInput(tester)
        robot.send_map()
        standing(masks)
        since = len(masks)
        ticking = False
        thread.join(5)
        robot.close()
        taken_back(masks, since)


# -- maps -----------------------------------------------------------------------------------------


def test_on_a_map_that_rolls_every_claim_stands_where_it_was_imagined(masks, life):
    """The robot stays; a drawing shows the same part of the world, wherever the map begins."""
    tester = life[1]
    publisher = tester.publisher(OccupancyGrid, "map", LATCHED)
    since = len(masks)

    def rolled():
        publisher.publish(map_from(-5.0 if rolled.east else -8.0))
        rolled.east = not rolled.east
        time.sleep(0.13)
        return sum(claims(m) for m in masks.messages[since:]) >= 6

    rolled.east = False
    until(rolled, "masks come although the map never rests", 60)
    for message in masks.messages[since:]:
        if claims(message):
            west, east = claimed_x(message)
            assert west > -3.11 and east < 5.11, message.info.origin
    tester.node.destroy_publisher(publisher)


@pytest.mark.parametrize(
    "bad",
    [turned, empty, cut_short, lambda: rescaled(0.0), lambda: rescaled(float("nan"))],
    ids=["turned", "empty", "cut_short", "no_resolution", "nan_resolution"],
)
def test_the_all_clear_after_a_bad_map_is_stated_on_the_last_good_one(masks, life, bad):
    tester = life[1]
    publisher = tester.publisher(OccupancyGrid, "map", LATCHED)
    since = len(masks)
    publisher.publish(bad())
    cleared = taken_back(masks, since)
    assert cleared.header.frame_id == "odom"
    assert (cleared.info.width, cleared.info.height) == (100, 100)
    assert cleared.info.origin.position.x == -5.0
    tester.node.destroy_publisher(publisher)


def test_no_map_that_comes_while_it_draws_ends_the_node(masks, life):
    process, tester, _, robot = life
    publisher = tester.publisher(OccupancyGrid, "map", LATCHED)
    hostile = [empty, turned, cut_short, absurd, lambda: rescaled(1e-30), lambda: rescaled(1e30)]
    for number in range(60):
        # a good one in between, so that there is a drawing at any time
        robot.send_map() if number % 3 == 0 else publisher.publish(hostile[number % 6]())
        time.sleep(0.1)
    assert process.returncode is None, process.printed()
    robot.send_map()
    standing(masks)
    tester.node.destroy_publisher(publisher)


def test_a_map_in_a_frame_that_nobody_relates_to_the_poses_is_refused_by_name(masks, life):
    process, tester = life[:2]
    publisher = tester.publisher(OccupancyGrid, "map", LATCHED)
    since = len(masks)
    publisher.publish(map_from(-5.0, frame="somewhere"))
    cleared = taken_back(masks, since)
    assert cleared.header.frame_id == "odom"
    process.wait_for_print("the map is stated in 'somewhere'")
    tester.node.destroy_publisher(publisher)


# -- transforms -----------------------------------------------------------------------------------


def transform(parent, child, matrix, stamp_ns):
    message = Odometry(header=Header(stamp=ns_to_stamp(stamp_ns), frame_id=parent))
    message.child_frame_id = child
    message.pose.pose = matrix_to_pose(matrix)
    return message


def drawings(message):
    """How many masks were drawn, as the diagnostics tell it."""
    for status in message.status:
        if status.name == "/ipt_node: imagined space":
            return next((int(v.value) for v in status.values if v.key == "drawings"), 0)
    return 0


def drawn_anew(tester, times=2):
    """Waits for so many drawings; a mask that stays the same is not published again."""
    health = tester.collect(DiagnosticArray, "/diagnostics", RELIABLE)
    had = drawings(health.wait_for(lambda m: drawings(m) > 0))
    health.wait_for(lambda m: drawings(m) >= had + times)


@pytest.fixture(scope="module")
def tf_life(ros_domain, tmp_path_factory):
    environment = {"PYTHONPATH": f"{FAKE_TF2}:" + os.environ.get("PYTHONPATH", "")}
    with life_of_a_node(
        ros_domain + 2, tmp_path_factory.mktemp("tf"), environment, pose_source="tf"
    ) as life:
        fixed = life[1].publisher(Odometry, "/fixed", LATCHED)
        mount = from_xyz_rpy(*MOUNT) @ BODY_FROM_OPTICAL
        fixed.publish(transform("base_link", "camera_optical_frame", mount, 0))
        yield life


@pytest.fixture
def tf_masks(tf_life):
    _, _, masks, robot = tf_life
    robot.wrong = lambda messages: messages
    robot.send_map()
    return standing(masks)


def test_a_mask_stands_while_transforms_come_later_than_images(tf_life, tf_masks):
    robot = tf_life[3]
    late = []

    def lagging(messages):
        late.append(messages.pop("odometry"))
        if len(late) > 6:
            messages["odometry"] = late.pop(0)
        return messages

    robot.wrong = lagging
    until(lambda: len(late) >= 6, "the transforms lag")
    drawn_anew(tf_life[1])
    assert claims(tf_masks.newest)


def test_all_clear_when_transforms_stop(tf_life, tf_masks):
    since = len(tf_masks)
    tf_life[3].wrong = lambda messages: {k: v for k, v in messages.items() if k != "odometry"}
    taken_back(tf_masks, since)


def test_one_transform_from_the_future_does_no_lasting_harm(tf_life, tf_masks):
    tester = tf_life[1]
    moving = tester.publisher(Odometry, "/moving", BEST_EFFORT)
    moving.publish(transform("odom", "base_link", np.eye(4), time.time_ns() + HOUR_NS))
    drawn_anew(tf_life[1])
    assert claims(tf_masks.newest)
    tester.node.destroy_publisher(moving)


def test_an_image_with_a_negative_stamp_ends_nothing(tf_life, tf_masks):
    process, _, _, robot = tf_life

    def before_all_time(messages):
        for message in messages.values():
            message.header.stamp.sec = -5
        return messages

    robot.wrong = before_all_time
    time.sleep(1.0)
    assert process.returncode is None, process.printed()
    robot.wrong = lambda messages: messages
    tf_masks.wait_for(claims, 20.0, len(tf_masks))


def test_on_a_map_in_another_frame_the_robot_stands_where_it_is_in_that_frame(tf_life, tf_masks):
    """odom begins at x = 2 of the map."""
    tester = tf_life[1]
    fixed = tester.publisher(Odometry, "/fixed", LATCHED)
    fixed.publish(transform("map", "odom", from_xyz_rpy(2.0, 0, 0, 0, 0, 0), 0))
    publisher = tester.publisher(OccupancyGrid, "map", LATCHED)
    since = len(tf_masks)

    def sent():
        publisher.publish(map_from(-2.0, seen=(3.0, 4.0), frame="map"))
        time.sleep(0.5)
        return [m for m in tf_masks.messages[since:] if claims(m) and m.header.frame_id == "map"]

    found = until(sent, "a mask in the map's frame claims something", 30)
    west, east = claimed_x(found[-1])
    first, last = drawn_x(robot_x=2.0)
    assert first < west < first + 0.4 and last - 0.4 < east < last
    tester.node.destroy_publisher(publisher)
