"""A pinhole without a camera: focal lengths and principal point in pixels, pixel centres at .5."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Pinhole(Protocol):
    """Focal lengths and principal point in pixels, pixel centres at .5 (ROS counts them from 0:
    add 0.5 to cx and cy).
    """

    @property
    def fx(self) -> float: ...
    @property
    def fy(self) -> float: ...
    @property
    def cx(self) -> float: ...
    @property
    def cy(self) -> float: ...


class Lens(NamedTuple):
    """The same as plain numbers."""

    fx: float
    fy: float
    cx: float
    cy: float

    @staticmethod
    def of(camera: Pinhole, x_scale: float = 1.0, y_scale: float = 1.0) -> Lens:
        """The lens of a camera whose picture is made larger or smaller."""
        return Lens(
            camera.fx * x_scale, camera.fy * y_scale, camera.cx * x_scale, camera.cy * y_scale
        )

    def slopes(self, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """x / z of every column and y / z of every row, float32."""
        u = (np.arange(width, dtype=np.float32) + np.float32(0.5 - self.cx)) / np.float32(self.fx)
        v = (np.arange(height, dtype=np.float32) + np.float32(0.5 - self.cy)) / np.float32(self.fy)
        return u, v


class Points(NamedTuple):
    """x, y, z of points, m, float32; three arrays of one shape, because numpy multiplies three
    long rows much faster than it multiplies small matrices."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    def moved(self, transform: np.ndarray) -> Points:
        """In the frame that the 4 x 4 transform leads to."""
        m = transform.astype(np.float32)
        x, y, z = (row[0] * self.x + row[1] * self.y + row[2] * self.z + row[3] for row in m[:3])
        return Points(x, y, z)

    def at(self, index: np.ndarray) -> Points:
        """Those of an index or a mask."""
        return Points(self.x[index], self.y[index], self.z[index])
