"""The maps of an example in its facts: the cells of the truth and of what was seen, as text.

In: grids, or the facts of a stored row. Out: the other of the two, without loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, MapView, OccupancyGrid


def cropped(grid: OccupancyGrid, view: MapView) -> OccupancyGrid:
    """The cells whose middle lies in the view, unknown where the grid ends."""
    res = grid.resolution_m
    column = math.floor((view.x_min - grid.origin_xy[0]) / res + 0.5)
    row = math.floor((view.y_min - grid.origin_xy[1]) / res + 0.5)
    side = round(view.side_m / res)
    cells = np.full((side, side), UNKNOWN, np.int8)
    h, w = grid.cells.shape
    r0, r1, c0, c1 = max(row, 0), min(row + side, h), max(column, 0), min(column + side, w)
    if r0 < r1 and c0 < c1:
        cells[r0 - row : r1 - row, c0 - column : c1 - column] = grid.cells[r0:r1, c0:c1]
    origin = (grid.origin_xy[0] + column * res, grid.origin_xy[1] + row * res)
    return OccupancyGrid(cells, res, origin)


_SIGNS = {FREE: ".", OCCUPIED: "#", UNKNOWN: "?"}


def rows_of(cells: np.ndarray) -> list[str]:
    """The grid as one string a row, from the lowest y up: '.' free, '#' occupied, '?' unknown."""
    return ["".join(_SIGNS[int(v)] for v in row) for row in cells]


def cells_of(rows: list[str]) -> np.ndarray:
    """The inverse of `rows_of`: H x W int8."""
    values = {sign: value for value, sign in _SIGNS.items()}
    return np.array([[values[c] for c in row] for row in rows], np.int8)


def grids_of(facts: Mapping[str, Any]) -> tuple[OccupancyGrid, OccupancyGrid]:
    """(truth, what was seen) of an example, from its facts."""
    return true_grid(facts), _grid(facts, "cells_seen")


def true_grid(facts: Mapping[str, Any]) -> OccupancyGrid:
    """The truth alone: reading cells takes a while."""
    return _grid(facts, "cells_true")


def _grid(facts: Mapping[str, Any], name: str) -> OccupancyGrid:
    x, y = (float(v) for v in facts["cells_origin_m"])
    return OccupancyGrid(cells_of(facts[name]), float(facts["cells_resolution_m"]), (x, y))
