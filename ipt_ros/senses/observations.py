"""A remembered frame, decoded: pixels, metres and a pose that numpy can work on.

Decoding happens here, on the worker's thread and only for frames that are used, never in a
callback.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ipt_ros.conversions import Intrinsics, camera_info_to_intrinsics
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.frames import Frame
from ipt_ros.senses.images import compressed_to_rgb, depth_to_metres, image_to_rgb


@dataclass(frozen=True)
class Observation:
    """What one camera saw at one time.

    rgb: H x W x 3 uint8. depth_m: H x W float32, 0 = no return, or None. world_from_camera: 4
        x 4, optical.
    """

    stamp_ns: int
    frame_id: str
    rgb: np.ndarray
    depth_m: np.ndarray | None
    intrinsics: Intrinsics
    world_from_camera: np.ndarray


def observe(frame: Frame, world_from_camera: np.ndarray, rectified: bool = False) -> Observation:
    """Decode a frame; what is wrong with it becomes an error that names the camera."""
    try:
        compressed = hasattr(frame.image, "format")  # CompressedImage has no encoding
        rgb = compressed_to_rgb(frame.image) if compressed else image_to_rgb(frame.image)
        size = (rgb.shape[1], rgb.shape[0])
        intrinsics = camera_info_to_intrinsics(frame.info, size, rectified)
        depth = None if frame.depth is None else depth_to_metres(frame.depth)
    except GoalError as error:
        raise GoalError(error.code, f"{frame.camera}: {error.text}") from error
    if depth is not None and depth.shape != rgb.shape[:2]:
        raise GoalError(
            ErrorCode.BAD_DEPTH,
            f"{frame.camera}: depth is {depth.shape[1]}x{depth.shape[0]}, the image is "
            f"{rgb.shape[1]}x{rgb.shape[0]}; depth must be registered to the colour camera",
        )
    return Observation(frame.stamp_ns, frame.frame_id, rgb, depth, intrinsics, world_from_camera)
