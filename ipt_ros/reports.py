"""What the node says of itself: its log, and its health on /diagnostics while it is configured.

An error is told three times at once: in the log, as the status `last error`, and as the GoalError
that an asker gets. Any thread may call.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipt_ros import diagnostics
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.texts import cut

if TYPE_CHECKING:
    from rclpy.node import Node


class Reports:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._log = node.get_logger()
        self._diagnostics: diagnostics.Diagnostics | None = None
        #: Goals that were answered since the process began.
        self.answers = 0

    def start(self, refresh: Callable[[], None], rate_hz: float) -> None:
        """Publish from now on. refresh: tells what is so now, called before every message."""
        self._diagnostics = diagnostics.Diagnostics(self._node, refresh, rate_hz)

    def stop(self) -> None:
        """Forget all statuses; what is told from now on goes to the log only."""
        kept, self._diagnostics = self._diagnostics, None
        if kept is not None:
            kept.destroy()

    def set_rate(self, rate_hz: float) -> None:
        if self._diagnostics is not None:
            self._diagnostics.set_rate(rate_hz)

    def publish(self) -> None:
        """Now, without waiting for the next round."""
        if self._diagnostics is not None:
            self._diagnostics.publish()

    def tell(self, name: str, level: bytes, message: str, **values: Any) -> None:
        """Keep a status for /diagnostics."""
        if self._diagnostics is not None:
            self._diagnostics.status(name, level, message, **values)

    def say(self, text: str) -> None:
        """What was asked for and is done."""
        self._log.info(text)

    def alarm(self, name: str, level: bytes, text: str) -> None:
        """Something that people must hear of at once: WARN or ERROR."""
        # rclpy wants a line of its own for each severity
        if level == diagnostics.ERROR:
            self._log.error(text)
        else:
            self._log.warning(text)
        self.tell(name, level, text)
        self.publish()

    def report(
        self, error: BaseException, during: str, code: ErrorCode | None = None
    ) -> GoalError:
        """Make any exception a GoalError, log it and tell the diagnostics. code: of what has none
        of its own.
        """
        if isinstance(error, GoalError):
            failure = error
        elif isinstance(error, MemoryError):
            failure = GoalError(ErrorCode.OUT_OF_MEMORY, f"{type(error).__name__}: {error}")
        else:
            text = f"{type(error).__name__}: {error}"
            failure = GoalError(code or ErrorCode.UNKNOWN, text)
            self.trace(error)
        self._log.warning(f"{during}: {failure}")
        self.tell(
            "last error", diagnostics.WARN, failure.text, code=int(failure.code), during=during
        )
        self.publish()
        return failure

    def answered(self, times: Any) -> None:
        """A goal was answered, and took so long: a StageTimes."""
        self.answers += 1
        stages = {
            name: f"{getattr(times, name):.4f}" for name in times.get_fields_and_field_types()
        }
        self.tell("last answer", diagnostics.OK, "answered", **stages)

    # -- the log only -----------------------------------------------------------------------------

    def trace(self, error: BaseException) -> None:
        self._log.error(cut("".join(traceback.format_exception(error)), 8000))

    def warn(self, text: str) -> None:
        self._log.warning(text)

    def inform(self, text: str) -> None:
        self._log.info(text)
