"""Waits for something that happens elsewhere, by a clock that nobody sets or stops: the robot's
own may be a simulator's, and that may die.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ipt_ros.client import AskTimeout

LOOK_S = 0.02


class Waiter:
    """clock: seconds that only go on. pause: waits so many of them."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Any] = time.sleep,
    ) -> None:
        self.clock, self.pause = clock, pause

    def until(self, ready: Callable[[], Any], what: str, timeout_s: float) -> Any:
        """The first true value of `ready`, or an AskTimeout that says what was waited for."""
        deadline = self.clock() + timeout_s
        while True:
            value = ready()
            if value:
                return value
            if self.clock() >= deadline:
                raise AskTimeout(f"{what}: not within {timeout_s:.0f} s")
            self.pause(LOOK_S)
