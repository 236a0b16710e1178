"""The map a robot draws from its own depth images: free where it saw the floor, occupied where it
saw something that it could hit, unknown elsewhere.

In: depth, camera and pose, view after view. Out: an `OccupancyGrid`. Nothing is guessed: a ray
that passes above a place proves nothing about the floor below it, so it leaves the place unknown.
"""

from __future__ import annotations

import math

import numpy as np

from ipt_model.spatial.lens import Pinhole
from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid

#: Lower than anything that stands on a floor: where a ray is below it, nothing stands.
LOWEST_OBJECT_M = 0.08
FLOOR_M = 0.02
#: A surface on the border of two cells belongs to the one that the ray enters.
_INTO_M = 2e-3


class ObservedMap:
    """Grows with every view. Static world: what was seen occupied once stays so."""

    def __init__(
        self,
        bounds: tuple[float, float, float, float],
        resolution_m: float,
        robot_height_m: float = 1.3,
        range_m: float = 5.0,
        floor_m: float = FLOOR_M,
    ) -> None:
        """bounds: x_min, y_min, x_max, y_max, m. range_m: along the optical axis; floor farther
        away is seen too flat to be told from low things. floor_m: what lies lower is floor."""
        x0, y0, x1, y1 = bounds
        self._origin = (x0, y0)
        self._resolution = resolution_m
        self._height = math.ceil((y1 - y0) / resolution_m - 1e-6)
        self._width = math.ceil((x1 - x0) / resolution_m - 1e-6)
        self._free = np.zeros(self._height * self._width, bool)
        self._occupied = np.zeros_like(self._free)
        self._robot_height, self._range, self._floor = robot_height_m, range_m, floor_m

    def add(self, depth_m: np.ndarray, camera: Pinhole, world_from_camera: np.ndarray) -> None:
        """One view. depth_m: H x W float32 along the optical axis, 0 for no return."""
        height, width = depth_m.shape
        u = ((np.arange(width) + 0.5 - camera.cx) / camera.fx).astype(np.float32)
        v = ((np.arange(height) + 0.5 - camera.cy) / camera.fy).astype(np.float32)
        turn = world_from_camera[:3, :3].astype(np.float32)
        eye = world_from_camera[:3, 3]
        # 3 x H x W: where the pixels look, and from the eye to what they saw, m
        look = turn[:, 0, None, None] * u + (turn[:, 1, None] * v + turn[:, 2, None])[:, :, None]
        ray = look * depth_m
        away = np.hypot(ray[0], ray[1])
        z = np.float32(eye[2]) + ray[2]
        seen = (depth_m > 0) & (depth_m <= self._range)
        solid = seen & (z >= self._floor) & (z <= self._robot_height)
        floor = seen & (z < self._floor) & (ray[2] < -1e-3)
        above = _Above(look, turn[:, 2], 1.5 / camera.fx)
        floor &= above.nearest(away, solid) >= away
        headroom = np.arctan2(self._robot_height - eye[2], away, where=floor, out=np.zeros_like(z))
        floor &= above.reach() >= headroom

        into = ray[:, solid]
        into *= 1.0 + _INTO_M / np.linalg.norm(into, axis=0)
        self._mark(self._occupied, eye[0] + into[0], eye[1] + into[1])
        ray, away = ray[:, floor], away[floor]
        # share of the ray that is lower than any object, and how often to look along it
        low = np.minimum(1.0, (LOWEST_OBJECT_M - self._floor) / -ray[2])
        steps = 1 + int(np.ceil((low * away).max(initial=0.0) / (0.5 * self._resolution)))
        for share in np.linspace(0.0, 1.0, min(steps, 24)):
            at = 1.0 - share * low
            self._mark(self._free, eye[0] + ray[0] * at, eye[1] + ray[1] * at)

    def add_footprint(self, x: float, y: float, radius_m: float) -> None:
        """The robot stands here, so nothing else does: cells wholly below its disc are free."""
        xs = self._origin[0] + (np.arange(self._width) + 0.5) * self._resolution
        ys = self._origin[1] + (np.arange(self._height) + 0.5) * self._resolution
        inner = max(0.0, radius_m - self._resolution * math.sqrt(0.5))
        inside = np.hypot(xs[None, :] - x, ys[:, None] - y) <= inner
        self._free |= inside.ravel()

    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """H x W bool each: seen free, and seen occupied."""
        shape = self._height, self._width
        return self._free.reshape(shape), self._occupied.reshape(shape)

    def grid(self) -> OccupancyGrid:
        """The map so far; a copy."""
        cells = np.full(self._free.shape, UNKNOWN, np.int8)
        cells[self._free] = FREE
        cells[self._occupied] = OCCUPIED
        return OccupancyGrid(
            cells.reshape(self._height, self._width), self._resolution, self._origin
        )

    def _mark(self, flags: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        column = np.floor((x - self._origin[0]) / self._resolution).astype(np.int64)
        row = np.floor((y - self._origin[1]) / self._resolution).astype(np.int64)
        inside = (column >= 0) & (column < self._width) & (row >= 0) & (row < self._height)
        flags[row[inside] * self._width + column[inside]] = True


class _Above:
    """For every pixel, what the picture shows in the same direction of the compass but higher.

    Floor below a table is no place for a robot: a solid that is nearer but seen higher up hangs
    over it. One that is nearer and lower was looked over. Columns of a tilted camera are not
    directions of the compass, hence the table: rows are elevation from the top, columns the
    compass.
    """

    def __init__(self, look: np.ndarray, forward: np.ndarray, bin_rad: float) -> None:
        """look: 3 x H x W directions of the pixels. forward: of the camera; the compass is cut
        behind it."""
        along = forward[0] * look[0] + forward[1] * look[1]
        across = forward[0] * look[1] - forward[1] * look[0]
        self._elevation = np.arctan2(look[2], np.hypot(look[0], look[1]))
        column = np.floor(np.arctan2(across, along) / bin_rad).astype(np.int64)
        row = np.floor(-self._elevation / bin_rad).astype(np.int64)
        self._column = column - column.min() + 1  # one spare on each side
        self._row = row - row.min()
        self._size = (int(self._row.max()) + 1, int(self._column.max()) + 2)

    def nearest(self, away: np.ndarray, solid: np.ndarray) -> np.ndarray:
        """H x W m: the nearest solid at or above each pixel, in its direction or one beside it."""
        table = np.full(self._size, np.inf, np.float32)
        np.minimum.at(table, (self._row[solid], self._column[solid]), away[solid])
        table[:, 1:-1] = np.minimum(np.minimum(table[:, :-2], table[:, 1:-1]), table[:, 2:])
        return np.minimum.accumulate(table, axis=0)[self._row, self._column]

    def reach(self) -> np.ndarray:
        """H x W rad: how high up the picture goes in the direction of each pixel."""
        highest = np.full(self._size[1], -np.inf, np.float32)
        np.maximum.at(highest, self._column.ravel(), self._elevation.ravel())
        return highest[self._column]
