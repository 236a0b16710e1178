"""Frontiers: where the known floor ends, from where one looks beyond, and which are none."""

import math

import numpy as np
import pytest

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.navigation.planning.frontiers import (
    ASIDE_M,
    LEAST_CELLS,
    border_of,
    frontiers_of,
)
from ipt_ros.navigation.planning.search import ways_to

AT = (10, 10)


@pytest.fixture
def grid():
    """A room of 2 x 2 m with walls, a doorway in the east and a wide one in the north."""
    cells = np.full((40, 40), UNKNOWN, np.int8)
    cells[:20, :20] = FREE
    cells[0, :20] = cells[:20, 0] = OCCUPIED
    cells[19, :20] = cells[:20, 19] = OCCUPIED
    cells[6:13, 19] = FREE
    cells[19, 3:17] = FREE
    return OccupancyGrid(cells, 0.1, (0.0, 0.0))


def found(grid, looked=(), counts=None):
    counts = np.where(grid.cells == FREE, 50.0, np.inf) if counts is None else counts
    return frontiers_of(grid, ways_to(AT, counts), looked, 0.6)


def test_a_border_is_free_and_beside_the_unknown(grid):
    border = border_of(grid.cells)
    assert border.sum() == 7 + 14
    assert border[6:13, 19].all() and border[19, 3:17].all()


def test_frontiers_are_the_doorways_the_nearest_first_and_look_out(grid):
    east, north = found(grid)
    assert east.place == (9, 19) and north.place in ((19, 9), (19, 10))
    assert east.counts <= north.counts
    assert east.pose[:2] == pytest.approx((1.95, 0.95))
    assert abs(east.pose[2]) < 0.3 and abs(north.pose[2] - 0.5 * math.pi) < 0.3
    assert len(east.cells) == 7 and len(north.cells) == 14


def test_where_the_robot_has_looked_around_there_is_none(grid):
    left = found(grid, [(1.9, 1.2)])
    assert len(left) == 1 and left[0].place[0] == 19


def test_a_gap_between_rays_is_none(grid):
    cells = grid.cells.copy()
    cells[6:13, 19] = OCCUPIED
    cells[8 : 8 + LEAST_CELLS - 1, 19] = FREE
    other = OccupancyGrid(cells, 0.1, (0.0, 0.0))
    assert len(found(other)) == 1
    cells[8 : 8 + LEAST_CELLS, 19] = FREE
    assert len(found(OccupancyGrid(cells, 0.1, (0.0, 0.0)))) == 2


def test_who_cannot_stand_on_a_border_stands_aside_or_stays_away(grid):
    counts = np.where(grid.cells == FREE, 50.0, np.inf)
    counts[:, 16:] = np.inf
    east = next(one for one in found(grid, counts=counts) if len(one.cells) == 7)
    assert east.place == (9, 15)
    counts[:, 19 - round(ASIDE_M / 0.1) :] = np.inf
    assert [len(one.cells) for one in found(grid, counts=counts)] == [14]
