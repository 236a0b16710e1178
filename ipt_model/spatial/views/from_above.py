"""What fills the holes of a map that is recalled from straight above.

A robot sees things from the side: of a thing it knows the front and mostly the top, and nothing of
the floor that it hides. Colours carried in from all edges alike would smear things into each
other. So floor fills the holes, and a thing is as deep as things are.
"""

from __future__ import annotations

import cv2
import numpy as np

from ipt_model.spatial.recalled import RecalledView, carried

#: What stands so far above most of the lowest that is seen is a thing, not floor.
RAISED_M = 0.15
#: How far a thing goes on where nobody has seen it. Chosen on validation rooms.
DEEP_M = 0.2


def filled_from_above(found: RecalledView, metres_per_pixel: float) -> np.ndarray | None:
    """The picture without holes; None where it has none, or nothing else."""
    holes = ~found.seen
    if holes.all() or not holes.any():
        return None
    things = standing(found)
    picture = carried(found.rgb, holes | things)
    picture[things] = found.rgb[things]
    if things.any():
        reach = DEEP_M / metres_per_pixel
        away, nearest = _nearest(things)
        deep = holes & (away <= reach + 0.5)
        picture[deep] = found.rgb.reshape(-1, 3)[nearest[deep]]
    return picture


def standing(found: RecalledView) -> np.ndarray:
    """Which pixels show things, not floor; H x W bool."""
    if not found.seen.any():
        return np.zeros_like(found.seen)
    floor = float(np.quantile(found.depth_m[found.seen], 0.75))
    return np.asarray(found.seen & (found.depth_m < floor - RAISED_M))


def _nearest(there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel how far the nearest of these is, in pixels, and its flat index."""
    away, labels = cv2.distanceTransformWithLabels(
        (~there).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.zeros(int(labels.max()) + 1, np.int64)
    index[labels[there]] = np.flatnonzero(there.ravel())
    return np.asarray(away), index[labels]
