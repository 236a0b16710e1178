"""How a reply becomes a record, and how long anything is waited for, by a clock of the test."""

import math
import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from imaginative_perception.msg import PathVerdict
from ipt_model.question import Outcome, Task
from ipt_ros.answering.messages import ABSTAIN_TEXT
from ipt_ros.client import Asker, AskTimeout, Waiter
from ipt_ros.evaluation.asking import Questioner, filled, in_order, outcome_of, verdict_of
from ipt_ros.evaluation.episodes import IMAGINE_VIEW, TRACE_PATH, Episode

SIDE = Episode(
    "a", Task.PERSPECTIVE, "side", IMAGINE_VIEW, ("left", "right"), "left", 0.5,
    object="green cube", text="side", viewpoint=(0.0, 0.0, 0.0),
)  # fmt: skip
PATH = Episode(
    "b", Task.CLEARANCE, "clear", TRACE_PATH, ("clear", "blocked"), "clear", 0.5,
    path=((0.0, 0.0), (1.0, 0.0)), radius_m=0.15,
)  # fmt: skip


class Clock:
    """Goes on by what is waited, and counts how often."""

    def __init__(self):
        self.now, self.waits = 0.0, 0

    def __call__(self):
        return self.now

    def pause(self, seconds):
        self.now += seconds
        self.waits += 1


def test_a_wait_ends_with_what_it_waited_for_or_with_its_time():
    clock = Clock()
    waiter = Waiter(clock, clock.pause)
    assert waiter.until(lambda: clock.now >= 1.0 and "there", "it", 5.0) == "there"
    with pytest.raises(AskTimeout, match="it: not within 5 s"):
        waiter.until(lambda: False, "it", 5.0)
    assert clock.now == pytest.approx(6.0, abs=0.1)


@pytest.fixture
def silent_node(ros):
    """A node that accepts goals of ImagineView and works on them until it is cancelled; how many
    were."""
    from rclpy.action import ActionServer, CancelResponse

    from imaginative_perception.action import ImagineView

    node = Node("silent", context=ros)
    cancelled = []

    async def work(goal):
        ended = Future()
        goals[bytes(goal.goal_id.uuid)] = ended
        await ended
        goal.canceled()
        return ImagineView.Result()

    def cancel(goal):
        cancelled.append(goal)
        executor.create_task(goals[bytes(goal.goal_id.uuid)].set_result, None)
        return CancelResponse.ACCEPT

    goals = {}
    server = ActionServer(node, ImagineView, "~/imagine_view", work, cancel_callback=cancel)
    executor = SingleThreadedExecutor(context=ros)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield cancelled
    executor.shutdown()
    thread.join(10)
    server.destroy()
    node.destroy_node()


def test_a_goal_without_a_result_is_cancelled_and_noted(ros, silent_node):
    clock = Clock()
    asker = Asker(target="silent", context=ros, name="evaluator")
    try:
        asked = Questioner(asker, Waiter(clock, clock.pause), "odom", "auto", 1, 30.0)
        record, result = asked.ask(SIDE, "demo")
    finally:
        asker.close()
    assert (record.outcome, result, len(silent_node)) == ("timeout", None, 1)
    assert "30 s" in record.reason and not record.right
    assert clock.now == pytest.approx(30.0, abs=0.1)


def verdict(kind, blocked):
    return PathVerdict(verdict=kind, probability_blocked=blocked)


def test_a_verdict_says_clear_or_blocked_and_unknown_says_what_the_model_would_have():
    yes_no = (["no", "yes"], [0.3, 0.7])
    said, stated, spoken = verdict_of(verdict(PathVerdict.CLEAR, 0.2), *yes_no)
    assert said == "clear" and dict(zip(spoken, stated, strict=True))["clear"] == pytest.approx(
        0.8
    )
    assert verdict_of(verdict(PathVerdict.BLOCKED, 1.0), *yes_no)[0] == "blocked"
    said, stated, spoken = verdict_of(verdict(PathVerdict.UNKNOWN, math.nan), *yes_no)
    assert said == "" and in_order(PATH.options, spoken, stated) == (0.7, 0.3)


def test_probabilities_come_in_our_order_or_not_at_all():
    assert in_order(("a", "b"), ["b", "a"], [0.9, 0.1]) == (0.1, 0.9)
    assert in_order(("a", "b"), ["a", "c"], [0.9, 0.1]) == ()
    assert in_order(("a", "b"), ["a", "b"], []) == ()


@pytest.mark.parametrize(
    ("code", "withheld", "reason", "expected"),
    [
        (0, False, "", "answered"),
        (0, True, "confidence 0.4 is below 0.60", "withheld"),
        (0, True, ABSTAIN_TEXT[Outcome.UNPARSABLE], "unparsable"),
        (0, True, ABSTAIN_TEXT[Outcome.OUT_OF_BUDGET] + ": too late", "out of budget"),
        (10119, True, "turn once", "error"),
    ],
)
def test_every_end_has_its_name(code, withheld, reason, expected):
    assert outcome_of(code, withheld, reason) == expected


def test_a_withheld_answer_is_kept_as_what_would_have_been_said():
    from imaginative_perception.action import ImagineView
    from ipt_ros.evaluation.asking import blank_record

    result = ImagineView.Result()
    result.answer.options = ["right", "left"]
    result.answer.option_probabilities = [0.45, 0.55]
    result.answer.abstained, result.answer.abstain_reason = True, "confidence 0.55 is below 0.60"
    result.answer.times.total_s = 0.25
    kept = filled(blank_record(SIDE, "demo"), result)
    assert (kept.outcome, kept.said, kept.would_say) == ("withheld", "", "left")
    assert kept.probabilities == (0.55, 0.45) and kept.would_be_right and not kept.right
    assert kept.times_s["total"] == 0.25 and kept.share_seen == 0.5
    result.answer.abstained, result.answer.answer = False, "left"
    assert filled(blank_record(SIDE, "demo"), result).right
