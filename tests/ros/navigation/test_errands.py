"""Errands: the same every time, in houses that nobody was trained in, and of the kind they say."""

import math

import numpy as np
import pytest

from ipt_model.spatial.maps import OCCUPIED, UNKNOWN
from ipt_ros.navigation.errands.episodes import (
    CELL_M,
    RELEVANT,
    ROOM_M,
    errands_of,
    houses,
    optimist_m,
    see_from,
    true_map,
)
from ipt_ros.navigation.errands.houses import house_of
from ipt_ros.navigation.errands.houses import test_seeds as held_out
from ipt_training.houses.checks import unreachable_rooms
from ipt_training.scenes.grids import clearance_m
from ipt_training.scenes.splits import split_of

SEEDS = (850001, 850002, 850005)


@pytest.fixture(scope="module")
def made():
    return {seed: house_of(seed) for seed in SEEDS}


def test_nothing_was_trained_in_the_houses():
    assert {split_of(held_out()[0]), split_of(held_out()[-1])} == {"test"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_house_is_changed_the_same_way_every_time_and_stays_open(made, seed):
    house = made[seed]
    assert house.changes and house.changed != house.plain
    assert not unreachable_rooms(house.changed)
    assert house_of(seed) == house


def test_a_shut_doorway_is_a_wall_and_a_new_one_is_open(made):
    shut = made[850002]
    assert shut.changes == ("the doorway between rooms 1 and 2 shut",)
    (gone,) = set(shut.plain.doors) - set(shut.changed.doors)
    assert true_map(shut).values(np.array([[gone.x, gone.y]]))[0] == OCCUPIED
    more = made[850005]
    for door in set(more.changed.doors) - set(more.plain.doors):
        crate = any(o.position[:2] == (door.x, door.y) for o in more.changed.objects)
        blocked = true_map(more).values(np.array([[door.x, door.y]]))[0] == OCCUPIED
        assert blocked == crate


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_errands_are_of_the_kind_that_they_say(made, seed):
    house = made[seed]
    errands = errands_of(house, 4)
    assert [e.relevant for e in errands] == [True, False, True, False]
    assert errands_of(house, 4) == errands
    truth = true_map(house)
    room = clearance_m(truth)
    for errand in errands:
        ends = np.array([errand.start[:2], errand.goal])
        rows, columns = truth.indices(ends)
        assert (room[rows, columns] >= ROOM_M).all()
        start, goal = zip(rows.tolist(), columns.tolist(), strict=True)
        seen = np.full(truth.cells.shape, UNKNOWN, np.int8)
        see_from(seen, truth, start)
        assert seen[goal] == UNKNOWN
        driven = optimist_m(truth, start, goal, 100.0)
        assert driven == pytest.approx(errand.optimist_m, abs=1e-3)
        assert (driven > (1 + RELEVANT) * errand.oracle_m) == errand.relevant
        assert errand.oracle_m >= math.dist(errand.start[:2], errand.goal) - CELL_M


def test_what_is_seen_is_true_and_not_behind_walls(made):
    truth = true_map(made[850001])
    at = tuple(int(v) for v in np.argwhere(clearance_m(truth) > 1.0)[0])
    seen = np.full(truth.cells.shape, UNKNOWN, np.int8)
    see_from(seen, truth, at)
    known = seen != UNKNOWN
    assert 100 < known.sum() < truth.cells.size // 2
    assert np.array_equal(seen[known] == OCCUPIED, truth.cells[known] == OCCUPIED)


def test_houses_come_with_half_of_their_errands_relevant():
    ((house, errands),) = houses([850001], 1, 4)
    assert house.seed == 850001 and len({e.id for e in errands}) == 4
    assert sum(e.relevant for e in errands) == 2
