"""Whether an imagined picture may be believed: it must agree with what was seen, with itself, and
with its answer.

Small functions of numpy arrays; no ROS, no model. Every score is 0 to 1, 1 is best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ipt_model.question import Answer, Outcome
from ipt_model.spatial.maps import OCCUPIED, UNKNOWN

#: Fewer co-visible pixels than this say nothing about a drawing.
MIN_PIXELS = 48


@dataclass(frozen=True)
class Thresholds:
    """Below these an answer is withheld. A score that cannot be measured does not count against
    it. consistency: of a view; maps are judged on a scale of their own (docs/guard.md says why
    the numbers are these).
    """

    confidence: float = 0.6
    consistency: float = 0.35
    spread: float = 0.4


@dataclass(frozen=True)
class GuardScores:
    """overlap: share of the picture that was seen before. consistency: agreement there; NaN where
    too little was seen. spread: largest difference of the chosen option's probability between
    imagined views.
    """

    overlap: float = float("nan")
    consistency: float = float("nan")
    spread: float = 0.0


def view_consistency(
    imagined: np.ndarray, seen: np.ndarray, known: np.ndarray
) -> tuple[float, float]:
    """Overlap and consistency of an imagined view with what was seen, moved to the same viewpoint.

    imagined: h x w x 3 uint8. seen: H x W x 3 uint8 and known: H x W bool, of the same viewpoint.
    Consistency is the share of the seen picture's contrast that the drawing explains: 1 for the
    same picture, 0 for one no better than a plain wall of the right mean colour.
    """
    height, width = imagined.shape[:2]
    weight = cv2.resize(known.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    filled = np.where(known[:, :, None], seen, 0).astype(np.float32)
    moved = cv2.resize(filled, (width, height), interpolation=cv2.INTER_AREA)
    sure = weight > 0.75
    overlap = float(known.mean())
    if sure.sum() < MIN_PIXELS:
        return overlap, float("nan")
    target = moved[sure] / weight[sure][:, None]
    drawn = imagined[sure].astype(np.float32)
    # a little blur forgives a shift of one pixel, which no planner cares about
    contrast = float(np.abs(target - target.mean(axis=0)).mean())
    error = float(np.abs(drawn - target).mean())
    # a blank wall has no contrast to explain: there a few grey levels count as the same
    return overlap, float(np.clip(1.0 - error / max(contrast, 12.0), 0.0, 1.0))


def map_consistency(cells: np.ndarray, drawn: np.ndarray) -> float:
    """How well a drawn map repeats what was seen: 1 when it does, 0.5 when it says nothing.

    cells: H x W int8 observed map. drawn: H x W probability of occupied, NaN where not drawn. Free
    and occupied cells weigh the same, or a room full of floor would hide a missing wall.
    """
    known = (cells != UNKNOWN) & ~np.isnan(drawn)
    occupied = known & (cells >= OCCUPIED // 2)
    free = known & (cells < OCCUPIED // 2)
    scores = []
    if occupied.sum() >= 8:
        scores.append(float(drawn[occupied].mean()))
    if free.sum() >= 8:
        scores.append(float(1.0 - drawn[free].mean()))
    return float(np.mean(scores)) if scores else float("nan")


def option_spread(probabilities_by_view: Sequence[Sequence[float]], chosen: int) -> float:
    """Largest difference of one option's probability between imagined views; 0 for a single."""
    if len(probabilities_by_view) < 2:
        return 0.0
    values = [probabilities[chosen] for probabilities in probabilities_by_view]
    return float(max(values) - min(values))


def why_withheld(answer: Answer, scores: GuardScores, limits: Thresholds) -> str:
    """The reason to withhold an answer, or an empty string."""
    if answer.outcome is not Outcome.ANSWERED:
        return ""  # withheld already, with a reason of its own
    if answer.option_probabilities and answer.confidence < limits.confidence:
        return f"confidence {answer.confidence:.2f} is below {limits.confidence:.2f}"
    if scores.consistency < limits.consistency:
        return (
            f"the drawing contradicts what was seen: consistency {scores.consistency:.2f} is "
            "below "
            f"{limits.consistency:.2f}"
        )
    if scores.spread > limits.spread:
        return f"imagined views disagree: spread {scores.spread:.2f} is above {limits.spread:.2f}"
    return ""
