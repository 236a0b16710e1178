"""Puts a picture together from remembered views.

Points of all views are thrown onto the picture and the nearest stays. Each pixel then looks back
into the view that its point came from: only if that view sees a surface right there does the pixel
count, and it takes colour and depth from that spot, not from a neighbour. Last, the line from
where one looks to the surface must run through space that some view saw empty: else something
unseen may stand before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipt_model.spatial.recalled import HOLE_RGB, RecalledView
from ipt_model.spatial.views.keeping import free_share, tolerance_m
from ipt_model.spatial.views.remembered import RememberedView
from ipt_model.spatial.views.splat import Landed, nearest
from ipt_model.spatial.views.targets import Target

#: Samples on each line.
LINE_SAMPLES = 12
#: One line is looked along for each square of so many pixels.
LINE_STEP = 2
#: Pixels beside the picture whose points may still reach into it.
_AROUND_PX = 8
#: What is seen more closely, and what is newer, wins among surfaces at about the same depth.
_COARSE_COSTS, _OLD_COSTS = 0.01, 0.005
#: The lower bits of a point's owner are its pixel, the others its view.
_PIXEL_BITS = 20


def recall(views: Sequence[RememberedView], target: Target) -> RecalledView:
    """views: oldest first."""
    height, width = target.size
    rgb = np.empty((height * width, 3), np.uint8)
    rgb[:] = HOLE_RGB
    depth = np.zeros(height * width, np.float32)
    source = np.full(height * width, -1, np.int16)
    landed = [_thrown(k, view, len(views), target) for k, view in enumerate(views)]
    landed = [one for one in landed if one is not None]
    if landed:
        every = Landed(*(np.concatenate(parts) for parts in zip(*landed, strict=True)))
        best = nearest(every, height, width).ravel()
        pixel = np.flatnonzero(best >= 0)
        owner = best[pixel]
        of_view = owner >> _PIXEL_BITS
        for k in np.flatnonzero(np.bincount(of_view)).tolist():
            own = of_view == k
            index = owner[own] & ((1 << _PIXEL_BITS) - 1)
            at, colours, metres = _looked_back(views[k], pixel[own], index, target)
            rgb[at], depth[at], source[at] = colours, metres, k
        hidden = _behind_unseen(views, target, depth, source)
        rgb[hidden], depth[hidden], source[hidden] = HOLE_RGB, 0, -1
    used = np.flatnonzero(np.bincount(source[source >= 0], minlength=1)).tolist()
    place = np.full(len(views) + 1, -1, np.int16)
    place[used] = np.arange(len(used))
    return RecalledView(
        rgb=rgb.reshape(height, width, 3),
        depth_m=depth.reshape(height, width),
        seen=(source >= 0).reshape(height, width),
        source=place[source].reshape(height, width),
        stamps_ns=tuple(views[k].stamp_ns for k in used),
    )


def _thrown(k: int, view: RememberedView, count: int, target: Target) -> Landed | None:
    """The points of one view where they land on the picture; None if none can."""
    height, width = target.size
    rough = target.spots(view.samples)
    if not len(rough.u) or not _may_reach(rough.u, rough.v, rough.in_front, target.size):
        return None
    focal, _ = target.focus
    # a picture with fewer pixels per radian needs fewer points
    step = max(1, min(4, int(view.lens.fx / focal))) if np.isfinite(focal) else 2
    own, index = view.points(step)
    spots = target.spots(own.moved(view.local))
    near = spots.in_front & (spots.u > -_AROUND_PX) & (spots.u < width + _AROUND_PX)
    near &= (spots.v > -_AROUND_PX) & (spots.v < height + _AROUND_PX)
    index = index[near]
    spots = type(spots)(*(a[near] for a in spots))
    apart = own.z[near] * np.float32(step / view.lens.fx) * spots.scale  # pixels between points
    older = (count - 1 - k) / count
    worse = 1 + _COARSE_COSTS * np.minimum(apart, 3) + _OLD_COSTS * older
    owner = index.astype(np.int64) | k << _PIXEL_BITS
    return Landed(spots.u, spots.v, spots.depth_m * worse, apart + 1, owner)


def _may_reach(u: np.ndarray, v: np.ndarray, ahead: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether what lies between these spots could touch a picture of this size."""
    if not ahead.any():
        return False
    if not ahead.all():  # what is partly behind the camera may land anywhere
        return True
    return bool(u.max() > 0 and v.max() > 0 and u.min() < size[1] and v.min() < size[0])


def _looked_back(
    view: RememberedView, pixel: np.ndarray, index: np.ndarray, target: Target
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels at which this view really sees what its points say; colour and depth there.

    pixel, index: flat, of the target and of the view's point that won it.
    """
    depth = target.spots(view.own(index).moved(view.local)).depth_m
    for _ in range(2):  # a point beside the pixel's line is moved along its surface onto it
        at = target.points(pixel, depth).moved(view.from_local)
        inside, u, v = view.pixels(at)
        pixel, index, u, v, z = (a[inside] for a in (pixel, index, u, v, at.z))
        there = view.own(v.astype(np.int64) * view.size[1] + u.astype(np.int64))
        right = (there.z > 0) & (np.abs(there.z - z) <= tolerance_m(there.z))
        pixel, index, u, v = (a[right] for a in (pixel, index, u, v))
        depth = target.spots(there.at(right).moved(view.local)).depth_m
    positive = depth >= 0
    return pixel[positive], view.colours(u[positive], v[positive]), depth[positive]


def _behind_unseen(
    views: Sequence[RememberedView], target: Target, depth: np.ndarray, source: np.ndarray
) -> np.ndarray:
    """Flat mask of seen pixels before which something unseen may stand."""
    height, width = target.size
    asked = _one_of_each_block(source.reshape(height, width) >= 0)
    ends = target.points(asked, depth[asked])
    eye = target.focus[1]
    by_near = sorted(views, key=lambda v: float(np.linalg.norm(v.local[:3, 3] - eye)))
    share = free_share(by_near, target.lines(ends), ends, LINE_SAMPLES, target.presumed_m)
    rows, columns = np.divmod(asked, width)
    blocked = np.zeros((-(-height // LINE_STEP), -(-width // LINE_STEP)), bool)
    blocked[rows // LINE_STEP, columns // LINE_STEP] = share < target.least_free
    whole = blocked.repeat(LINE_STEP, 0).repeat(LINE_STEP, 1)[:height, :width]
    return np.asarray(whole.ravel() & (source >= 0))


def _one_of_each_block(seen: np.ndarray) -> np.ndarray:
    """Flat index of one seen pixel in every small square that has one."""
    width = seen.shape[1]
    rows, columns = np.nonzero(seen)
    block = rows // LINE_STEP * -(-width // LINE_STEP) + columns // LINE_STEP
    _, first = np.unique(block, return_index=True)
    return np.asarray(rows[first] * width + columns[first])
