"""How well a map was completed, and the plain filling in that any completion has to beat.

In: probabilities of being occupied, the truth and what was seen. Out: scores over hidden cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ipt_model.spatial.maps import OCCUPIED, UNKNOWN, OccupancyGrid


@dataclass(frozen=True)
class CompletionScores:
    """How well a map was completed, over cells that were not seen and are known to the truth.

    iou: of occupied cells at probability 0.5. brier: mean squared error of the probability. cells:
    how many.
    """

    iou: float
    brier: float
    cells: int


def completion_scores(
    probability: np.ndarray, truth: OccupancyGrid, seen: OccupancyGrid
) -> CompletionScores:
    """probability: H x W of being occupied, as `read_map` gives it; NaN counts as one half."""
    hidden = (seen.cells == UNKNOWN) & (truth.cells != UNKNOWN)
    drawn = np.where(np.isnan(probability), 0.5, probability)[hidden]
    true = truth.cells[hidden] == OCCUPIED
    both = ((drawn > 0.5) & true).sum()
    either = ((drawn > 0.5) | true).sum()
    return CompletionScores(
        iou=float(both / either) if either else 1.0,
        brier=float(((drawn - true) ** 2).mean()) if len(true) else 0.0,
        cells=int(hidden.sum()),
    )


def inpainted(seen: OccupancyGrid) -> np.ndarray:
    """The baseline that any completion has to beat: unknown cells filled in from the known ones
    around them.
    """
    picture = np.where(seen.cells == OCCUPIED, 255, 0).astype(np.uint8)
    unknown = (seen.cells == UNKNOWN).astype(np.uint8)
    return np.asarray(cv2.inpaint(picture, unknown, 5, cv2.INPAINT_NS) / 255.0)
