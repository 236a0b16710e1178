"""One view as it is remembered: picture, cleaned depth, and where its camera stood.

Depth is kept small, in millimetres, and loses what a newer view saw through. Points are float32
around an origin of the memory's own, so that far from zero nothing becomes coarse; `local` means
in that frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from ipt_model.spatial.lens import Lens, Pinhole, Points
from ipt_model.spatial.views.depth import nearest_around

#: The longer side of what is kept, pixels: of pictures, and of depth.
PICTURE_PX, DEPTH_PX = 640, 320
#: Columns and rows of the points that stand for a view where it is compared with others.
SAMPLES = (32, 24)
#: Every so many of them also stand for the space before them, at these shares of the way.
SPACE, SPACE_AT = 5, (0.2, 0.6)
_NEAR_M = 0.05


class RememberedView:
    """rgb: H x W x 3 uint8. world_from_camera: 4 x 4, optical. name: of the camera. lens: of the
    pixels of `depth_m`.
    """

    def __init__(
        self,
        rgb: np.ndarray,
        depth_m: np.ndarray,
        camera: Pinhole,
        world_from_camera: np.ndarray,
        origin: np.ndarray,
        stamp_ns: int,
        name: str,
    ) -> None:
        """depth_m: as large as rgb, cleaned, 0 where unknown. origin: of the memory's frame."""
        height, width = depth_m.shape
        w, h = _within(width, height, DEPTH_PX)
        # averaging depth would invent surfaces between near and far
        small = cv2.resize(depth_m, (w, h), interpolation=cv2.INTER_NEAREST)
        shown = _within(width, height, PICTURE_PX)
        if shown != (width, height):
            rgb = cv2.resize(rgb, shown, interpolation=cv2.INTER_AREA)
        self.rgb = np.array(rgb, order="C")  # a copy: the caller's may live in a message
        self.lens = Lens.of(camera, w / width, h / height)
        self.picture_lens = Lens.of(camera, shown[0] / width, shown[1] / height)
        self.world_from_camera, self.origin = world_from_camera, origin
        self.local = world_from_camera.copy()
        self.local[:3, 3] -= origin
        self.from_local = np.eye(4)
        self.from_local[:3, :3] = self.local[:3, :3].T
        self.from_local[:3, 3] = -self.local[:3, :3].T @ self.local[:3, 3]
        self.stamp_ns, self.name = stamp_ns, name
        #: How often something was taken out of it.
        self.changes = 0
        self._slopes = self.lens.slopes(w, h)
        self._depth_mm = np.minimum(np.rint(1000 * small), 65535).astype(np.uint16)
        #: How far each pixel was seen through, whatever became of what it ended at.
        self._nearest = nearest_around(self.depth_m)
        columns, rows = (
            np.linspace(0, n - 1, s).astype(int) for n, s in zip((w, h), SAMPLES, strict=True)
        )
        some = self.own((rows[:, None] * w + columns).ravel())
        some = some.at(some.z > 0)
        #: A few of its points, local, and how far they are along the axis.
        self.samples, self.sample_z = some.moved(self.local), some.z
        #: And of the space before them.
        near = Points(*(np.concatenate([s * a[::SPACE] for s in SPACE_AT]) for a in some))
        self.space = near.moved(self.local)

    @property
    def depth_m(self) -> np.ndarray:
        """h x w float32, 0 where nothing is known or what was there is gone."""
        return self._depth_mm.astype(np.float32) * np.float32(1e-3)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the depth."""
        height, width = self._depth_mm.shape
        return height, width

    @property
    def n_bytes(self) -> int:
        return int(self.rgb.nbytes + self._depth_mm.nbytes + self._nearest.nbytes)

    # -- its points
    def points(self, step: int) -> tuple[Points, np.ndarray]:
        """The known points of every step-th pixel in the camera's own frame, and the flat index
        of each."""
        width = self.size[1]
        some = self._depth_mm[step // 2 :: step, step // 2 :: step]
        rows, columns = np.divmod(np.flatnonzero(some), some.shape[1])
        index = (rows * step + step // 2) * width + columns * step + step // 2
        return self.own(index), index

    def own(self, index: np.ndarray) -> Points:
        """Points of pixels by flat index, in the camera's own frame."""
        rows, columns = np.divmod(index, self.size[1])
        z = self._depth_mm.ravel()[index] * np.float32(1e-3)
        return Points(self._slopes[0][columns] * z, self._slopes[1][rows] * z, z)

    def erase(self, index: np.ndarray) -> None:
        """What was at these pixels, by flat index, is gone."""
        depth = self._depth_mm.copy()  # others may be reading
        depth.ravel()[index] = 0
        self._depth_mm = depth
        self.changes += 1

    # -- others' points
    def pixels(self, own: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of points in the camera's own frame: which the picture holds, and column and row of all,
        in pixels of the depth."""
        height, width = self.size
        z = np.maximum(own.z, np.float32(_NEAR_M))
        u = own.x / z * np.float32(self.lens.fx) + np.float32(self.lens.cx)
        v = own.y / z * np.float32(self.lens.fy) + np.float32(self.lens.cy)
        inside = (own.z > _NEAR_M) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
        return inside, u, v

    def surface(self, points: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of local points: whether this camera looked there and saw a surface, how far each is
        along its axis, and how far the nearest surface around its pixel was, m."""
        own = points.moved(self.from_local)
        there, inside, index = self._looked_up(own)
        there[inside] = self._nearest.ravel()[index]
        return there > 0, own.z, there

    def still_holds(self, points: Points) -> np.ndarray:
        """Of local points: whether what this camera saw there has not gone since."""
        own = points.moved(self.from_local)
        there, inside, index = self._looked_up(own)
        there[inside] = self._depth_mm.ravel()[index]
        return there > 0

    def _looked_up(self, own: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inside, u, v = self.pixels(own)
        index = v[inside].astype(np.int64) * self.size[1] + u[inside].astype(np.int64)
        return np.zeros(own.z.shape, np.float32), inside, index

    def colours(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """N x 3 uint8 at pixels of the depth."""
        height, width = self.rgb.shape[:2]
        scale_v, scale_u = height / self.size[0], width / self.size[1]
        rows = np.clip((v * np.float32(scale_v)).astype(np.int64), 0, height - 1)
        columns = np.clip((u * np.float32(scale_u)).astype(np.int64), 0, width - 1)
        return np.asarray(self.rgb[rows, columns])


def _within(width: int, height: int, side: int) -> tuple[int, int]:
    shrink = min(1.0, side / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))
