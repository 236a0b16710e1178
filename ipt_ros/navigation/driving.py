"""One drive: look, add to the map, plan, go on a little, until the goal or no way is left.

In: a `Body` that moves and sees, an errand, an arm. Out: a `Drive`, what became of it in numbers.
Knows no ROS; nothing depends on how long anything takes, so equal bodies give equal drives.
Metres, radians, seconds of simulated time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ipt_model.spatial.lens import Pinhole
from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_model.spatial.observed_map import ObservedMap
from ipt_ros.navigation.errands.episodes import CELL_M, SIGHT_M, Errand
from ipt_ros.navigation.masks import Pose, released
from ipt_ros.navigation.planning.arms import Arm, counts_for
from ipt_ros.navigation.planning.search import Cell, ways_to

#: Between two looks and commands, s, and how far the robot goes in it at most, m.
STEP_S, STEP_M = 0.5, 0.5
#: The first turn on the spot, in so many looks.
FIRST_LOOKS = 4
#: It turns on the spot where it looks farther away from its way than this, else it drives a curve.
TURN_RAD, MOST_TURN_RAD = 0.45, 0.5 * math.pi
#: Steps between two masks: 2 s, the node's own imagined_space_period_s.
MASK_STEPS = 4
#: Arrived within this, m. A drive is given up after so many steps.
ARRIVED_M, MOST_STEPS = 0.3, 240
ROBOT_RADIUS_M, ROBOT_HEIGHT_M = 0.2, 1.3
#: The robot knows this much around where it starts: its camera sees no floor nearer.
KNOWN_M = 1.0
#: A new way that leaves the old one by more than this is another way, m.
OTHER_WAY_M = 1.0
#: Where the robot looked around at the border of the known, it looks no more within this, m.
LOOKED_M = 0.6
#: What a cell counts that is too near to something, where the robot must go to get away from it.
LET_OUT = 1000.0
#: What a cell of straight line to the goal counts where the way ends at the border of the known.
BEELINE = 50.0


@dataclass(frozen=True)
class Look:
    """What the robot knows after a step. depth_m: H x W float32, 0 for no return."""

    stamp_ns: int
    robot: Pose
    depth_m: np.ndarray
    lens: Pinhole
    world_from_camera: np.ndarray


class Body(Protocol):
    def put(self, robot: Pose) -> Look:
        """Stand there."""

    def step(self, speed: float, turn: float) -> Look:
        """m/s and rad/s for STEP_S."""


#: Says what unknown cells may hold: H x W int8, None for nothing. The map, and the newest look.
MaskOf = Callable[[OccupancyGrid, Look], np.ndarray | None]


@dataclass
class Drive:
    """outcome: arrived, no way, or out of time. other_ways: how often the way became another one.
    track: where the robot was at every step. masks: how many said anything.
    """

    outcome: str = "out of time"
    driven_m: float = 0.0
    time_s: float = 0.0
    steps: int = 0
    plans: int = 0
    other_ways: int = 0
    contacts: int = 0
    masks: int = 0
    track: list[Pose] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "driven_m": round(self.driven_m, 3),
            "time_s": round(self.time_s, 2),
            "plans": self.plans,
            "other_ways": self.other_ways,
            "contacts": self.contacts,
            "masks": self.masks,
        }


class Driver:
    """truth: the true map; only the oracle plans on it. bounds: of the map, as of the house."""

    def __init__(
        self,
        body: Body,
        truth: OccupancyGrid,
        bounds: tuple[float, float, float, float],
        errand: Errand,
        arm: Arm,
        mask_of: MaskOf | None,
    ) -> None:
        self._body, self._truth, self._errand = body, truth, errand
        self._arm, self._mask_of = arm, mask_of
        self._map = ObservedMap(bounds, CELL_M, ROBOT_HEIGHT_M, SIGHT_M)
        self._known = self._around_start()
        self._felt = np.zeros(truth.cells.shape, bool)
        self._mask: np.ndarray | None = None
        self._masked_at = -MASK_STEPS
        self._way: np.ndarray | None = None
        #: Where the way ends, when that is the border of the known, and where that was tried.
        self._border: tuple[float, float] | None = None
        self._looked: list[tuple[float, float]] = []
        self.drive = Drive()

    def _around_start(self) -> np.ndarray:
        x, y, _ = self._errand.start
        away = np.hypot(*np.moveaxis(self._truth.centres() - (x, y), -1, 0))
        return np.where(away <= KNOWN_M, self._truth.cells, UNKNOWN).astype(np.int8)

    def run(self) -> Drive:
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

    def _look_around(self, look: Look) -> Look:
        for _ in range(FIRST_LOOKS):
            look = self._go(look, 0.0, 2 * math.pi / FIRST_LOOKS)
        return look

    # -- what is known ----------------------------------------------------------------------------

    def _see(self, look: Look) -> Look:
        self._map.add(look.depth_m, look.lens, look.world_from_camera)
        self._map.add_footprint(look.robot[0], look.robot[1], ROBOT_RADIUS_M)
        self.drive.track.append(look.robot)
        return look

    def seen(self) -> OccupancyGrid:
        """All that was seen, felt, or known from the start."""
        cells = self._map.grid().cells.copy()
        unknown = cells == UNKNOWN
        cells[unknown] = self._known[unknown]
        cells[self._felt] = OCCUPIED
        return OccupancyGrid(cells, CELL_M, self._truth.origin_xy)

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

    def _cell(self, x: float, y: float) -> Cell:
        row, column = self._truth.indices(np.array([x, y]))
        height, width = self._truth.cells.shape
        return min(max(int(row), 0), height - 1), min(max(int(column), 0), width - 1)

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

    def _let_out(self, counts: np.ndarray, seen: np.ndarray, at: Cell) -> None:
        """Where the robot stands it may be, however near something turns out to be."""
        reach = math.ceil(0.3 / CELL_M)
        rows = slice(max(0, at[0] - reach), at[0] + reach + 1)
        columns = slice(max(0, at[1] - reach), at[1] + reach + 1)
        part = counts[rows, columns]
        part[~np.isfinite(part) & (seen[rows, columns] != OCCUPIED)] = LET_OUT
        counts[at] = min(counts[at], LET_OUT)

    def _to_the_border(
        self, counts: np.ndarray, seen: np.ndarray, at: Cell, goal: Cell
    ) -> np.ndarray | None:
        """Where no way leads to the goal: to where the known ends, near the goal and near."""
        ways = ways_to(at, counts)
        unknown = np.pad(seen == UNKNOWN, 1)
        beside = unknown[:-2, 1:-1] | unknown[2:, 1:-1] | unknown[1:-1, :-2] | unknown[1:-1, 2:]
        border = beside & (seen == FREE) & np.isfinite(ways.counts)
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

    def _points(self, cells: np.ndarray) -> np.ndarray:
        """Middles of cells (N x 2 rows and columns), N x 2 m."""
        return np.asarray(np.array(self._truth.origin_xy) + (cells[:, ::-1] + 0.5) * CELL_M)

    # -- going ------------------------------------------------------------------------------------

    def _follow(self, look: Look, way: np.ndarray) -> Look:
        """One step along it: turn towards it, or drive the arc to a point of it."""
        x, y, yaw = look.robot
        aim = _along(way, STEP_M)
        ahead = math.dist((x, y), aim)
        off = math.remainder(math.atan2(aim[1] - y, aim[0] - x) - yaw, 2 * math.pi)
        if ahead < 1e-6:
            return self._go(look, 0.0, 0.0)
        if abs(off) > TURN_RAD:
            return self._go(look, 0.0, max(-MOST_TURN_RAD, min(MOST_TURN_RAD, off)))
        arc = ahead if abs(off) < 1e-6 else ahead * off / math.sin(off)
        return self._go(look, min(arc, STEP_M), 2 * off)

    def _go(self, look: Look, by_m: float, turn_rad: float) -> Look:
        drive = self.drive
        after = self._see(self._body.step(by_m / STEP_S, turn_rad / STEP_S))
        drive.steps += 1
        drive.time_s += STEP_S
        moved = math.dist(look.robot[:2], after.robot[:2])
        drive.driven_m += moved
        if moved < by_m * 0.9 - 0.02:
            drive.contacts += 1
            self._feel(after.robot)
        return after

    def _feel(self, robot: Pose) -> None:
        """Something that was not seen stops the robot: it is there, just ahead."""
        x, y, yaw = robot
        for side in (-0.1, 0.0, 0.1):
            ahead = ROBOT_RADIUS_M + 0.5 * CELL_M
            cell = self._cell(
                x + ahead * math.cos(yaw) - side * math.sin(yaw),
                y + ahead * math.sin(yaw) + side * math.cos(yaw),
            )
            self._felt[cell] = True


def _along(way: np.ndarray, reach_m: float) -> tuple[float, float]:
    """The point of a way so far along it, or its end."""
    steps = np.hypot(*np.diff(way, axis=0).T)
    total = np.concatenate([[0.0], np.cumsum(steps)])
    at = min(reach_m, float(total[-1]))
    return float(np.interp(at, total, way[:, 0])), float(np.interp(at, total, way[:, 1]))


def _leaves(new: np.ndarray, old: np.ndarray) -> bool:
    """Whether some point of the new way is far from all of the old one."""
    apart = np.hypot(*(new[::3, None] - old[None, ::2]).transpose(2, 0, 1))
    return bool(apart.min(axis=1).max() > OTHER_WAY_M)
