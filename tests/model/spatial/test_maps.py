"""Map pictures: what is drawn can be read back, marks hide no cells, pixels and metres agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipt_model.network.transforms import resize
from ipt_model.spatial.maps import UNKNOWN, MapError, MapView, OccupancyGrid, draw_map, read_map


def random_grid(seed: int, height: int = 64, width: int = 64) -> OccupancyGrid:
    rng = np.random.default_rng(seed)
    coarse = rng.choice(np.array([-1, 0, 100], np.int8), (height // 8, width // 8))
    return OccupancyGrid(np.kron(coarse, np.ones((8, 8), np.int8)), 0.1, (-3.0, 1.0))


@given(st.floats(-20, 20), st.floats(-20, 20), st.integers(16, 512))
def test_pixels_and_metres_are_inverse(x: float, y: float, size: int) -> None:
    view = MapView.around(1.0, -2.0, 6.4, size)
    point = np.array([x, y])
    assert np.allclose(view.to_world(view.to_pixel(point)), point)


def test_cells_and_points_are_inverse() -> None:
    grid = random_grid(2, 40, 56)
    row, column = grid.indices(grid.centres())
    assert (row == np.arange(40)[:, None]).all() and (column == np.arange(56)).all()
    assert grid.inside(row, column).all()
    assert (grid.values(grid.centres()) == grid.cells).all()
    for outside in ((-3.01, 2.0), (2.61, 2.0), (0.0, 0.99), (0.0, 5.01)):
        assert not grid.inside(*grid.indices(np.array(outside)))
        assert grid.values(np.array(outside)) == UNKNOWN


def test_north_is_up_and_west_is_left() -> None:
    view = MapView(0.0, 0.0, 10.0, 100)
    assert view.to_pixel(np.array([0.0, 0.0])).tolist() == [0.0, 100.0]
    assert view.to_pixel(np.array([10.0, 10.0])).tolist() == [100.0, 0.0]
    grid = OccupancyGrid(np.zeros((10, 10), np.int8), 1.0, (0.0, 0.0))
    grid.cells[9, 0] = 100  # north-west corner
    picture = draw_map(grid, view)
    assert picture[5, 5, 1] < 60
    assert picture[95, 95, 1] > 200


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([64, 96, 128, 200]))
def test_a_drawn_map_reads_back_through_path_and_marks(seed: int, size: int) -> None:
    grid = random_grid(seed)
    view = MapView(-3.0, 1.0, 6.4, size)
    path = np.array([[-2.5, 1.5], [0.0, 4.0], [3.0, 7.0]])
    picture = draw_map(grid, view, path=path, robot=(-2.5, 1.5, 0.7), goal=(3.0, 7.0))
    assert picture.shape == (size, size, 3)
    probability = read_map(picture, view, grid)
    assert not np.isnan(probability).any()
    known = grid.cells >= 0
    assert ((probability > 0.5) == (grid.cells == 100))[known].mean() > 0.985
    if size % 64 == 0:  # cells and pixels line up: exact
        assert ((probability > 0.5) == (grid.cells == 100))[known].all()
        assert np.allclose(probability[~known], 0.5, atol=0.01)


def test_a_map_drawn_smaller_than_the_view_still_reads() -> None:
    grid = random_grid(3)
    view = MapView(-3.0, 1.0, 6.4, 128)
    small = resize(draw_map(grid, view), 64, 64)
    probability = read_map(small, view, grid)
    known = grid.cells >= 0
    assert ((probability > 0.5) == (grid.cells == 100))[known].mean() > 0.97


def test_cells_outside_the_view_are_unknown_to_the_reader() -> None:
    grid = random_grid(1)
    view = MapView(-3.0, 1.0, 3.2, 64)  # the lower left quarter
    probability = read_map(draw_map(grid, view), view, grid)
    assert not np.isnan(probability[:32, :32]).any()
    assert np.isnan(probability[32:]).all()
    assert np.isnan(probability[:, 32:]).all()


def test_the_path_is_visible_on_every_kind_of_cell() -> None:
    grid = random_grid(5)
    view = MapView(-3.0, 1.0, 6.4, 64)
    plain = draw_map(grid, view)
    marked = draw_map(grid, view, path=[[-3.0, 4.2], [3.4, 4.2]])
    changed = (plain != marked).any(axis=2)
    assert changed.sum() >= 60
    distance = np.abs(plain[changed].astype(int) - marked[changed]).max(axis=1)
    assert distance.min() > 20
    assert (plain[:, :, 1] == marked[:, :, 1]).all()


def test_what_cannot_be_a_map_is_refused() -> None:
    grid = random_grid(0)
    view = MapView(0.0, 0.0, 1.0, 8)
    with pytest.raises(MapError, match="N >= 2"):
        draw_map(grid, view, path=[[0.0, 0.0]])
    with pytest.raises(MapError, match="int8"):
        OccupancyGrid(np.zeros((4, 4)), 0.1, (0.0, 0.0))
    with pytest.raises(MapError, match="positive"):
        OccupancyGrid(np.zeros((4, 4), np.int8), 0.0, (0.0, 0.0))
    with pytest.raises(MapError, match="H x W x 3"):
        read_map(np.zeros((4, 4), np.uint8), view, grid)
