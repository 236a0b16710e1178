"""`ipt_node` as a process of its own, over DDS: four actions, feedback, cancel, and every bad
input by name. All of it with the camera's pose from odometry, and again from tf where tf2_ros is
installed.
"""

from __future__ import annotations

import math
import re
import threading

import pytest
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from harness import RELIABLE, peer, running, takes_less, until
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from robot_input import MOUNT, RobotInput
from sensor_msgs.msg import CameraInfo, Image

from imaginative_perception.action import AskSpatial, CountObjects, ImagineView, TracePath
from ipt_ros.conversions import stamp_to_ns
from ipt_ros.errors import ErrorCode
from ipt_ros.senses.images import image_to_mask, image_to_rgb

pytestmark = pytest.mark.slow(120)

SUCCEEDED, ABORTED, CANCELED = (
    GoalStatus.STATUS_SUCCEEDED,
    GoalStatus.STATUS_ABORTED,
    GoalStatus.STATUS_CANCELED,
)
PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": list(MOUNT),
}


@pytest.fixture(scope="module", params=["odometry", "tf"])
def pose_source(request):
    if request.param == "tf":
        pytest.importorskip("tf2_ros", reason="tf2_ros is not installed, and not on PyPI")
    return request.param


@pytest.fixture(scope="module")
def node(pose_source, ros_domain, tmp_path_factory):
    parameters = {**PARAMETERS, "pose_source": pose_source}
    with running(
        "ipt_node", ros_domain, tmp_path_factory.mktemp("ipt"), parameters=parameters
    ) as p:
        p.wait_for_print("ready:")
        yield p


@pytest.fixture(scope="module")
def tester(ros_domain):
    with peer(ros_domain) as one:
        yield one


@pytest.fixture(scope="module")
def robot(node, tester, pose_source):
    one = RobotInput(tester, tf=pose_source == "tf")
    one.send_map()
    yield one
    one.close()


@pytest.fixture(scope="module")
def clients(node, tester):
    names = {
        AskSpatial: "ask_spatial",
        CountObjects: "count_objects",
        ImagineView: "imagine_view",
        TracePath: "trace_path",
    }
    return {kind: tester.action(kind, f"ipt_node/{name}") for kind, name in names.items()}


@pytest.fixture(autouse=True)
def wholesome(robot, tester, clients):
    """Every test begins with a camera that works and a node that answers."""
    robot.wrong = lambda messages: messages
    robot.offset_ns = 0
    until(lambda: ask(tester, clients)[1].error_code == 0, "the node answers")


def question(**more):
    return AskSpatial.Goal(
        question="Which side?", options=["left", "right"], mode="answer", **more
    )


def ask(tester, clients, goal=None, on_feedback=None):
    goal = goal or question()
    kind = next(k for k in clients if isinstance(goal, k.Goal))
    return tester.run_goal(clients[kind], goal, on_feedback)


def refused(tester, clients, code, words, goal=None):
    """The error arrives with its code and text, as an abort; until then older good views may still
    serve.
    """

    def check():
        status, result = ask(tester, clients, goal)
        if result.error_code != code:
            return None
        assert status == ABORTED
        assert words in result.error_msg, result.error_msg
        assert result.answer.abstained and result.answer.abstain_reason == result.error_msg
        return result

    return until(check, f"error {code!r}")


def viewpoint(frame="odom", x=1.0):
    goal = ImagineView.Goal(object="green ball", mode="imagine", seed=3)
    goal.viewpoint.header.frame_id = frame
    goal.viewpoint.pose.position.x = x
    goal.viewpoint.pose.position.z = 1.2
    goal.viewpoint.pose.orientation.w = 1.0
    return goal


def path(*xs, frame="odom"):
    goal = TracePath.Goal(mode="imagine", seed=3)
    goal.path.header.frame_id = frame
    for x in xs:
        pose = PoseStamped()
        pose.pose.position.x = float(x)
        pose.pose.orientation.w = 1.0
        goal.path.poses.append(pose)
    return goal


