"""Real colour and depth pictures with poses, read from a folder: `load_frames(folder)`.

The folder holds c1.png, d1.pgm (16 bit, millimetres, 0 for no return) and so on, and pose.txt
with one line a frame: x y z qx qy qz qw, world from optical camera. Such are the five frames of a
dining room in gaoxiang12/slambook2, ch5/rgbd. They are not part of this repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from ipt_training.scenes.camera import Camera

#: That camera's intrinsics; its pixel centres are counted from 0.
CAMERA = Camera(640, 480, 518.0, 519.0, 325.5 + 0.5, 253.5 + 0.5)


@dataclass(frozen=True)
class RealFrame:
    """rgb: H x W x 3 uint8. depth_m: H x W float32, 0 where nothing came back. camera: of both.
    world_from_camera: 4 x 4, optical.
    """

    rgb: np.ndarray
    depth_m: np.ndarray
    camera: Camera
    world_from_camera: np.ndarray


def load_frames(folder: Path, width: int) -> list[RealFrame]:
    """All frames of a folder, shrunk to a width."""
    size = (width, width * CAMERA.height // CAMERA.width)
    scale = width / CAMERA.width
    camera = Camera(
        *size, CAMERA.fx * scale, CAMERA.fy * scale, CAMERA.cx * scale, CAMERA.cy * scale
    )
    frames = []
    for number, line in enumerate(np.loadtxt(folder / "pose.txt", ndmin=2), start=1):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_quat(line[3:7]).as_matrix()
        pose[:3, 3] = line[:3]
        bgr = cv2.imread(str(folder / f"c{number}.png"), cv2.IMREAD_COLOR)
        depth = cv2.imread(str(folder / f"d{number}.pgm"), cv2.IMREAD_UNCHANGED)
        if bgr is None or depth is None or depth.dtype != np.uint16:
            raise FileNotFoundError(f"{folder}: expected c{number}.png and a 16 bit d{number}.pgm")
        rgb = cv2.resize(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), size, interpolation=cv2.INTER_AREA)
        # averaging depth would invent surfaces between near and far
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
        frames.append(RealFrame(rgb, depth.astype(np.float32) / 1000.0, camera, pose))
    return frames
