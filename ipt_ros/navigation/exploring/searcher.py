"""One search: look around, choose a frontier, go there, look around, until the thing is in sight.

In: a body that moves, sees and is shown views from elsewhere; a search; an arm. Out: a
`SearchDrive`, what became of it in numbers. Knows no ROS; equal bodies give equal searches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.navigation.errands.episodes import CELL_M, PLANNED_RADIUS_M
from ipt_ros.navigation.exploring.arms import Arm, Lender, Shown, best, score
from ipt_ros.navigation.exploring.searches import Search, true_counts
from ipt_ros.navigation.exploring.sight import FOUND_SHARE, Sight
from ipt_ros.navigation.masks import Pose
from ipt_ros.navigation.moving import (
    ARRIVED_M,
    LOOKED_M,
    MOST_TURN_RAD,
    Body,
    Drive,
    Look,
    Mover,
    off_course,
)
from ipt_ros.navigation.planning.costs import costmap_of, navfn
from ipt_ros.navigation.planning.frontiers import (
    LEAST_CELLS,
    Frontier,
    border_of,
    frontiers_of,
)
from ipt_ros.navigation.planning.search import Cell, ways_to

#: A search is given up after so many steps.
MOST_STEPS = 400
#: So many frontiers, the nearest, are chosen among.
NEAREST = 4
#: The node is shown a picture when the robot has moved or turned so much since the last, m, rad.
PICTURE_M, PICTURE_RAD = 0.7, 0.6


class Viewer(Body, Protocol):
    """A body whose node remembers what it is shown."""

    def forget(self, look: Look) -> None:
        """All but what is seen now."""

    def take_in(self, look: Look) -> None:
        """The picture of now."""

    def view_from(
        self, look: Look, place: Pose, name: str, mode: Literal["recall", "imagine"]
    ) -> Shown:
        """What a camera would see from there. name: the thing that is asked about."""


@dataclass(frozen=True)
class Decision:
    """Among the nearest frontiers: the score of each, whether the thing is in view from there in
    truth, and which one was gone to.
    """

    scores: tuple[int, ...]
    there: tuple[bool, ...]
    chosen: int

    def to_dict(self) -> dict[str, Any]:
        return {"scores": self.scores, "there": self.there, "chosen": self.chosen}


@dataclass
class SearchDrive(Drive):
    """outcome: found, nothing left, or out of time. visits: frontiers that were chosen. decisions:
    those of them that were chosen by scores, among several.
    """

    visits: int = 0
    decisions: list[Decision] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            **super().to_dict(),
            "visits": self.visits,
            "decisions": [one.to_dict() for one in self.decisions],
        }


class Searcher(Mover):
    """truth: the true map; only the oracle plans on it. sight: the referee. lender: says in place
    of views what they show.
    """

    drive: SearchDrive
    _body: Viewer

    def __init__(
        self,
        body: Viewer,
        truth: OccupancyGrid,
        bounds: tuple[float, float, float, float],
        search: Search,
        arm: Arm,
        sight: Sight,
        lender: Lender | None = None,
    ) -> None:
        super().__init__(body, truth, bounds, search.start, SearchDrive())
        self._search, self._arm, self._sight = search, arm, sight
        self._lender, self._found = lender, False
        self._looked: list[tuple[float, float]] = []
        self._shown_at: Pose | None = None

    def run(self) -> SearchDrive:
        look = self._body.put(self._search.start)
        if self._arm.asks:
            self._body.forget(look)
            self._shown_at = look.robot
        look = self._see(look)
        if self._arm.by == "known":
            self._go_to_it(look)
            return self.drive
        look = self._look_around(look, self._ends)
        while not self._ends():
            frontier = self._next(look)
            if frontier is None:
                self.drive.outcome = "nothing left"
                break
            look = self._go_and_look(look, frontier)
        return self.drive

    def _ends(self) -> bool:
        return self._found or self.drive.steps >= MOST_STEPS

    def _see(self, look: Look) -> Look:
        look = super()._see(look)
        filled = self._sight.share(look.world_from_camera, look.lens, self._search.thing)
        if filled >= FOUND_SHARE:
            self._found, self.drive.outcome = True, "found"
        elif self._arm.asks and self._has_moved(look.robot):
            self._body.take_in(look)
            self._shown_at = look.robot
        return look

    def _has_moved(self, robot: Pose) -> bool:
        assert self._shown_at is not None
        turned = abs(math.remainder(robot[2] - self._shown_at[2], 2 * math.pi))
        return math.dist(robot[:2], self._shown_at[:2]) >= PICTURE_M or turned >= PICTURE_RAD

    # -- where to ---------------------------------------------------------------------------------

    def _next(self, look: Look) -> Frontier | None:
        seen = self.seen()
        at, counts = self._known_counts(look, seen)
        frontiers = frontiers_of(seen, ways_to(at, counts), self._looked, LOOKED_M)
        if not frontiers:
            return None
        self.drive.visits += 1
        near = frontiers[:NEAREST]
        if len(near) == 1 or self._arm.by == "way":
            return near[0]
        return near[self._decide(look, near)]

    def _decide(self, look: Look, near: list[Frontier]) -> int:
        """Which of them, by what the views from there show."""
        poses = [frontier.pose for frontier in near]
        if self._lender is not None:
            scores = self._lender(len(poses))
        else:
            colour, by = self._search.colour, self._arm.by
            scores = [score(self._view(look, pose), colour, by) for pose in poses]
        chosen = best(scores)
        there = self._sight.shares(poses, self._search.thing) >= FOUND_SHARE
        self.drive.decisions.append(
            Decision(tuple(scores), tuple(bool(one) for one in there), chosen)
        )
        return chosen

    def _view(self, look: Look, pose: Pose) -> Shown:
        mode = self._arm.asks
        if not mode:
            picture = self._sight.picture(pose)
            return Shown(picture, np.ones(picture.shape[:2], bool))
        return self._body.view_from(look, pose, self._search.name, mode)

    def _known_counts(self, look: Look, seen: OccupancyGrid) -> tuple[Cell, np.ndarray]:
        """The robot's cell, and what cells count where nobody goes into the unknown."""
        costs = costmap_of(seen.cells, CELL_M, PLANNED_RADIUS_M)
        counts, at = navfn(costs, allow_unknown=False), self._cell(*look.robot[:2])
        self._let_out(counts, seen.cells, at)
        return at, counts

    # -- going there ------------------------------------------------------------------------------

    def _go_and_look(self, look: Look, frontier: Frontier) -> Look:
        """Until there is nothing unknown there any more; there it looks around."""
        while not self._ends():
            if math.dist(look.robot[:2], frontier.pose[:2]) <= ARRIVED_M:
                self._looked.append(frontier.pose[:2])
                return self._look_around(look, self._ends)
            seen = self.seen()
            if border_of(seen.cells)[tuple(frontier.cells.T)].sum() < LEAST_CELLS // 2:
                return look
            at, counts = self._known_counts(look, seen)
            cells = ways_to(frontier.place, counts).from_cell(at)
            if cells is None:
                return look
            look = self._follow_cells(look, cells)
        return look

    def _follow_cells(self, look: Look, cells: np.ndarray) -> Look:
        points = self._points(cells[1:] if len(cells) > 1 else cells)
        return self._follow(look, np.vstack([look.robot[:2], points]))

    def _go_to_it(self, look: Look) -> None:
        """By the true map to where it is first seen, and from there on towards it."""
        target = self._sight.place(self._search.thing)
        ways = ways_to(self._cell(*self._search.start[:2]), true_counts(self._truth))
        there = self._points(np.argwhere(np.isfinite(ways.counts)))
        beside = there[int(np.argmin(np.hypot(*(there - target).T)))]
        for place in (self._search.sight, (float(beside[0]), float(beside[1]))):
            while not self._ends() and math.dist(look.robot[:2], place) > 0.5 * ARRIVED_M:
                at, counts = self._cell(*look.robot[:2]), true_counts(self._truth)
                self._let_out(counts, self._truth.cells, at)
                cells = ways_to(self._cell(*place), counts).from_cell(at)
                if cells is None:
                    break
                look = self._follow_cells(look, cells)
            while not self._ends() and abs(off := off_course(look.robot, target)) > 0.05:
                look = self._go(look, 0.0, max(-MOST_TURN_RAD, min(MOST_TURN_RAD, off)))
