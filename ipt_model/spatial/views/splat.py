"""The nearest of many points over each pixel: a z-buffer of small squares."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Squares are no wider than this: what is so close was seen too coarsely to be drawn.
WIDEST_PX = 8
_FAR = np.iinfo(np.int64).max


class Landed(NamedTuple):
    """Points on a picture. u, v: pixels, centres at .5. depth_m: what decides who is seen.
    width_px: how wide a square each needs to leave no gap to its neighbours. owner: any number
    below 2**32 that tells whose point it is.
    """

    u: np.ndarray
    v: np.ndarray
    depth_m: np.ndarray
    width_px: np.ndarray
    owner: np.ndarray


def nearest(landed: Landed, height: int, width: int) -> np.ndarray:
    """The owner of the nearest point over each pixel, H x W int64; -1 where there is none."""
    best = np.full(height * width, _FAR)
    key = (np.minimum(landed.depth_m, 4000.0) * 5e5).astype(np.int64) << 32 | landed.owner
    wide = np.minimum(np.ceil(landed.width_px), WIDEST_PX).astype(np.int64)
    for size in np.flatnonzero(np.bincount(wide)):
        of_size = wide == size
        first_u = np.floor(landed.u[of_size] - (0.5 * size - 0.5)).astype(np.int64)
        first_v = np.floor(landed.v[of_size] - (0.5 * size - 0.5)).astype(np.int64)
        own = key[of_size]
        for row in range(size):
            for column in range(size):
                u, v = first_u + column, first_v + row
                inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
                np.minimum.at(best, v[inside] * width + u[inside], own[inside])
    found = best != _FAR
    return np.where(found, best & 0xFFFFFFFF, -1).reshape(height, width)
