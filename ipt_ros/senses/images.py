"""ROS pictures and depth images as numpy arrays, and back.

In: sensor_msgs Image or CompressedImage. Out: H x W x 3 uint8 RGB, or H x W float32 metres with 0
for no return. Whatever arrives, the only error raised is `ImageError` with a code and a text; a
camera that sends garbage must not end a node.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ipt_model.messages import pictures
from ipt_ros.errors import ErrorCode, GoalError, told


class ImageError(GoalError):
    """An image that cannot be read: BAD_IMAGE for pictures, BAD_DEPTH for depth images."""


def _told(decode: Callable[[Any], np.ndarray]) -> Callable[[Any], np.ndarray]:
    @wraps(decode)
    def decoded(message: Any) -> np.ndarray:
        with told(ImageError):
            return decode(message)

    return decoded


image_to_rgb = _told(pictures.image_to_rgb)
compressed_to_rgb = _told(pictures.compressed_to_rgb)
depth_to_metres = _told(pictures.depth_to_metres)
image_to_mask = _told(pictures.image_to_mask)


def rgb_to_image(rgb: np.ndarray, header: Any) -> Any:
    """An rgb8 Image of H x W x 3 uint8. Empty arrays give the empty image (height 0)."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ImageError(
            ErrorCode.BAD_IMAGE, f"expected H x W x 3 uint8 RGB, got {rgb.shape} {rgb.dtype}"
        )
    return _image(rgb, header, "rgb8", 3)


def mask_to_image(mask: np.ndarray, header: Any) -> Any:
    """A mono8 Image of H x W bool: 255 where true, else 0."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ImageError(
            ErrorCode.BAD_IMAGE, f"expected H x W bool, got {mask.shape} {mask.dtype}"
        )
    return _image(mask.astype(np.uint8) * np.uint8(255), header, "mono8", 1)


def depth_to_image(depth_m: np.ndarray, header: Any, encoding: str = "32FC1") -> Any:
    """A depth Image of H x W metres; in 16UC1 whatever is 65.535 m or farther is no return."""
    if depth_m.ndim != 2:
        raise ImageError(ErrorCode.BAD_DEPTH, f"expected H x W metres, got {depth_m.shape}")
    if encoding == "32FC1":
        return _image(depth_m.astype("<f4", copy=False), header, encoding, 4)
    if encoding == "16UC1":
        millimetres = np.rint(np.nan_to_num(depth_m, nan=0.0, posinf=0.0, neginf=0.0) * 1000.0)
        millimetres[(millimetres < 0) | (millimetres > 65535)] = 0
        return _image(millimetres.astype("<u2"), header, encoding, 2)
    raise ImageError(ErrorCode.BAD_DEPTH, f"depth encoding {encoding!r}; expected 32FC1 or 16UC1")


def _image(pixels: np.ndarray, header: Any, encoding: str, pixel_bytes: int) -> Any:
    from sensor_msgs.msg import Image

    height, width = pixels.shape[:2]
    # array("B") is taken as it is; bytes would be checked one by one, 20 ms at 640 x 480.
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B") if pixels.size else b"")
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width * pixel_bytes,
        data=data,
    )
