"""Searches: a house, where a robot starts in it, and the thing that it is to find.

The thing is the only one of its colour and kind, is out of sight at the start whichever way the
robot turns, and can be seen from where a robot can go. Plain data, equal for equal seeds. Metres
and radians, the world frame of the scene.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.navigation.errands.episodes import (
    CELL_M,
    LONGEST_M,
    PLANNED_RADIUS_M,
    ROOM_M,
    length_m,
    middle,
    true_map,
)
from ipt_ros.navigation.errands.houses import ROOMS, House, first_houses
from ipt_ros.navigation.exploring.colours import SEARCHED
from ipt_ros.navigation.exploring.sight import FOUND_SHARE, Sight, facing
from ipt_ros.navigation.masks import Pose
from ipt_ros.navigation.planning.costs import costmap_of, navfn
from ipt_ros.navigation.planning.search import Ways, ways_to
from ipt_training.houses.generator import make_scene
from ipt_training.scenes.grids import clearance_m
from ipt_training.scenes.scene import Scene

#: The shortest way to where the thing is in sight, m.
SHORTEST_M = 3.0
#: Headings at the start from all of which the thing fills less than half of what finding takes.
HEADINGS = 16
#: How far a thing may be when it is found, m, and how close the places lie that are tried.
FARTHEST_M, APART_CELLS = 8.0, 3
#: Most starts and things that are tried in a house; pictures that are cast together.
MOST_TRIES, TOGETHER = 40, 24


@dataclass(frozen=True)
class Search:
    """start: x, y, yaw. thing: index of the object; name: what it is called. sight: the place,
    nearest by way, from which it is found. oracle_m: of the shortest way there.
    """

    id: str
    house: int
    start: Pose
    thing: int
    name: str
    colour: str
    sight: tuple[float, float]
    oracle_m: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def true_counts(truth: OccupancyGrid) -> np.ndarray:
    """What cells count for a planner that knows the map."""
    return navfn(costmap_of(truth.cells, CELL_M, PLANNED_RADIUS_M))


def houses(
    seeds: Iterable[int], number: int, searches: int
) -> Iterator[tuple[House, list[Search]]]:
    """The first `number` houses with so many searches."""

    def enough(house: House) -> list[Search]:
        made = searches_of(house, searches)
        return made if len(made) == searches else []

    return first_houses(seeds, number, plain_house, enough)


def plain_house(seed: int) -> House:
    """As it was generated."""
    scene = make_scene(seed, "house", rooms=ROOMS)
    return House(seed, scene, scene, ())


def searches_of(house: House, number: int) -> list[Search]:
    """At most so many, each for another thing."""
    scene, truth = house.changed, true_map(house)
    counts, sight = true_counts(truth), Sight(house.changed)
    names = scene.unique_names()
    things = [k for k, o in enumerate(scene.objects) if o.name in names and o.colour in SEARCHED]
    rng = np.random.default_rng([house.seed, 0x0B7])
    places = np.argwhere((clearance_m(truth) >= ROOM_M) & np.isfinite(counts))
    found: list[Search] = []
    for _ in range(MOST_TRIES):
        if len(found) == number or not things:
            break
        row, column = (int(v) for v in places[rng.integers(len(places))])
        thing = int(rng.choice(things))
        yaw = round(float(rng.uniform(-math.pi, math.pi)), 4)
        start = (*middle(truth, (row, column)), yaw)
        if _in_sight(sight, start, thing):
            continue
        ways = ways_to((row, column), counts)
        way = _to_sight(scene, truth, ways, sight, thing)
        if way is None or not SHORTEST_M <= way[1] <= LONGEST_M:
            continue
        things.remove(thing)
        what = scene.objects[thing]
        name = f"{house.seed}/{len(found)}"
        found.append(Search(name, house.seed, start, thing, what.name, what.colour, *way))
    return found


def _in_sight(sight: Sight, start: Pose, thing: int) -> bool:
    """Whether half of what finding takes is seen in some direction."""
    turns = np.linspace(0.0, 2 * math.pi, HEADINGS, endpoint=False)
    around = [(start[0], start[1], start[2] + float(turn)) for turn in turns]
    return bool(sight.shares(around, thing).max() >= 0.5 * FOUND_SHARE)


def _to_sight(
    scene: Scene, truth: OccupancyGrid, ways: Ways, sight: Sight, thing: int
) -> tuple[tuple[float, float], float] | None:
    """The place nearest to the start by way from which the thing is found by looking at it, and
    how long that way is.
    """
    target = scene.objects[thing].position[:2]
    near = np.hypot(*np.moveaxis(truth.centres() - target, -1, 0)) <= FARTHEST_M
    near &= np.isfinite(ways.counts)
    cells = np.argwhere(near[::APART_CELLS, ::APART_CELLS]) * APART_CELLS
    cells = cells[np.argsort(ways.counts[tuple(cells.T)], kind="stable")]
    for begin in range(0, len(cells), TOGETHER):
        some = [(int(row), int(column)) for row, column in cells[begin : begin + TOGETHER]]
        shares = sight.shares([facing(middle(truth, cell), target) for cell in some], thing)
        there = np.flatnonzero(shares >= FOUND_SHARE)
        if len(there):
            cell = some[int(there[0])]
            return middle(truth, cell), round(length_m(ways, cell), 3)
    return None
