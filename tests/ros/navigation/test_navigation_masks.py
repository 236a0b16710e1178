"""Masks of other origin go to the planner as the model's do."""

import math

import numpy as np
import pytest

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.mask.imagined_space import HIGHEST
from ipt_ros.navigation.masks import (
    Recorded,
    by_inpainting,
    by_network,
    moved,
    nth,
    released,
)
from ipt_training.filling.network import FillingNetwork

PICTURES = PictureGeometry()


def grid_of(cells):
    return OccupancyGrid(np.asarray(cells, np.int8), 0.1, (-5.0, -4.0))


@pytest.fixture
def grid():
    cells = np.full((80, 100), UNKNOWN, np.int8)
    cells[30:50, 30:60] = FREE
    cells[29, 30:60] = OCCUPIED
    return grid_of(cells)


ROBOT = (-1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "fill",
    [by_inpainting, lambda *given: by_network(FillingNetwork(), *given)],
    ids=["inpainted", "network"],
)
def test_they_speak_of_unseen_cells_of_the_square_ahead_alone(grid, fill):
    mask = fill(grid, ROBOT, PICTURES)
    said = mask >= 0
    assert said.any() and mask.max() <= HIGHEST
    assert not (said & (grid.cells != UNKNOWN)).any()
    x, y = np.moveaxis(grid.centres()[said], -1, 0)
    side, behind = PICTURES.map_side_m, PICTURES.map_behind_m
    assert x.min() > ROBOT[0] - behind - 0.1 and x.max() < ROBOT[0] + side - behind + 0.1
    assert abs(y).max() < side / 2 + 0.1


def test_filled_from_the_nearest_walls_a_cell_beside_a_wall_is_one(grid):
    mask = by_inpainting(grid, ROBOT, PICTURES)
    assert mask[27, 45] > 60 > 20 > mask[52, 45] >= 0


def test_a_mask_that_is_moved_nowhere_is_itself(grid):
    rng = np.random.default_rng(1)
    cells = rng.integers(-1, 91, grid.cells.shape).astype(np.int8)
    here = moved(Recorded(cells, 0.1, grid.origin_xy, ROBOT), grid, ROBOT)
    unknown = grid.cells == UNKNOWN
    assert np.array_equal(here[unknown], cells[unknown])
    assert (here[~unknown] == -1).all()


def test_a_mask_is_turned_and_moved_with_the_robot():
    cells = np.full((80, 100), -1, np.int8)
    there = grid_of(cells)
    row, column = there.indices(np.array([1.05, 0.05]))  # 2 m ahead of the robot
    cells[row, column] = 70
    empty = grid_of(np.full((80, 100), UNKNOWN, np.int8))
    for yaw, at in ((0.5 * math.pi, (2.05, 2.05)), (math.pi, (0.05, 0.05)), (-1.6, (2.05, -1.95))):
        robot = (2.0 + 0.05, 0.05, yaw)
        said = moved(Recorded(cells, 0.1, there.origin_xy, (-0.95, 0.05, 0.0)), empty, robot)
        assert empty.centres()[said == 70] == pytest.approx(np.array([at]))


def test_what_is_seen_is_released():
    mask = np.array([[10, 20, 30]], np.int8)
    seen = np.array([[UNKNOWN, FREE, OCCUPIED]], np.int8)
    assert released(mask, seen).tolist() == [[10, -1, -1]]


def test_masks_of_another_errand_come_in_their_order():
    masks = [object(), None, object()]
    assert [nth(masks, k) for k in range(4)] == [*masks, masks[0]]
    assert nth([], 0) is None
