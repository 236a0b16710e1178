"""What every drive does, whatever it is for: put the robot somewhere, add what it sees to its map,
follow a way a little, notice what stops it.

In: a `Body` that moves and sees. Out: a `Drive`, how the robot went in numbers. Knows no ROS and
no goal; nothing depends on how long anything takes, so equal bodies give equal drives. Metres,
radians, seconds of simulated time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ipt_model.spatial.lens import Pinhole
from ipt_model.spatial.maps import OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_model.spatial.observed_map import ObservedMap
from ipt_ros.navigation.errands.episodes import CELL_M, SIGHT_M
from ipt_ros.navigation.masks import Pose
from ipt_ros.navigation.planning.search import Cell

#: Between two looks and commands, s, and how far the robot goes in it at most, m.
STEP_S, STEP_M = 0.5, 0.5
#: A turn on the spot, in so many looks.
FIRST_LOOKS = 4
#: It turns on the spot where it looks farther away from its way than this, else it drives a curve.
TURN_RAD, MOST_TURN_RAD = 0.45, 0.5 * math.pi
#: So near to right behind, rad, one side is as good as the other.
BEHIND_RAD = 1e-3
#: Arrived within this, m.
ARRIVED_M = 0.3
ROBOT_RADIUS_M, ROBOT_HEIGHT_M = 0.2, 1.3
#: The robot knows this much around where it starts: its camera sees no floor nearer.
KNOWN_M = 1.0
#: Where the robot looked around at the border of the known, it looks no more within this, m.
LOOKED_M = 0.6
#: What a cell counts that is too near to something, where the robot must go to get away from it.
LET_OUT = 1000.0


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


@dataclass
class Drive:
    """outcome: what became of it, in a word or two. track: where the robot was at every step."""

    outcome: str = "out of time"
    driven_m: float = 0.0
    time_s: float = 0.0
    steps: int = 0
    contacts: int = 0
    track: list[Pose] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "driven_m": round(self.driven_m, 3),
            "time_s": round(self.time_s, 2),
            "contacts": self.contacts,
        }


class Mover:
    """truth: the true map; only what is within KNOWN_M of the start is taken from it. bounds: of
    the map, as of the house. drive: where the numbers go.
    """

    def __init__(
        self,
        body: Body,
        truth: OccupancyGrid,
        bounds: tuple[float, float, float, float],
        start: Pose,
        drive: Drive,
    ) -> None:
        self._body, self._truth, self._start = body, truth, start
        self._map = ObservedMap(bounds, CELL_M, ROBOT_HEIGHT_M, SIGHT_M)
        self._known = self._around_start()
        self._felt = np.zeros(truth.cells.shape, bool)
        self.drive = drive

    def _around_start(self) -> np.ndarray:
        x, y, _ = self._start
        away = np.hypot(*np.moveaxis(self._truth.centres() - (x, y), -1, 0))
        return np.where(away <= KNOWN_M, self._truth.cells, UNKNOWN).astype(np.int8)

    def _look_around(self, look: Look, enough: Callable[[], bool] = lambda: False) -> Look:
        """Once round on the spot, or until it is enough."""
        for _ in range(FIRST_LOOKS):
            if enough():
                break
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

    # -- cells ------------------------------------------------------------------------------------

    def _cell(self, x: float, y: float) -> Cell:
        row, column = self._truth.indices(np.array([x, y]))
        height, width = self._truth.cells.shape
        return min(max(int(row), 0), height - 1), min(max(int(column), 0), width - 1)

    def _points(self, cells: np.ndarray) -> np.ndarray:
        """Middles of cells (N x 2 rows and columns), N x 2 m."""
        return np.asarray(np.array(self._truth.origin_xy) + (cells[:, ::-1] + 0.5) * CELL_M)

    def _let_out(self, counts: np.ndarray, seen: np.ndarray, at: Cell) -> None:
        """Where the robot stands it may be, however near something turns out to be."""
        reach = math.ceil(0.3 / CELL_M)
        rows = slice(max(0, at[0] - reach), at[0] + reach + 1)
        columns = slice(max(0, at[1] - reach), at[1] + reach + 1)
        part = counts[rows, columns]
        part[~np.isfinite(part) & (seen[rows, columns] != OCCUPIED)] = LET_OUT
        counts[at] = min(counts[at], LET_OUT)

    # -- going ------------------------------------------------------------------------------------

    def _follow(self, look: Look, way: np.ndarray) -> Look:
        """One step along it: turn towards it, or drive the arc to a point of it."""
        aim = _along(way, STEP_M)
        ahead = math.dist(look.robot[:2], aim)
        off = off_course(look.robot, aim)
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


def off_course(robot: Pose, target: tuple[float, float]) -> float:
    """How far the robot is turned from looking at a place, rad. What lies right behind it is on
    its left, so that the last digit of a pose does not decide which way it turns.
    """
    ahead = math.atan2(target[1] - robot[1], target[0] - robot[0])
    off = math.remainder(ahead - robot[2], 2 * math.pi)
    return off + 2 * math.pi if off < -math.pi + BEHIND_RAD else off


def _along(way: np.ndarray, reach_m: float) -> tuple[float, float]:
    """The point of a way so far along it, or its end."""
    steps = np.hypot(*np.diff(way, axis=0).T)
    total = np.concatenate([[0.0], np.cumsum(steps)])
    at = min(reach_m, float(total[-1]))
    return float(np.interp(at, total, way[:, 0])), float(np.interp(at, total, way[:, 1]))
