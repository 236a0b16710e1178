"""Paths through floor that nobody has seen, in pairs: one is clear, its twin is blocked, and on
the map of what was seen they look alike.

In: a `Sight`. Out: `HiddenPath`s. Whether what blocks one can be inferred is asked of the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_model.wording.phrasing import RADIUS_STEP_M
from ipt_training.tasks.seen.sight import PICTURES, Sight, distance_m
from ipt_training.tasks.twins import matched_pairs

#: A clear path keeps this much more than the robot's half width on both sides.
MARGIN_M = 0.05
#: Half widths that are told, and how far from touching a path then is, clear or blocked.
TOLD_RADIUS_M = (0.10, 0.35)
TOLD_MARGIN_M = 0.1
MIN_HIDDEN_M = 0.4
#: A blocked path runs at least this far through what blocks it.
MIN_BLOCKED_M = 0.15
LENGTH_M = (1.2, 5.0)
#: Paths are led through hidden floor no further than this from something seen, if not told else.
SHADOW_M = 0.9
PATHS = 3000
PATH_POINTS = 60
#: Every so many of the points are looked at first: most paths fail there already.
COARSE = 6
DRAWN_POINTS = 13
#: How closely a clear path and its blocked twin agree in numbers of path and partial map.
TOLERANCE = np.array([0.7, 0.25, 0.005, 0.8])


@dataclass(frozen=True)
class Room:
    """What a path has to leave: nothing within clear_m of a clear one, something within blocked_m
    of a blocked one. radius_m: of the robot.
    """

    radius_m: float
    clear_m: float
    blocked_m: float

    @staticmethod
    def usual() -> Room:
        """For the robot of the data."""
        return Room.of(PICTURES.robot_radius_m)

    @staticmethod
    def of(radius_m: float) -> Room:
        """For a robot that is told nothing of its size."""
        # blocked for certain: the middle line itself runs through something
        return Room(radius_m, radius_m + MARGIN_M, 0.0)

    @staticmethod
    def told(rng: np.random.Generator) -> Room:
        """For a robot of a size of its own."""
        low, high = (round(r / RADIUS_STEP_M) for r in TOLD_RADIUS_M)
        radius = int(rng.integers(low, high + 1)) * RADIUS_STEP_M
        return Room(radius, radius + TOLD_MARGIN_M, max(radius - TOLD_MARGIN_M, 0.0))


@dataclass(frozen=True)
class HiddenPath:
    """N x 2 points, m, densely sampled from the robot to the goal."""

    points: np.ndarray
    hidden_m: float
    length_m: float
    seen_clear_m: float

    @property
    def drawn(self) -> np.ndarray:
        """Enough of the points for a smooth line, both ends among them."""
        return self.points[np.linspace(0, len(self.points) - 1, DRAWN_POINTS).round().astype(int)]


def hidden_paths(
    rng: np.random.Generator,
    sight: Sight,
    room: Room,
    kind: str,
    inferable: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    stops: tuple[int, ...] = (OCCUPIED, UNKNOWN),
    shadow_m: float = SHADOW_M,
) -> Iterator[tuple[HiddenPath, HiddenPath]]:
    """Paths of a kind, `clear` or `blocked`, with twins of the other kind on the same map, in
    random order.

    inferable: of P x N x 2 points and P x N of them that are stopped, P x bool: whether what
    blocks could be known of; None for all. stops: what blocks; a clear path runs through free
    cells alone. shadow_m: how far behind something seen paths lead at most.
    """
    seen_m = distance_m(sight.seen, (OCCUPIED,))
    points = _paths(rng, sight, seen_m, room, shadow_m)
    unseen = sight.seen.cells == UNKNOWN
    walkable = sight.shown() & (seen_m >= room.clear_m) & (sight.in_frustum() | ~unseen)
    for some in (slice(None, None, COARSE), slice(None)):
        cells, inside = flat_cells(sight.truth, points[:, some])
        keep = (inside & walkable.ravel()[cells]).all(axis=1)
        points, cells = points[keep], cells[keep]
    step = np.hypot(*np.diff(points, axis=1).transpose(2, 0, 1))
    length = step.sum(axis=1)
    hidden = unseen.ravel()[cells]
    hidden_m = (step * hidden[:, 1:]).sum(axis=1)
    passable = (hidden_m >= MIN_HIDDEN_M) & (length >= LENGTH_M[0]) & (length <= LENGTH_M[1])
    free_m = distance_m(sight.truth, (OCCUPIED, UNKNOWN)).ravel()[cells]
    stops_m = (
        free_m
        if set(stops) == {OCCUPIED, UNKNOWN}
        else distance_m(sight.truth, stops).ravel()[cells]
    )
    known_m = seen_m.ravel()[cells]
    clear = passable & (free_m.min(axis=1, initial=99) >= room.clear_m)
    stopped = stops_m <= room.blocked_m
    blocked = passable & ((step * stopped[:, 1:]).sum(axis=1) >= MIN_BLOCKED_M)
    if inferable is not None:
        blocked[blocked] = inferable(points[blocked], stopped[blocked])
    reach = np.hypot(points[..., 0] - sight.robot[0], points[..., 1] - sight.robot[1])
    away = (reach * hidden).sum(axis=1) / np.maximum(hidden.sum(axis=1), 1)
    numbers = np.column_stack([length, hidden_m, known_m.min(axis=1, initial=99), away])
    kinds = [np.flatnonzero(clear), np.flatnonzero(blocked)]
    if kind == "blocked":
        kinds.reverse()
    for a, b in matched_pairs(numbers[kinds[0]], numbers[kinds[1]], TOLERANCE, rng):
        made = [
            HiddenPath(
                points=points[k],
                hidden_m=float(hidden_m[k]),
                length_m=float(length[k]),
                seen_clear_m=float(known_m[k].min()),
            )
            for k in (int(kinds[0][a]), int(kinds[1][b]))
        ]
        yield made[0], made[1]


def _paths(
    rng: np.random.Generator, sight: Sight, behind: np.ndarray, room: Room, shadow_m: float
) -> np.ndarray:
    """Soft curves through the shadow of something seen, between places known to be free: P x N x
    2, P <= PATHS. behind: from each cell to what is seen, m.

    Pieces of a plan: few could start at the robot, for what is hidden is hidden behind what stands
    before it.
    """
    hidden = (sight.seen.cells == UNKNOWN) & sight.in_frustum() & sight.shown()
    near = hidden & (behind >= room.clear_m) & (behind <= shadow_m)
    solid = near & (sight.truth.cells == OCCUPIED)
    if not near.any():
        return np.empty((0, PATH_POINTS, 2))
    number = 4 * PATHS
    # half through what is there, else few were blocked; twins undo what this does to the numbers
    middle = _any_of(rng, sight.seen, near, number)
    if solid.any():
        middle[::2] = _any_of(rng, sight.seen, solid, len(middle[::2]))
    # mostly across the line of sight, where a shadow is narrow
    sight_line = np.arctan2(middle[:, 1] - sight.robot[1], middle[:, 0] - sight.robot[0])
    either_way = math.pi * (rng.integers(0, 2, number) + 0.5)
    angle = sight_line + either_way + rng.normal(0, 0.5, number)
    turn = rng.uniform(-0.5, 0.5, number)
    back, on = rng.uniform(0.4, 2.0, (2, number, 1))
    start = middle - back * np.column_stack([np.cos(angle), np.sin(angle)])
    end = middle + on * np.column_stack([np.cos(angle + turn), np.sin(angle + turn)])
    known = (sight.seen.values(start) == FREE) & (sight.seen.values(end) == FREE)
    start, middle, end = (v[known][:PATHS] for v in (start, middle, end))
    bend = 2 * middle - 0.5 * (start + end)  # half-way, the curve is at `middle`
    t = np.linspace(0, 1, PATH_POINTS)
    weights = np.column_stack([(1 - t) ** 2, 2 * t * (1 - t), t**2])
    controls = np.stack([start, bend, end], axis=1)  # P x 3 x 2
    return np.asarray(weights @ controls)


def _any_of(
    rng: np.random.Generator, grid: OccupancyGrid, cells: np.ndarray, number: int
) -> np.ndarray:
    """Middles of random cells out of a mask: number x 2."""
    places = grid.centres()[cells]
    return np.asarray(places[rng.integers(len(places), size=number)])


def flat_cells(grid: OccupancyGrid, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat index of the cell under each point, and whether the point is on the grid at all."""
    row, column = grid.indices(points)
    h, w = grid.cells.shape
    return row.clip(0, h - 1) * w + column.clip(0, w - 1), grid.inside(row, column)
