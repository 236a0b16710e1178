"""Errands: where a robot starts in a house, where it is to go, and what a wrong turn would cost.

An errand is decision-relevant when an ideal driver that takes what it has not seen for free
drives more than a tenth farther than one who knows the map; else it is ordinary. That driver sees
all around it, as far as nothing stands in between. Plain data, equal for equal seeds. Metres and
radians, the world frame of the scene; rows and columns of the true map where it says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.navigation.errands.houses import House, first_houses, house_of
from ipt_ros.navigation.planning.costs import as_seen, costmap_of, navfn
from ipt_ros.navigation.planning.search import Cell, Ways, ways_to
from ipt_training.scenes.grids import clearance_m, occupancy

CELL_M = 0.1
#: The planner keeps this far from what it knows, m: the robot's 0.2 and half a cell.
PLANNED_RADIUS_M = 0.25
#: How far the robot's map reaches, m.
SIGHT_M = 5.0
#: A wrong turn costs more than this share.
RELEVANT = 0.10
#: Places to start from and to go to have this much room around them; ways are so long, m.
ROOM_M, SHORTEST_M, LONGEST_M = 0.4, 4.5, 18.0
#: Between two looks of the ideal driver, m.
LOOK_M = 1.0
#: Most pairs of places that are tried in a house.
MOST_TRIES = 120


@dataclass(frozen=True)
class Errand:
    """start: x, y, yaw. oracle_m: of the way that one drives who knows the map. optimist_m: of the
    ideal driver that takes unknown for free. plain_m: of the oracle's way in the house without its
    changes; infinite where there is none.
    """

    id: str
    house: int
    start: tuple[float, float, float]
    goal: tuple[float, float]
    oracle_m: float
    optimist_m: float
    plain_m: float
    relevant: bool

    @property
    def change(self) -> str:
        """What the changes to the house do to the way: blocked, shortcut or none."""
        if self.oracle_m > 1.05 * self.plain_m:
            return "blocked"
        return "shortcut" if self.oracle_m < self.plain_m / 1.05 else "none"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def true_map(house: House) -> OccupancyGrid:
    return occupancy(house.changed, CELL_M)


def houses(
    seeds: Iterable[int], number: int, errands: int
) -> Iterator[tuple[House, list[Errand]]]:
    """The first `number` houses with so many errands, half of them decision-relevant."""
    return first_houses(seeds, number, house_of, lambda house: errands_of(house, errands))


def errands_of(house: House, number: int) -> list[Errand]:
    """Relevant and ordinary ones in turn; empty where the house has not enough of both."""
    truth, plain = true_map(house), occupancy(house.plain, CELL_M)
    places = np.argwhere(clearance_m(truth) >= ROOM_M)
    costs = _counts(truth.cells)
    plain_costs = _counts(plain.cells)
    rng = np.random.default_rng([house.seed, 0xE55])
    kinds: dict[bool, list[Errand]] = {True: [], False: []}
    half = number // 2
    for _ in range(MOST_TRIES):
        if all(len(found) >= half for found in kinds.values()):
            break
        start, goal = (tuple(int(v) for v in p) for p in places[rng.choice(len(places), 2)])
        errand = _errand(house, truth, (costs, plain_costs), start, goal)  # type: ignore[arg-type]
        if errand is not None and len(kinds[errand.relevant]) < half:
            kinds[errand.relevant].append(errand)
    if any(len(found) < half for found in kinds.values()):
        return []
    turns = [e for pair in zip(kinds[True], kinds[False], strict=True) for e in pair]
    return [_numbered(e, k) for k, e in enumerate(turns)]


def _numbered(errand: Errand, number: int) -> Errand:
    return Errand(**{**errand.to_dict(), "id": f"{errand.house}/{number}"})


def _errand(
    house: House,
    truth: OccupancyGrid,
    counts: tuple[np.ndarray, np.ndarray],
    start: Cell,
    goal: Cell,
) -> Errand | None:
    ways = ways_to(goal, counts[0])
    oracle = length_m(ways, start)
    if not SHORTEST_M <= oracle <= LONGEST_M:
        return None
    seen = np.full(truth.cells.shape, UNKNOWN, np.int8)
    see_from(seen, truth, start)
    if seen[goal] != UNKNOWN:
        return None  # nothing to decide
    optimist = optimist_m(truth, start, goal, 4.0 * oracle + 10.0)
    x, y = middle(truth, start)
    goal_xy = middle(truth, goal)
    yaw = math.atan2(goal_xy[1] - y, goal_xy[0] - x)
    return Errand(
        id="",
        house=house.seed,
        start=(x, y, round(yaw, 4)),
        goal=goal_xy,
        oracle_m=round(oracle, 3),
        optimist_m=round(optimist, 3),
        plain_m=round(length_m(ways_to(goal, counts[1]), start), 3),
        relevant=optimist > (1.0 + RELEVANT) * oracle,
    )


def optimist_m(truth: OccupancyGrid, start: Cell, goal: Cell, most_m: float) -> float:
    """How far the ideal driver drives that takes what it has not seen for free."""
    seen = np.full(truth.cells.shape, UNKNOWN, np.int8)
    true_counts = _counts(truth.cells)
    at, driven = start, 0.0
    while at != goal and driven < most_m:
        see_from(seen, truth, at)
        way = ways_to(goal, _counts(as_seen(seen))).from_cell(at)
        if way is None:
            return most_m
        steps = np.hypot(*np.diff(way, axis=0).T) * CELL_M
        # no farther than the next look, and never into what it knows nothing of by a look
        until = int(np.searchsorted(np.cumsum(steps), LOOK_M)) + 1
        until = min(until, len(way) - 1)
        blocked = np.flatnonzero(~np.isfinite(true_counts[tuple(way[: until + 1].T)]))
        if len(blocked) and blocked[0] > 0:
            until = max(1, int(blocked[0]) - 1)
            see_from(seen, truth, (int(way[until][0]), int(way[until][1])))
            ahead = way[blocked[0]]
            seen[tuple(ahead)] = OCCUPIED  # felt, where it could not be seen
        driven += float(steps[:until].sum())
        at = (int(way[until][0]), int(way[until][1]))
    return driven


def _counts(cells: np.ndarray) -> np.ndarray:
    return navfn(costmap_of(cells, CELL_M, PLANNED_RADIUS_M))


def length_m(ways: Ways, start: Cell) -> float:
    way = ways.from_cell(start)
    if way is None:
        return math.inf
    return float(np.hypot(*np.diff(way, axis=0).T).sum() * CELL_M)


def middle(grid: OccupancyGrid, cell: Cell) -> tuple[float, float]:
    x0, y0 = grid.origin_xy
    return (
        round(x0 + (cell[1] + 0.5) * grid.resolution_m, 4),
        round(y0 + (cell[0] + 0.5) * grid.resolution_m, 4),
    )


def see_from(seen: np.ndarray, truth: OccupancyGrid, at: Cell, reach_m: float = SIGHT_M) -> None:
    """Fill in the true cells in line of sight of a cell."""
    far = round(reach_m / CELL_M)
    angles = np.linspace(-math.pi, math.pi, 8 * far, endpoint=False)
    steps = np.arange(0.0, far, 0.5)
    row = np.floor(at[0] + 0.5 + np.sin(angles)[:, None] * steps).astype(int)
    column = np.floor(at[1] + 0.5 + np.cos(angles)[:, None] * steps).astype(int)
    height, width = truth.cells.shape
    row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    values = truth.cells[row, column]
    hit = np.cumsum(values == OCCUPIED, axis=1)
    # up to the first thing in the way, and that too
    shown = (hit == 0) | ((hit == 1) & (values == OCCUPIED))
    seen[row[shown], column[shown]] = np.where(values[shown] == OCCUPIED, OCCUPIED, FREE).astype(
        np.int8
    )
