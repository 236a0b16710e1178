"""Searches: the same every time, in houses that nobody was trained in, for things that are out of
sight and can be found; and what tells their colour.
"""

import math

import numpy as np
import pytest

from ipt_ros.navigation.errands.episodes import true_map
from ipt_ros.navigation.errands.houses import test_seeds as held_out
from ipt_ros.navigation.exploring.arms import Lender, Shown, best, score
from ipt_ros.navigation.exploring.colours import LEAST_PIXELS, SEARCHED, has_colour
from ipt_ros.navigation.exploring.searches import HEADINGS, SHORTEST_M, houses, searches_of
from ipt_ros.navigation.exploring.sight import DRAWN, EYE, FOUND_SHARE, Sight, eye_at, facing
from ipt_training.scenes.colours import COLOURS
from ipt_training.scenes.grids import clearance_m


@pytest.fixture(scope="module")
def made():
    ((house, searches),) = houses(held_out(), 1, 3)
    return house, searches


@pytest.fixture(scope="module")
def sight(made):
    return Sight(made[0].changed)


def test_the_same_searches_every_time_each_for_another_thing(made):
    house, searches = made
    assert searches_of(house, 3) == searches
    assert len({search.thing for search in searches}) == 3
    assert [search.id for search in searches] == [f"{house.seed}/{k}" for k in range(3)]


def test_a_thing_has_the_only_name_of_its_kind_and_a_colour_that_no_wall_has(made):
    house, searches = made
    for search in searches:
        names = [thing.name for thing in house.changed.objects]
        assert names.count(search.name) == 1
        assert search.colour in SEARCHED and search.name.startswith(search.colour)


def test_it_is_out_of_sight_at_the_start_and_found_at_the_end_of_the_shortest_way(made, sight):
    house, searches = made
    truth = true_map(house)
    room = clearance_m(truth)
    for search in searches:
        x, y, yaw = search.start
        turns = [(x, y, yaw + 2 * math.pi * k / HEADINGS) for k in range(HEADINGS)]
        assert sight.shares(turns, search.thing).max() < 0.5 * FOUND_SHARE
        there = facing(search.sight, sight.place(search.thing))
        assert sight.shares([there], search.thing)[0] >= FOUND_SHARE
        assert sight.share(eye_at(there), EYE, search.thing) >= FOUND_SHARE
        assert search.oracle_m >= max(SHORTEST_M, math.dist((x, y), search.sight) - 0.1)
        rows, columns = truth.indices(np.array([search.start[:2], search.sight]))
        assert (room[rows, columns] > 0.2).all()


def test_pixels_of_a_colour_are_those_of_its_things(made, sight):
    """In true pictures: most of a thing's pixels have its colour, hardly any of a wall's do."""
    house, _ = made
    truth = true_map(house)
    places = truth.centres()[clearance_m(truth) >= 0.4]
    rng = np.random.default_rng(0)
    hits, others = [], []
    for x, y in places[rng.integers(len(places), size=20)]:
        pose = (float(x), float(y), float(rng.uniform(-math.pi, math.pi)))
        view = sight._renderer.render(eye_at(pose), DRAWN)
        for colour in SEARCHED:
            same = has_colour(view.rgb, colour)
            things = [k for k, o in enumerate(house.changed.objects) if o.colour == colour]
            hits.append(same[np.isin(view.instance, things)])
            others.append(same[view.instance < 0])
    assert len(np.concatenate(hits)) > 1000
    assert np.concatenate(hits).mean() > 0.7
    assert np.concatenate(others).mean() < 0.002


def test_a_colour_is_told_in_shadow_and_not_taken_for_another():
    for name in SEARCHED:
        for light in (0.45, 0.7, 1.0):
            patch = np.full((2, 2, 3), np.array(COLOURS[name]) * light, np.uint8)
            assert [c for c in COLOURS if has_colour(patch, c).all()] == [name]


def test_recalled_views_count_what_was_seen_and_imagined_ones_all():
    rgb = np.full((8, 8, 3), 200, np.uint8)
    rgb[:, :4] = COLOURS["green"]
    seen = np.zeros((8, 8), bool)
    seen[:2] = True
    view = Shown(rgb, seen)
    assert score(view, "green", "shown") == 32
    assert score(view, "green", "seen") == 8
    assert score(view, "blue", "shown") == 0
    seen[1:] = False
    assert LEAST_PIXELS > 4 and score(view, "green", "seen") == 0


def test_most_pixels_win_and_the_nearest_of_equals():
    assert best([0, 7, 9, 9]) == 2
    assert best([0, 0, 0]) == 0


def test_scores_are_borrowed_in_their_order_and_the_same_ones_every_time():
    bank = [[[9, 0, 7], [0, 30]], [[5, 6]]]
    said = []
    for k in range(30):
        lender = Lender(bank, (850000, k))
        said.append([lender(4), lender(2), lender(1)])
    begun = {9: [[9, 0, 7, 9], [0, 30], [9]], 5: [[5, 6, 5, 6], [5, 6], [5]]}
    assert {one[0][0] for one in said} == set(begun)
    assert all(one == begun[one[0][0]] for one in said)
    assert [Lender(bank, (850000, k))(4) for k in range(30)] == [one[0] for one in said]
