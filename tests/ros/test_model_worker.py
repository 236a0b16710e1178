"""The queue's policy: goals in order, a bounded number of them, newest-wins beside them, nothing
after close.
"""

import threading
import time

import pytest

from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.model_worker import ModelWorker


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


def test_continuous_work_yields_to_goals_and_the_newest_wins(gate):
    worker = ModelWorker(waiting_goals=1)
    done = []
    running = threading.Event()

    def long_round():
        running.set()
        assert gate.wait(5)

    worker.submit_newest(long_round)
    assert running.wait(5)
    worker.submit_newest(lambda: done.append("old"))
    worker.submit_newest(lambda: done.append("new"))
    gate.set()
    deadline = time.monotonic() + 5
    while done != ["new"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done == ["new"]
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
    worker.submit_newest(lambda: None)
    assert threading.active_count() <= before + 1  # the timer may still be ending
