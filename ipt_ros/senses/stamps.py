"""Whether a stamp can be true by the clock that judges it, and what holds when stamps go back.

Nothing is stored that cannot be true: one message from the future would make all that follow look
late. When stamps go back, time begins anew: what came of the new time stays, in whichever order it
came, and all else goes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Restart:
    """Time began anew: a bag was restarted, a simulation reset or a clock set back. before_ns: the
    newest stamp of the old time. since_ns: the first of the new.
    """

    before_ns: int
    since_ns: int

    def is_new(self, stamp_ns: int) -> bool:
        """Whether what a source sent last, stamped so, is of the new time: nearer to it. A
        calibration without a stamp is.
        """
        return abs(stamp_ns - self.since_ns) < abs(stamp_ns - self.before_ns)


class Run(Generic[T]):
    """What came of one source since its stamps went back last, at most `length` of it."""

    def __init__(self, length: int) -> None:
        self._items: deque[tuple[int, T]] = deque(maxlen=length)

    def put(self, stamp_ns: int, item: T) -> None:
        if self._items and stamp_ns < self._items[-1][0]:
            self._items.clear()
        self._items.append((stamp_ns, item))

    def begin_anew(self, restart: Restart) -> None:
        """Keep what came of the new time."""
        if self._items and not restart.is_new(self._items[-1][0]):
            self._items.clear()

    @property
    def items(self) -> list[tuple[int, T]]:
        """With their stamps, oldest first."""
        return list(self._items)


def why_incredible(stamp_ns: int, now_ns: int, max_ahead_s: float) -> str:
    """What is wrong with a stamp, or an empty string."""
    if stamp_ns < 0:
        return f"is stamped {stamp_ns / 1e9:.1f} s, before time began"
    ahead_s = (stamp_ns - now_ns) / 1e9
    if ahead_s > max_ahead_s:
        return (
            f"is stamped {ahead_s:.1f} s ahead of the node's clock, more than stamp_max_ahead_s "
            f"({max_ahead_s:.1f}); do both share a clock, and does use_sim_time fit?"
        )
    return ""
