"""The X painted on a floor, and where in a pixel its finer rays go: what both renderers share of a
picture's detail.

In: points on the floor. Out: whether they are painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ipt_training.scenes.colours import RED_X

#: Where in a pixel the four rays of a mixed pixel go.
SUBPIXELS = np.array(
    [[-0.125, -0.375], [0.375, -0.125], [-0.375, 0.125], [0.125, 0.375]], np.float32
)


@dataclass(frozen=True)
class FloorMark:
    """An X painted on the floor: two bars of `bar_m` width across a square of `size_m`, m; yaw
    rad; RGB 0-255.
    """

    x: float
    y: float
    yaw: float = 0.0
    size_m: float = 0.6
    bar_m: float = 0.15
    colour: tuple[int, int, int] = RED_X

    def covers(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which floor points are painted; bool."""
        u, v = self._local(x, y)
        a, b = np.abs(u), np.abs(v)
        half, bar = np.float32(0.5 * self.size_m), np.float32(0.5 * self.bar_m)
        return np.asarray((np.minimum(a, b) <= bar) & (np.maximum(a, b) <= half))

    def near(self, x: np.ndarray, y: np.ndarray, margin_m: np.ndarray) -> np.ndarray:
        """Which floor points lie within `margin_m` of its square; bool."""
        u, v = self._local(x, y)
        return np.asarray(
            np.maximum(np.abs(u), np.abs(v)) <= np.float32(0.5 * self.size_m) + margin_m
        )

    def _local(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # bars along the diagonals of its yaw: an X, not a plus
        c, s = np.float32(np.cos(self.yaw + np.pi / 4)), np.float32(np.sin(self.yaw + np.pi / 4))
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        return c * dx + s * dy, c * dy - s * dx
