"""The safety contract of the mask, kept by the real node over DDS: what a planner hears when the
ground under an imagination goes away. One test a clause; docs/nav2.md lists clauses and tests.

What the mask may hold, cell by cell, is in test_imagined_space.py.
"""

from __future__ import annotations

import time

import pytest
from harness import LATCHED, until
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mask_life import cells, is_clear, life_of_a_node, standing, taken_back
from nav_msgs.msg import OccupancyGrid
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from imaginative_perception.action import AskSpatial

GOAL = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="imagine")
#: What obstacle layers and the collision monitor of Nav2 can subscribe to.
OBSTACLES = {
    "sensor_msgs/msg/LaserScan",
    "sensor_msgs/msg/PointCloud2",
    "sensor_msgs/msg/PointCloud",
    "sensor_msgs/msg/Range",
    "geometry_msgs/msg/PolygonStamped",
    "geometry_msgs/msg/PolygonInstanceStamped",
    "nav2_msgs/msg/Costmap",
    "nav2_msgs/msg/CostmapUpdate",
    "map_msgs/msg/OccupancyGridUpdate",
}


@pytest.fixture(scope="module")
def life(ros_domain, tmp_path_factory):
    with life_of_a_node(ros_domain + 1, tmp_path_factory.mktemp("mask")) as one:
        yield one


@pytest.fixture
def tester(life):
    return life[1]


@pytest.fixture
def robot(life):
    return life[3]


@pytest.fixture
def masks(life):
    """With a mask standing that claims something, and nothing wrong with what it rests on."""
    _, _, masks, robot = life
    robot.wrong = lambda messages: messages
    robot.offset_ns = 0
    robot.send_map()
    return standing(masks)


def transition(tester, number):
    request = ChangeState.Request(transition=Transition(id=number))
    assert tester.call(ChangeState, "ipt_node/change_state", request).success


def set_parameter(tester, name, **value):
    request = SetParameters.Request(parameters=[Parameter(name=name)])
    request.parameters[0].value = ParameterValue(**value)
    reply = tester.call(SetParameters, "ipt_node/set_parameters", request)
    assert all(result.successful for result in reply.results)


# -- what it says ---------------------------------------------------------------------------------


def test_the_first_thing_a_new_node_says_is_all_clear(masks):
    """A predecessor may have been killed with a mask standing."""
    assert is_clear(masks.messages[0])


def test_it_speaks_of_unseen_cells_on_the_grid_of_the_map(masks):
    mask = masks.newest
    assert (mask.info.width, mask.info.height) == (100, 100)
    assert mask.info.resolution == pytest.approx(0.1)
    assert (mask.info.origin.position.x, mask.info.origin.position.y) == (-5.0, -5.0)
    assert mask.header.frame_id == "odom"
    assert (cells(mask)[:, :50] == -1).all()
    assert 0 <= cells(mask)[:, 50:].max() <= 90


def test_never_sent_to_obstacle_layers_or_the_collision_monitor(masks, tester):
    topics = tester.node.get_publisher_names_and_types_by_node("ipt_node", "/")
    assert not [(name, kind) for name, kinds in topics for kind in kinds if kind in OBSTACLES]
    grids = [name for name, kinds in topics if "nav_msgs/msg/OccupancyGrid" in kinds]
    # not the map either, which a static layer or SLAM would take for an observation
    assert grids == ["/ipt_node/imagined_space"]


def test_what_becomes_seen_is_released_with_the_next_mask(masks, robot, tester):
    client = tester.action(AskSpatial, "ipt_node/ask_spatial")
    # while goals keep the model busy nothing new is imagined: the release must not wait for it
    set_parameter(tester, "flow_steps", type=ParameterType.PARAMETER_INTEGER, integer_value=20)
    try:
        busy = [tester.start_goal(client, GOAL)[1] for _ in range(4)]
        since = len(masks)
        robot.send_map(seen_columns=80)
        masks.wait(since + 1)
        assert not busy[-1].done()
    finally:
        set_parameter(tester, "flow_steps", type=ParameterType.PARAMETER_INTEGER, integer_value=2)
    standing(masks)
    for message in masks.messages[since:]:
        assert (cells(message)[:, :80] == -1).all()


