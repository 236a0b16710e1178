"""The cheapest way over a grid: Dijkstra from the goal over eight neighbours.

In: what every cell counts, infinite where nobody may be. Out: what the way to the goal counts from
every cell, and the cells of one way. A step counts the mean of its two cells times its length in
cells. Rows and columns of the grid throughout; no metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

Cell = tuple[int, int]
_STEPS = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]
#: What scipy writes where nothing comes before.
_NONE = -9999


@dataclass(frozen=True)
class Ways:
    """To one goal. counts: H x W, infinite where no way leads there."""

    counts: np.ndarray
    _before: np.ndarray

    def from_cell(self, start: Cell) -> np.ndarray | None:
        """N x 2 rows and columns from there to the goal, with both; None where no way leads."""
        width = self.counts.shape[1]
        if not math.isfinite(self.counts[start]):
            return None
        at, found = start[0] * width + start[1], []
        while at != _NONE:
            found.append(divmod(at, width))
            at = int(self._before[at])
        return np.array(found)


def ways_to(goal: Cell, counts: np.ndarray) -> Ways:
    """counts: H x W float64 above 0."""
    height, width = counts.shape
    neighbours, lengths = _graph(height, width)
    flat = np.append(counts.ravel(), math.inf)
    weights = 0.5 * (flat[:-1, None] + flat[neighbours]) * lengths
    open_ = np.isfinite(weights)
    starts = np.concatenate([[0], np.cumsum(open_.sum(1))])
    graph = csr_matrix(
        (weights[open_], neighbours[open_], starts), shape=(height * width, height * width)
    )
    found, before = dijkstra(graph, indices=goal[0] * width + goal[1], return_predecessors=True)
    return Ways(found.reshape(height, width), before)


@lru_cache(maxsize=8)
def _graph(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Of every cell its eight neighbours, height * width for those outside; how far they are."""
    rows, columns = np.divmod(np.arange(height * width), width)
    neighbours = np.full((height * width, len(_STEPS)), height * width, np.int32)
    for k, (down, right) in enumerate(_STEPS):
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        neighbours[inside, k] = (row * width + column)[inside]
    return neighbours, np.hypot(*np.array(_STEPS).T)
