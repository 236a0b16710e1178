"""Cameras, poses and rendered views, in the conventions of REP-103.

World and map: x east, y north, z up, metres. Body: x forward, y left, z up. Optical camera: z
forward, x right, y down.
A pose is a 4 x 4 float64 matrix that takes points of the camera (or body) to the world:
`world_from_camera`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ipt_model.spatial.geometry import BODY_FROM_OPTICAL


@dataclass(frozen=True)
class Camera:
    """A pinhole without distortion. Focal lengths and principal point in pixels, pixel centres at
    .5.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @staticmethod
    def from_fov(width: int, height: int, horizontal_fov_rad: float) -> Camera:
        """Square pixels, principal point in the middle of the picture."""
        f = 0.5 * width / math.tan(0.5 * horizontal_fov_rad)
        return Camera(width, height, f, f, 0.5 * width, 0.5 * height)


@dataclass(frozen=True)
class View:
    """One rendered picture.

    rgb: H x W x 3 uint8. depth_m: H x W float32 along the optical axis, 0 where nothing was hit.
    instance: H x W int32, the index of the object in `Scene.objects`; negative for floor,
        walls and nothing.
    """

    rgb: np.ndarray
    depth_m: np.ndarray
    instance: np.ndarray


def camera_pose(x: float, y: float, yaw: float, height: float, pitch: float = 0.0) -> np.ndarray:
    """World from optical camera, for a camera `height` m above the floor; positive pitch looks
    down (rad).
    """
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    yaw_m = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    pitch_m = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    pose = np.eye(4)
    pose[:3, :3] = yaw_m @ pitch_m @ BODY_FROM_OPTICAL[:3, :3]
    pose[:3, 3] = (x, y, height)
    return pose
