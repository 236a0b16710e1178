"""Other ways to a mask than the model's: filled from the nearest walls, by a small network, made
for another place, or true. All speak of the same square as the model and go the same way to the
planner.

In: the map that was seen and where the robot stands. Out: cells as `~/imagined_space` has them:
-1 where nothing is said, else 0 to 90.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ipt_model.spatial.maps import OCCUPIED, UNKNOWN, MapView, OccupancyGrid, draw_map, read_map
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.mask.imagined_space import UNTOUCHED, mask_cells, widened
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.table import defaults
from ipt_training.evaluation.map_completion import inpainted
from ipt_training.filling.network import FillingNetwork, Holed

Pose = tuple[float, float, float]
#: How far a wall that is told of costs around itself, m: the node's default.
WIDENING_M = defaults(IPT_PARAMETERS).imagined_space_widening_m
#: Side of the pictures that the small network fills, pixels: that of the shipped model.
PICTURE_PX = 64


def picture_of(
    grid: OccupancyGrid, robot: Pose, pictures: PictureGeometry
) -> tuple[np.ndarray, MapView]:
    """The map as the model is shown it: the square ahead, with a path of 2 m straight on."""
    view = MapView.ahead(robot, PICTURE_PX, pictures)
    steps = np.linspace(0.0, 2.0, 21)[:, None]
    path = np.array(robot[:2]) + steps * (math.cos(robot[2]), math.sin(robot[2]))
    goal = (float(path[-1, 0]), float(path[-1, 1]))
    return draw_map(grid, view, path=path, robot=robot, goal=goal), view


def by_network(
    network: FillingNetwork, grid: OccupancyGrid, robot: Pose, pictures: PictureGeometry
) -> np.ndarray:
    picture, view = picture_of(grid, robot, pictures)
    seen = grid.values(view.pixel_centres()) != UNKNOWN
    (filled,) = network.fill([Holed(picture, seen, "map")])
    return _told(grid, read_map(filled, view, grid))


def by_inpainting(grid: OccupancyGrid, robot: Pose, pictures: PictureGeometry) -> np.ndarray:
    return _told(grid, _ahead(grid, robot, pictures, inpainted(grid)))


def by_truth(
    grid: OccupancyGrid,
    robot: Pose,
    pictures: PictureGeometry,
    truth: OccupancyGrid,
    widening_m: float = WIDENING_M,
) -> np.ndarray:
    """What an imagination that is never wrong would say. truth: of the same cells."""
    said = _ahead(grid, robot, pictures, (truth.cells == OCCUPIED).astype(float))
    return _told(grid, said, widening_m)


def _ahead(
    grid: OccupancyGrid, robot: Pose, pictures: PictureGeometry, probability: np.ndarray
) -> np.ndarray:
    """Of the square that the model's picture shows; NaN elsewhere."""
    at = MapView.ahead(robot, PICTURE_PX, pictures).to_pixel(grid.centres())
    inside = ((at >= 0) & (at < PICTURE_PX)).all(-1)
    return np.where(inside, probability, np.nan)


def _told(
    grid: OccupancyGrid, probability: np.ndarray, widening_m: float = WIDENING_M
) -> np.ndarray:
    """As the node tells planners by default. probability: NaN where nothing is said."""
    return widened(mask_cells(grid.cells, [probability]), widening_m / grid.resolution_m)


@dataclass(frozen=True)
class Recorded:
    """A mask of some errand and where the robot stood. cells: H x W int8."""

    cells: np.ndarray
    resolution_m: float
    origin_xy: tuple[float, float]
    robot: Pose


def moved(recorded: Recorded, grid: OccupancyGrid, robot: Pose) -> np.ndarray:
    """What was said there, said here: turned by quarter turns to where the robot looks, and moved
    so that the robots stand on each other. Only of cells that are unknown here.
    """
    quarters = round((robot[2] - recorded.robot[2]) / (0.5 * math.pi)) % 4
    here = grid.centres() - robot[:2]
    for _ in range(quarters):  # back into the frame of the other place
        here = np.stack([here[..., 1], -here[..., 0]], axis=-1)
    there = OccupancyGrid(recorded.cells, recorded.resolution_m, recorded.origin_xy)
    said = there.values(here + np.array(recorded.robot[:2]))
    return np.where(grid.cells == UNKNOWN, said, UNTOUCHED).astype(np.int8)


def released(mask: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The mask after more was seen, as the node publishes it when it hears that map."""
    return np.where(cells == UNKNOWN, mask, UNTOUCHED).astype(np.int8)


def nth(masks: Sequence[Recorded | None], number: int) -> Recorded | None:
    """Of another errand the mask of the same turn; from the beginning where it had fewer."""
    return masks[number % len(masks)] if masks else None
