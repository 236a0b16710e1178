"""Risk along a path: the whole sweep counts, sight wins over imagination, and what neither tells
stays unsaid.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.answering import path_risk
from ipt_ros.answering.path_risk import check_radius, sweep
from ipt_ros.errors import ErrorCode, GoalError

ALONG = np.stack([np.linspace(0.1, 1.9, 10), np.full(10, 1.0)], axis=1)


def grid(cells, resolution=0.1):
    return OccupancyGrid(np.asarray(cells).astype(np.int8), resolution, (0.0, 0.0))


def walled():
    """8 x 4 m seen free, with a wall one cell thick across at x = 4.5 m."""
    cells = np.full((80, 160), FREE)
    cells[:, 90] = OCCUPIED
    return grid(cells, 0.05)


# -- sight ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.01, 0.3])
def test_a_wall_between_two_poses_blocks(radius):
    found = sweep(walled(), np.array([[1.0, 2.0], [7.0, 2.0], [7.5, 2.0]]), radius)
    assert found.seen_blocked == 1
    assert found.risk(None).poses.tolist() == [0.0, 1.0, 0.0]


def test_a_corner_that_only_the_side_of_the_robot_meets_blocks():
    cells = np.full((80, 160), FREE)
    cells[45, 80] = OCCUPIED  # from y = 2.25 m, beside the line at y = 2 m
    path = np.array([[1.0, 2.0], [7.0, 2.0]])
    assert sweep(grid(cells, 0.05), path, 0.24).seen_blocked is None
    assert sweep(grid(cells, 0.05), path, 0.26).seen_blocked == 1


def test_seen_free_all_along_is_no_risk_whatever_is_imagined():
    found = sweep(grid(np.full((20, 20), FREE)), ALONG, 0.25)
    # the ends of the path reach over the edge of the map, which is unknown
    assert (found.risk(np.ones((20, 20))).poses[3:-3] == 0).all()
    assert not found.all_seen
    assert sweep(grid(np.full((20, 20), FREE)), ALONG[3:-3], 0.25).all_seen


def test_the_first_pose_that_touches_something_seen_is_named():
    cells = np.full((20, 20), FREE)
    cells[:, 10] = OCCUPIED
    found = sweep(grid(cells), ALONG, 0.15)
    assert found.seen_blocked == int(np.flatnonzero(ALONG[:, 0] > 1.0 - 0.2)[0])
    assert found.risk(None).poses[found.seen_blocked] == 1.0


@pytest.mark.parametrize("x", [30.0, -30.0, 1e6, 1e18, -1e300])
def test_a_place_off_the_map_was_not_seen(x):
    found = sweep(grid(np.full((20, 20), FREE)), np.array([[x, 1.0]]), 0.3)
    assert not found.all_seen and found.seen_blocked is None
    assert np.isnan(found.risk(np.zeros((20, 20))).poses).all()


cell_values = st.sampled_from([UNKNOWN, FREE, OCCUPIED])
maps_of = arrays(np.int8, (12, 12), elements=cell_values)
radii = st.floats(0.001, 0.5)
paths = arrays(np.float64, (4, 2), elements=st.floats(-0.5, 1.7))


def touched(path, radius):
    """By brute force, for each point between the poses: which of the 12 x 12 cells, and of as many
    to each side, are nearer than the radius. Half-way between two discs a step of 0.05 m apart
    the edge lies up to 0.013 m farther in.
    """
    share = np.linspace(0, 1, 60)[:, None]
    for i in range(1, len(path)):
        for point in path[i - 1] + share * (path[i] - path[i - 1]):
            low = np.arange(-12, 24) * 0.1
            near = np.maximum(np.maximum(low - point[:, None], point[:, None] - low - 0.1), 0)
            yield i, np.hypot(near[0][None, :], near[1][:, None]) < radius - 0.013


@settings(max_examples=60)
@given(maps_of, paths, st.floats(0.05, 0.5))
def test_nothing_that_was_seen_between_poses_is_missed(cells, path, radius):
    wide = np.full((36, 36), UNKNOWN, np.int8)
    wide[12:24, 12:24] = cells
    found = sweep(grid(cells), path, radius)
    first = None
    for i, mask in touched(path, radius):
        if (wide[mask] == OCCUPIED).any():
            first = i if first is None else first
        assert not ((wide[mask] == UNKNOWN).any() and found.all_seen)
    if first is not None:
        assert found.seen_blocked is not None and found.seen_blocked <= first


@settings(max_examples=60)
@given(maps_of, arrays(np.float64, (12, 12), elements=st.floats(0, 1)), radii, paths)
def test_sight_always_wins(cells, imagined, radius, path):
    found = sweep(grid(cells), path, radius)
    risk, doubt = found.risk(imagined), found.risk(1.0 - imagined)
    known = risk.poses[~np.isnan(risk.poses)]
    assert ((known >= 0) & (known <= 1)).all()
    if found.seen_blocked is not None:
        assert risk.poses[found.seen_blocked] == 1.0
    if found.all_seen:
        assert set(known) <= {0.0, 1.0} and risk.complete
        assert np.array_equal(risk.poses, doubt.poses)


# -- imagination ----------------------------------------------------------------------------------


def test_unknown_without_imagination_is_not_a_number():
    found = sweep(grid(np.full((20, 20), UNKNOWN)), ALONG, 0.15)
    assert np.isnan(found.risk(None).poses).all()
    assert not found.all_seen and not found.risk(None).complete


def test_imagination_speaks_for_unknown_cells():
    imagined = np.full((20, 20), 0.1)
    imagined[:, 12:] = 0.8
    found = sweep(grid(np.full((20, 20), UNKNOWN)), ALONG[2:-2], 0.15).risk(imagined)
    assert found.poses[[0, -1]] == pytest.approx([0.1, 0.8])
    assert (np.diff(found.poses) >= 0).all() and found.complete


@settings(max_examples=60)
@given(arrays(np.float64, (12, 12), elements=st.floats(0, 1)), radii, paths)
def test_the_worst_of_the_disc_counts(imagined, radius, path):
    """Against brute force over the steps that are taken, on a map of which nothing was seen."""
    found = sweep(grid(np.full((12, 12), UNKNOWN)), path, radius)
    least, most = np.zeros(len(path)), np.zeros(len(path))
    low = np.arange(12) * 0.1
    for point, pose in zip(found.points, found.leads_to, strict=True):
        near = np.maximum(np.maximum(low - point[:, None], point[:, None] - low - 0.1), 0)
        away = np.hypot(near[0][None, :], near[1][:, None])
        # a cell that is touched at one point may fall to either side by rounding
        least[pose] = max(least[pose], imagined[away <= radius - 1e-9].max(initial=0.0))
        most[pose] = max(most[pose], imagined[away <= radius + 1e-9].max(initial=0.0))
    risk = found.risk(imagined).poses
    told = ~np.isnan(risk)
    assert (risk[told] >= least[told] - 1e-6).all() and (risk[told] <= most[told] + 1e-6).all()


def test_a_stretch_that_is_drawn_in_part_is_told_only_when_it_blocks():
    imagined = np.full((20, 20), np.nan)
    imagined[:, :10] = 0.2
    unknown = grid(np.full((20, 20), UNKNOWN))
    path = np.array([[0.3, 1.0], [1.7, 1.0]])
    assert math.isnan(sweep(unknown, path, 0.15).risk(imagined).poses[1])
    imagined[:, 5] = 0.9
    assert sweep(unknown, path, 0.15).risk(imagined).poses[1] == pytest.approx(0.9)


def test_a_disc_that_is_half_off_the_map_still_tells_of_what_blocks_it():
    imagined = np.zeros((12, 12))
    imagined[0, 4], imagined[7, 0] = 0.75, 1.0
    path = np.array([[1.0, 0.0], [-0.5, 0.8125], [0.0, 0.0]])
    risk = sweep(grid(np.full((12, 12), UNKNOWN)), path, 0.15625).risk(imagined).poses
    assert risk[1] == 1.0  # not the 0.75 of a disc that lies wholly on the map


# -- which part is shown --------------------------------------------------------------------------


def test_the_part_that_is_shown_goes_through_most_that_was_not_seen():
    cells = np.full((20, 40), FREE)
    cells[:, 30:] = UNKNOWN
    found = sweep(grid(cells), np.array([[0.5, 1.0], [1.95, 1.0], [3.5, 1.0]]), 0.15)
    shown = (found.points[:, 0] < 1.0) | (found.points[:, 0] > 1.51)
    line = found.line(found.stretch(shown))
    assert line[0, 0] == pytest.approx(1.55, abs=0.04) and line[-1].tolist() == [3.5, 1.0]
    assert [1.95, 1.0] in line.tolist() and len(line) == 3
    everything = found.line(found.stretch(np.ones(len(found.points), bool)))
    assert np.array_equal(everything, found.path_xy)
    assert found.line(found.stretch(np.zeros(len(found.points), bool))).shape == (0, 2)


# -- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.0, -0.3, -0.04, math.nan, math.inf, 250.0])
def test_there_is_no_such_robot(radius):
    with pytest.raises(GoalError, match="robot_radius_m") as caught:
        check_radius(radius)
    assert caught.value.code is ErrorCode.BAD_GOAL


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (np.zeros((path_risk.MOST_POSES + 1, 2)), "at most 5000 poses, got 5001"),
        (np.array([[0.0, 0.0], [401.0, 0.0]]), "at most 400 m .4000 cells of the map., got 401 m"),
    ],
)
def test_a_path_without_measure_is_refused_with_the_limit(path, words):
    with pytest.raises(GoalError, match=words) as caught:
        sweep(grid(np.full((20, 20), FREE)), path, 0.3)
    assert caught.value.code is ErrorCode.BAD_GOAL


def test_the_work_is_bounded_whatever_the_path(monkeypatch):
    """The longest path of the most poses with the largest robot: counted, not timed."""
    work = []
    spans = path_risk._spans

    def counted(*args):
        for some, found in spans(*args):
            work.append(found.row.size)
            yield some, found

    monkeypatch.setattr(path_risk, "_spans", counted)
    cells = grid(np.full((400, 4000), FREE), 0.05)
    x = np.linspace(0.0, 199.9, path_risk.MOST_POSES)
    sweep(cells, np.column_stack([x, np.full_like(x, 10.0)]), 2.0)
    steps, rows = 2 * path_risk.MOST_CELLS + path_risk.MOST_POSES, 2 * (2.0 / 0.05 + 1) + 1
    assert sum(work) <= steps * rows and max(work) <= path_risk._AT_ONCE
