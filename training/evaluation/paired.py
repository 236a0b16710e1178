"""Two checkpoints on the same questions: how much more is right, and within what bounds.

In: records of both, question by question. Out: plain numbers for JSON. Questions of one place or
scene share their luck, so the interval comes from drawing whole groups of questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipt_model.question import Mode
from ipt_training.evaluation.metrics import by_group, drawn_interval, share_of
from ipt_training.evaluation.records import Record


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
    gained = np.asarray(after, float) - np.asarray(before, float)
    sums, sizes = by_group(gained, groups)
    low, high = drawn_interval(lambda d: sums[d].sum(1) / sizes[d].sum(1), len(sums))
    return {
        "before": share_of(before).to_dict(),
        "after": share_of(after).to_dict(),
        "difference": round(float(gained.mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "n": len(gained),
        "groups": len(sums),
    }
