"""What each stage of an answer takes on this machine, learned from the answers already given.

A stage is a name and a size (tokens it handles). Estimates are pessimistic where nothing was
measured at that size: a bigger one is scaled up from the nearest, a smaller one taken as it is.
Unknown stages cost nothing, until they have run once.
"""

from __future__ import annotations

#: Weight of the newest measurement; a slower one counts in full, so that an estimate rises at
#: once.
_NEWEST = 0.3


class StageCosts:
    """Running estimates in seconds by stage and size."""

    def __init__(self) -> None:
        self._seconds: dict[str, dict[int, float]] = {}

    def observe(self, stage: str, size: int, seconds: float) -> None:
        """Take in one measurement."""
        known = self._seconds.setdefault(stage, {})
        before = known.get(size)
        if before is None or seconds > before:
            known[size] = seconds
        else:
            known[size] = before + _NEWEST * (seconds - before)

    def estimate(self, stage: str, size: int) -> float:
        """Expected seconds; 0 for a stage that never ran."""
        known = self._seconds.get(stage)
        if not known:
            return 0.0
        if size in known:
            return known[size]
        nearest = min(known, key=lambda s: abs(s - size))
        return known[nearest] * max(1.0, size / max(nearest, 1))

    def knows(self, stage: str) -> bool:
        """Whether the stage has ever been measured."""
        return stage in self._seconds

    def doubt(self) -> None:
        """Lower every estimate by a tenth, after one of them prevented a measurement."""
        for known in self._seconds.values():
            for size in known:
                known[size] *= 0.9

    def clear(self) -> None:
        """Forget everything."""
        self._seconds.clear()
