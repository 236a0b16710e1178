"""Whether a drawn view has the asked object, in its colour, where it should be.

The true view and the object's pixel in it say which region is the object; the drawing is right
where that region, moved by no more than a tolerance, is nearer to the object's colour than to what
surrounds it. No detector, no threshold on colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ipt_model.question import Task
from ipt_training.example import Example

#: Largest shift of an object that still counts as drawn in its place, share of the width.
TOLERANCE = 0.1
#: Colours within this distance (CIE Lab) of the object's middle belong to it.
SAME_COLOUR = 18.0
#: At least this share of the object's pixels must be nearer to its own colour.
MIN_COVERED = 0.5
#: Smallest region and smallest contrast to its surroundings (CIE Lab) that can be judged.
MIN_PIXELS, MIN_CONTRAST = 6, 12.0


@dataclass(frozen=True)
class DrawnObject:
    """covered: share of the object's pixels in its colour at the best shift within the tolerance.
    present: covered enough there. side: its colour lies in the same half of the picture as the
    true object; None where that is too near the middle to say."""

    covered: float
    present: bool
    side: bool | None


def object_pixels(example: Example) -> list[tuple[float, float]]:
    """Where in the true view, in pixels of it, the things lie that the answer is about."""
    facts: Mapping[str, Any] = example.facts
    if example.question.task is Task.PERSPECTIVE and "object_pixel_after" in facts:
        u, v = facts["object_pixel_after"]
        return [(float(u), float(v))]
    if example.question.task is Task.PATH and "answer_pixel" in facts:
        u, v = facts["answer_pixel"]
        return [(float(u), float(v))]
    if example.question.task is Task.COUNTING:
        return [(float(u), float(v)) for u, v in facts.get("counted_map_px", ())]
    return []


def judge_object(
    truth: np.ndarray, drawn: np.ndarray, pixel: tuple[float, float]
) -> DrawnObject | None:
    """truth, drawn: H x W x 3 uint8 of one size; pixel: u, v of the object in `truth`. None when
    the true object does not stand out enough to be judged."""
    if truth.shape != drawn.shape:
        raise ValueError(f"expected pictures of one size, got {truth.shape} and {drawn.shape}")
    lab, lab_drawn = _lab(truth), _lab(drawn)
    mask = object_mask(lab, pixel)
    if mask.sum() < MIN_PIXELS:
        return None
    own = np.median(lab[mask], axis=0)
    width = truth.shape[1]
    reach = max(2, round(0.06 * width))
    ring = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    ring &= ~mask & (np.linalg.norm(lab - own, axis=2) > SAME_COLOUR)
    if not ring.any():
        return None
    around = lab[ring].reshape(-1, 3)
    others = np.stack([np.percentile(around, q, axis=0) for q in (25, 50, 75)])
    if np.linalg.norm(others - own, axis=1).min() < MIN_CONTRAST:
        return None
    to_own = np.linalg.norm(lab_drawn - own, axis=2)
    to_others = np.linalg.norm(lab_drawn[:, :, None] - others, axis=3).min(axis=2)
    its_colour = to_own < to_others
    covered = _best_shift(mask, its_colour, max(1, round(TOLERANCE * width)))
    like = np.exp(-((to_own / (2 * SAME_COLOUR)) ** 2)) * its_colour
    return DrawnObject(covered, covered >= MIN_COVERED, _same_half(mask, like, width))


def object_mask(lab: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
    """H x W bool: the connected region of one colour around the pixel."""
    height, width = lab.shape[:2]
    u, v = int(np.clip(pixel[0], 0, width - 1)), int(np.clip(pixel[1], 0, height - 1))
    patch = lab[max(0, v - 1) : v + 2, max(0, u - 1) : u + 2].reshape(-1, 3)
    alike = np.linalg.norm(lab - np.median(patch, axis=0), axis=2) < SAME_COLOUR
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    return np.asarray((labels == labels[v, u]) & alike)


def _best_shift(mask: np.ndarray, its_colour: np.ndarray, most: int) -> float:
    """Largest share of the mask covered by the colour over all shifts of at most `most` pixels;
    what leaves the picture is not covered."""
    rows, columns = np.nonzero(mask)
    padded = np.pad(its_colour, most)
    best = 0.0
    for dy in range(-most, most + 1):
        for dx in range(-most, most + 1):
            if dx * dx + dy * dy <= most * most:
                hit = padded[rows + most + dy, columns + most + dx]
                best = max(best, float(hit.mean()))
    return best


def _same_half(mask: np.ndarray, like: np.ndarray, width: int) -> bool | None:
    """Whether the drawing's likeness to the object, 0 to 1 per pixel, lies in the half where the
    object is."""
    middle = float(np.nonzero(mask)[1].mean() + 0.5) / width - 0.5
    if abs(middle) < 0.05:
        return None
    if like.sum() < 0.25 * mask.sum():
        return False
    where = float((like.sum(axis=0) * (np.arange(width) + 0.5)).sum() / like.sum()) / width - 0.5
    return where * middle > 0


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
