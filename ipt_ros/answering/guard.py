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
from ipt_model.spatial.recalled import RecalledView

#: Fewer co-visible pixels than this say nothing about a drawing.
MIN_PIXELS = 48
#: Views are compared at this size of the longer side: a pose that is a degree off moves a picture
#: by one such pixel.
COMPARED_PX = 64
#: Share of a compared pixel that must have been seen.
_SURE = 0.75
#: How far a picture may be shifted, compared pixels.
_SHIFT_PX = 1
#: Neighbours whose depths differ by more than this share lie on two surfaces.
_DEPTH_JUMP = 0.2
#: Bounds of the exposure: a factor for the whole picture, for one that is a blank wall, and grey
#: levels of each colour.
_MOST_GAIN, _BLANK_GAIN, _MOST_OFFSET = 2.0, 1.25, 10.0
#: Less contrast than this is a blank wall, grey levels: a few of them count as the same there.
_LEAST_CONTRAST = 12.0
#: A patch that is judged by itself: its side as a share of the width, how much of it must be sure,
#: and at how many times the contrast it scores 0. One patch may be worse than the whole: of a true
#: view too the worst is.
_PATCH_SHARE, _PATCH_SURE, _PATCH_CONTRASTS = 0.2, 0.6, 3.0


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


def view_consistency(imagined: np.ndarray, recalled: RecalledView) -> tuple[float, float]:
    """Overlap and consistency of an imagined view with what was seen, moved to the same viewpoint.

    imagined: h x w x 3 uint8, as the model drew it, before anything seen is put in its place.
    recalled: the same view, of any size, as far as it was seen. Consistency is the share of the
    seen picture's contrast that the drawing explains: 1 for the same picture, 0 for one no better
    than a plain wall of the right colour. It is taken over all that was seen and once more over
    the worst patch of it; the lower one counts. Forgiven are one exposure for the whole picture, a
    shift by one of its compared pixels, and what lies at edges of depth.
    """
    overlap = recalled.share_seen
    target, weight = _comparable(recalled, _compared_size(imagined))
    sure = weight > _SURE
    if sure.sum() < MIN_PIXELS:
        return overlap, float("nan")
    height, width = sure.shape
    drawn = cv2.resize(imagined, (width, height), interpolation=cv2.INTER_AREA)
    drawn = drawn.astype(np.float32)
    seen = target[sure]
    contrast = float(np.abs(seen - np.median(seen, axis=0)).mean())
    exposed = drawn * _gain(drawn[sure], seen, _gain_allowed(contrast))
    moved = np.pad(exposed, ((_SHIFT_PX, _SHIFT_PX), (_SHIFT_PX, _SHIFT_PX), (0, 0)), mode="edge")
    steps = range(2 * _SHIFT_PX + 1)
    errors = [
        _error(moved[dy : dy + height, dx : dx + width][sure], seen)
        for dy in steps
        for dx in steps
    ]
    error = min(errors, key=lambda e: float(e.mean()))
    contrast = max(contrast, _LEAST_CONTRAST)
    overall = 1.0 - float(error.mean()) / contrast
    worst = 1.0 - _worst_patch(error, sure) / (_PATCH_CONTRASTS * contrast)
    return overlap, float(np.clip(min(overall, worst), 0.0, 1.0))


def _compared_size(picture: np.ndarray) -> tuple[int, int]:
    """Height and width at which pictures are compared."""
    shrink = min(1.0, COMPARED_PX / max(picture.shape[:2]))
    return max(1, round(picture.shape[0] * shrink)), max(1, round(picture.shape[1] * shrink))


def _comparable(recalled: RecalledView, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What was seen as h x w x 3 float32, and which share (h x w) of each pixel it is known from.

    Pixels beside a jump of depth are left out: a wrong pose or badly registered depth puts the
    wrong one of two surfaces there.
    """
    depth = np.where(recalled.seen, recalled.depth_m, 0.0).astype(np.float32)
    around = np.ones((3, 3), np.uint8)
    farthest = cv2.dilate(depth, around)
    nearest = cv2.erode(np.where(depth > 0, depth, np.inf).astype(np.float32), around)
    known = recalled.seen & (farthest / (1.0 + _DEPTH_JUMP) <= nearest)
    height, width = size
    weight = cv2.resize(known.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    colours = np.where(known[:, :, None], recalled.rgb, 0).astype(np.float32)
    summed = cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA)
    return summed / np.maximum(weight, 1e-6)[:, :, None], weight


def _gain_allowed(contrast: float) -> float:
    """The largest factor by which two exposures may differ. Of a blank wall brightness is all that
    can be compared, so less of a difference is forgiven there.
    """
    share = np.clip(contrast / _LEAST_CONTRAST - 1.0, 0.0, 1.0)
    return float(_BLANK_GAIN + share * (_MOST_GAIN - _BLANK_GAIN))


def _gain(drawn: np.ndarray, seen: np.ndarray, most: float) -> float:
    """How much brighter the camera saw than the drawing is: the factor of least absolute error.

    drawn, seen: N x 3. One factor for all colours, between 1 / most and most: fitted freely, a
    wrong picture could be faded until it is no worse than a plain wall.
    """
    weights = np.maximum(drawn, 1.0).ravel()
    ratios = seen.ravel() / weights
    order = np.argsort(ratios)
    summed = np.cumsum(weights[order])
    middle = ratios[order][np.searchsorted(summed, 0.5 * summed[-1])]
    return float(np.clip(middle, 1.0 / most, most))


def _error(drawn: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Absolute difference of each pixel (N), after a small offset of each colour."""
    off = seen - drawn
    off -= np.clip(np.median(off, axis=0), -_MOST_OFFSET, _MOST_OFFSET)
    return np.asarray(np.abs(off).mean(axis=1))


def _worst_patch(error: np.ndarray, sure: np.ndarray) -> float:
    """Mean error of the square patch, largely sure, where it is largest; 0 where there is none."""
    side = max(3, round(_PATCH_SHARE * sure.shape[1])) | 1
    spread = np.zeros(sure.shape, np.float32)
    spread[sure] = error
    summed, share = (
        cv2.blur(values, (side, side), borderType=cv2.BORDER_CONSTANT)
        for values in (spread, sure.astype(np.float32))
    )
    enough = share > _PATCH_SURE
    return float((summed[enough] / share[enough]).max()) if enough.any() else 0.0


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