# -- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "goal",
    [question(), viewpoint(), path(0, 0.5, 1, 1.5, 2), CountObjects.Goal(category="chair")],
    ids=["ask_spatial", "imagine_view", "trace_path", "count_objects"],
)
def test_every_action_answers_from_images_that_came_over_the_wire(tester, clients, robot, goal):
    if isinstance(goal, CountObjects.Goal):
        robot.look_around()
    before = len(robot.sent)
    status, result = ask(tester, clients, goal)
    assert (status, result.error_code, result.error_msg) == (SUCCEEDED, 0, "")
    stamps = [stamp_to_ns(s) for s in result.answer.provenance.source_stamps]
    assert stamps and set(stamps) <= set(robot.sent)
    assert stamps == sorted(stamps)
    # the newest view wins: at most a few frames old when the goal was sent, on a busy machine too
    assert max(stamps) >= robot.sent[max(0, before - 40)]
    assert stamp_to_ns(result.answer.header.stamp) == max(stamps)
    assert stamp_to_ns(result.answer.valid_until) == max(stamps) + 6 * 10**9
    times = result.answer.times
    stages = times.queue_s, times.preprocess_s, times.context_s, times.imagine_s, times.answer_s
    assert all(t >= 0 for t in stages) and sum(stages) <= times.total_s + 1e-3
    assert result.answer.provenance.model_id.startswith("ipt-tiny-untrained")
    assert re.fullmatch("sha256:[0-9a-f]{64}", result.answer.provenance.model_hash)


def test_an_imagined_view_comes_with_its_camera_and_pose(tester, clients, robot):
    white = bytes([255] * (48 * 64 * 3))
    robot.wrong = edit(image={"data": white})
    until(lambda: ask(tester, clients)[1].error_code == 0, "a white wall is in view")
    images = tester.collect(Image, "ipt_node/imagined/image")
    infos = tester.collect(CameraInfo, "ipt_node/imagined/camera_info")
    until(lambda: all(tester.node.count_publishers(c.topic) for c in (images, infos)), "topics")
    _, result = ask(tester, clients, viewpoint())
    view = result.imagined_view
    # shown to others as a camera would show it
    assert images.wait_for(lambda m: m.header == view.header).data == view.image.data
    assert (
        infos.wait_for(lambda m: m.header == view.header).k.tolist() == view.camera_info.k.tolist()
    )
    assert view.image.height > 0 and view.image.encoding == "rgb8"
    assert (view.camera_info.width, view.camera_info.height) == (
        view.image.width,
        view.image.height,
    )
    assert view.camera_info.k[0] == pytest.approx(40.0 * view.image.width / 64)
    assert view.pose.header.frame_id == "odom"
    assert view.pose.pose.position.x == pytest.approx(1.0, abs=0.051)
    # a wall 2 m ahead, seen from 1 m nearer: all of it was seen, and what was drawn of it where
    # the drawing was not held to that, if anything was, does not look like it
    assert view.overlap > 0.9 and not view.consistency > 0.45
    mask = image_to_mask(view.seen)
    assert mask.shape == (view.image.height, view.image.width)
    assert view.seen_share == pytest.approx(mask.mean()) and view.seen_share > 0.9
    assert view.provenance.flow_steps > 0 and view.provenance.mode == "imagine"
    robot.wrong = lambda messages: messages


def test_what_is_imagined_of_a_view_is_shown_tinted(tester, clients, robot):
    tints = tester.collect(Image, "ipt_node/imagined/tinted")
    until(lambda: tester.node.count_publishers(tints.topic), "topics")
    goal = viewpoint(x=0.0)
    turn = math.radians(20)  # half of it beside what the camera shows
    goal.viewpoint.pose.orientation.z = math.sin(turn)
    goal.viewpoint.pose.orientation.w = math.cos(turn)
    view = ask(tester, clients, goal)[1].imagined_view
    mask = image_to_mask(view.seen)
    assert 0.2 < view.seen_share < 0.8 and view.seen_share == pytest.approx(mask.mean())
    tint = image_to_rgb(tints.wait_for(lambda m: m.header == view.header))
    picture = image_to_rgb(view.image)
    assert (tint[mask] == picture[mask]).all()
    assert (tint[~mask] != picture[~mask]).any(axis=1).all()


