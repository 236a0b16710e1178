"""All numbers of a folder of searches, as one JSON object.

In: the folder that `python -m ipt_ros.navigation.exploring` wrote. Out: plain JSON, from which the
page is made. A search counts only when every arm has made it; intervals of differences come from
drawing whole houses, with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ipt_ros.navigation.exploring.arms import ARMS, BASELINE, ORACLE
from ipt_ros.navigation.records import all_records
from ipt_ros.navigation.results.statistics import (
    Errand,
    arrived,
    mean_of,
    ratio_of,
    rounded,
    spl,
    whole,
    win_tie_loss,
)
from ipt_ros.navigation.results.summary import clock_of, model_hash
from ipt_training.evaluation.metrics import drawn_interval, share_of

DECIDING = tuple(arm.name for arm in ARMS if arm.by not in ("way", "known"))


def summary(folder: Path, model: str) -> dict[str, Any]:
    searches = whole(list(all_records(folder)), [arm.name for arm in ARMS])
    return {
        "what": "searches for a thing in held-out simulated houses, by frontiers and by views",
        "model": {"name": model, "hash": model_hash(model)},
        "arms": {arm.name: arm.words for arm in ARMS},
        "clock": clock_of(folder),
        "all": table(searches),
        "views": {name: views(searches, name) for name in DECIDING} if searches else {},
    }


def table(searches: Sequence[Errand]) -> dict[str, Any]:
    """Every arm, alone and against the baseline."""
    if not searches:
        return {}
    names = [arm.name for arm in ARMS]
    return {
        "errands": len(searches),
        "houses": len({s[ORACLE]["house"] for s in searches}),
        "first_seed": min(s[ORACLE]["house"] for s in searches),
        "last_seed": max(s[ORACLE]["house"] for s in searches),
        "arms": {name: one_arm(searches, name) for name in names},
        "against": {name: against(searches, name) for name in names if name != BASELINE},
    }


def one_arm(searches: Sequence[Errand], arm: str) -> dict[str, Any]:
    """Everything about an arm on these searches. other: decisions against the nearest frontier."""
    drives = [search[arm] for search in searches]
    decisions = [one for drive in drives for one in drive["decisions"]]
    return {
        "found": share_of([arrived(d) for d in drives]).to_dict(),
        "spl": rounded(np.mean([spl(s, arm) for s in searches])),
        "driven_m": rounded(np.mean([d["driven_m"] for d in drives]), 2),
        "time_s": rounded(np.mean([d["time_s"] for d in drives]), 2),
        "visits": rounded(np.mean([d["visits"] for d in drives]), 2),
        "decisions": len(decisions),
        "other": share_of([one["chosen"] > 0 for one in decisions]).to_dict(),
        "contacts": rounded(np.mean([d["contacts"] for d in drives]), 3),
    }


def against(searches: Sequence[Errand], arm: str) -> dict[str, Any]:
    """The arm less the nearest frontier, search by search, with 95 % intervals by houses. The way
    is compared where both find the thing.
    """
    houses = [s[arm]["house"] for s in searches]
    both = [s for s in searches if arrived(s[arm]) and arrived(s[BASELINE])]
    gains = [spl(s, arm) - spl(s, BASELINE) for s in searches]
    most = [spl(s, ORACLE) - spl(s, BASELINE) for s in searches]
    found = [float(arrived(s[arm])) - arrived(s[BASELINE]) for s in searches]
    way = [s[arm]["driven_m"] - s[BASELINE]["driven_m"] for s in both]
    return {
        "found": mean_of(found, houses),
        "spl": mean_of(gains, houses),
        "driven_m": mean_of(way, [s[arm]["house"] for s in both]) if both else None,
        "both": len(both),
        **win_tie_loss(searches, arm, BASELINE),
        "of_oracle": ratio_of(gains, most, houses),
    }


def views(searches: Sequence[Errand], arm: str) -> dict[str, Any]:
    """How well the scores tell from which frontiers the thing is in view.

    shown: how many views show its colour, where it is in view in truth and where it is not. auc:
    how often one of the first has more of it than one of the second, with its interval by houses.
    right: of the decisions in which some frontiers have it in view and some have not, how often
    one was chosen that has; what the nearest would have been, and a draw among them.
    """
    rows = [
        (search[arm]["house"], pixels, there)
        for search in searches
        for one in search[arm]["decisions"]
        for pixels, there in zip(one["scores"], one["there"], strict=True)
    ]
    mixed = [
        one
        for search in searches
        for one in search[arm]["decisions"]
        if any(one["there"]) and not all(one["there"])
    ]
    drawn = [float(np.mean(one["there"])) for one in mixed]
    return {
        "shown_there": share_of([pixels > 0 for _, pixels, there in rows if there]).to_dict(),
        "shown_elsewhere": share_of(
            [pixels > 0 for _, pixels, there in rows if not there]
        ).to_dict(),
        "auc": auc_of(rows),
        "right": {
            "n": len(mixed),
            "chosen": share_of([one["there"][one["chosen"]] for one in mixed]).to_dict(),
            "nearest": share_of([one["there"][0] for one in mixed]).to_dict(),
            "by_chance": rounded(np.mean(drawn)) if drawn else None,
        },
    }


def auc_of(rows: Sequence[tuple[int, int, bool]]) -> dict[str, float] | None:
    """rows: house, score, whether the thing is in view. The area under the ROC curve with its 95 %
    interval by houses; None where all views are of one kind.
    """
    names, group = np.unique([house for house, _, _ in rows], return_inverse=True)
    scores = np.array([pixels for _, pixels, _ in rows], float)
    there = np.array([there for _, _, there in rows], bool)
    if not there.any() or there.all():
        return None
    number = len(names)
    # by houses: pairs that are in order, of a view that has the thing and one that has not
    mine, other = np.meshgrid(np.flatnonzero(there), np.flatnonzero(~there), indexing="ij")
    won = (scores[mine] > scores[other]) + 0.5 * (scores[mine] == scores[other])
    pairs = group[mine] * number + group[other]
    wins = np.bincount(pairs.ravel(), won.ravel(), number**2).reshape(number, number)
    tried = np.bincount(pairs.ravel(), minlength=number**2).reshape(number, number)

    def statistic(drawn: np.ndarray) -> np.ndarray:
        times = np.stack([(drawn == k).sum(1) for k in range(number)], axis=1).astype(float)
        total = np.einsum("di,ij,dj->d", times, tried.astype(float), times)
        right = np.einsum("di,ij,dj->d", times, wins, times)
        return np.asarray(right / np.where(total > 0, total, np.nan))

    low, high = drawn_interval(statistic, number)
    value = rounded(wins.sum() / tried.sum())
    return {"value": value, "low": rounded(low), "high": rounded(high)}
