"""Paths, maps and counts as a planner sends them to a real node: what was seen decides, frames are
related or refused, and nonsense has a name.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped, Quaternion, TransformStamped
from harness import LATCHED, peer, running, until
from robot_input import MOUNT, RobotInput
from std_msgs.msg import Header

from imaginative_perception.action import CountObjects, ImagineView, TracePath
from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.conversions import array_to_grid, matrix_to_transform, planar_matrix
from ipt_ros.errors import ErrorCode

ROOT = Path(__file__).parents[3]
ABORTED = GoalStatus.STATUS_ABORTED


@pytest.fixture(scope="module", params=["odometry", "tf"])
def pose_source(request):
    if request.param == "tf":
        pytest.importorskip("tf2_ros", reason="tf2_ros is not installed, and not on PyPI")
    return request.param


@pytest.fixture(scope="module")
def node(pose_source, ros_domain, tmp_path_factory):
    parameters = {
        "model": "ipt-tiny-untrained",
        "pose_source": pose_source,
        "mounts": list(MOUNT),
        "flow_steps": 2,
    }
    folder = tmp_path_factory.mktemp("paths")
    with running("ipt_node", ros_domain + 1, folder, parameters=parameters) as process:
        process.wait_for_print("ready:")
        yield process


@pytest.fixture(scope="module")
def tester(ros_domain):
    with peer(ros_domain + 1) as one:
        yield one


@pytest.fixture(scope="module")
def robot(node, tester, pose_source):
    one = RobotInput(tester, tf=pose_source == "tf")
    yield one
    one.close()


@pytest.fixture(scope="module")
def ask(node, tester):
    names = {CountObjects: "count_objects", ImagineView: "imagine_view", TracePath: "trace_path"}
    clients = {kind: tester.action(kind, f"ipt_node/{name}") for kind, name in names.items()}

    def run(goal, on_feedback=None):
        kind = next(k for k in clients if isinstance(goal, k.Goal))
        return tester.run_goal(clients[kind], goal, on_feedback)

    return run


def path(*points, frame="odom", radius=0.3):
    goal = TracePath.Goal(mode="answer", robot_radius_m=radius)
    goal.path.header.frame_id = frame
    for x, y in points:
        pose = PoseStamped()
        pose.pose.position.x, pose.pose.position.y = float(x), float(y)
        goal.path.poses.append(pose)
    return goal


def walled(turn_rad=0.0):
    """20 x 20 m around zero, seen free, with a wall across at x = 4 m of the cells' own axes."""
    cells = np.full((200, 200), FREE, np.int8)
    cells[:, 140] = OCCUPIED
    return OccupancyGrid(cells, 0.1, (-10.0, -10.0), turn_rad)


def verdict(ask, goal, wanted, first=None):
    """Once the newest map is heeded, the verdict is this."""

    def check():
        _, result = ask(goal)
        assert result.error_code in (0, *TRANSIENT), result.error_msg
        found = result.verdict
        return found if found.verdict == wanted and result.error_code == 0 else None

    found = until(check, f"verdict {wanted}", 30)
    assert first is None or found.first_blocked_pose == first
    return found


#: Until the first view, pose and map have arrived, and while an earlier bad map still counts.
TRANSIENT = (
    ErrorCode.NO_IMAGE,
    ErrorCode.NO_CAMERA_INFO,
    ErrorCode.NO_POSE,
    ErrorCode.NO_MAP,
    ErrorCode.BAD_MAP,
    ErrorCode.UNKNOWN_FRAME,
)
UNDECIDED, CLEAR, BLOCKED = 0, 1, 2


def refused(ask, goal, code, words):
    def check():
        status, result = ask(goal)
        if result.error_code != code:
            return None
        assert status == ABORTED and words in result.error_msg, result.error_msg
        return result

    return until(check, f"error {code!r}", 30)


# -- what was seen --------------------------------------------------------------------------------


def test_a_seen_wall_between_two_poses_blocks(robot, ask):
    robot.send_grid(walled())
    found = verdict(ask, path((1, 2), (7, 2), (8, 2)), BLOCKED, first=1)
    assert found.probability_blocked == 1.0 and list(found.risk) == [0.0, 1.0, 0.0]
    verdict(ask, path((1, 2), (3, 2)), CLEAR)


def test_off_the_map_nothing_was_seen(robot, ask):
    robot.send_grid(walled())
    verdict(ask, path((1, 2), (3, 2)), CLEAR)
    assert ask(path((-8, 0), (-30, 0)))[1].verdict.verdict == UNDECIDED