def test_the_frame_of_an_imagined_view_is_broadcast(tester, clients):
    tf2_msgs = pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs is not installed")
    sent = tester.collect(tf2_msgs.TFMessage, "/tf")
    until(lambda: "ipt_node" in publishers_of(tester, "/tf"), "the node broadcasts")
    view = ask(tester, clients, viewpoint())[1].imagined_view
    moved = sent.wait_for(lambda m: m.transforms[0].child_frame_id == view.header.frame_id)
    assert moved.transforms[0].header == view.pose.header
    assert moved.transforms[0].transform.translation.x == view.pose.pose.position.x
    assert moved.transforms[0].transform.rotation == view.pose.pose.orientation


def publishers_of(tester, topic):
    return [info.node_name for info in tester.node.get_publishers_info_by_topic(topic)]


def test_the_same_seed_draws_the_same_bytes_of_the_same_view(tester, clients, robot):
    frozen = {}

    def freeze(messages):
        if not frozen:
            frozen.update(messages)
        messages["image"].data = frozen["image"].data
        messages["depth"].data = frozen["depth"].data
        return messages

    robot.wrong = freeze
    ask(tester, clients)
    pictures = [bytes(ask(tester, clients, viewpoint())[1].imagined_view.image.data) for _ in "ab"]
    assert pictures[0] == pictures[1]


def test_a_count_uses_views_older_than_the_odometry_that_is_kept(tester, clients, robot):
    """Views in four directions, taken so long ago that their odometry is gone."""
    robot.look_around()
    first = robot.sent[-1]
    # the history holds 400 poses, 20 s of this robot
    until(lambda: len(robot.sent) > 450 + robot.sent.index(first), "time passes", 60)
    _, result = ask(tester, clients, CountObjects.Goal(category="chair", mode="answer"))
    assert result.error_code == 0, result.error_msg
    stamps = [stamp_to_ns(s) for s in result.answer.provenance.source_stamps]
    assert len(stamps) == 4 and stamps[2] <= first


def test_answer_mode_draws_nothing(tester, clients):
    _, result = ask(tester, clients, question())
    assert result.imagined_view.image.height == 0
    assert result.answer.times.imagine_s == 0.0


def test_feedback_tells_stages_progress_and_previews(tester, clients):
    heard = []
    _, result = ask(tester, clients, viewpoint(), heard.append)
    assert {"context", "imagine", "answer"} <= {f.stage for f in heard}
    progress = [f.progress for f in heard]
    assert all(0.0 <= p <= 1.0 for p in progress)
    assert progress == sorted(progress)
    previews = sum(f.preview.height > 0 for f in heard)
    assert previews
    # ten a second is enough to watch; the model reports every step and every word
    most = 10 * result.answer.times.total_s + len({f.stage for f in heard}) + previews
    assert len(heard) <= most + 1


def test_a_path_seen_free_all_along_is_clear_whatever_the_model_says(tester, clients):
    _, result = ask(tester, clients, path(-3.0, -2.5, -2.0))
    assert result.verdict.verdict == result.verdict.CLEAR
    assert result.verdict.probability_blocked == 0.0
    assert list(result.verdict.risk) == [0.0, 0.0, 0.0]
    assert result.verdict.first_blocked_pose == -1


def test_a_budget_that_cannot_be_met_ends_abstained(tester, clients):
    goal = question()
    goal.budget.nanosec = 1_000_000
    status, result = ask(tester, clients, goal)
    assert (status, result.error_code) == (SUCCEEDED, 0)
    assert result.answer.abstained and "budget" in result.answer.abstain_reason


