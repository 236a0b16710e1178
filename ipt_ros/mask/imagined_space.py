"""The mask of imagined occupancy, and the contract that lets a planner trust it. ROS-free.

The contract: observed cells are always -1. Imagined ones are 0 to 90, never lethal. What stands is
released as soon as a cell is seen, with what it made of the cells around it, and all of it on
request, on a changed map and after a timeout. Every method returns the mask to publish now, or
None when the one that stands is still right.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ipt_model.spatial.maps import UNKNOWN, OccupancyGrid
from ipt_ros.answering.guard import map_consistency

#: 100 is lethal to Nav2; an imagined wall may cost, and must never forbid.
HIGHEST = 90
UNTOUCHED = -1
#: Cells of two maps are the same when their borders differ by less than this share of a cell.
OFF_GRID = 0.01
#: What 0.55 m over cells of 0.05 m may come out less than 11 by.
_ROUNDING = 1e-6


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


def widened(mask: np.ndarray, reach: float) -> np.ndarray:
    """The mask with every claim as high as the highest no more than `reach` cells away: what
    inflation makes of the walls of a costmap, whose filters come after it. Cells that say nothing
    take no part.
    """
    reach += _ROUNDING
    claims = np.argwhere(mask != UNTOUCHED)
    if reach < 1 or not len(claims):
        return mask
    (top, left), (bottom, right) = claims.min(0), claims.max(0) + 1
    part = mask[top:bottom, left:right]
    said = np.where(part < 0, 0, part).astype(np.uint8)
    highest, rows = said.copy(), len(said)
    # a disc row by row: what a row away reaches in its own row; a whole disc at once takes seconds
    # on a map of fine cells
    for away in range(min(int(reach), rows - 1) + 1):
        half = int(math.sqrt(reach * reach - away * away))
        along = cv2.dilate(said, np.ones((1, 2 * half + 1), np.uint8))
        np.maximum(highest[away:], along[: rows - away], out=highest[away:])
        np.maximum(highest[: rows - away], along[away:], out=highest[: rows - away])
    result = mask.copy()
    result[top:bottom, left:right] = np.where(part == UNTOUCHED, UNTOUCHED, highest)
    return result


def held_to(
    observed: np.ndarray, imagined: Sequence[np.ndarray], least: float
) -> tuple[tuple[np.ndarray, ...], str]:
    """Those drawings that agree with the seen cells at least so well, and why nothing is to be
    published of them: half or more contradict what was seen, or none can be held to anything.
    """
    agreements = [map_consistency(observed, one) for one in imagined]
    if np.isnan(agreements).all():
        return (), "the drawn map covers too few seen cells to be held to them"
    believed = tuple(d for d, a in zip(imagined, agreements, strict=True) if a >= least)
    if len(believed) * 2 > len(agreements):
        return believed, ""
    agreement = float(np.nanmean(agreements))
    return (), f"the drawn map contradicts the seen one (agreement {agreement:.2f})"


@dataclass(frozen=True)
class Geometry:
    """Where the cells of a map lie. shape: rows, columns. The rest as in `OccupancyGrid`."""

    frame_id: str
    shape: tuple[int, int]
    resolution_m: float
    origin_xy: tuple[float, float]
    turn_rad: float = 0.0

    @staticmethod
    def of(grid: OccupancyGrid, frame_id: str) -> Geometry:
        height, width = grid.cells.shape
        return Geometry(
            frame_id, (height, width), grid.resolution_m, grid.origin_xy, grid.turn_rad
        )

    def cells_to(self, other: Geometry) -> tuple[int, int] | None:
        """By how many rows and columns a cell has another index in `other`; None when the cells of
        one are not cells of the other.
        """
        if (self.frame_id, self.resolution_m, self.turn_rad) != (
            other.frame_id,
            other.resolution_m,
            other.turn_rad,
        ):
            return None
        x, y = (
            (mine - its) / self.resolution_m
            for mine, its in zip(self.origin_xy, other.origin_xy, strict=True)
        )
        # beyond, a float no longer tells one cell from the next
        if not max(abs(x), abs(y)) < 1e9 or max(abs(x - round(x)), abs(y - round(y))) > OFF_GRID:
            return None
        return round(y), round(x)


@dataclass(frozen=True)
class Drawing:
    """Completed maps of one place: probabilities of occupied per cell of `geometry`, NaN where not
    drawn.
    """

    geometry: Geometry
    imagined: tuple[np.ndarray, ...]

    def on(self, geometry: Geometry) -> Drawing | None:
        """The same places of the world on a map that rolled or grew by whole cells meanwhile; None
        for any other map.
        """
        if geometry == self.geometry:
            return self
        by = self.geometry.cells_to(geometry)
        if by is None:
            return None
        return Drawing(geometry, tuple(_shifted(i, by, geometry.shape) for i in self.imagined))


def _shifted(cells: np.ndarray, by: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    result = np.full(shape, np.nan, cells.dtype)
    to, come = [], []
    for old, new, shift in zip(cells.shape, shape, by, strict=True):
        low, high = max(0, shift), min(new, old + shift)
        if low >= high:
            return result
        to.append(slice(low, high))
        come.append(slice(low - shift, high - shift))
    result[tuple(to)] = cells[tuple(come)]
    return result


class ImaginedSpace:
    """What stands in the world as our mask. Times are seconds on one monotonic clock."""

    def __init__(self, timeout_s: float, min_period_s: float, widening_m: float = 0.0) -> None:
        """widening_m: how far an imagined wall costs around itself."""
        self._timeout_s = timeout_s
        self._min_period_s = min_period_s
        self._widening_m = widening_m
        self._map: OccupancyGrid | None = None
        self._geometry: Geometry | None = None
        #: What was drawn and not seen since, and what is published of it.
        self._claims: np.ndarray | None = None
        self._standing: OccupancyGrid | None = None
        self._held: Drawing | None = None
        self._imagined_at = -np.inf
        self._published_at = -np.inf

    @property
    def stands(self) -> bool:
        """Whether any cell of the published mask claims something."""
        return self._claims is not None and bool((self._claims != UNTOUCHED).any())

    @property
    def checksum(self) -> int:
        """CRC-32 of the cells that were published last, row by row; 0 before the first map."""
        return 0 if self._standing is None else zlib.crc32(self._standing.cells.tobytes())

    def observe(self, grid: OccupancyGrid, frame_id: str) -> OccupancyGrid | None:
        """A new observed map: cells that are seen now are released, and another geometry clears.

        The first map is answered with an all-clear: a node that was killed here before may have
        left a mask standing in somebody's costmap.
        """
        geometry, before = Geometry.of(grid, frame_id), self._geometry
        self._map, self._geometry = grid, geometry
        if self._claims is None or geometry != before:
            # whatever stood was for other cells; planners must not read it in the new frame
            return self._publish(np.full(geometry.shape, UNTOUCHED, np.int8))
        released = (grid.cells != UNKNOWN) & (self._claims != UNTOUCHED)
        if not released.any():
            return None
        return self._publish(np.where(released, UNTOUCHED, self._claims).astype(np.int8))

    def imagine(self, drawing: Drawing, now_s: float) -> OccupancyGrid | None:
        """Fresh drawings. What was drawn for a map that has moved since is moved; what fits
        the newest map no more is dropped.
        """
        here = self._on_the_map(drawing)
        if here is None:
            return None
        self._imagined_at = now_s
        return self._show(here, now_s)

    def due(self, now_s: float) -> OccupancyGrid | None:
        """Called at a rate: publishes what came too early to be published."""
        held = None if self._held is None else self._on_the_map(self._held)
        return None if held is None else self._show(held, now_s)

    def _on_the_map(self, drawing: Drawing) -> Drawing | None:
        return None if self._geometry is None else drawing.on(self._geometry)

    def _show(self, drawing: Drawing, now_s: float) -> OccupancyGrid | None:
        assert self._map is not None and self._claims is not None
        self._held = None
        claims = mask_cells(self._map.cells, drawing.imagined)
        if np.array_equal(claims, self._claims):
            return None
        # A costmap logs and re-reads every mask: not faster than the stated rate. What is seen or
        # of another geometry does not wait: see `observe`.
        if now_s - self._published_at < self._min_period_s:
            self._held = drawing
            return None
        self._published_at = now_s
        return self._publish(claims)

    def expire(self, now_s: float) -> OccupancyGrid | None:
        """Called at a rate: clears what was imagined too long ago."""
        return self.clear() if now_s - self._imagined_at > self._timeout_s else None

    def clear(self) -> OccupancyGrid | None:
        """All -1, at once, and nothing more of what was drawn until now; None when nothing
        stands.
        """
        self._held = None
        if not self.stands:
            return None
        assert self._claims is not None
        return self._publish(np.full_like(self._claims, UNTOUCHED))

    def widen(self, by_m: float) -> OccupancyGrid | None:
        """From now on imagined walls cost so far around themselves, m; those that stand too."""
        if by_m == self._widening_m:
            return None
        self._widening_m = by_m
        return None if self._claims is None else self._publish(self._claims)

    def _publish(self, claims: np.ndarray) -> OccupancyGrid:
        assert self._geometry is not None
        self._claims = claims
        self._standing = OccupancyGrid(
            widened(claims, self._widening_m / self._geometry.resolution_m),
            self._geometry.resolution_m,
            self._geometry.origin_xy,
            self._geometry.turn_rad,
        )
        return self._standing
