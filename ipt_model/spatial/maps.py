"""Top-down maps as pictures the model can look at, and drawn maps read back as occupancy.

In: an occupancy grid in the convention of nav_msgs (-1 unknown, 0 free, 100 occupied; row 0 at the
lowest y), a path and marks. Out: a square RGB picture with north (y) up, and the other way round a
probability per cell. The green channel carries the occupancy and nothing else: paths and marks are
painted in red and blue only, so a drawn map can be read through its path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.spatial.recalled import RecalledView

UNKNOWN, FREE, OCCUPIED = -1, 0, 100

#: Green levels of the three kinds of cell; far apart, and unknown half-way, so that a blurry
#: drawing reads as doubt.
FREE_GREEN, UNKNOWN_GREEN, OCCUPIED_GREEN = 235, 132, 30
#: (red, blue) of each mark; green stays what the cell says.
PATH_RED_BLUE = (0, 255)
ROBOT_RED_BLUE = (255, 0)
GOAL_RED_BLUE = (255, 255)


class MapError(ValueError):
    """A map that cannot be drawn or read: what was given and what was expected."""


@dataclass(frozen=True)
class OccupancyGrid:
    """cells: H x W int8 with -1, 0, 100; cells[0, 0] is the square whose lower left corner is the
    origin.

    resolution_m: side of a cell. origin_xy: x, y of that corner, m, along the axes of the cells.
    turn_rad: how far these axes are turned against the frame that the map is stated in, about the
    zero of both; every point that a grid is asked for is along the axes of the cells.
    """

    cells: np.ndarray
    resolution_m: float
    origin_xy: tuple[float, float]
    turn_rad: float = 0.0

    def __post_init__(self) -> None:
        if self.cells.ndim != 2 or self.cells.size == 0 or self.cells.dtype != np.int8:
            raise MapError(
                f"cells: expected a non-empty H x W int8 array, got {self.cells.shape} "
                f"{self.cells.dtype}"
            )
        if not self.resolution_m > 0:
            raise MapError(f"resolution_m: expected a positive length, got {self.resolution_m}")

    def indices(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of points (... x 2, m); may lie outside the grid."""
        cell = np.floor((np.asarray(xy, float) - self.origin_xy) / self.resolution_m).astype(int)
        return cell[..., 1], cell[..., 0]

    def inside(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Whether there are such cells; bool, the shape of both."""
        height, width = self.cells.shape
        return (row >= 0) & (row < height) & (column >= 0) & (column < width)

    def values(self, xy: np.ndarray) -> np.ndarray:
        """The cell values at points (... x 2, m); unknown outside the grid."""
        row, column = self.indices(xy)
        inside = self.inside(row, column)
        found = np.full(row.shape, UNKNOWN, np.int8)
        found[inside] = self.cells[row[inside], column[inside]]
        return found

    def centres(self) -> np.ndarray:
        """H x W x 2: x, y of the middle of every cell, m."""
        height, width = self.cells.shape
        x = self.origin_xy[0] + (np.arange(width) + 0.5) * self.resolution_m
        y = self.origin_xy[1] + (np.arange(height) + 0.5) * self.resolution_m
        return np.stack(np.meshgrid(x, y), axis=-1)


@dataclass(frozen=True)
class MapView:
    """Which square of the world a map picture shows: lower left corner and side in m, size in
    pixels.
    """

    x_min: float
    y_min: float
    side_m: float
    size_px: int

    def __post_init__(self) -> None:
        if not (self.side_m > 0 and self.size_px > 0):
            raise MapError(f"expected a positive side and size, got {self}")

    @staticmethod
    def around(x: float, y: float, side_m: float, size_px: int) -> MapView:
        """The square with its middle at x, y."""
        return MapView(x - 0.5 * side_m, y - 0.5 * side_m, side_m, size_px)

    @staticmethod
    def ahead(
        robot: tuple[float, float, float], size_px: int, pictures: PictureGeometry
    ) -> MapView:
        """The square that clearance questions show to a robot at x, y, yaw."""
        x, y, yaw = robot
        away = 0.5 * pictures.map_side_m - pictures.map_behind_m
        middle = x + away * math.cos(yaw), y + away * math.sin(yaw)
        return MapView.around(*middle, pictures.map_side_m, size_px)

    def shows(self, xy: np.ndarray, pictures: PictureGeometry) -> np.ndarray:
        """Whether points (... x 2, m) lie where the data draws paths: inside, off the border."""
        share = self.to_pixel(xy) / self.size_px
        return np.asarray((np.abs(share - 0.5) < 0.5 * pictures.map_shown).all(axis=-1))

    def to_pixel(self, xy: np.ndarray) -> np.ndarray:
        """Points (... x 2, m) to column, row in pixels; pixel centres at .5, row 0 at the top
        (north).
        """
        scaled = (np.asarray(xy, float) - (self.x_min, self.y_min)) * (self.size_px / self.side_m)
        return np.stack([scaled[..., 0], self.size_px - scaled[..., 1]], axis=-1)

    def to_world(self, pixel: np.ndarray) -> np.ndarray:
        """The inverse of `to_pixel`."""
        pixel = np.asarray(pixel, float)
        flipped = np.stack([pixel[..., 0], self.size_px - pixel[..., 1]], axis=-1)
        return flipped * (self.side_m / self.size_px) + (self.x_min, self.y_min)

    def pixel_centres(self) -> np.ndarray:
        """size x size x 2: world x, y of the middle of every pixel, m."""
        at = np.arange(self.size_px) + 0.5
        return self.to_world(np.stack(np.meshgrid(at, at), axis=-1))


def draw_map(
    grid: OccupancyGrid,
    view: MapView,
    *,
    path: np.ndarray | Sequence[Sequence[float]] | None = None,
    robot: tuple[float, float, float] | None = None,
    goal: tuple[float, float] | None = None,
    path_width_m: float | None = None,
) -> np.ndarray:
    """The map as size x size x 3 uint8 RGB.

    path: N x 2 points, m. robot: x, y, yaw of a triangle that points ahead. goal: x, y of a
    square. path_width_m: what a robot of this width sweeps is painted; None paints a thin line.
    """
    values = grid.values(view.pixel_centres())
    green = np.full(values.shape, UNKNOWN_GREEN, np.uint8)
    green[values == FREE] = FREE_GREEN
    green[values >= 50] = OCCUPIED_GREEN
    picture = np.repeat(green[:, :, None], 3, axis=2)
    scale = max(1.0, view.size_px / 64)
    if path is not None:
        points = np.asarray(path, float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
            raise MapError(f"path: expected N x 2 points with N >= 2, got shape {points.shape}")
        width = 1.5 * scale
        if path_width_m is not None:
            width = path_width_m * view.size_px / view.side_m
        _stroke(picture, view.to_pixel(points), max(1, round(width)), PATH_RED_BLUE)
    if goal is not None:
        middle, half = view.to_pixel(np.asarray(goal, float)), 1.5 * scale
        corners = [(-half, -half), (half, -half), (half, half), (-half, half)]
        _fill(picture, middle + np.array(corners), GOAL_RED_BLUE)
    if robot is not None:
        x, y, yaw = robot
        middle, size = view.to_pixel(np.array([x, y])), 3.0 * scale
        spikes = [(yaw, size), (yaw + 2.5, 0.8 * size), (yaw - 2.5, 0.8 * size)]
        corners = [(r * math.cos(a), -r * math.sin(a)) for a, r in spikes]
        _fill(picture, middle + np.array(corners), ROBOT_RED_BLUE)
    return picture


def recalled_map(
    picture: np.ndarray, grid: OccupancyGrid, view: MapView, stamps_ns: tuple[int, ...] = ()
) -> RecalledView:
    """A drawn map as a recalled view: what was seen of the completed one. Its unknown cells stay
    as they are drawn, the path through them with them. It has no depth, 0 everywhere.
    """
    seen = grid.values(view.pixel_centres()) != UNKNOWN
    return RecalledView(picture, np.zeros(seen.shape, np.float32), seen, stamps_ns=stamps_ns)


def read_map(picture: np.ndarray, view: MapView, grid: OccupancyGrid) -> np.ndarray:
    """Occupancy probability of every cell of `grid` as a picture draws it, H x W float32; NaN
    outside the view.

    The picture may have another size than `view.size_px` (a model may draw smaller): it is
    stretched to the view's square. Each cell takes the mean of the pixels it covers, at least the
    nearest one.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise MapError(f"picture: expected H x W x 3, got shape {picture.shape}")
    green = picture[:, :, 1].astype(np.float32)
    drawn = np.clip((FREE_GREEN - green) / (FREE_GREEN - OCCUPIED_GREEN), 0.0, 1.0)
    height, width = drawn.shape
    # Sums over any rectangle of pixels from one integral image.
    total = cv2.integral(drawn)
    unit = MapView(view.x_min, view.y_min, view.side_m, 1)
    half = 0.5 * grid.resolution_m
    centres = grid.centres()
    low = unit.to_pixel(centres + (-half, half)) * (width, height)
    high = unit.to_pixel(centres + (half, -half)) * (width, height)
    column0, row0 = np.rint(low[..., 0]).astype(int), np.rint(low[..., 1]).astype(int)
    column1, row1 = np.rint(high[..., 0]).astype(int), np.rint(high[..., 1]).astype(int)
    middle = np.floor(0.5 * (low + high)).astype(int)
    column0 = np.where(column1 <= column0, middle[..., 0], column0)
    row0 = np.where(row1 <= row0, middle[..., 1], row0)
    column1, row1 = np.maximum(column1, column0 + 1), np.maximum(row1, row0 + 1)
    inside = (
        (middle[..., 0] >= 0)
        & (middle[..., 0] < width)
        & (middle[..., 1] >= 0)
        & (middle[..., 1] < height)
    )
    column0, column1 = np.clip(column0, 0, width - 1), np.clip(column1, 1, width)
    row0, row1 = np.clip(row0, 0, height - 1), np.clip(row1, 1, height)
    area = np.maximum((row1 - row0) * (column1 - column0), 1)
    summed = (
        total[row1, column1] - total[row0, column1] - total[row1, column0] + total[row0, column0]
    )
    return np.where(inside, summed / area, np.nan).astype(np.float32)


def under(mask: np.ndarray, view: MapView, grid: OccupancyGrid) -> np.ndarray:
    """H x W bool: the cells of `grid` of which the middle lies below a true pixel of a mask of the
    view, of any size.
    """
    height, width = mask.shape
    unit = MapView(view.x_min, view.y_min, view.side_m, 1)
    at = np.floor(unit.to_pixel(grid.centres()) * (width, height)).astype(int)
    column, row = at[..., 0], at[..., 1]
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    found = np.zeros(grid.cells.shape, bool)
    found[inside] = mask[row[inside], column[inside]]
    return found


def _stroke(
    picture: np.ndarray, pixels: np.ndarray, width: int, red_blue: tuple[int, int]
) -> None:
    """Paint a line without touching green."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    fixed = np.round((pixels - 0.5) * 16).astype(np.int32)  # OpenCV: 4 fractional bits
    cv2.polylines(mask, [fixed.reshape(-1, 1, 2)], False, 255, width, cv2.LINE_8, 4)
    picture[mask > 0, 0], picture[mask > 0, 2] = red_blue


def _fill(picture: np.ndarray, pixels: np.ndarray, red_blue: tuple[int, int]) -> None:
    mask = np.zeros(picture.shape[:2], np.uint8)
    fixed = np.round((pixels - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed.reshape(-1, 1, 2)], 255, cv2.LINE_8, 4)
    picture[mask > 0, 0], picture[mask > 0, 2] = red_blue
