"""Where to drive in a house: places in every room, the order to visit them in, and ways between
them that keep clear of things. Knows the true map, as a robot with a good one would; no ROS.

In: a scene. Out: places and ways, N x 2, m, world.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra

from ipt_training.scenes.grids import clearance_m, occupancy
from ipt_training.scenes.scene import Scene, SceneError

CELL_M = 0.1
#: How far the robot's middle keeps from things, m; nearer than LIKED_M costs, so that ways lead
#: through the middle of doors.
CLEARANCE_M, LIKED_M, NEARNESS_COSTS = 0.3, 0.6, 2.0
#: Floor for each place to look from, m2.
FLOOR_M2 = 12.0
_STEPS = [(0, 1), (1, 0), (1, 1), (1, -1)]


class Route:
    """The drivable floor of one house."""

    def __init__(self, scene: Scene, clearance: float = CLEARANCE_M) -> None:
        self._scene = scene
        self._grid = occupancy(scene, CELL_M)
        away = clearance_m(self._grid)
        labels, count = ndimage.label(away >= clearance)
        if not count:
            raise SceneError(f"scene {scene.seed}: nowhere to drive with {clearance} m around")
        self._free = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
        self._cells = np.argwhere(self._free)  # row, column of each node
        self._xy = self._grid.centres()[self._free]
        self._node = np.full(self._free.shape, -1)
        self._node[self._free] = np.arange(len(self._cells))
        self._ways = self._graph(away)

    def _graph(self, away: np.ndarray) -> sparse.csr_matrix:
        """Costs between neighbouring cells."""
        cost = 1 + NEARNESS_COSTS * np.maximum(0, LIKED_M - away) / LIKED_M
        rows, columns, values = [], [], []
        h, w = self._free.shape
        for down, right in _STEPS:
            a = self._cells
            b = a + (down, right)
            inside = (b >= 0).all(1) & (b[:, 0] < h) & (b[:, 1] < w)
            a, b = a[inside], b[inside]
            both = self._free[tuple(b.T)]
            if down and right:  # no cutting of corners
                both &= self._free[b[:, 0], a[:, 1]] & self._free[a[:, 0], b[:, 1]]
            a, b = a[both], b[both]
            rows.append(self._node[tuple(a.T)])
            columns.append(self._node[tuple(b.T)])
            values.append(0.5 * math.hypot(down, right) * (cost[tuple(a.T)] + cost[tuple(b.T)]))
        size = len(self._cells)
        return sparse.csr_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(size, size),
        )

    def nearest(self, x: float, y: float) -> int:
        """Number of the drivable cell nearest to a point."""
        return int(np.argmin(np.hypot(*(self._xy - (x, y)).T)))

    def way(self, start: tuple[float, float], goal: tuple[float, float]) -> np.ndarray:
        """N x 2 from the cell nearest to the start to the one nearest to the goal."""
        first, last = self.nearest(*start), self.nearest(*goal)
        _, before = dijkstra(self._ways, directed=False, indices=first, return_predecessors=True)
        nodes = [last]
        while nodes[-1] != first and before[nodes[-1]] >= 0:
            nodes.append(int(before[nodes[-1]]))
        return self._xy[nodes[::-1]]

    def clear(self, a: tuple[float, float], b: tuple[float, float]) -> bool:
        """Whether the straight line between two points stays on the drivable floor."""
        steps = max(2, math.ceil(2 * math.dist(a, b) / CELL_M))
        rows, columns = self._grid.indices(np.linspace(a, b, steps))
        inside = self._grid.inside(rows, columns)
        return bool(inside.all() and self._free[rows, columns].all())

    def places(self, start: tuple[float, float], most: int = 0) -> list[tuple[float, float]]:
        """Where to look around: some in every room, far from each other, the next one always the
        nearest by the way to it. most: of them, 0 for as many as the floor asks for."""
        chosen: list[int] = []
        for room in self._scene.rooms:
            inside = np.flatnonzero(
                (self._xy[:, 0] > room.x_min)
                & (self._xy[:, 0] < room.x_max)
                & (self._xy[:, 1] > room.y_min)
                & (self._xy[:, 1] < room.y_max)
            )
            if not len(inside):
                continue
            floor_m2 = (room.x_max - room.x_min) * (room.y_max - room.y_min)
            chosen += _spread(self._xy, inside, max(2, round(floor_m2 / FLOOR_M2)))
        ordered: list[int] = []
        at = self.nearest(*start)
        while chosen and not (most and len(ordered) == most):
            away = dijkstra(self._ways, directed=False, indices=at)[chosen]
            at = chosen.pop(int(np.argmin(away)))
            ordered.append(at)
        return [(float(x), float(y)) for x, y in self._xy[ordered]]


def _spread(xy: np.ndarray, candidates: np.ndarray, count: int) -> list[int]:
    """`count` of the candidates, each as far from those before it as can be."""
    middle = xy[candidates].mean(axis=0)
    first = candidates[np.argmin(np.hypot(*(xy[candidates] - middle).T))]
    chosen = [int(first)]
    away = np.hypot(*(xy[candidates] - xy[first]).T)
    while len(chosen) < min(count, len(candidates)) and away.max() > 1.0:
        chosen.append(int(candidates[np.argmax(away)]))
        away = np.minimum(away, np.hypot(*(xy[candidates] - xy[chosen[-1]]).T))
    return chosen
