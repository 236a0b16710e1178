"""Who asked for a drawing of the view and the map of one time: what is waited for, how long, and
what is answered. Without a node.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ipt_model.question import Cancelled
from ipt_ros.conversions import stamp_to_ns
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.senses import Senses

#: Most time that a drawing waits for the view and the map that it was asked of, s.
ASKED_S = 5.0
#: Between two looks whether they have come, s.
LOOK_S = 0.002


class NotOfThatTime(GoalError):
    """What was asked for cannot be had. It is no doubt about what stands: that stays."""


@dataclass(frozen=True)
class Reply:
    """drawn: something was, of what was asked for. message: what became of it. checksum: of the
    mask published last.
    """

    drawn: bool
    message: str
    checksum: int


@dataclass(frozen=True, eq=False)
class Asker:
    """Wants the view and map of one time drawn; `then` is told what became of it, once."""

    stamp_ns: int
    then: Callable[[Reply], None]

    def wait(
        self,
        senses: Senses,
        is_free: Callable[[], bool],
        steady: Callable[[], float],
        pause: Callable[[float], Any] = time.sleep,
    ) -> None:
        """Until the newest view and map are of this time. is_free: whether nobody goes first.
        steady: seconds by a clock that nobody sets; pause: lets so many of them pass.
        """
        until_s = steady() + ASKED_S
        while True:
            missing = self._missing(senses)
            if not missing:
                return
            if not is_free():
                raise Cancelled
            if steady() >= until_s:
                raise NotOfThatTime(
                    ErrorCode.STALE_VIEW,
                    f"no view and map of stamp {self.stamp_ns} ns within {ASKED_S:.0f} s: "
                    f"{missing}",
                )
            pause(LOOK_S)

    def check(self, seen_ns: int, mapped_ns: int) -> None:
        """That what is about to be drawn is what was asked for."""
        if seen_ns > self.stamp_ns:
            raise NotOfThatTime(
                ErrorCode.STALE_VIEW,
                f"the view of stamp {self.stamp_ns} ns was asked for; a newer one has come",
            )
        if (seen_ns, mapped_ns) != (self.stamp_ns, self.stamp_ns):
            raise NotOfThatTime(
                ErrorCode.STALE_VIEW,
                f"view and map of stamp {self.stamp_ns} ns were asked for; there are a view of "
                f"{seen_ns} ns and a map of {mapped_ns} ns",
            )

    def _missing(self, senses: Senses) -> str:
        """What has not come yet, or an empty string; raises for what will not come any more."""
        try:
            seen_ns, _ = senses.newest_pose()
        except GoalError as error:
            return error.text
        if seen_ns > self.stamp_ns:
            self.check(seen_ns, self.stamp_ns)
        if seen_ns != self.stamp_ns:
            return f"the newest view is of {seen_ns} ns"
        try:
            mapped_ns = stamp_to_ns(senses.latest_map().header.stamp)
        except GoalError as error:
            return error.text
        if senses.map_is_old:
            return "the newest map came before time began anew"
        return "" if mapped_ns == self.stamp_ns else f"the newest map is of {mapped_ns} ns"
