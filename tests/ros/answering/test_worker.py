"""The queue's policy: goals in order, a bounded number of them, a slot for each continuous work
beside them, nothing after close.
"""

import threading
import time

import pytest

from ipt_ros.answering.worker import ModelWorker
from ipt_ros.errors import ErrorCode, GoalError


@pytest.fixture
def gate():
    return threading.Event()


def blocked(worker, gate):
    """One goal that runs until the gate opens; returns once it runs."""
    running = threading.Event()

    def work():
        running.set()
        assert gate.wait(5)

    future = worker.submit_goal(work)
    assert running.wait(5)
    return future


def test_goals_run_in_order_and_one_too_many_is_refused(gate):
    worker = ModelWorker(waiting_goals=2)
    order = []
    first = blocked(worker, gate)
    waiting = [worker.submit_goal(lambda i=i: order.append(i)) for i in range(2)]
    with pytest.raises(GoalError) as caught:
        worker.submit_goal(lambda: None)
    assert caught.value.code is ErrorCode.BUSY
    assert worker.goals == 3
    gate.set()
    for future in [first, *waiting]:
        future.result(5)
    assert order == [0, 1]
    worker.close()
    assert worker.goals == 0


def test_an_error_stays_with_its_goal():
    worker = ModelWorker(waiting_goals=1)
    with pytest.raises(ZeroDivisionError):
        worker.submit_goal(lambda: 1 / 0).result(5)
    assert worker.submit_goal(lambda: 7).result(5) == 7
    worker.close()


def in_hand(worker, gate, who="mask"):
    """Continuous work that runs until the gate opens; returns once it runs."""
    running = threading.Event()

    def work():
        running.set()
        assert gate.wait(5)

    assert worker.submit_continuous(who, work)
    assert running.wait(5)


def test_work_in_hand_is_not_replaced_and_one_more_waits(gate):
    worker = ModelWorker(waiting_goals=1)
    done = []
    in_hand(worker, gate)
    assert worker.submit_continuous("mask", lambda: done.append("next"))
    assert worker.submit_continuous("mask", lambda: done.append("one more"))
    gate.set()
    until_idle(worker, done, 1)
    assert done == ["next"]
    worker.close()


def until_idle(worker, done, count):
    deadline = time.monotonic() + 5
    while len(done) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def test_everyone_has_a_slot_of_his_own_and_slots_take_turns(gate):
    worker = ModelWorker(waiting_goals=1)
    done = []
    in_hand(worker, gate)
    for _ in range(3):
        worker.submit_continuous("mask", lambda: done.append("mask"))
        worker.submit_continuous("self score", lambda: done.append("self score"))
    gate.set()
    until_idle(worker, done, 2)
    assert done == ["mask", "self score"]
    worker.close()


def test_continuous_work_that_waits_makes_way_for_a_goal(gate):
    worker = ModelWorker(waiting_goals=1)
    done = []
    in_hand(worker, gate)
    worker.submit_continuous("mask", lambda: done.append("mask"))
    goal = worker.submit_goal(lambda: done.append("goal"))
    assert not worker.submit_continuous("mask", lambda: done.append("mask"))
    gate.set()
    goal.result(5)
    # when a goal has ended the slot is free again
    deadline = time.monotonic() + 5
    while not worker.submit_continuous("mask", lambda: done.append("fresh")):
        assert time.monotonic() < deadline
    until_idle(worker, done, 2)
    assert done == ["goal", "fresh"]
    worker.close()


def test_close_drops_what_waits_and_leaves_no_thread(gate):
    worker = ModelWorker(waiting_goals=4)
    before = threading.active_count()
    first = blocked(worker, gate)
    waiting = worker.submit_goal(lambda: "never")
    threading.Timer(0.1, gate.set).start()
    worker.close()
    assert first.done()
    assert waiting.cancelled()
    with pytest.raises(GoalError) as caught:
        worker.submit_goal(lambda: None)
    assert caught.value.code is ErrorCode.NOT_ACTIVE
    assert not worker.submit_continuous("mask", lambda: None)
    assert threading.active_count() <= before + 1  # the timer may still be ending
