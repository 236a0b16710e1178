"""Frontiers: where what is known of the floor ends and a robot could go on to look.

In: a map with cells that nobody has seen, and the ways from where the robot is. Out: `Frontier`s,
the nearest first, each with the pose from which the robot would look into the unknown. Knows
nothing of what is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ipt_model.spatial.maps import FREE, UNKNOWN, OccupancyGrid
from ipt_ros.navigation.planning.search import Cell, Ways

#: A border of fewer cells is a gap between two rays, and nothing to go to.
LEAST_CELLS = 6
#: A border that nobody can stand on is looked at from a place no farther away than this, m.
ASIDE_M = 0.6
#: What lies no farther beyond the border than this says where the unknown is, m.
BEYOND_M = 1.0
_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Frontier:
    """cells: N x 2 rows and columns of the border. place: where to stand, a cell; pose: the same
    in m, and the yaw that looks into the unknown. counts: of the way there.
    """

    cells: np.ndarray
    place: Cell
    pose: tuple[float, float, float]
    counts: float


def border_of(cells: np.ndarray) -> np.ndarray:
    """H x W bool: the free cells beside unknown ones. cells: H x W int8."""
    unknown = np.pad(cells == UNKNOWN, 1)
    beside = unknown[:-2, 1:-1] | unknown[2:, 1:-1] | unknown[1:-1, :-2] | unknown[1:-1, 2:]
    return np.asarray(beside & (cells == FREE))


def frontiers_of(
    grid: OccupancyGrid, ways: Ways, looked: Sequence[tuple[float, float]], apart_m: float
) -> list[Frontier]:
    """ways: from the robot's cell over `grid`. looked: places that the robot has looked around
    from already; a frontier that would be looked at from within `apart_m` of one is left out.
    """
    border = border_of(grid.cells)
    labels, number = ndimage.label(border, structure=_EIGHT)
    centres = grid.centres()
    can_stand = np.isfinite(ways.counts) & (grid.cells == FREE)
    found = []
    for label in range(1, number + 1):
        cells = np.argwhere(labels == label)
        place = _place(cells, can_stand, grid.resolution_m) if len(cells) >= LEAST_CELLS else None
        if place is None:
            continue
        x, y = (float(v) for v in centres[place])
        if any(math.dist((x, y), other) <= apart_m for other in looked):
            continue
        yaw = _into_the_unknown(grid, cells, (x, y))
        found.append(Frontier(cells, place, (x, y, yaw), float(ways.counts[place])))
    return sorted(found, key=lambda frontier: (frontier.counts, frontier.place))


def _place(cells: np.ndarray, can_stand: np.ndarray, resolution_m: float) -> Cell | None:
    """The cell near the middle of a border that the robot can stand on; None where there is
    none.
    """
    apart = np.hypot(*(cells - cells.mean(0)).T)
    middle = cells[int(np.argmin(apart))]
    reach = math.floor(ASIDE_M / resolution_m)
    low = np.maximum(middle - reach, 0)
    near = np.argwhere(can_stand[low[0] : middle[0] + reach + 1, low[1] : middle[1] + reach + 1])
    if not len(near):
        return None
    near = near + low
    away = np.hypot(*(near - middle).T)
    best = int(np.argmin(away))
    if away[best] > reach:
        return None
    return int(near[best, 0]), int(near[best, 1])


def _into_the_unknown(grid: OccupancyGrid, cells: np.ndarray, at: tuple[float, float]) -> float:
    """The yaw from a place towards the middle of the unknown beyond a border."""
    row, column = (int(v) for v in cells[int(np.argmin(np.hypot(*(cells - cells.mean(0)).T)))])
    reach = math.ceil(BEYOND_M / grid.resolution_m)
    rows, columns = max(0, row - reach), max(0, column - reach)
    part = grid.cells[rows : row + reach + 1, columns : column + reach + 1]
    unknown = np.argwhere(part == UNKNOWN) + (rows, columns)
    x, y = grid.centres()[unknown[:, 0], unknown[:, 1]].mean(0) - at
    return round(math.atan2(y, x), 4)
