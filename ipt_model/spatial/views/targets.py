"""The pictures that a memory can be asked for: through a pinhole, or from straight above.

Both say where local points land on the picture, which point a pixel shows at a depth, and from
where a pixel is looked at.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from ipt_model.spatial.lens import Lens, Points
from ipt_model.spatial.maps import MapView

_NEAR_M = 0.05


class Spots(NamedTuple):
    """Points on a picture: pixels with centres at .5, depth m, and pixels per metre there.
    in_front: which of them the picture could show at all."""

    u: np.ndarray
    v: np.ndarray
    depth_m: np.ndarray
    scale: np.ndarray
    in_front: np.ndarray


class Target(Protocol):
    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""

    @property
    def focus(self) -> tuple[float, np.ndarray]:
        """Pixels per radian, infinite from above; and where one looks from, local."""

    def spots(self, points: Points) -> Spots:
        """Where local points land."""

    def points(self, pixel: np.ndarray, depth_m: np.ndarray) -> Points:
        """The local points that pixels, by flat index, show at these depths."""

    def lines(self, points: Points) -> Points:
        """From where each local point is looked at, local."""

    @property
    def presumed_m(self) -> float:
        """How far along these lines nothing is presumed to stand."""

    @property
    def least_free(self) -> float:
        """The share of a line that must have been seen empty, or it is taken for blocked."""


class PinholeTarget:
    """local: 4 x 4, from the optical camera to the memory's frame."""

    #: Whoever asks for a view from there has room to stand there, also where nobody has looked.
    presumed_m = 0.7
    least_free = 0.8

    def __init__(self, lens: Lens, local: np.ndarray, size: tuple[int, int]) -> None:
        self.lens, self.local, self.size = lens, local, size
        self._from_local = np.linalg.inv(local)
        self._slopes = lens.slopes(size[1], size[0])

    @property
    def focus(self) -> tuple[float, np.ndarray]:
        return self.lens.fx, self.local[:3, 3]

    def spots(self, points: Points) -> Spots:
        own = points.moved(self._from_local)
        z = np.maximum(own.z, np.float32(_NEAR_M))
        per_metre = np.float32(self.lens.fx) / z
        u = own.x * per_metre + np.float32(self.lens.cx)
        v = own.y * (np.float32(self.lens.fy) / z) + np.float32(self.lens.cy)
        return Spots(u, v, own.z, per_metre, own.z > _NEAR_M)

    def points(self, pixel: np.ndarray, depth_m: np.ndarray) -> Points:
        rows, columns = np.divmod(pixel, self.size[1])
        x, y = self._slopes[0][columns] * depth_m, self._slopes[1][rows] * depth_m
        return Points(x, y, depth_m).moved(self.local)

    def lines(self, points: Points) -> Points:
        return Points(*(np.full_like(points.x, a) for a in self.local[:3, 3]))


class TopDownTarget:
    """A square of the floor from straight above, north up, of what lies lower than `below_m`;
    depth is counted from there down. origin: of the memory's frame, in the world. eyes_m: the
    height of the highest camera, local; over what was seen nothing is presumed to hang higher.
    """

    presumed_m = 0.0
    #: Lines are short here and end at upper edges of things, where a view tells no depth.
    least_free = 0.6

    def __init__(self, view: MapView, below_m: float, origin: np.ndarray, eyes_m: float) -> None:
        self.size = (view.size_px, view.size_px)
        self._scale = view.size_px / view.side_m
        self._x, self._y = view.x_min - origin[0], view.y_min - origin[1]
        self._top = below_m - origin[2]
        self._eyes = eyes_m
        middle = 0.5 * view.side_m
        self._middle = np.array([self._x + middle, self._y + middle, self._top])

    @property
    def focus(self) -> tuple[float, np.ndarray]:
        return np.inf, self._middle

    def spots(self, points: Points) -> Spots:
        u = (points.x - np.float32(self._x)) * np.float32(self._scale)
        v = self.size[0] - (points.y - np.float32(self._y)) * np.float32(self._scale)
        depth = np.float32(self._top) - points.z
        return Spots(u, v, depth, np.full_like(u, self._scale), depth >= 0)

    def points(self, pixel: np.ndarray, depth_m: np.ndarray) -> Points:
        rows, columns = np.divmod(pixel, self.size[1])
        x = (columns.astype(np.float32) + np.float32(0.5)) / np.float32(self._scale)
        y = (self.size[0] - rows.astype(np.float32) - np.float32(0.5)) / np.float32(self._scale)
        return Points(
            x + np.float32(self._x), y + np.float32(self._y), np.float32(self._top) - depth_m
        )

    def lines(self, points: Points) -> Points:
        above = np.minimum(np.float32(self._top), np.maximum(np.float32(self._eyes), points.z))
        return Points(points.x, points.y, above)
