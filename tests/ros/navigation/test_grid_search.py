"""The way that is found is the cheapest one."""

import math

import numpy as np
import pytest

from ipt_ros.navigation.planning.search import ways_to


def cheapest(counts, goal):
    """By going over all edges until nothing changes."""
    height, width = counts.shape
    best = np.full(counts.shape, math.inf)
    best[goal] = 0.0
    while True:
        before = best.copy()
        for row in range(height):
            for column in range(width):
                for r in range(max(0, row - 1), min(height, row + 2)):
                    for c in range(max(0, column - 1), min(width, column + 2)):
                        step = 0.5 * (counts[row, column] + counts[r, c])
                        step *= math.hypot(r - row, c - column)
                        if (r, c) != (row, column) and best[r, c] + step < best[row, column]:
                            best[row, column] = best[r, c] + step
        if np.array_equal(before, best):
            return best


@pytest.mark.parametrize("seed", range(4))
def test_it_costs_what_trying_everything_finds(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(50, 254, (7, 9)).astype(float)
    counts[rng.random(counts.shape) < 0.3] = math.inf
    goal = tuple(int(v) for v in np.argwhere(np.isfinite(counts))[0])
    ways, truth = ways_to(goal, counts), cheapest(counts, goal)
    assert np.array_equal(np.isfinite(ways.counts), np.isfinite(truth))
    there = np.isfinite(truth)
    assert np.allclose(ways.counts[there], truth[there])
    for start in np.argwhere(there):
        way = ways.from_cell((int(start[0]), int(start[1])))
        assert tuple(way[0]) == tuple(start) and tuple(way[-1]) == goal
        steps = np.abs(np.diff(way, axis=0))
        assert not len(steps) or (steps.max(axis=1) == 1).all()
        along = counts[tuple(way.T)]
        cost = 0.5 * (along[1:] + along[:-1]) * np.hypot(*np.diff(way, axis=0).T)
        assert cost.sum() == pytest.approx(truth[tuple(start)])


def test_where_no_way_leads_there_is_none():
    counts = np.full((3, 5), 50.0)
    counts[:, 2] = math.inf
    assert ways_to((1, 0), counts).from_cell((1, 4)) is None


def test_a_wall_is_gone_around_and_dear_cells_are_shunned():
    counts = np.full((9, 9), 50.0)
    counts[:8, 4] = math.inf
    assert (8, 4) in [tuple(c) for c in ways_to((0, 0), counts).from_cell((0, 8))]
    counts = np.full((3, 9), 50.0)
    counts[1, 2:7] = 253.0
    middle = ways_to((1, 0), counts).from_cell((1, 8))
    assert (middle[:, 0] != 1).sum() >= 5
