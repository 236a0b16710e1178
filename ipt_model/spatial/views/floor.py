"""What one remembered view says of the floor around it, in the cells of a grid; kept, because a
map is asked for again and again and a view hardly ever changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_model.spatial.observed_map import ObservedMap
from ipt_model.spatial.views.remembered import RememberedView

#: Floor is looked at up to this far from the camera, m.
RANGE_M = 5.0
#: Lower than this above the floor is floor: a sensor's floor is never quite flat.
FLOOR_NOISE_M = 0.04


@dataclass(frozen=True)
class Ground:
    """How cells are cut. turn_rad: of their axes. phase_xy: where the border of a cell lies, from
    0 to a cell's side. footprint_m: nothing stood within this of a camera.
    """

    resolution_m: float
    turn_rad: float
    phase_xy: tuple[float, float]
    robot_height_m: float
    floor_m: float
    footprint_m: float

    @staticmethod
    def of(
        shape: OccupancyGrid, robot_height_m: float, floor_m: float, footprint_m: float
    ) -> Ground:
        side = shape.resolution_m
        # rounded: the same grid moved by whole cells differs in the last digits
        x, y = (round(v / side - math.floor(v / side + 1e-6), 6) * side for v in shape.origin_xy)
        return Ground(side, shape.turn_rad, (x, y), robot_height_m, floor_m, footprint_m)

    @property
    def axes_from_world(self) -> np.ndarray:
        c, s = math.cos(self.turn_rad), math.sin(self.turn_rad)
        axes = np.eye(4)
        axes[:2, :2] = [[c, s], [-s, c]]
        axes[2, 3] = -self.floor_m
        return axes


@dataclass(frozen=True)
class Floor:
    """Cells around one camera. row, column: of the first, counted from the phase of the ground."""

    row: int
    column: int
    free: np.ndarray
    occupied: np.ndarray


def floor_of(view: RememberedView, ground: Ground) -> Floor:
    side = ground.resolution_m
    pose = ground.axes_from_world @ view.world_from_camera
    reach = math.ceil(RANGE_M / side) + 1
    column, row = (
        math.floor((v - p) / side) - reach
        for v, p in zip(pose[:2, 3], ground.phase_xy, strict=True)
    )
    x, y = column * side + ground.phase_xy[0], row * side + ground.phase_xy[1]
    width = 2 * reach + 1
    bounds = (x, y, x + width * side, y + width * side)
    seen = ObservedMap(bounds, side, ground.robot_height_m, RANGE_M, FLOOR_NOISE_M)
    seen.add(view.depth_m, view.lens, pose)
    if ground.footprint_m > 0:
        seen.add_footprint(float(pose[0, 3]), float(pose[1, 3]), ground.footprint_m)
    return Floor(row, column, *seen.masks())


class Floors:
    """The floors of remembered views on one ground at a time."""

    def __init__(self) -> None:
        self._ground: Ground | None = None
        self._kept: dict[RememberedView, tuple[int, Floor]] = {}

    def grid(
        self, views: Sequence[RememberedView], shape: OccupancyGrid, ground: Ground
    ) -> OccupancyGrid:
        """All of them on a grid of this ground. What one view saw occupied and another free is
        occupied: a foot of a table is between the looks that pass it.
        """
        if ground != self._ground:
            self._ground, self._kept = ground, {}
        height, width = shape.cells.shape
        side = ground.resolution_m
        column, row = (
            round((v - p) / side) for v, p in zip(shape.origin_xy, ground.phase_xy, strict=True)
        )
        free, occupied = np.zeros((2, height, width), bool)
        kept = {}
        for view in views:
            known = self._kept.get(view)
            if known is None or known[0] != view.changes:
                known = view.changes, floor_of(view, ground)
            kept[view] = known
            _place(free, known[1].free, known[1].row - row, known[1].column - column)
            _place(occupied, known[1].occupied, known[1].row - row, known[1].column - column)
        self._kept = kept
        cells = np.full((height, width), UNKNOWN, np.int8)
        cells[free] = FREE
        cells[occupied] = OCCUPIED
        return OccupancyGrid(cells, side, shape.origin_xy, shape.turn_rad)


def _place(on: np.ndarray, piece: np.ndarray, row: int, column: int) -> None:
    """Mark what a piece marks, its first cell at row and column, as far as that is there."""
    r0, r1 = max(row, 0), min(row + piece.shape[0], on.shape[0])
    c0, c1 = max(column, 0), min(column + piece.shape[1], on.shape[1])
    if r0 < r1 and c0 < c1:
        on[r0:r1, c0:c1] |= piece[r0 - row : r1 - row, c0 - column : c1 - column]
