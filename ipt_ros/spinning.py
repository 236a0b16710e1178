"""Spins an executor so that no message, timer or task can end it: what leaves a callback is
reported and the executor goes on.

The same fault is told once in `REPORTED_S`, however often it comes back; faults that come one
after another are slowed down: a poison that returns at once leaves the processor to others.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future as PoolFuture
from typing import Any

#: Between two reports of the same fault, s.
REPORTED_S = 5.0
#: The longest pause after a fault, s.
SLOWEST_S = 0.1
#: Different faults that are remembered.
MOST_KINDS = 100
#: At the end: most time for results that somebody waits for, s.
GOODBYE_S = 0.6


class Faults:
    """report(error, during): tells people; it may fail as well, and is then given up."""

    def __init__(
        self,
        report: Callable[[Exception, str], Any],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Any] = time.sleep,
    ) -> None:
        self._report, self._clock, self._pause = report, clock, pause
        self._reported: dict[str, float] = {}
        self._in_a_row = 0

    def happened(self, error: Exception) -> None:
        where = _where(error)
        now = self._clock()
        if now - self._reported.get(where, -REPORTED_S) >= REPORTED_S:
            if len(self._reported) >= MOST_KINDS:
                self._reported.clear()
            self._reported[where] = now
            try:
                self._report(error, where)
            except Exception:
                traceback.print_exc()
        self._in_a_row += 1
        # one is no reason to wait, the tenth in a row waits longest
        self._pause(min(SLOWEST_S, 1e-4 * 2**self._in_a_row))

    def none(self) -> None:
        """A callback ended as it should."""
        self._in_a_row = 0

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.happened(error)


def spin_once(executor: Any, faults: Faults, timeout_s: float | None = None) -> None:
    """Wait for one callback and run it."""
    from rclpy.executors import ExternalShutdownException

    try:
        executor.spin_once(timeout_s)
    except ExternalShutdownException:
        return
    except Exception as error:
        faults.happened(error)
    else:
        faults.none()


def hand_over(node: Any, task: Callable[..., Any], *arguments: Any) -> None:
    """The executor's thread runs the task soon. None does once the node has left its executor."""
    executor = node.executor
    if executor is not None:
        executor.create_task(task, *arguments)


def bridged(work: PoolFuture[Any], executor: Any) -> Any:
    """A future of rclpy's to await; the executor's own thread completes it once `work` is done, so
    that it wakes up for it.
    """
    from rclpy.task import Future

    done = Future(executor=executor)
    work.add_done_callback(lambda _: executor.create_task(done.set_result, None))
    return done


def _where(error: Exception) -> str:
    """The innermost line of this package, which tells one fault from another."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "ipt_ros" in frame.filename and frame.name != "spin_once"]
    if not (ours or frames):
        return type(error).__name__
    frame = (ours or frames)[-1]
    file = frame.filename.rsplit("/", 1)[-1]
    return f"{frame.name} ({file}:{frame.lineno})"
