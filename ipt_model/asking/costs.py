"""What each stage of an answer takes on this machine, learned from the answers already given.

A stage is a name for what is done and a size (tokens it handles). An estimate is the median of the
newest measurements, so that one slow answer says nothing; of fewer than three the fastest counts.
Where nothing was measured at a size, the nearest one is scaled up, and a smaller one taken as it
is. Stages that never ran cost nothing.

A refusal measures nothing. So that a machine which was slow for a while is not believed slow for
ever, estimates that are old give way to the fastest time ever measured, and of goals that are
refused one after the other every now and then one is tried: `retry_due`.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable

#: Measurements of one stage and size that count.
WINDOW = 9
#: Fewer than this many are no majority: the fastest of them counts.
_MAJORITY = 3
#: After this long without a measurement the machine may have changed.
OLD_S = 600.0
#: Refusals in a row before one goal is tried all the same; twice as many after each try in vain.
PATIENCE = 8


class _Measured:
    """The newest measurements of one stage and size."""

    def __init__(self) -> None:
        self.seconds: deque[float] = deque(maxlen=WINDOW)
        self.fastest = float("inf")
        self.at_s = 0.0

    def take(self, seconds: float, now_s: float, anew: bool) -> None:
        if anew:
            self.seconds.clear()
        self.seconds.append(seconds)
        self.fastest = min(self.fastest, seconds)
        self.at_s = now_s

    def estimate(self, now_s: float) -> float:
        if now_s - self.at_s > OLD_S:
            return self.fastest
        if len(self.seconds) < _MAJORITY:
            return min(self.seconds)
        return statistics.median(self.seconds)


class StageCosts:
    """Running estimates in seconds by stage and size. now: the clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._measured: dict[str, dict[int, _Measured]] = {}
        self._refused, self._patience = 0, PATIENCE

    def observe(self, stage: str, size: int, seconds: float, anew: bool = False) -> None:
        """Take in one measurement. anew: in place of all earlier ones, which were in doubt."""
        known = self._measured.setdefault(stage, {})
        known.setdefault(size, _Measured()).take(seconds, self._now(), anew)

    def exceeded(self, stage: str, size: int, seconds: float) -> None:
        """A stage was broken off for want of time: it takes at least this long."""
        if seconds > self.estimate(stage, size):
            self.observe(stage, size, seconds)

    def estimate(self, stage: str, size: int) -> float:
        """Expected seconds; 0 for a stage that never ran."""
        known = self._measured.get(stage)
        if not known:
            return 0.0
        nearest = min(known, key=lambda s: abs(s - size))
        return known[nearest].estimate(self._now()) * max(1.0, size / max(nearest, 1))

    def retry_due(self) -> bool:
        """Count a goal that estimates alone refuse; True when this one should be tried."""
        self._refused += 1
        if self._refused < self._patience:
            return False
        self._refused, self._patience = 0, 2 * self._patience
        return True

    def kept(self) -> None:
        """A goal was answered within its time."""
        self._refused, self._patience = 0, PATIENCE

    def clear(self) -> None:
        """Forget everything."""
        self._measured.clear()
        self.kept()
