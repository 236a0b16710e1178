"""What a robot would sweep along a path: what of it was seen, and how risky the rest is by an
imagined map.

The robot is a disc. It is moved along the whole path in steps of half a cell, and every cell that
the disc touches counts: observation always wins, and what lies outside the map was not seen. The
work is bounded: so many look-ups of row sums per step, whatever the map. ROS-free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ipt_model.spatial.maps import OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.errors import ErrorCode, GoalError

#: Longest path, in poses and in cells of the map: 200 m of the usual 0.05 m.
MOST_POSES = 5000
MOST_CELLS = 4000
#: Largest robot, m.
MOST_RADIUS_M = 2.0
#: Look-ups at a time; more would only cost memory.
_AT_ONCE = 500_000


def check_number(poses: int) -> None:
    """Refuses a path of none or of too many poses."""
    if not poses:
        raise GoalError(ErrorCode.EMPTY_PATH, "the path has no poses; send at least one")
    if poses > MOST_POSES:
        raise GoalError(
            ErrorCode.BAD_GOAL,
            f"path: expected at most {MOST_POSES} poses, got {poses}; send the next part of it, "
            "or fewer poses",
        )


def check_radius(radius_m: float) -> float:
    """The radius, when there is such a robot."""
    if not 0.0 < radius_m <= MOST_RADIUS_M:  # NaN is refused too
        raise GoalError(
            ErrorCode.BAD_GOAL,
            f"robot_radius_m: expected more than 0 and at most {MOST_RADIUS_M:g} m (0 takes the "
            f"node's parameter), got {radius_m:g}",
        )
    return radius_m


@dataclass(frozen=True)
class PathRisk:
    """poses: N, probability that something stands on the way from the pose before to this one. NaN
    where neither sight nor drawing tells: a stretch is told when more than half of every disc is
    known, or when what is known of it blocks already.

    complete: every cell of the sweep was seen or drawn.
    """

    poses: np.ndarray
    complete: bool


@dataclass(frozen=True)
class Sweep:
    """A disc moved along a path, step by step.

    points: S x 2 middles of the disc, m. leads_to: S, the pose of the path that each step leads
    to. blocked: S bool, the disc touches a cell seen occupied. unseen: S bool, it touches one that
    was not seen.
    """

    grid: OccupancyGrid
    path_xy: np.ndarray
    radius_m: float
    points: np.ndarray
    leads_to: np.ndarray
    blocked: np.ndarray
    unseen: np.ndarray

    @property
    def seen_blocked(self) -> int | None:
        """The first pose that cannot be reached for something seen, or None."""
        return int(self.leads_to[self.blocked.argmax()]) if self.blocked.any() else None

    @property
    def all_seen(self) -> bool:
        """Every cell that the robot would sweep was seen."""
        return not self.unseen.any()

    def risk(self, imagined: np.ndarray | None) -> PathRisk:
        """imagined: probability of occupied per cell of the grid, H x W, NaN where the drawing
        does not reach.
        """
        steps, told, complete = _step_risk(self, imagined)
        known = np.zeros(len(self.path_xy))
        np.maximum.at(known, self.leads_to, steps)
        doubtful = np.zeros(len(known), bool)
        doubtful[self.leads_to[~told]] = True
        return PathRisk(np.where(doubtful & (known <= 0.5), np.nan, known), complete)

    def stretch(self, shown: np.ndarray) -> np.ndarray:
        """S bool: the run of shown steps that goes through the most unseen ones."""
        best = np.zeros(len(shown), bool)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], shown, [False]])))
        runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
        if runs:
            start, end = max(runs, key=lambda r: (self.unseen[r[0] : r[1]].sum(), r[1] - r[0]))
            best[start:end] = True
        return best

    def line(self, stretch: np.ndarray) -> np.ndarray:
        """M x 2 points of the path over a run of steps: its ends and the poses between."""
        at = np.flatnonzero(stretch)
        if not len(at):
            return np.empty((0, 2))
        is_pose = np.append(np.diff(self.leads_to) > 0, True)
        keep = np.unique(np.concatenate([at[:1], at[is_pose[at]], at[-1:]]))
        return self.points[keep]


def sweep(grid: OccupancyGrid, path_xy: np.ndarray, radius_m: float) -> Sweep:
    """path_xy: N x 2, N >= 1, finite, m, along the axes of the grid's cells."""
    check_radius(radius_m)
    points, leads_to = _steps(path_xy, 0.5 * grid.resolution_m)
    blocked, unseen = (np.zeros(len(points), bool) for _ in "ab")
    crop = _Crop.around(grid, points, radius_m)
    occupied = _row_sums(crop.cells >= OCCUPIED // 2)
    known = _row_sums(crop.cells != UNKNOWN)
    for some, spans in _spans(crop, points, radius_m):
        blocked[some] = spans.count(occupied).any(axis=1)
        unseen[some] = (spans.count(known) < spans.width).any(axis=1)
    return Sweep(grid, path_xy, radius_m, points, leads_to, blocked, unseen)


def _steps(path_xy: np.ndarray, step_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The path in steps: S x 2 points with all poses among them, and the pose each leads to."""
    check_number(len(path_xy))
    legs = np.diff(path_xy, axis=0)
    length = np.hypot(legs[:, 0], legs[:, 1])
    longest = 2 * MOST_CELLS * step_m
    if not length.sum() <= longest:
        raise GoalError(
            ErrorCode.BAD_GOAL,
            f"path: expected at most {longest:g} m ({MOST_CELLS} cells of the map), got "
            f"{length.sum():.4g} m; send the next part of it",
        )
    pieces = np.maximum(1, np.ceil(length / step_m - 1e-9)).astype(np.int64)
    leg = np.repeat(np.arange(len(legs)), pieces)
    share = (np.arange(len(leg)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 1) / pieces[leg]
    walked = path_xy[leg] + share[:, None] * legs[leg]
    ends = share == 1.0
    walked[ends] = path_xy[leg[ends] + 1]  # exactly there, whatever the rounding
    return np.concatenate([path_xy[:1], walked]), np.concatenate([[0], leg + 1])


@dataclass(frozen=True)
class _Crop:
    """The cells near a path. row, column: of its first cell in the grid."""

    cells: np.ndarray
    row: int
    column: int
    grid: OccupancyGrid

    @staticmethod
    def around(grid: OccupancyGrid, points: np.ndarray, radius_m: float) -> _Crop:
        """May be empty, where the path is nowhere near the map."""
        rim = radius_m + 2 * grid.resolution_m
        low = _cells_of(grid, points.min(axis=0) - rim)
        high = _cells_of(grid, points.max(axis=0) + rim)
        height, width = grid.cells.shape
        c0, r0 = np.clip(np.floor(low), 0, (width, height)).astype(int).tolist()
        c1, r1 = np.clip(np.ceil(high), 0, (width, height)).astype(int).tolist()
        return _Crop(grid.cells[r0:r1, c0:c1], r0, c0, grid)

    def of(self, values: np.ndarray) -> np.ndarray:
        """The same cells of another array of the grid's shape."""
        height, width = self.cells.shape
        return values[self.row : self.row + height, self.column : self.column + width]


@dataclass(frozen=True)
class _Spans:
    """The cells that discs touch, S x R: of row `row` those from `start` to before `end`.

    Rows and columns are of the crop, cut off at its border; width counts the cells outside too.
    """

    row: np.ndarray
    start: np.ndarray
    end: np.ndarray
    width: np.ndarray

    def count(self, sums: np.ndarray) -> np.ndarray:
        """S x R: how many of the cells are counted in `_row_sums`."""
        if not sums.size:
            return np.zeros(self.width.shape, np.int32)
        return np.asarray(sums[self.row, self.end] - sums[self.row, self.start])


def _spans(crop: _Crop, points: np.ndarray, radius_m: float) -> Iterator[tuple[slice, _Spans]]:
    """Which cells the disc touches at each point, a part of the points at a time.

    A cell is touched when any part of it lies within the radius; the one below the middle always.
    """
    grid = crop.grid
    height, width = crop.cells.shape
    radius = radius_m / grid.resolution_m
    reach = int(np.ceil(radius)) + 1
    offsets = np.arange(-reach, reach + 1)
    at_once = max(1, _AT_ONCE // len(offsets))
    for first in range(0, len(points), at_once):
        some = slice(first, first + at_once)
        u, v = _cells_of(grid, points[some]).T[:, :, None]
        row = np.floor(v) + offsets
        away = np.maximum(np.maximum(row - v, v - row - 1.0), 0.0)
        half = np.sqrt(np.maximum(radius**2 - away**2, 0.0))
        touched = away <= radius
        start = np.ceil(u - half) - 1.0
        end = np.floor(u + half) + 1.0
        wide = np.where(touched, end - start, 0.0).astype(np.int64)
        row, start, end = row - crop.row, start - crop.column, end - crop.column
        inside = touched & (row >= 0) & (row < height)
        start = np.where(inside, np.clip(start, 0, width), 0).astype(np.int64)
        end = np.where(inside, np.clip(end, 0, width), 0).astype(np.int64)
        yield some, _Spans(np.where(inside, row, 0).astype(np.int64), start, end, wide)


def _cells_of(grid: OccupancyGrid, points: np.ndarray) -> np.ndarray:
    """... x 2 column and row with fractions; far outside any map beyond what integers count."""
    return np.clip((points - grid.origin_xy) / grid.resolution_m, -1e9, 1e9)


def _row_sums(mask: np.ndarray) -> np.ndarray:
    """H x (W + 1): how many are true before each column; empty for an empty crop."""
    if not mask.size:
        return np.empty((0, 0), np.int32)
    sums = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int32)
    np.cumsum(mask, axis=1, out=sums[:, 1:])
    return sums


def _step_risk(swept: Sweep, imagined: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, bool]:
    """S: of each disc the worst that is known or drawn, 0 where nothing is; S bool: whether that
    is more than half of it, or blocks for certain; and whether all cells are known or drawn.
    """
    crop = _Crop.around(swept.grid, swept.points, swept.radius_m)
    spoken = crop.cells != UNKNOWN
    guess = np.zeros(crop.cells.shape, np.float32)
    if imagined is not None:
        drawn = crop.of(imagined)
        speaks = ~spoken & ~np.isnan(drawn)
        guess[speaks] = drawn[speaks]
        spoken |= speaks
    sums, worst = _row_sums(spoken), _RowMaxima(guess)
    risk = np.zeros(len(swept.points))
    known = np.zeros(len(swept.points), bool)
    complete = True
    for some, spans in _spans(crop, swept.points, swept.radius_m):
        told, touched = spans.count(sums).sum(axis=1), spans.width.sum(axis=1)
        risk[some], known[some] = worst.over(spans), 2 * told > touched
        complete &= bool((told == touched).all())
    risk[swept.blocked] = 1.0
    return risk, known | swept.blocked, complete


class _RowMaxima:
    """The largest value of any run of cells of a row, by the maxima of all runs of 1, 2, 4 ...

    Values are 0 or more; only the part of the array that holds others is kept.
    """

    def __init__(self, values: np.ndarray) -> None:
        rows, columns = np.flatnonzero(values.any(axis=1)), np.flatnonzero(values.any(axis=0))
        self._row = int(rows[0]) if len(rows) else 0
        self._column = int(columns[0]) if len(columns) else 0
        last_row, last_column = (int(at[-1]) + 1 if len(at) else 0 for at in (rows, columns))
        self._levels = [values[self._row : last_row, self._column : last_column]]

    def over(self, spans: _Spans) -> np.ndarray:
        """S: the largest value of all the spans' cells; 0 where there are none."""
        height, width = self._levels[0].shape
        row = spans.row - self._row
        start = np.clip(spans.start - self._column, 0, width)
        end = np.clip(spans.end - self._column, 0, width)
        length = np.where((row >= 0) & (row < height), end - start, 0)
        found = np.zeros(length.shape, np.float32)
        level = np.frexp(length)[1] - 1  # of the largest power of 2 within; -1 for no cells
        for k in range(int(level.max(initial=-1)) + 1):
            here, runs = level == k, self._level(k)
            found[here] = np.maximum(
                runs[row[here], start[here]], runs[row[here], end[here] - 2**k]
            )
        return np.asarray(found.max(axis=1))

    def _level(self, k: int) -> np.ndarray:
        """Entry [r, c] is the largest of columns c to before c + 2**k."""
        while len(self._levels) <= k:
            half, last = 2 ** (len(self._levels) - 1), self._levels[-1]
            self._levels.append(np.maximum(last[:, :-half], last[:, half:]))
        return self._levels[k]
