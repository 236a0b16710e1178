"""The one thread that runs the model, and the policy of its queue. ROS-free.

Goals wait in order, a stated number of them at most; one more is refused at once. Everyone who
works continuously has a slot of his own, in which one piece of work waits at most; slots take
turns. They never hold a goal up by more than the work in hand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ipt_ros.errors import ErrorCode, GoalError

T = TypeVar("T")


class ModelWorker:
    def __init__(self, waiting_goals: int) -> None:
        self._limit = waiting_goals
        self._lock = threading.Lock()
        self._goals = 0
        self._waiting: dict[str, Future[None]] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._closed = False

    @property
    def goals(self) -> int:
        """Goals running or waiting."""
        return self._goals

    def submit_goal(self, work: Callable[[], T]) -> Future[T]:
        """Run after the goals before it. Refuses when `waiting_goals` wait already, or after
        `close`.
        """
        with self._lock:
            if self._closed:
                raise GoalError(ErrorCode.NOT_ACTIVE, "the node was deactivated")
            if self._goals > self._limit:
                raise GoalError(
                    ErrorCode.BUSY,
                    f"one goal is being answered and {self._limit} wait already; ask again later "
                    "or raise waiting_goals",
                )
            self._goals += 1
            for waits in self._waiting.values():
                waits.cancel()  # no effect on work in hand, which looks at `goals` for itself
            future = self._pool.submit(work)
        future.add_done_callback(self._goal_done)
        return future

    def submit_continuous(self, who: str, work: Callable[[], None]) -> bool:
        """Run when the model is free, after what others have in their slots. Says whether it or
        his work that waits already, which is as good, will run: not after `close`, and not while
        there are goals, which may also still take it out of its slot. The next round will bring
        fresher data.

        Work takes its data when it begins. What is in hand is never replaced.
        """
        with self._lock:
            if self._closed or self._goals > 0:
                return False
            waits = self._waiting.get(who)
            if waits is None or waits.running() or waits.done():
                self._waiting[who] = self._pool.submit(work)
            return True

    def _goal_done(self, _: Future[Any]) -> None:
        with self._lock:
            self._goals -= 1

    def close(self, wait: bool = True) -> None:
        """Drop what waits and let the work in hand end; its owner cancels it first to make that
        quick. wait: until it has ended.
        """
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=wait, cancel_futures=True)
