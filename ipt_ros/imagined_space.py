"""The mask of imagined occupancy, and the contract that lets a planner trust it. ROS-free.

The contract: observed cells are always -1. Imagined ones are 0 to 90, never lethal. What stands is
released as soon as a cell is seen, and all of it on request, on a changed map and after a timeout.
Every method returns the mask to publish now, or None when the one that stands is still right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipt_model.maps import UNKNOWN, OccupancyGrid

#: 100 is lethal to Nav2; an imagined wall may cost, and must never forbid.
HIGHEST = 90
UNTOUCHED = -1


def mask_cells(observed: np.ndarray, imagined: Sequence[np.ndarray]) -> np.ndarray:
    """observed: H x W int8 map. imagined: probabilities of occupied per cell, H x W each, NaN
    where not drawn; the mean of those that speak counts.
    """
    mask = np.full(observed.shape, UNTOUCHED, np.int8)
    if not len(imagined):
        return mask
    stack = np.stack([np.asarray(i, np.float64) for i in imagined])
    spoken = ~np.isnan(stack)
    count = spoken.sum(axis=0)
    mean = np.where(spoken, stack, 0.0).sum(axis=0) / np.maximum(count, 1)
    speaks = (observed == UNKNOWN) & (count > 0)
    percent = np.clip(np.rint(100.0 * mean), 0, HIGHEST)
    mask[speaks] = percent[speaks].astype(np.int8)
    return mask


class ImaginedSpace:
    """What stands in the world as our mask. Times are seconds on one monotonic clock."""

    def __init__(self, timeout_s: float, min_period_s: float) -> None:
        self._timeout_s = timeout_s
        self._min_period_s = min_period_s
        self._standing: OccupancyGrid | None = None
        self._imagined_at = -np.inf
        self._published_at = -np.inf

    @property
    def stands(self) -> bool:
        """Whether any cell of the published mask claims something."""
        return self._standing is not None and bool((self._standing.cells != UNTOUCHED).any())

    def observe(self, grid: OccupancyGrid) -> OccupancyGrid | None:
        """A new observed map: cells that are seen now are released, and another geometry clears.

        The first map is answered with an all-clear: a node that was killed here before may have
        left a mask standing in somebody's costmap.
        """
        if self._standing is None or not same_geometry(self._standing, grid):
            # whatever stood was for other cells; planners must not read it in the new frame
            return self._publish(np.full(grid.cells.shape, UNTOUCHED, np.int8), grid)
        released = (grid.cells != UNKNOWN) & (self._standing.cells != UNTOUCHED)
        if not released.any():
            return None
        return self._publish(np.where(released, UNTOUCHED, self._standing.cells), grid)

    def imagine(
        self, grid: OccupancyGrid, imagined: Sequence[np.ndarray], now_s: float
    ) -> OccupancyGrid | None:
        """Fresh imaginations of the newest observed map."""
        self._imagined_at = now_s
        cells = mask_cells(grid.cells, imagined)
        if (
            self._standing is not None
            and same_geometry(self._standing, grid)
            and np.array_equal(cells, self._standing.cells)
        ):
            return None
        # A costmap logs and re-reads every mask: not faster than the stated rate. A map of another
        # geometry does not wait: see `observe`.
        if now_s - self._published_at < self._min_period_s:
            return self.observe(grid)
        self._published_at = now_s
        return self._publish(cells, grid)

    def expire(self, now_s: float) -> OccupancyGrid | None:
        """Called at a rate: clears what was imagined too long ago."""
        if self.stands and now_s - self._imagined_at > self._timeout_s:
            return self.clear()
        return None

    def clear(self) -> OccupancyGrid | None:
        """All -1, at once; None when nothing stands."""
        if not self.stands:
            return None
        assert self._standing is not None
        return self._publish(np.full(self._standing.cells.shape, UNTOUCHED), self._standing)

    def _publish(self, cells: np.ndarray, grid: OccupancyGrid) -> OccupancyGrid:
        self._standing = OccupancyGrid(cells.astype(np.int8), grid.resolution_m, grid.origin_xy)
        return self._standing


def same_geometry(a: OccupancyGrid, b: OccupancyGrid) -> bool:
    return (
        a.cells.shape == b.cells.shape
        and a.resolution_m == b.resolution_m
        and a.origin_xy == b.origin_xy
    )
