"""What a time budget makes of an answer, over DDS: fewer flow steps, then no drawing, then none at
all, with a reason. The model's own side of it is tests/model/test_budget.py.
"""

from __future__ import annotations

import itertools

import pytest
from action_msgs.msg import GoalStatus
from harness import peer, running, until
from robot_input import MOUNT, RobotInput

from imaginative_perception.action import AskSpatial

STEPS, LEAST_STEPS = 40, 4
PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": list(MOUNT),
    "view_max_age_s": 5.0,
    # so many that drawing takes most of the time, and a few less can be told
    "flow_steps": STEPS,
}


@pytest.fixture(scope="module")
def ask(ros_domain, tmp_path_factory):
    """A function that starts a goal and returns the future of its end, and one that waits."""
    folder, domain = tmp_path_factory.mktemp("budgets"), ros_domain + 1
    with (
        running("ipt_node", domain, folder, parameters=PARAMETERS) as process,
        peer(domain) as tester,
    ):
        process.wait_for_print("ready:")
        robot = RobotInput(tester)
        client = tester.action(AskSpatial, "ipt_node/ask_spatial")

        def start(mode, budget_s=0.0):
            goal = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode=mode)
            goal.budget.sec, goal.budget.nanosec = int(budget_s), int(budget_s % 1 * 1e9)
            return tester.start_goal(client, goal)[1]

        def end(future):
            ended = tester.result(future, "the goal ends")
            # running out of time is no error
            assert (ended.status, ended.result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0)
            return ended.result.answer

        until(lambda: tester.result(start("answer"), "a goal").result.error_code == 0, "a view")
        yield start, end
        robot.close()


def out_of_time(answer):
    return answer.abstained and "budget" in answer.abstain_reason


def often(ask, mode, budget_s):
    """Ends of the same goal, again and again: on a loaded machine one alone may come out early or
    late."""
    start, end = ask
    for _ in range(30):
        yield end(start(mode, budget_s))


def test_with_less_time_there_are_fewer_steps(ask):
    start, end = ask
    for _ in range(5):
        free = end(start("auto"))
        assert (free.provenance.mode, free.provenance.flow_steps) == ("imagine", STEPS)
        # A loaded machine is now twice as slow and now not: somewhere between too much time and
        # too little there are fewer steps, wherever that is at the moment. Where a load comes in
        # the middle of a sweep, the next one finds it.
        factors = (3 * 0.9**k for k in range(40))
        answers = (end(start("auto", factor * free.times.total_s)) for factor in factors)
        if any(LEAST_STEPS <= a.provenance.flow_steps < STEPS for a in answers):
            return
    pytest.fail("no answer with fewer steps in five sweeps")


def test_with_less_than_a_drawing_takes_there_is_an_answer_without(ask):
    start, end = ask
    answers = often(ask, "auto", 1.3 * end(start("answer")).times.total_s)
    assert any(a.provenance.mode == "answer" and not out_of_time(a) for a in answers)


def test_with_no_time_the_answer_is_abstained_and_says_why(ask):
    start, end = ask
    answer = end(start("auto", 0.001))
    assert out_of_time(answer) and answer.answer == "" and not answer.option_probabilities


def test_a_drawing_that_was_asked_for_is_never_left_out(ask):
    start, end = ask
    answers = often(ask, "imagine", 1.3 * end(start("answer")).times.total_s)
    for answer in itertools.islice(answers, 10):
        assert out_of_time(answer) or answer.provenance.flow_steps >= LEAST_STEPS


def test_waiting_counts_against_the_budget(ask):
    start, end = ask
    budget_s = end(start("imagine")).times.total_s
    assert not all(out_of_time(answer) for answer in often(ask, "answer", budget_s))
    waiting = [start("imagine") for _ in range(3)]
    late = end(start("answer", budget_s))
    assert out_of_time(late) and late.times.queue_s > budget_s
    assert not any(out_of_time(end(future)) for future in waiting)
