"""One errand's drive: look, add to the map, plan, go on a little, until the goal is reached or no
way is left.

In: a `Body` that moves and sees, an errand, an arm. Out: an `ErrandDrive`, what became of it in
numbers. Knows no ROS; equal bodies give equal drives. Metres, radians, seconds of simulated time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.navigation.errands.episodes import CELL_M, Errand
from ipt_ros.navigation.masks import released
from ipt_ros.navigation.moving import ARRIVED_M, LOOKED_M, Body, Drive, Look, Mover
from ipt_ros.navigation.planning.arms import Arm, counts_for
from ipt_ros.navigation.planning.frontiers import border_of
from ipt_ros.navigation.planning.search import Cell, ways_to

#: Steps between two masks: 2 s, the node's own imagined_space_period_s.
MASK_STEPS = 4
#: A drive is given up after so many steps.
MOST_STEPS = 240
#: A new way that leaves the old one by more than this is another way, m.
OTHER_WAY_M = 1.0
#: What a cell of straight line to the goal counts where the way ends at the border of the known.
BEELINE = 50.0
#: Says what unknown cells may hold: H x W int8, None for nothing. The map, and the newest look.
MaskOf = Callable[[OccupancyGrid, Look], np.ndarray | None]


@dataclass
class ErrandDrive(Drive):
    """outcome: arrived, no way, or out of time. other_ways: how often the way became another one.
    masks: how many said anything.
    """

    plans: int = 0
    other_ways: int = 0
    masks: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            **super().to_dict(),
            "plans": self.plans,
            "other_ways": self.other_ways,
            "masks": self.masks,
        }


class Driver(Mover):
    """truth: the true map; only the oracle plans on it. bounds: of the map, as of the house."""

    drive: ErrandDrive

    def __init__(
        self,
        body: Body,
        truth: OccupancyGrid,
        bounds: tuple[float, float, float, float],
        errand: Errand,
        arm: Arm,
        mask_of: MaskOf | None,
    ) -> None:
        super().__init__(body, truth, bounds, errand.start, ErrandDrive())
        self._errand, self._arm, self._mask_of = errand, arm, mask_of
        self._mask: np.ndarray | None = None
        self._masked_at = -MASK_STEPS
        self._way: np.ndarray | None = None
        #: Where the way ends, when that is the border of the known, and where that was tried.
        self._border: tuple[float, float] | None = None
        self._looked: list[tuple[float, float]] = []

    def run(self) -> ErrandDrive:
        drive = self.drive
        look = self._see(self._body.put(self._errand.start))
        look = self._look_around(look)
        while drive.steps < MOST_STEPS:
            if math.dist(look.robot[:2], self._errand.goal) <= ARRIVED_M:
                drive.outcome = "arrived"
                break
            if self._border is not None and math.dist(look.robot[:2], self._border) <= ARRIVED_M:
                self._looked.append(self._border)
                look = self._look_around(look)
            seen = self.seen()
            self._look_ahead(look, seen)
            way = self._plan(look, seen.cells)
            if way is None:
                drive.outcome = "no way"
                break
            look = self._follow(look, way)
        return drive

    # -- masks ------------------------------------------------------------------------------------

    def _look_ahead(self, look: Look, seen: OccupancyGrid) -> None:
        """A new mask when one is due; what was seen since is released from the old one."""
        if self._mask_of is None:
            return
        if self.drive.steps - self._masked_at >= MASK_STEPS:
            self._masked_at = self.drive.steps
            self._mask = self._mask_of(seen, look)
            self.drive.masks += self._mask is not None
        if self._mask is not None:
            self._mask = released(self._mask, seen.cells)

    # -- planning ---------------------------------------------------------------------------------

    def _plan(self, look: Look, seen: np.ndarray) -> np.ndarray | None:
        """N x 2 points from where the robot is, m."""
        counts = counts_for(self._arm, seen, self._truth.cells, self._mask, CELL_M)
        at, goal = self._cell(*look.robot[:2]), self._cell(*self._errand.goal)
        self._let_out(counts, seen, at)
        self.drive.plans += 1
        cells, self._border = None, None
        if math.isfinite(counts[goal]):
            cells = ways_to(goal, counts).from_cell(at)
        if cells is None and self._arm.unknown != "known":
            cells = self._to_the_border(counts, seen, at, goal)
        if cells is None:
            return None
        way = self._points(cells)
        way[0] = look.robot[:2]
        if self._way is not None and _leaves(way, self._way):
            self.drive.other_ways += 1
        self._way = way
        return way

    def _to_the_border(
        self, counts: np.ndarray, seen: np.ndarray, at: Cell, goal: Cell
    ) -> np.ndarray | None:
        """Where no way leads to the goal: to where the known ends, near the goal and near."""
        ways = ways_to(at, counts)
        border = border_of(seen) & np.isfinite(ways.counts)
        border[at] = False
        rows, columns = np.nonzero(border)
        points = self._points(np.stack([rows, columns], axis=-1))
        for place in self._looked:
            new = np.hypot(*(points - place).T) > LOOKED_M
            rows, columns, points = rows[new], columns[new], points[new]
        if not len(rows):
            return None
        left = BEELINE * np.hypot(rows - goal[0], columns - goal[1])
        best = int(np.argmin(ways.counts[rows, columns] + left))
        cells = ways.from_cell((int(rows[best]), int(columns[best])))
        assert cells is not None  # its count is finite
        self._border = (float(points[best, 0]), float(points[best, 1]))
        return cells[::-1]


def _leaves(new: np.ndarray, old: np.ndarray) -> bool:
    """Whether some point of the new way is far from all of the old one."""
    apart = np.hypot(*(new[::3, None] - old[None, ::2]).transpose(2, 0, 1))
    return bool(apart.min(axis=1).max() > OTHER_WAY_M)
