"""Was the fine-tune worth it? Reads the numbers of the comparison and of the run; decides nothing
that they do not say.

In: `compared` of `ipt-eval --before`, by task and mode; the losses and looks of the run; counts of
rows. Out: a `Verdict` with sentences for people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any

#: Share of intervals that luck alone puts above zero, and how many widths one has.
LUCK = 0.025
Z95 = NormalDist().inv_cdf(1 - LUCK)
#: A gain that is worth finding, as a share; wider intervals than this have too few questions.
WORTH = 0.1
#: An interval over fewer places says little, however narrow it is.
LEAST_PLACES = 10
#: Training rows below which a run has little to learn from.
FEW_ROWS = 300
#: A loss has fallen when its last tenth lies so much below its first, as a share.
FALLEN = 0.02


@dataclass(frozen=True)
class Change:
    """One task in one mode: shares before and after, their difference with its 95 % interval."""

    task: str
    mode: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    n: int
    groups: int

    @property
    def judged(self) -> bool:
        """Whether there are enough places for an interval that is drawn over them."""
        return self.groups >= LEAST_PLACES

    @property
    def gained(self) -> bool:
        return self.judged and self.low > 0

    @property
    def lost(self) -> bool:
        return self.judged and self.high < 0

    def holds_among(self, looks: int) -> bool:
        """Whether the gain is outside an interval widened for so many looks (Bonferroni)."""
        error = (self.high - self.low) / (2 * Z95)
        return self.difference - NormalDist().inv_cdf(1 - LUCK / looks) * error > 0


@dataclass(frozen=True)
class Verdict:
    """gain: at least one interval lies above zero. sentences: the answer, then why."""

    gain: bool
    changes: tuple[Change, ...]
    sentences: tuple[str, ...]


def changes_of(compared: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> tuple[Change, ...]:
    return tuple(
        Change(
            task,
            mode,
            one["before"]["share"],
            one["after"]["share"],
            one["difference"],
            one["low"],
            one["high"],
            one["n"],
            one.get("groups", one["n"]),
        )
        for task, modes in compared.items()
        for mode, one in modes.items()
    )


def judge(
    compared: Mapping[str, Mapping[str, Mapping[str, Any]]],
    losses: Mapping[str, Sequence[float]],
    looks: Sequence[float],
    rows: int,
) -> Verdict:
    """losses: of every step, by part. looks: shares right of validation during the run, in order.
    rows: recorded ones that were learned from."""
    changes = changes_of(compared)
    few = [c for c in changes if not c.judged]
    gained = [c for c in changes if c.gained]
    lost = [c for c in changes if c.lost]
    said = []
    if gained:
        best = max(gained, key=lambda c: c.difference)
        said.append(
            f"Yes: {len(gained)} of {len(changes)} comparisons gained more than their 95 % "
            f"interval. The largest is {best.task} in mode {best.mode}, "
            f"{_percent(best.before)} before and {_percent(best.after)} after, "
            f"{_points(best.low)} to {_points(best.high)} points."
        )
        hold = sum(c.holds_among(len(changes)) for c in gained)
        said.append(
            f"Luck alone puts about {LUCK * len(changes):.1f} of {len(changes)} such intervals "
            f"above zero; {hold} of the gains also lie outside an interval widened for that many."
        )
    elif changes:
        said.append(f"No: none of {len(changes)} comparisons gained more than its 95 % interval.")
    else:
        said.append("No: nothing was compared, for the held-out houses gave no question.")
    if few:
        names = ", ".join(dict.fromkeys(c.task for c in few))
        said.append(f"Not judged, for there are fewer than {LEAST_PLACES} places: {names}.")
    if lost:
        names = ", ".join(f"{c.task} in mode {c.mode} ({_points(c.difference)})" for c in lost)
        said.append(f"Worse than before, outside the interval: {names}.")
    if not gained:
        said += _reasons(changes, losses, looks, rows)
    return Verdict(bool(gained), changes, tuple(said))


def _reasons(
    changes: Sequence[Change],
    losses: Mapping[str, Sequence[float]],
    looks: Sequence[float],
    rows: int,
) -> list[str]:
    """Why there was no gain, as far as the numbers tell."""
    said = []
    wide = [c for c in changes if (c.high - c.low) / 2 > WORTH]
    if wide:
        fewest = min(wide, key=lambda c: c.groups)
        said.append(
            f"Too few held-out questions: {len(wide)} of {len(changes)} intervals reach more than "
            f"{_percent(WORTH)} to each side, so a gain of that size could not be told from luck "
            f"(fewest: {fewest.task} in mode {fewest.mode}, {fewest.n} questions in "
            f"{fewest.groups} places)."
        )
    if rows < FEW_ROWS:
        said.append(f"Little to learn from: {rows} recorded rows, fewer than {FEW_ROWS}.")
    for name, values in losses.items():
        if len(values) < 2 or not any(values):  # a part that the recipe leaves out is 0
            continue
        first, last = _ends(values)
        if not last < (1 - FALLEN) * first:
            said.append(
                f"The loss '{name}' did not fall: {first:.3f} at first, {last:.3f} at last."
            )
    if len(looks) > 1 and max(looks[1:]) <= looks[0]:
        said.append(
            f"Validation got no better after its first look: {_percent(looks[0])}, later at best "
            f"{_percent(max(looks[1:]))}."
        )
    high = [c for c in changes if c.before > 1 - WORTH]
    if high and len(high) == len(changes):
        said.append("The shipped weights were right in more than nine of ten cases already.")
    if not said:
        said.append(
            "The intervals are narrow and the losses fell: what was learned from these houses "
            "does not help in the held-out ones."
        )
    return said


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Means of the first and last tenth; NaN without any."""
    known = [v for v in values if math.isfinite(v)]
    if not known:
        return math.nan, math.nan
    tenth = max(1, len(known) // 10)
    return fmean(known[:tenth]), fmean(known[-tenth:])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"