# -- cancelling and queueing ----------------------------------------------------------------------


def test_cancel_stops_a_drawing(tester, clients):
    drawing = threading.Event()
    handle, ended = tester.start_goal(
        clients[ImagineView],
        viewpoint(),
        lambda f: drawing.set() if f.stage == "imagine" else None,
    )
    assert drawing.wait(20)
    tester.cancel_goal(handle)
    answer = tester.result(ended, "ended")
    assert answer.status == CANCELED
    assert answer.result.error_code == ErrorCode.CANCELLED
    assert answer.result.imagined_view.image.height == 0


def test_a_storm_of_goals_all_end_and_the_surplus_is_refused(tester, clients):
    client = clients[AskSpatial]
    sent = [tester.send_goal(client, question(seed=i)) for i in range(30)]
    handles = [tester.result(s, "accepted") for s in sent]
    ends = [tester.result(tester.there(h.get_result_async), "ended") for h in handles]
    codes = [e.result.error_code for e in ends]
    assert set(codes) == {0, ErrorCode.BUSY}
    assert codes.count(0) >= 5  # one in work and four waiting, at least
    assert "waiting_goals" in next(e.result.error_msg for e in ends if e.result.error_code)


# -- bad input: each has a code, a text, a diagnostic, and the next good question works


def edit(**changes):
    """Messages of every view changed: `image={"encoding": "32SC4"}`."""

    def wrong(messages):
        for name, fields in changes.items():
            if fields is None:
                del messages[name]
                continue
            for field, value in fields.items():
                setattr(messages[name], field, value)
        return messages

    return wrong