def test_a_map_of_another_geometry_clears_in_the_new_geometry_first(masks, tester):
    since = len(masks)
    small = OccupancyGrid()
    small.header.frame_id = "odom"
    small.info.width, small.info.height, small.info.resolution = 20, 10, 0.2
    small.info.origin.orientation.w = 1.0
    small.data = [-1] * 200
    publisher = tester.publisher(OccupancyGrid, "map", LATCHED)
    publisher.publish(small)
    cleared = masks.wait_for(lambda m: m.info.width == 20, since=since)
    assert is_clear(cleared) and cleared.info.height == 10
    tester.node.destroy_publisher(publisher)


# -- when it is taken back ------------------------------------------------------------------------


def test_all_clear_when_the_pose_is_stale(masks, robot):
    since = len(masks)
    robot.wrong = lambda messages: {k: v for k, v in messages.items() if k != "odometry"}
    taken_back(masks, since)


def test_all_clear_when_the_camera_stops(masks, robot):
    since = len(masks)
    robot.wrong = lambda messages: {k: v for k, v in messages.items() if k == "odometry"}
    taken_back(masks, since)


def test_all_clear_on_an_error(masks, robot):
    since = len(masks)

    def garbage(messages):
        messages["image"].encoding = "nonsense"
        return messages

    robot.wrong = garbage
    taken_back(masks, since)


def test_all_clear_when_time_jumps_back(masks, robot):
    since = len(masks)
    # so little that no view is stale: claims come back, from what was seen since
    robot.offset_ns = -300_000_000
    masks.wait_for(is_clear, since=since)


def test_all_clear_when_the_drawn_map_contradicts_the_seen_one(masks, tester):
    since = len(masks)
    double = ParameterType.PARAMETER_DOUBLE
    set_parameter(tester, "min_map_agreement", type=double, double_value=1.0)
    try:
        taken_back(masks, since)
    finally:
        set_parameter(tester, "min_map_agreement", type=double, double_value=0.0)


def test_all_clear_when_switched_off(masks, tester):
    since = len(masks)
    boolean = ParameterType.PARAMETER_BOOL
    set_parameter(tester, "imagined_space", type=boolean, bool_value=False)
    try:
        taken_back(masks, since)
    finally:
        set_parameter(tester, "imagined_space", type=boolean, bool_value=True)


def test_all_clear_on_deactivate(masks, tester):
    # the view must not get stale while the node is busy freeing the model: that clears, too
    double = ParameterType.PARAMETER_DOUBLE
    set_parameter(tester, "view_max_age_s", type=double, double_value=30.0)
    since = len(masks)
    transition(tester, Transition.TRANSITION_DEACTIVATE)
    try:
        taken_back(masks, since)
    finally:
        set_parameter(tester, "view_max_age_s", type=double, double_value=0.6)
        transition(tester, Transition.TRANSITION_ACTIVATE)


def test_all_clear_when_nothing_was_imagined_until_the_timeout(ros_domain, tmp_path):
    """Camera and pose are well, but goals, which go first, keep the model busy."""
    with life_of_a_node(ros_domain + 3, tmp_path, imagined_space_timeout_s=2.0) as life:
        _, tester, masks, robot = life
        robot.send_map()
        standing(masks)
        client = tester.action(AskSpatial, "ipt_node/ask_spatial")
        since, enough = len(masks), time.monotonic() + 30
        asked = [tester.start_goal(client, GOAL)[1]]
        while not any(is_clear(m) for m in masks.messages[since:]):
            # two ahead at any time, so that the model is never free
            while sum(not ended.done() for ended in asked) < 3:
                asked.append(tester.start_goal(client, GOAL)[1])
            assert time.monotonic() < enough, "the mask still stands"
            time.sleep(0.01)


def test_all_clear_is_the_last_word_on_sigterm(ros_domain, tmp_path):
    with life_of_a_node(ros_domain + 3, tmp_path) as (process, _, masks, robot):
        robot.send_map()
        standing(masks)
        code, _ = process.terminate()
        assert code == 0
        until(lambda: is_clear(masks.newest), "the last mask is clear", 5.0)
