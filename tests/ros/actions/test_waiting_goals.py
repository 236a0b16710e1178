"""Goals that wait for the model, over DDS: whoever cancels or runs out of time hears so at once,
not when the turn comes; and long texts do not come back at their length.
"""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from harness import peer, running, until
from robot_input import MOUNT, RobotInput

from imaginative_perception.action import AskSpatial
from ipt_ros.errors import ErrorCode

PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": list(MOUNT),
    "view_max_age_s": 5.0,
    # drawings that keep the model busy for long
    "flow_steps": 200,
    "imaginations": 4,
}
SHORT = 2000


@pytest.fixture(scope="module")
def node(ros_domain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("waiting")
    with (
        running(
            "ipt_node",
            ros_domain + 1,
            folder,
            parameters=PARAMETERS,
            ros_arguments=("-r", "__ns:=/left/arm"),
        ) as process,
        peer(ros_domain + 1) as tester,
    ):
        yield process, tester


@pytest.fixture(scope="module")
def asker(node):
    _, tester = node
    client = tester.action(AskSpatial, "/left/arm/ipt_node/ask_spatial")
    robot = RobotInput(tester, prefix="/left/arm/")

    def start(mode="imagine", budget_s=0.0, **more):
        words = {"question": "Which side?", "options": ["left", "right"], **more}
        goal = AskSpatial.Goal(mode=mode, **words)
        goal.budget.sec, goal.budget.nanosec = int(budget_s), int(budget_s % 1 * 1e9)
        return tester.start_goal(client, goal)

    until(
        lambda: tester.result(start("answer")[1], "a goal ends").result.error_code == 0,
        "the node answers",
    )
    yield start
    robot.close()


def test_a_waiting_goal_that_is_cancelled_ends_at_once(node, asker):
    _, tester = node
    handle, working = asker()
    waiting_handle, waiting = asker()
    tester.cancel_goal(waiting_handle)
    end = tester.result(waiting, "the waiting goal ends")
    assert not working.done()
    assert end.status == GoalStatus.STATUS_CANCELED
    assert end.result.error_code == ErrorCode.CANCELLED and end.result.answer.abstained
    tester.cancel_goal(handle)
    assert tester.result(working, "the other ends").status == GoalStatus.STATUS_CANCELED


def test_a_waiting_goal_ends_when_its_budget_is_over(node, asker):
    _, tester = node
    handle, working = asker()
    _, waiting = asker("answer", budget_s=0.05)
    end = tester.result(waiting, "the waiting goal ends")
    assert not working.done()
    # running out of time is no error
    assert (end.status, end.result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0)
    answer = end.result.answer
    assert answer.abstained and answer.answer == ""
    assert "budget" in answer.abstain_reason and "turn" in answer.abstain_reason
    assert answer.times.queue_s >= 0.05
    tester.cancel_goal(handle)
    tester.result(working, "the other ends")


LONG = "long words " * 40_000


@pytest.mark.parametrize(
    "goal",
    [
        {"mode": LONG},
        {"options": [LONG, LONG], "mode": "answer"},
        {"question": LONG, "mode": "answer"},
    ],
    ids=["mode", "options", "question"],
)
def test_long_texts_do_not_come_back(node, asker, goal):
    process, tester = node
    statuses = tester.collect(DiagnosticArray, "/diagnostics")
    printed = len(process.printed())
    _, ending = asker(**goal)
    result = tester.result(ending, "the goal ends").result
    answer = result.answer
    assert len(result.error_msg) < SHORT
    texts = [answer.question, answer.answer, answer.abstain_reason, *answer.options]
    assert all(len(text) < SHORT for text in texts)
    for message in statuses.wait_more(2):
        for status in message.status:
            values = [value.value for value in status.values]
            assert all(len(text) < SHORT for text in [status.message, *values])
    assert len(process.printed()) - printed < 20_000


def test_diagnostics_tell_one_robot_from_another(node):
    _, tester = node
    statuses = tester.collect(DiagnosticArray, "/diagnostics")
    for status in statuses.wait(1)[0].status:
        assert status.hardware_id == "/left/arm/ipt_node"
        assert status.name.startswith("/left/arm/ipt_node: ")
