"""The mask over DDS, with the real node: what a planner hears when things go well and when they do
not.

The contract itself is tested in test_imagined_space.py; here is that the node keeps it.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from harness import LATCHED, peer, running, until
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import OccupancyGrid
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from robot_input import RobotInput

PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": [0.1, 0.0, 1.2, 0.0, 0.25, 0.0],
    "imagined_space": True,
    "imagined_space_period_s": 0.5,
    "imagined_space_timeout_s": 20.0,
    "imagined_space_imaginations": 2,
    "flow_steps": 2,
    "view_max_age_s": 0.6,
    # an untrained drawing agrees with nothing: let it through, the contract must hold for any
    "min_map_agreement": 0.0,
}


@pytest.fixture
def domain(ros_domain):
    return ros_domain + 1


@pytest.fixture
def node(domain, tmp_path):
    with running("ipt_node", domain, tmp_path, parameters=PARAMETERS) as process:
        process.wait_for_print("ready:")
        yield process


@pytest.fixture
def tester(domain):
    with peer(domain) as one:
        yield one


@pytest.fixture
def masks(node, tester):
    return tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)


@pytest.fixture
def robot(node, tester, masks):
    one = RobotInput(tester)
    one.send_map()
    yield one
    one.close()


def cells(message):
    return np.array(message.data, np.int8).reshape(message.info.height, message.info.width)


def claims(message):
    return bool((cells(message) != -1).any())


def is_clear(message):
    return not claims(message)


def standing(masks):
    return masks.wait_for(claims)


def transition(tester, number):
    request = ChangeState.Request(transition=Transition(id=number))
    assert tester.call(ChangeState, "ipt_node/change_state", request).success


def wait_cleared(masks, since, timeout_s=10.0):
    return masks.wait_for(is_clear, timeout_s, since)


def test_from_the_first_map_to_sigterm(node, tester, masks, robot):
    """One life of the node: clear at first, then claims about unseen cells only, released when
    seen, cleared by everything that takes its ground away, and clear when it has gone.
    """
    assert is_clear(masks.wait(1)[0])
    mask = standing(masks)
    # aligned with the map, -1 where it was seen, never lethal elsewhere
    assert (mask.info.width, mask.info.height, mask.info.resolution) == (
        100,
        100,
        pytest.approx(0.1),
    )
    assert (mask.info.origin.position.x, mask.info.origin.position.y) == (-5.0, -5.0)
    assert mask.header.frame_id == "odom"
    assert (cells(mask)[:, :50] == -1).all()
    assert 0 <= cells(mask)[:, 50:].max() <= 90

    # more is seen: released with the next mask
    since = len(masks)
    robot.send_map(seen_columns=80)
    mask = masks.wait_for(lambda m: (cells(m)[:, 50:80] == -1).all(), 10.0, since)
    for message in masks.messages[masks.messages.index(mask) :]:
        assert (cells(message)[:, :80] == -1).all()

    # the pose stops: cleared; it comes back: claims again
    standing_again(masks)
    since = len(masks)
    robot.wrong = lambda messages: {k: v for k, v in messages.items() if k != "odometry"}
    wait_cleared(masks, since)
    robot.wrong = lambda messages: messages
    standing_again(masks)

    # the camera stops
    since = len(masks)
    robot.wrong = lambda messages: {k: v for k, v in messages.items() if k == "odometry"}
    wait_cleared(masks, since)
    robot.wrong = lambda messages: messages
    standing_again(masks)

    # an error on the way: nothing that can be decoded
    since = len(masks)

    def garbage(messages):
        messages["image"].encoding = "nonsense"
        return messages

    robot.wrong = garbage
    wait_cleared(masks, since)
    robot.wrong = lambda messages: messages
    standing_again(masks)

    # switched off by parameter
    since = len(masks)
    switch(tester, False)
    wait_cleared(masks, since)
    switch(tester, True)
    standing_again(masks)

    # deactivated
    since = len(masks)
    transition(tester, Transition.TRANSITION_DEACTIVATE)
    wait_cleared(masks, since)
    time.sleep(1.0)
    assert is_clear(masks.newest)
    transition(tester, Transition.TRANSITION_ACTIVATE)
    standing_again(masks)

    # SIGTERM: the last word is all-clear
    code, _ = node.terminate()
    assert code == 0
    until(lambda: is_clear(masks.newest), "the last mask is clear", 5.0)


def standing_again(masks):
    masks.wait_for(claims, 20.0, since=max(0, len(masks) - 1))


def switch(tester, on):
    value = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=on)
    request = SetParameters.Request(parameters=[Parameter(name="imagined_space", value=value)])
    reply = tester.call(SetParameters, "ipt_node/set_parameters", request)
    assert all(result.successful for result in reply.results)


def test_a_map_of_another_geometry_clears_in_the_new_geometry(masks, robot, tester):
    standing(masks)
    since = len(masks)
    small = OccupancyGrid()
    small.header.frame_id = "odom"
    small.info.width, small.info.height, small.info.resolution = 20, 10, 0.2
    small.info.origin.orientation.w = 1.0
    small.data = [-1] * 200
    tester.publisher(OccupancyGrid, "map", LATCHED).publish(small)
    cleared = wait_cleared(masks, since)
    assert (cleared.info.width, cleared.info.height) == (20, 10)