NONSENSE = {
    "negative radius": (path((1, 2), (7, 2), radius=-0.3), "robot_radius_m"),
    "tiny negative radius": (path((1, 2), (7, 2), radius=-0.04), "robot_radius_m"),
    "NaN radius": (path((1, 2), (7, 2), radius=math.nan), "robot_radius_m"),
    "infinite radius": (path((1, 2), (7, 2), radius=math.inf), "robot_radius_m"),
    "radius of 250 m": (path((1, 2), (7, 2), radius=250.0), "at most 2 m"),
    "pose of nowhere": (path((1, 2), (1e18, 2)), "path.poses[1]"),
    "infinite pose": (path((1, 2), (math.inf, 2)), "path.poses[1]"),
    "100,000 poses": (path(*[(1, 2)] * 100_000), "at most 5000 poses"),
    "a long way": (path((0, 0), (900, 0)), "at most 400 m"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_by_name(name, robot, ask):
    robot.send_grid(walled())
    goal, words = NONSENSE[name]
    refused(ask, goal, ErrorCode.BAD_GOAL, words)


# -- frames ---------------------------------------------------------------------------------------


def test_a_turned_map_is_read_as_it_lies(robot, ask):
    """Turned a quarter to the left the wall stands across the y axis."""
    robot.send_grid(walled(0.5 * math.pi))
    verdict(ask, path((0, 1), (0, 7)), BLOCKED, first=1)
    verdict(ask, path((1, 2), (7, 2)), CLEAR)


def test_a_map_that_moves_with_the_robot(robot, ask):
    """Stated in base_link, which is turned by half: its wall stands at x = -4 m in odom."""

    def turned(messages):
        messages["odometry"].pose.pose.orientation.z = 1.0
        messages["odometry"].pose.pose.orientation.w = 0.0
        return messages

    robot.wrong = turned
    robot.send_grid(walled(), "base_link")
    verdict(ask, path((-1, 2), (-7, 2)), BLOCKED, first=1)
    verdict(ask, path((1, 2), (7, 2)), CLEAR)
    verdict(ask, path((1, -2), (7, -2), frame="base_link"), BLOCKED, first=1)
    robot.wrong = lambda messages: messages
    robot.send_grid(walled())
    verdict(ask, path((1, 2), (7, 2)), BLOCKED, first=1)


def test_a_map_in_a_frame_of_its_own(robot, ask, tester, pose_source):
    """The map's frame is turned by half against odom: its wall stands at x = -4 m there."""
    if pose_source == "odometry":
        robot.send_grid(walled(), "map")
        refused(ask, path((1, 2), (7, 2)), ErrorCode.UNKNOWN_FRAME, "stated in 'map'")
        return
    from tf2_msgs.msg import TFMessage

    where = TransformStamped(header=Header(frame_id="odom"), child_frame_id="map")
    where.transform = matrix_to_transform(planar_matrix(0.0, 0.0, math.pi))
    tester.publisher(TFMessage, "/tf_static", LATCHED).publish(TFMessage(transforms=[where]))
    robot.send_grid(walled(), "map")
    verdict(ask, path((-1, 2), (-7, 2)), BLOCKED, first=1)
    verdict(ask, path((1, 2), (7, 2)), CLEAR)
    # the same place said in the map's frame
    verdict(ask, path((1, -2), (7, -2), frame="map"), BLOCKED, first=1)


def bad_map(**changes):
    message = array_to_grid(walled(), Header(frame_id="odom"))
    for field, value in changes.items():
        setattr(message.info, field, value)
    return message


def tilted():
    message = bad_map()
    message.info.origin.orientation = Quaternion(x=0.7, w=0.7)
    return message


BAD_MAPS = {
    "no size": (bad_map(width=0, height=0), "0 x 0 cells declared"),
    "too few cells": (bad_map(width=201), "201 x 200 cells declared, 40000 came"),
    "NaN resolution": (bad_map(resolution=math.nan), "resolution is nan"),
    "tilted": (tilted(), "tilted"),
}


@pytest.mark.parametrize("name", BAD_MAPS)
def test_a_map_that_cannot_be_read_has_a_code_of_its_own(name, robot, ask):
    message, words = BAD_MAPS[name]
    robot.send_map_message(message)
    refused(ask, path((1, 2), (3, 2)), ErrorCode.BAD_MAP, words)
    robot.send_grid(walled())
    verdict(ask, path((1, 2), (3, 2)), CLEAR)


# -- as trained -----------------------------------------------------------------------------------


def test_a_count_needs_views_all_around(robot, ask):
    goal = CountObjects.Goal(category="chair", mode="answer")
    refused(ask, goal, ErrorCode.TOO_FEW_VIEWS, "turn the robot once on the spot")

    def counted():
        robot.look_around()
        _, result = ask(goal)
        return result if result.error_code == 0 else None

    result = until(counted, "four views are remembered")
    assert list(result.answer.options) == ["1", "2", "3", "4"]
    assert len(result.answer.provenance.source_stamps) == 4


def test_what_the_map_of_the_model_does_not_show_is_undecided(robot, ask):
    """Behind the robot, and with all the confidence that is asked for: nothing was seen there."""
    robot.send_grid(OccupancyGrid(np.full((200, 200), UNKNOWN, np.int8), 0.1, (-10.0, -10.0)))

    def check():
        _, result = ask(path((-4, 0), (-6, 0), radius=0.15))
        return result if result.verdict.verdict == UNDECIDED and not result.error_code else None

    result = until(check, "the new map is heeded", 30)
    assert result.answer.abstained and result.answer.answer == ""
    assert math.isnan(result.verdict.probability_blocked)


def test_stages_are_those_that_the_action_files_name(robot, ask):
    sources = "\n".join(p.read_text() for p in (ROOT / "ipt_model").rglob("*.py"))
    told = set(re.findall(r'\.tell\(\s*"(\w+)"', sources))
    for file in (ROOT / "action").glob("*.action"):
        line = re.search(r"^string stage .*", file.read_text(), re.MULTILINE)
        assert line and set(re.findall(r'"(\w+)"', line.group())) == told, file.name
    goal = ImagineView.Goal(object="green ball", mode="imagine")
    goal.viewpoint.header.frame_id = "odom"
    goal.viewpoint.pose.position.x = 1.0
    heard = []

    def check():
        heard.clear()
        status, result = ask(goal, heard.append)
        assert result.error_code in (0, *TRANSIENT), result.error_msg
        return status == GoalStatus.STATUS_SUCCEEDED

    until(check, "a view is imagined", 30)
    assert {"context", "imagine"} <= {f.stage for f in heard} <= told
