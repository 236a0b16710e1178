"""Numbers of drives: shares with their intervals, means, and differences between arms.

In: one record a drive, as `course.record_of` makes it. Out: plain numbers for JSON. An errand
counts only when every arm has driven it. Errands of one house share their luck, so intervals of
differences come from drawing whole houses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ipt_ros.navigation.driving import MOST_STEPS
from ipt_ros.navigation.moving import STEP_S
from ipt_ros.navigation.planning.arms import ARMS, BASELINE, ORACLE
from ipt_training.evaluation.metrics import by_group, drawn_interval, share_of

#: Ways that differ by less than this share are equally long.
TIE = 0.02
#: A drive that did not arrive counts as one that took all the time.
GIVEN_UP_S = MOST_STEPS * STEP_S
Record = Mapping[str, Any]
Errand = Mapping[str, Record]


def whole(records: Sequence[Record], arms: Sequence[str]) -> list[dict[str, Record]]:
    """By errand, the drive of every arm; errands that lack one are left out."""
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        found.setdefault(record["errand"], {})[record["arm"]] = record
    return [drives for _, drives in sorted(found.items()) if all(a in drives for a in arms)]


def arrived(record: Record) -> bool:
    """A search arrives where it finds what it was for."""
    return record["outcome"] in ("arrived", "found")


def spl(errand: Errand, arm: str) -> float:
    """Success weighted by path length; the way that the oracle drove is the shortest one, unless
    somebody was luckier.
    """
    if not arrived(errand[arm]):
        return 0.0
    lengths = [r["driven_m"] for r in errand.values() if arrived(r)]
    return float(min(lengths) / errand[arm]["driven_m"])


def seconds(errand: Errand, arm: str) -> float:
    record = errand[arm]
    return float(record["time_s"]) if arrived(record) else GIVEN_UP_S


def one_arm(errands: Sequence[Errand], arm: str) -> dict[str, Any]:
    """Everything about an arm on these errands."""
    drives = [errand[arm] for errand in errands]
    there = [(e[arm], e[ORACLE]) for e in errands if arrived(e[arm]) and arrived(e[ORACLE])]
    over = [mine["driven_m"] / best["driven_m"] for mine, best in there]
    return {
        "success": share_of([arrived(d) for d in drives]).to_dict(),
        "spl": rounded(np.mean([spl(e, arm) for e in errands])),
        "time_s": rounded(np.mean([seconds(e, arm) for e in errands]), 2),
        "over_oracle": rounded(np.mean(over)) if over else None,
        "plans": rounded(np.mean([d["plans"] for d in drives]), 2),
        "other_ways": rounded(np.mean([d["other_ways"] for d in drives]), 3),
        "near": rounded(np.mean([d["near"] for d in drives]), 3),
        "contacts": rounded(np.mean([d["contacts"] for d in drives]), 3),
        "masks": rounded(np.mean([d["masks"] for d in drives]), 2),
    }


def against(errands: Sequence[Errand], arm: str, other: str = BASELINE) -> dict[str, Any]:
    """The arm less another one, errand by errand, with 95 % intervals by houses; how often it
    drove less, the same, more; and its gain as a share of the oracle's.
    """
    houses = [e[arm]["house"] for e in errands]
    gains = {
        "success": [float(arrived(e[arm])) - arrived(e[other]) for e in errands],
        "spl": [spl(e, arm) - spl(e, other) for e in errands],
        "time_s": [seconds(e, arm) - seconds(e, other) for e in errands],
    }
    most = [spl(e, ORACLE) - spl(e, other) for e in errands]
    return {
        **{name: mean_of(values, houses) for name, values in gains.items()},
        **win_tie_loss(errands, arm, other),
        "of_oracle": ratio_of(gains["spl"], most, houses),
    }


def win_tie_loss(errands: Sequence[Errand], arm: str, other: str) -> dict[str, int]:
    """How often the arm drove less than the other one, the same, more."""
    counts = {"win": 0, "tie": 0, "loss": 0}
    for errand in errands:
        mine, its = (_driven(errand[name]) for name in (arm, other))
        if mine == its or abs(mine - its) <= TIE * min(mine, its):
            counts["tie"] += 1
        else:
            counts["win" if mine < its else "loss"] += 1
    return counts


def _driven(record: Record) -> float:
    return float(record["driven_m"]) if arrived(record) else float("inf")


def mean_of(values: Sequence[float], houses: Sequence[int]) -> dict[str, float]:
    """The mean and its 95 % interval by houses."""
    sums, sizes = by_group(values, houses)
    return _interval(float(np.mean(values)), lambda d: sums[d].sum(1) / sizes[d].sum(1), len(sums))


def ratio_of(
    values: Sequence[float], of: Sequence[float], houses: Sequence[int]
) -> dict[str, float] | None:
    """Sum by sum, with its 95 % interval by houses; None where nothing is to be gained."""
    sums, _ = by_group(values, houses)
    whole_, _ = by_group(of, houses)
    if whole_.sum() <= 0:
        return None

    def ratio(drawn: np.ndarray) -> np.ndarray:
        gained = whole_[drawn].sum(1)
        return np.asarray(sums[drawn].sum(1) / np.where(gained > 0, gained, np.nan))

    return _interval(float(sums.sum() / whole_.sum()), ratio, len(sums))


def _interval(
    value: float, statistic: Callable[[np.ndarray], np.ndarray], houses: int
) -> dict[str, float]:
    low, high = drawn_interval(statistic, houses)
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def rounded(value: Any, digits: int = 4) -> float:
    return round(float(value), digits)


def table(errands: Sequence[Errand]) -> dict[str, Any]:
    """Every arm, alone and against the baseline."""
    if not errands:
        return {}
    return {
        "errands": len(errands),
        "houses": len({e[ORACLE]["house"] for e in errands}),
        "arms": {arm.name: one_arm(errands, arm.name) for arm in ARMS},
        "against": {arm.name: against(errands, arm.name) for arm in ARMS if arm.name != BASELINE},
    }
