"""Two checkpoints on the same questions: how much more is right, and within what bounds.

In: records of both, question by question. Out: plain numbers for JSON. Questions of one place or
scene share their luck, so the interval comes from drawing whole groups of questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipt_model.question import Mode
from ipt_training.evaluation.metrics import share_of
from ipt_training.evaluation.records import Record

#: Draws of the bootstrap, and the sides of its interval.
DRAWS, LOW, HIGH = 4000, 0.025, 0.975


def compared(
    before: Sequence[Record], after: Sequence[Record], modes: Sequence[Mode]
) -> dict[str, dict[str, dict[str, Any]]]:
    """By task and mode."""
    if [r.number for r in before] != [r.number for r in after]:
        raise ValueError("expected records of the same questions before and after")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for task in dict.fromkeys(record.task for record in after):
        for mode in modes:
            pairs = [
                (a.right(mode), b.right(mode), b.group)
                for a, b in zip(before, after, strict=True)
                if b.task is task and mode in a.replies and mode in b.replies
            ]
            if pairs:
                old, new, some = zip(*pairs, strict=True)
                found.setdefault(task.value, {})[mode.value] = difference(old, new, some)
    return found


def difference(
    before: Sequence[bool], after: Sequence[bool], groups: Sequence[str]
) -> dict[str, Any]:
    """Shares before and after, their difference and its 95 % interval by groups."""
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    gained = np.asarray(after, float) - np.asarray(before, float)
    sums = np.bincount(group, gained, minlength=len(names))
    sizes = np.bincount(group, minlength=len(names)).astype(float)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(names), size=(DRAWS, len(names)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), (LOW, HIGH))
    return {
        "before": share_of(before).to_dict(),
        "after": share_of(after).to_dict(),
        "difference": round(float(gained.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "n": len(gained),
        "groups": len(names),
    }
