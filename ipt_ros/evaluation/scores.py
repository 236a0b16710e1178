"""Numbers of an evaluation, from records alone: accuracies with intervals, how good the imagined
views and maps were, calibration, latency, and what abstaining cost and bought.

Pure functions. Nothing here knows of ROS, of files or of pages.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ipt_model.weights.asking_style import SEEN_EDGES, seen_class
from ipt_ros.evaluation.records import ANSWERED, ERROR, OUTCOMES, MaskScore, PictureScore, Record
from ipt_training.evaluation.metrics import (
    calibration_error,
    psnr,
    reliability,
    share_of,
)

#: Claims of the mask that mean occupied: half of the highest.
OCCUPIED_CLAIM = 45


def picture_score(drawn: np.ndarray, true: np.ndarray, seen: np.ndarray) -> PictureScore:
    """drawn, true: H x W x 3 uint8. seen: H x W bool, pixels that were remembered."""
    squares = ((drawn.astype(np.float64) - true.astype(np.float64)) ** 2).mean(axis=2)

    def error(where: np.ndarray) -> float | None:
        return math.sqrt(float(squares[where].mean())) if where.any() else None

    # equal pictures have no noise, and JSON has no infinity
    found = min(psnr(drawn, true), 99.0)
    return PictureScore(found, float(seen.mean()), error(seen), error(~seen))


def mask_score(claims: np.ndarray, occupied: np.ndarray) -> MaskScore:
    """claims: of the unseen cells that the mask speaks of, 0 to 90. occupied: whether each truly
    is."""
    said = claims >= OCCUPIED_CLAIM
    return MaskScore(
        cells=int(claims.size),
        both=int((said & occupied).sum()),
        either=int((said | occupied).sum()),
        occupied=int(occupied.sum()),
        cost_occupied=float(claims[occupied].mean()) if occupied.any() else None,
        cost_free=float(claims[~occupied].mean()) if (~occupied).any() else None,
    )


def summary(records: Sequence[Record]) -> dict[str, Any]:
    """Everything, for JSON."""
    tasks = list(dict.fromkeys(r.task for r in records if r.task != "map"))
    questions = [r for r in records if r.task != "map"]
    return {
        "episodes": len(questions),
        "worlds": sorted({r.world for r in records}),
        "models": sorted({r.model_id for r in records if r.model_id}),
        "model_hashes": sorted({r.model_hash for r in records if r.model_hash}),
        "tasks": {task: of_task([r for r in questions if r.task == task]) for task in tasks},
        "by_world": _grouped(questions, lambda r: r.world),
        "imagination": imagination([r.picture for r in records if r.picture is not None]),
        "map": mask([r.mask for r in records if r.mask is not None]),
        "calibration": calibration(questions),
        "latency_s": latency(questions),
        "abstentions": abstentions(questions),
    }


def of_task(records: Sequence[Record]) -> dict[str, Any]:
    return {
        **accuracy(records),
        "chance": round(float(np.mean([1 / len(r.options) for r in records])), 4),
        "by_kind": _grouped(records, lambda r: r.kind),
        "by_share_seen": _grouped(
            [r for r in records if r.share_seen is not None],
            lambda r: seen_name(r.share_seen or 0.0),
            [seen_name(edge) for edge in (0.0, *SEEN_EDGES)],
        ),
        "ece": calibration(records)["ece"],
    }


def accuracy(records: Sequence[Record]) -> dict[str, Any]:
    """answered: of the answers that were given. all: of all questions, where none given is none
    right. had_all_been_answered: of those whose reply says what would have been said.
    """
    told = [r for r in records if r.would_say]
    return {
        "n": len(records),
        "answered": share_of([r.right for r in records if r.outcome == ANSWERED]).to_dict(),
        "all": share_of([r.right for r in records]).to_dict(),
        "had_all_been_answered": share_of([r.would_be_right for r in told]).to_dict(),
    }


def seen_name(share: float) -> str:
    """The quarter that a share seen lies in, in words."""
    edges = (0.0, *SEEN_EDGES, 1.0)
    place = seen_class(share)
    return f"{100 * edges[place]:.0f} to {100 * edges[place + 1]:.0f} %"


def _grouped(
    records: Sequence[Record], name: Callable[[Record], str], order: Sequence[str] = ()
) -> dict[str, Any]:
    names = {name(r) for r in records}
    ordered = [n for n in order if n in names] or sorted(names)
    return {n: accuracy([r for r in records if name(r) == n]) for n in ordered}


def imagination(pictures: Sequence[PictureScore]) -> dict[str, Any]:
    """Means over the imagined views whose true view was seen afterwards."""

    def mean(values: list[float]) -> float | None:
        return round(float(np.mean(values)), 4) if values else None

    return {
        "n": len(pictures),
        "psnr_db": mean([p.psnr_db for p in pictures]),
        "seen_share": mean([p.seen_share for p in pictures]),
        "error_seen": mean([p.error_seen for p in pictures if p.error_seen is not None]),
        "error_imagined": mean(
            [p.error_imagined for p in pictures if p.error_imagined is not None]
        ),
    }


def mask(scores: Sequence[MaskScore]) -> dict[str, Any]:
    """Cells of all stands together: a stand with few of them says little."""
    both, either = sum(s.both for s in scores), sum(s.either for s in scores)
    cells, occupied = sum(s.cells for s in scores), sum(s.occupied for s in scores)

    def cost(pairs: list[tuple[float | None, int]]) -> float | None:
        known = [(c, n) for c, n in pairs if c is not None and n]
        total = sum(n for _, n in known)
        return round(sum(c * n for c, n in known) / total, 2) if total else None

    return {
        "stands": len(scores),
        "cells": cells,
        "iou": round(both / either, 4) if either else None,
        "occupied_share": round(occupied / cells, 4) if cells else None,
        "cost_occupied": cost([(s.cost_occupied, s.occupied) for s in scores]),
        "cost_free": cost([(s.cost_free, s.cells - s.occupied) for s in scores]),
    }


def calibration(records: Sequence[Record]) -> dict[str, Any]:
    """Stated probability of the likeliest option against how often it is right, withheld answers
    included."""
    told = [r for r in records if r.probabilities and r.would_say]
    stated = [min(1.0, max(r.probabilities)) for r in told]
    right = [r.would_be_right for r in told]
    error = calibration_error(stated, right)
    return {
        "n": len(told),
        "ece": None if math.isnan(error) else round(error, 4),
        "bins": [asdict(one) for one in reliability(stated, right)],
    }


def latency(records: Sequence[Record]) -> dict[str, Any]:
    """Median and 95th percentile by stage, s, over the questions that came to an answer."""
    stages = list(dict.fromkeys(name for r in records for name in r.times_s))
    found = {}
    for stage in stages:
        told = [r.times_s.get(stage) for r in records]
        values = [value for value in told if value is not None]
        if not values:
            continue
        found[stage] = {
            "n": len(values),
            "median": round(float(np.median(values)), 4),
            "p95": round(float(np.quantile(values, 0.95)), 4),
        }
    return found


def abstentions(records: Sequence[Record]) -> dict[str, Any]:
    """How often nothing was answered and why, and what that did to the accuracy."""
    counted = Counter(r.outcome for r in records)
    errors = Counter(str(r.error_code) for r in records if r.outcome == ERROR)
    known = accuracy(records)
    given, would = known["answered"]["share"], known["had_all_been_answered"]["share"]
    return {
        "outcomes": {name: counted[name] for name in OUTCOMES},
        "errors": dict(sorted(errors.items())),
        "answered": known["answered"],
        "had_all_been_answered": known["had_all_been_answered"],
        "gain": None if given is None or would is None else round(given - would, 4),
    }
