"""What one view says of another: seen again, seen through, or another world altogether."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ipt_model.spatial.lens import Points
from ipt_model.spatial.views.remembered import RememberedView

#: Two depths of one surface differ by no more than this: metres, and a share of the distance,
#: because the noise of depth grows with it.
SAME_M, SAME_SHARE = 0.08, 0.04
#: A view from farther away than this many times shows a surface too coarsely to stand for it.
AS_NEAR = 1.3
#: Beside something that is gone, this difference in depth suffices.
TOUCHING_M, TOUCHING_SHARE = 0.015, 0.005
RIM_PX = 3
#: A line of sight ends this far before the surface that it leads to.
BEFORE_SURFACE_M = 0.15
#: Space is empty where a view saw something this much farther away.
CLEAR_M = 0.02
#: So many samples must be looked at before a view may be called wrong.
ENOUGH = 40


def tolerance_m(z: np.ndarray) -> np.ndarray:
    """How far two depths of one surface may be apart at this distance."""
    return np.asarray(SAME_M + SAME_SHARE * z)


@dataclass(frozen=True)
class Comparison:
    """What a newer view says of an older one. again: which of its samples it sees as well, the
    surfaces as closely. same, through: of how many surfaces it sees that they stand where they
    were, and that nothing is there any more."""

    again: np.ndarray
    same: int
    through: int

    @property
    def contradicts(self) -> bool:
        """Most of what both could see is not where it was: a pose has jumped, or the room was
        changed as a whole."""
        return self.same + self.through >= ENOUGH and self.through > self.same


def compare(older: RememberedView, newer: RememberedView) -> Comparison:
    known, z, there = newer.surface(older.samples)
    margin = tolerance_m(z)
    same = known & (np.abs(z - there) <= margin)
    through = known & (z < there - margin)
    again = same & newer.still_holds(older.samples) & (z <= AS_NEAR * older.sample_z)
    lit, depth, beyond = newer.surface(older.space)
    empty = lit & (depth < beyond - CLEAR_M)
    return Comparison(np.concatenate([again, empty]), int(same.sum()), int(through.sum()))


def erase_gone(older: RememberedView, newer: RememberedView) -> None:
    """Take out of the older view what the newer one looks through.

    A thing that is gone is gone as a whole: where it touched floor or wall the two depths are
    close, so beside a large difference a small one suffices.
    """
    own, index = older.points(1)
    known, z, there = newer.surface(own.moved(older.local))
    height, width = older.size
    weak = np.zeros(height * width, np.uint8)
    weak[index[known & (z < there - (TOUCHING_M + TOUCHING_SHARE * z))]] = 1
    _, pieces = cv2.connectedComponents(weak.reshape(height, width), connectivity=8)
    strong = pieces.ravel()[index[known & (z < there - tolerance_m(z))]]
    gone = np.zeros(int(pieces.max()) + 1, bool)
    gone[strong] = True
    gone[0] = False
    if not gone.any():
        return
    image = gone[pieces].astype(np.uint8)
    # the last pixels of it touch what the newer view sees anyway
    rim = cv2.dilate(image, np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)).ravel()
    shown = np.zeros(height * width, bool)
    shown[index[known & (z < there + tolerance_m(z))]] = True
    older.erase(np.flatnonzero(image.ravel() | (rim & shown)))


def free_share(
    views: Sequence[RememberedView], start: Points, end: Points, samples: int, presumed_m: float
) -> np.ndarray:
    """For each line from start to end (local): the share of it, 0 to 1, that some view saw empty.

    presumed_m: how much of its begin is taken for empty, at most half of it. The last stretch
    before the end is its surface, and does not count: a line of nothing else is empty.
    """
    x, y, z = (e - s for s, e in zip(start, end, strict=True))
    length = np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-6))
    last = np.maximum(0.0, 1.0 - BEFORE_SURFACE_M / length)
    first = np.minimum(presumed_m / length, 0.5 * last)
    at = np.linspace(1.0 / samples, 1.0, samples)[:, None] * (last - first) + first
    at = at.astype(np.float32)
    line = Points(start.x + at * x, start.y + at * y, start.z + at * z)
    flat = Points(*(np.ravel(a) for a in line))
    empty = np.zeros(flat.z.shape, bool)
    open_ = np.arange(len(empty))
    for view in views:
        if not len(open_):
            break
        known, z, there = view.surface(flat.at(open_))
        through = known & (z < there - CLEAR_M)
        empty[open_[through]] = True
        open_ = open_[~through]
    share = empty.reshape(samples, -1).mean(axis=0)
    return np.where(length > BEFORE_SURFACE_M, share, 1.0)
