"""The pinhole behind a calibration message, or a `MessageFault` that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .faults import MessageFault

#: ROS counts pixels from the middle of the first one, this package from its corner.
PIXEL_CENTRE = 0.5


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole without distortion. Pixels; pixel centres at .5, so a centred cx is width / 2."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


def camera_info_to_intrinsics(
    info: Any, image_size: tuple[int, int] | None = None, rectified: bool = False
) -> Intrinsics:
    """The pinhole behind a CameraInfo.

    image_size: width, height of the image it must belong to. rectified: the image topic is a
    rectified one, so the projection P holds and the distortion is that of another topic. Else K
    holds and there must be no distortion: this package does not rectify.
    """
    width, height = int(info.width), int(info.height)
    if width <= 0 or height <= 0:
        raise _bad_info(f"size is {width} x {height}; is the camera calibrated?")
    if image_size is not None and (width, height) != tuple(image_size):
        raise _bad_info(
            f"it is for {width} x {height} pixels, but the image has "
            f"{image_size[0]} x {image_size[1]}"
        )
    if info.binning_x > 1 or info.binning_y > 1 or info.roi.width or info.roi.height:
        raise _bad_info("binning and regions of interest are not read; publish the whole image")
    k = np.asarray(info.k, float)
    p = np.asarray(info.p, float).reshape(3, 4)[:, :3].ravel()
    matrix, name = (p, "P") if rectified else (k, "K")
    if not np.all(np.isfinite(matrix)):
        raise _bad_info(f"{name} holds NaN or infinity: {numbers(matrix)}")
    if not rectified:
        if any(value != 0.0 for value in info.d):
            raise _bad_info(
                f"the image is distorted ({info.distortion_model}); use the rectified topic "
                "(image_proc) and set rectified to true"
            )
        # Without distortion P says the same as K, or nothing.
        if np.any(p != 0.0) and not np.allclose(p, k, rtol=1e-3, atol=1e-2, equal_nan=True):
            raise _bad_info(f"K {numbers(k)} and P {numbers(p)} differ without any distortion")
    fx, fy, cx, cy = matrix[0], matrix[4], matrix[2], matrix[5]
    if fx <= 0 or fy <= 0:
        raise _bad_info(f"focal lengths in {name} are {fx:g}, {fy:g}; expected positive pixels")
    if abs(matrix[1]) > 1e-6 * fx:
        raise _bad_info(f"{name} has a skew of {matrix[1]:g}; expected none")
    if not (-width < cx < 2 * width and -height < cy < 2 * height):
        raise _bad_info(f"principal point {cx:g}, {cy:g} lies far outside {width} x {height}")
    return Intrinsics(
        width, height, float(fx), float(fy), float(cx) + PIXEL_CENTRE, float(cy) + PIXEL_CENTRE
    )


def _bad_info(text: str) -> MessageFault:
    return MessageFault("BAD_CAMERA_INFO", f"camera_info: {text}")


def numbers(matrix: np.ndarray) -> str:
    """For a message."""
    return "[" + ", ".join(f"{v:g}" for v in matrix) + "]"
