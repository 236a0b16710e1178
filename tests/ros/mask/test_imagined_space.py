"""The safety contract of the imagined-space mask, cell by cell, on random maps and
imaginations.
"""

import re
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.mask.imagined_space import (
    HIGHEST,
    UNTOUCHED,
    Drawing,
    Geometry,
    ImaginedSpace,
    held_to,
    mask_cells,
    widened,
)

PAGE = Path(__file__).parents[3] / "docs" / "nav2.md"
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


@given(observed_maps, imaginations, st.floats(0, 4))
def test_an_imagined_wall_costs_around_itself(observed, imagined, reach):
    mask = mask_cells(observed, imagined)
    told = widened(mask, reach)
    assert ((told == UNTOUCHED) == (mask == UNTOUCHED)).all() and told.max() <= HIGHEST
    for (row, column), value in np.ndenumerate(told):
        if value != UNTOUCHED:
            rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
            near = np.hypot(rows - row, columns - column) <= reach + 1e-6
            assert value == mask[near].max()


def test_a_wall_that_turns_out_not_to_be_there_costs_nothing_around_it():
    space = ImaginedSpace(5.0, 0.0, widening_m=0.1)
    space.observe(unknown(), "map")
    line = np.zeros(SHAPE)
    line[:, 3] = 0.8
    told = space.imagine(Drawing(Geometry.of(unknown(), "map"), (line,)), 0.0)
    assert (told.cells == np.array([0, 80, 80, 80, 80, 80, 0])).all()
    seen = np.full(SHAPE, UNKNOWN)
    seen[:, 3] = FREE
    told = space.observe(grid(seen), "map")
    assert (told.cells == np.array([0, 0, 0, UNTOUCHED, 0, 0, 0])).all()
    assert space.widen(0.1) is None
    space = ImaginedSpace(5.0, 0.0)
    space.observe(unknown(), "map")
    space.imagine(Drawing(Geometry.of(unknown(), "map"), (line,)), 0.0)
    assert (space.widen(0.05).cells == np.array([0, 0, 80, 80, 80, 0, 0])).all()


def space_with(observed, timeout_s=5.0, min_period_s=0.5):
    space = ImaginedSpace(timeout_s, min_period_s)
    space.observe(observed, "map")
    return space


def drawn(imagined, observed=None, frame="map"):
    return Drawing(Geometry.of(observed or unknown(), frame), tuple(imagined))


def test_aligned_with_the_map_it_was_imagined_for():
    observed = OccupancyGrid(np.full(SHAPE, UNKNOWN, np.int8), 0.1, (-3.0, 2.0))
    mask = space_with(observed).imagine(drawn([wall()], observed), 0.0)
    assert (mask.cells.shape, mask.resolution_m, mask.origin_xy) == (SHAPE, 0.1, (-3.0, 2.0))


@given(st.lists(observed_maps, min_size=1, max_size=5), imaginations)
def test_a_cell_that_becomes_observed_is_released_at_the_next_map(later, imagined):
    space = space_with(unknown())
    standing = space.imagine(drawn(imagined), 0.0)
    for cells in later:
        standing = space.observe(grid(cells), "map") or standing
        if standing is not None:
            assert (standing.cells[cells != UNKNOWN] == UNTOUCHED).all()


def test_published_on_change_only():
    space = space_with(unknown())
    assert space.imagine(drawn([wall(0.5)]), 0.0) is not None
    assert space.imagine(drawn([wall(0.5)]), 10.0) is None
    assert space.observe(unknown(), "map") is None


def test_not_faster_than_the_stated_rate():
    space = space_with(unknown(), min_period_s=1.0)
    assert space.imagine(drawn([wall(0.5)]), 0.0) is not None
    assert space.imagine(drawn([wall(0.6)]), 0.5) is None
    assert space.imagine(drawn([wall(0.6)]), 1.1) is not None


def test_a_drawing_that_came_too_early_is_published_when_it_is_due():
    space = space_with(unknown(), min_period_s=1.0)
    space.imagine(drawn([wall(0.5)]), 0.0)
    space.imagine(drawn([wall(0.6)]), 0.9)
    assert space.due(0.95) is None
    assert (space.due(1.0).cells == 60).all()
    assert space.due(9.0) is None


def test_what_waits_to_be_published_is_forgotten_with_an_all_clear():
    space = space_with(unknown(), min_period_s=1.0)
    space.imagine(drawn([wall(0.5)]), 0.0)
    space.imagine(drawn([wall(0.6)]), 0.9)
    assert (space.clear().cells == UNTOUCHED).all()
    assert space.due(2.0) is None and not space.stands


def test_what_waits_to_be_published_touches_nothing_that_was_seen_meanwhile():
    space = space_with(unknown(), min_period_s=1.0)
    space.imagine(drawn([wall(0.5)]), 0.0)
    space.imagine(drawn([wall(0.6)]), 0.9)
    cells = np.full(SHAPE, UNKNOWN)
    cells[2] = FREE
    space.observe(grid(cells), "map")
    mask = space.due(1.0).cells
    assert (mask[2] == UNTOUCHED).all() and (np.delete(mask, 2, 0) == 60).all()