NAN_K = [math.nan, 0.0, 32.0, 0.0, 40.0, 24.0, 0.0, 0.0, 1.0]
#: What is missing, as its source calls it: a topic, or a frame.
POSE_WORDS = {"odometry": "odometry", "tf": "odom"}
BAD_INPUT = {
    "wrong encoding": (edit(image={"encoding": "32SC4"}), ErrorCode.BAD_IMAGE, "32SC4"),
    "zero-size image": (
        edit(image={"height": 0, "width": 0, "step": 0, "data": b""}),
        ErrorCode.BAD_IMAGE,
        "camera",
    ),
    "short image": (edit(image={"data": b"123"}), ErrorCode.BAD_IMAGE, "3"),
    "NaN intrinsics": (edit(info={"k": NAN_K}), ErrorCode.BAD_CAMERA_INFO, "NaN"),
    "info of another size": (edit(info={"width": 640}), ErrorCode.BAD_CAMERA_INFO, "640"),
    "wrong depth encoding": (edit(depth={"encoding": "rgb8"}), ErrorCode.BAD_DEPTH, "rgb8"),
    "depth of another time": (edit(depth=None), ErrorCode.STALE_VIEW, "s old"),
    "camera stopped": (edit(image=None), ErrorCode.STALE_VIEW, "s old"),
    "odometry stopped": (edit(odometry=None), ErrorCode.NO_POSE, POSE_WORDS),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_named_and_the_node_lives_on(name, tester, clients, robot, pose_source):
    diagnostics = tester.collect(DiagnosticArray, "/diagnostics", RELIABLE)
    wrong, code, words = BAD_INPUT[name]
    words = words[pose_source] if words is POSE_WORDS else words
    robot.wrong = wrong
    result = refused(tester, clients, code, words)
    diagnostics.wait_for(
        lambda m: any(result.error_msg == s.message and s.level != b"\x00" for s in m.status)
    )
    robot.wrong = lambda messages: messages
    until(lambda: ask(tester, clients)[1].error_code == 0, "the next good question works")


def test_time_going_backwards_is_named_and_mended(tester, clients, robot):
    diagnostics = tester.collect(DiagnosticArray, "/diagnostics", RELIABLE)
    robot.wrong = edit(info=None)
    robot.offset_ns = -30_000_000_000
    refused(tester, clients, ErrorCode.TIME_JUMP, "stamps went back")
    diagnostics.wait_for(lambda m: any("backwards" in s.message for s in m.status))
    robot.wrong = lambda messages: messages
    robot.offset_ns = 0
    until(lambda: ask(tester, clients)[1].error_code == 0, "answers again")


BAD_GOALS = {
    "unknown frame": (viewpoint(frame="mars"), ErrorCode.UNKNOWN_FRAME, "mars"),
    "path in an unknown frame": (path(1, 2, frame="mars"), ErrorCode.UNKNOWN_FRAME, "mars"),
    "empty path": (path(), ErrorCode.EMPTY_PATH, "no poses"),
    "NaN viewpoint": (viewpoint(x=math.nan), ErrorCode.BAD_GOAL, "viewpoint"),
    "unknown mode": (AskSpatial.Goal(question="?", mode="guess"), ErrorCode.BAD_GOAL, "guess"),
    "nothing to recall": (
        AskSpatial.Goal(question="?", mode="recall"),
        ErrorCode.BAD_GOAL,
        "seen",
    ),
    "empty question": (AskSpatial.Goal(), ErrorCode.BAD_GOAL, "empty"),
    "one option": (AskSpatial.Goal(question="?", options=["a"]), ErrorCode.BAD_GOAL, "options"),
    "empty category": (CountObjects.Goal(), ErrorCode.BAD_GOAL, "category"),
}


@pytest.mark.parametrize("name", BAD_GOALS)
def test_a_bad_goal_is_named(name, tester, clients):
    goal, code, words = BAD_GOALS[name]
    refused(tester, clients, code, words, goal)


# -- lifecycle ------------------------------------------------------------------------------------


def transition(tester, number):
    request = ChangeState.Request(transition=Transition(id=number))
    return tester.call(ChangeState, "ipt_node/change_state", request).success


def test_deactivated_it_refuses_and_activated_it_answers_again(tester, clients):
    assert transition(tester, Transition.TRANSITION_DEACTIVATE)
    refused(tester, clients, ErrorCode.NOT_ACTIVE, "not active")
    assert transition(tester, Transition.TRANSITION_CLEANUP)
    refused(tester, clients, ErrorCode.NOT_ACTIVE, "not active")
    assert transition(tester, Transition.TRANSITION_CONFIGURE)
    assert transition(tester, Transition.TRANSITION_ACTIVATE)
    state = tester.call(GetState, "ipt_node/get_state", GetState.Request()).current_state.label
    assert state == "active"
    until(lambda: ask(tester, clients)[1].error_code == 0, "answers again")


def test_deactivating_ends_a_goal_in_work(tester, clients):
    drawing = threading.Event()
    _, ended = tester.start_goal(
        clients[ImagineView],
        viewpoint(),
        lambda f: drawing.set() if f.stage == "imagine" else None,
    )
    assert drawing.wait(20), ended.result()
    assert transition(tester, Transition.TRANSITION_DEACTIVATE)
    answer = tester.result(ended, "ended")
    assert answer.status == ABORTED
    assert answer.result.error_code == ErrorCode.CANCELLED
    assert transition(tester, Transition.TRANSITION_ACTIVATE)


def test_sigterm_ends_it_cleanly(ros_domain, tmp_path):
    def life():
        with running("ipt_node", ros_domain + 1, tmp_path, parameters=PARAMETERS) as process:
            process.wait_for_print("ready:")
            code, seconds = process.terminate()
        assert code == 0
        return seconds

    takes_less(5.0, life)


def test_a_model_that_is_not_there_leaves_the_node_inactive_and_says_why(ros_domain, tmp_path):
    parameters = {**PARAMETERS, "model": "/nowhere/at/all"}
    with running("ipt_node", ros_domain + 1, tmp_path, parameters=parameters) as process:
        process.wait_for_print("/nowhere/at/all")
        assert process.returncode is None
