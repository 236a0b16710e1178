"""The safety contract of the imagined-space mask, cell by cell, on random maps and
imaginations.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ipt_model.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.imagined_space import HIGHEST, UNTOUCHED, ImaginedSpace, mask_cells

PAGE = Path(__file__).parents[2] / "docs" / "nav2.md"
SHAPE = (9, 7)
observed_maps = arrays(np.int8, SHAPE, elements=st.sampled_from([UNKNOWN, FREE, 40, OCCUPIED]))
imaginations = st.lists(
    arrays(np.float64, SHAPE, elements=st.one_of(st.floats(0, 1), st.just(np.nan))), max_size=4
)


def grid(cells, origin=(0.0, 0.0)):
    return OccupancyGrid(np.asarray(cells, np.int8), 0.05, origin)


def unknown():
    return grid(np.full(SHAPE, UNKNOWN))


def wall(probability=1.0):
    return np.full(SHAPE, probability)


@given(observed_maps, imaginations)
def test_never_lethal(observed, imagined):
    assert mask_cells(observed, imagined).max() <= HIGHEST < OCCUPIED


@given(observed_maps, imaginations)
def test_never_touches_an_observed_cell(observed, imagined):
    assert (mask_cells(observed, imagined)[observed != UNKNOWN] == UNTOUCHED).all()


@given(observed_maps, imaginations)
def test_claims_nothing_that_was_not_imagined(observed, imagined):
    spoken = np.zeros(SHAPE, bool)
    for one in imagined:
        spoken |= ~np.isnan(one)
    assert (mask_cells(observed, imagined)[~spoken] == UNTOUCHED).all()


def test_the_mean_over_imaginations_in_percent():
    mask = mask_cells(unknown().cells, [wall(0.2), wall(0.4), wall(np.nan)])
    assert (mask == 30).all()


def test_aligned_with_the_map_it_was_imagined_for():
    observed = OccupancyGrid(np.full(SHAPE, UNKNOWN, np.int8), 0.1, (-3.0, 2.0))
    mask = ImaginedSpace(5.0, 0.5).imagine(observed, [wall()], 0.0)
    assert (mask.cells.shape, mask.resolution_m, mask.origin_xy) == (SHAPE, 0.1, (-3.0, 2.0))


@given(st.lists(observed_maps, min_size=1, max_size=5), imaginations)
def test_a_cell_that_becomes_observed_is_released_at_the_next_map(later, imagined):
    space = ImaginedSpace(timeout_s=5.0, min_period_s=0.5)
    standing = space.imagine(unknown(), imagined, 0.0)
    for cells in later:
        standing = space.observe(grid(cells)) or standing
        if standing is not None:
            assert (standing.cells[cells != UNKNOWN] == UNTOUCHED).all()


def test_published_on_change_only():
    space = ImaginedSpace(5.0, 0.5)
    assert space.imagine(unknown(), [wall(0.5)], 0.0) is not None
    assert space.imagine(unknown(), [wall(0.5)], 10.0) is None
    assert space.observe(unknown()) is None


def test_not_faster_than_the_stated_rate():
    space = ImaginedSpace(5.0, min_period_s=1.0)
    assert space.imagine(unknown(), [wall(0.5)], 0.0) is not None
    assert space.imagine(unknown(), [wall(0.6)], 0.5) is None
    assert space.imagine(unknown(), [wall(0.6)], 1.1) is not None


def test_the_rate_never_delays_a_release():
    space = ImaginedSpace(5.0, min_period_s=1.0)
    space.imagine(unknown(), [wall(0.5)], 0.0)
    seen = grid(np.full(SHAPE, FREE))
    released = space.imagine(seen, [wall(0.5)], 0.1)
    assert (released.cells == UNTOUCHED).all()


def test_the_first_map_is_answered_with_an_all_clear():
    """Whoever was here before may have been killed with a mask standing."""
    first = ImaginedSpace(5.0, 0.5).observe(unknown())
    assert (first.cells == UNTOUCHED).all()
    assert first.cells.shape == SHAPE


def test_it_expires():
    space = ImaginedSpace(timeout_s=5.0, min_period_s=0.5)
    space.imagine(unknown(), [wall()], 0.0)
    assert space.expire(4.9) is None
    cleared = space.expire(5.1)
    assert (cleared.cells == UNTOUCHED).all()
    assert not space.stands
    assert space.expire(100.0) is None


def test_imagining_the_same_again_keeps_it_alive():
    space = ImaginedSpace(timeout_s=5.0, min_period_s=0.5)
    space.imagine(unknown(), [wall()], 0.0)
    assert space.imagine(unknown(), [wall()], 4.0) is None
    assert space.expire(6.0) is None
    assert space.stands


def test_clear_is_at_once_whatever_the_rate():
    space = ImaginedSpace(5.0, min_period_s=100.0)
    space.imagine(unknown(), [wall()], 0.0)
    assert (space.clear().cells == UNTOUCHED).all()
    assert space.clear() is None


@pytest.mark.parametrize(
    "changed",
    [
        OccupancyGrid(np.full(SHAPE, UNKNOWN, np.int8), 0.05, (1.0, 0.0)),
        OccupancyGrid(np.full(SHAPE, UNKNOWN, np.int8), 0.1, (0.0, 0.0)),
        OccupancyGrid(np.full((4, 4), UNKNOWN, np.int8), 0.05, (0.0, 0.0)),
    ],
    ids=["moved", "rescaled", "resized"],
)
def test_a_map_of_another_geometry_clears_in_the_new_geometry(changed):
    space = ImaginedSpace(5.0, 0.5)
    space.imagine(unknown(), [wall()], 0.0)
    cleared = space.observe(changed)
    assert (cleared.cells == UNTOUCHED).all()
    assert cleared.cells.shape == changed.cells.shape
    assert (cleared.resolution_m, cleared.origin_xy) == (changed.resolution_m, changed.origin_xy)


def test_the_page_names_one_test_for_every_clause():
    clauses = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    clauses = clauses[clauses.index("| clause | that is | test |") + 1 :]
    assert len(clauses) >= 20
    tests = "".join(p.read_text() for p in Path(__file__).parent.glob("test_*.py"))
    for clause in clauses:
        (name,) = re.findall("`(test_[a-z_]+)`", clause)
        assert tests.count(f"def {name}(") == 1, clause


def test_what_a_user_adds_is_a_filter_of_the_global_costmap_in_few_lines():
    (block,) = re.findall("```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(block.splitlines()) <= 15
    given = yaml.safe_load(block)["global_costmap"]["global_costmap"]["ros__parameters"]
    assert given["track_unknown_space"] is True and "plugins" not in given
    (name,) = given["filters"]
    assert given[name]["plugin"] == "nav2_costmap_2d::KeepoutFilter"