def test_the_rate_never_delays_a_release():
    space = space_with(unknown(), min_period_s=1.0)
    space.imagine(drawn([wall(0.5)]), 0.0)
    released = space.observe(grid(np.full(SHAPE, FREE)), "map")
    assert (released.cells == UNTOUCHED).all()
    assert space.imagine(drawn([wall(0.5)]), 0.1) is None


def test_the_first_map_is_answered_with_an_all_clear():
    """Whoever was here before may have been killed with a mask standing."""
    first = ImaginedSpace(5.0, 0.5).observe(unknown(), "map")
    assert (first.cells == UNTOUCHED).all()
    assert first.cells.shape == SHAPE


def test_without_a_map_nothing_is_said():
    assert ImaginedSpace(5.0, 0.5).imagine(drawn([wall()]), 0.0) is None


def test_it_expires():
    space = space_with(unknown())
    space.imagine(drawn([wall()]), 0.0)
    assert space.expire(4.9) is None
    cleared = space.expire(5.1)
    assert (cleared.cells == UNTOUCHED).all()
    assert not space.stands
    assert space.expire(100.0) is None


def test_imagining_the_same_again_keeps_it_alive():
    space = space_with(unknown())
    space.imagine(drawn([wall()]), 0.0)
    assert space.imagine(drawn([wall()]), 4.0) is None
    assert space.expire(6.0) is None
    assert space.stands


def test_clear_is_at_once_whatever_the_rate():
    space = space_with(unknown(), min_period_s=100.0)
    space.imagine(drawn([wall()]), 0.0)
    assert (space.clear().cells == UNTOUCHED).all()
    assert space.clear() is None


OTHERS = {
    "moved": (grid(np.full(SHAPE, UNKNOWN), (1.0, 0.0)), "map"),
    "moved by a part of a cell": (grid(np.full(SHAPE, UNKNOWN), (0.02, 0.0)), "map"),
    "moved beyond all digits": (grid(np.full(SHAPE, UNKNOWN), (1e300, 0.0)), "map"),
    "rescaled": (OccupancyGrid(np.full(SHAPE, UNKNOWN, np.int8), 0.1, (0.0, 0.0)), "map"),
    "resized": (grid(np.full((4, 4), UNKNOWN)), "map"),
    "in another frame": (unknown(), "odom"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_map_of_another_geometry_clears_in_the_new_geometry(name):
    changed, frame = OTHERS[name]
    space = space_with(unknown())
    space.imagine(drawn([wall()]), 0.0)
    cleared = space.observe(changed, frame)
    assert (cleared.cells == UNTOUCHED).all()
    assert cleared.cells.shape == changed.cells.shape
    assert (cleared.resolution_m, cleared.origin_xy) == (changed.resolution_m, changed.origin_xy)


@pytest.mark.parametrize(
    "name",
    ["moved by a part of a cell", "moved beyond all digits", "rescaled", "in another frame"],
)
def test_a_drawing_for_a_map_with_other_cells_is_dropped(name):
    changed, frame = OTHERS[name]
    space = space_with(changed)
    if frame != "map":
        space.observe(changed, frame)
    assert space.imagine(drawn([wall()]), 0.0) is None
    assert not space.stands


@given(
    arrays(np.float64, SHAPE, elements=st.floats(0, 0.9)),
    st.integers(-11, 11),
    st.integers(-11, 11),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_a_drawing_stays_where_it_was_imagined_when_the_map_rolls_or_grows(
    imagined, rows, columns, shape
):
    """Every claim, looked up by its place in the world."""
    before = unknown()
    after = grid(np.full(shape, UNKNOWN), (columns * 0.05, rows * 0.05))
    space = space_with(before)
    space.observe(after, "map")
    mask = space.imagine(drawn([imagined]), 0.0)
    cells = np.full(shape, UNTOUCHED) if mask is None else mask.cells
    expected = np.full(shape, UNTOUCHED)
    for row in range(shape[0]):
        for column in range(shape[1]):
            old = (row + rows, column + columns)
            if 0 <= old[0] < SHAPE[0] and 0 <= old[1] < SHAPE[1]:
                expected[row, column] = np.rint(100 * imagined[old])
    assert np.array_equal(cells, expected)


def test_why_a_drawing_is_not_believed_is_told_apart():
    """What cannot be held to anything contradicts nothing, and is not published either."""
    seen = np.full(SHAPE, UNKNOWN, np.int8)
    seen[:, :4] = FREE
    like, unlike = np.full(SHAPE, 0.1), np.full(SHAPE, 0.9)
    elsewhere = np.where(seen == UNKNOWN, 0.5, np.nan)
    assert held_to(seen, [like, unlike, like], 0.35) == ((like, like), "")
    for drawings in ([unlike], [like, unlike], [unlike, elsewhere]):
        believed, why = held_to(seen, drawings, 0.35)
        assert believed == () and "contradicts" in why and "nan" not in why
    for least in (0.0, 0.35):
        believed, why = held_to(seen, [elsewhere], least)
        assert believed == () and "too few seen cells" in why


def test_the_page_names_one_test_for_every_clause():
    _, _, table = PAGE.read_text().partition("| clause | that is | test |\n")
    _, *clauses = takewhile(lambda line: line.startswith("|"), table.splitlines())
    assert len(clauses) >= 20
    tests = "".join(p.read_text() for p in Path(__file__).parents[1].rglob("test_*.py"))
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
