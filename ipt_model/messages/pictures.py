"""Pictures and depth images of messages as numpy arrays.

In: anything with the fields of a sensor_msgs Image or CompressedImage. Out: H x W x 3 uint8 RGB,
or H x W float32 metres with 0 for no return. Whatever arrives, the only error raised is
`MessageFault`; a camera that sends garbage must not end a program.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from .faults import MessageFault
from .picture_header import HeaderError, picture_size

BAD_IMAGE, BAD_DEPTH = "BAD_IMAGE", "BAD_DEPTH"
#: No camera on a robot takes more; a header made of garbage easily claims it.
MAX_PIXELS = 64_000_000
#: Of a compressed picture: a small message may claim them, and each takes 50 ns to decode.
MAX_COMPRESSED_PIXELS = 32_000_000

#: Bytes before the PNG of a compressedDepth image: an enum and two floats.
DEPTH_HEADER = 12

#: Encodings read here: bytes per pixel, what OpenCV makes RGB of it with (None: is RGB).
_PLAIN: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}
#: Encodings left to cv_bridge or rosbags-image: bytes per pixel.
_BRIDGED = {
    **{
        f"bayer_{order}{bits}": bits // 8
        for order in ("rggb", "bggr", "gbrg", "grbg")
        for bits in (8, 16)
    },
    "mono16": 2,
    "rgb16": 6,
    "bgr16": 6,
    "rgba16": 8,
    "bgra16": 8,
    "uyvy": 2,
    "yuv422": 2,
    "yuyv": 2,
    "yuv422_yuy2": 2,
}
_DEPTH: dict[str, np.dtype[Any]] = {
    "32FC1": np.dtype("f4"),
    "16UC1": np.dtype("u2"),
    "mono16": np.dtype("u2"),
}

COLOUR_ENCODINGS = tuple(_PLAIN) + tuple(_BRIDGED)


def image_to_rgb(message: Any) -> np.ndarray:
    """H x W x 3 uint8 RGB of an Image. Without copying, and then read-only, where it is RGB."""
    code, encoding = BAD_IMAGE, str(message.encoding)
    if encoding in _PLAIN:
        pixel_bytes, conversion = _PLAIN[encoding]
        rows = _rows(message, pixel_bytes, code)
        pixels = rows.reshape(message.height, message.width, pixel_bytes)
        if conversion is None:
            pixels.flags.writeable = False
            return pixels
        return cv2.cvtColor(pixels, conversion)
    if encoding in _BRIDGED:
        return _bridged(message, _rows(message, _BRIDGED[encoding], code))
    raise MessageFault(
        code,
        f"image encoding {_short(encoding)} is unknown; expected one of {_list(COLOUR_ENCODINGS)}",
    )


def compressed_to_rgb(message: Any) -> np.ndarray:
    """H x W x 3 uint8 RGB of a CompressedImage: a JPEG or PNG, EXIF or not, as the sensor lies."""
    data = bytes(message.data)
    what = f"compressed image of {len(data)} bytes, format {_short(message.format)},"
    try:
        height, width = picture_size(data)
    except HeaderError as error:
        raise MessageFault(BAD_IMAGE, f"{what} {error}") from None
    if height * width > MAX_COMPRESSED_PIXELS:
        raise MessageFault(
            BAD_IMAGE,
            f"{what} is {width} x {height} by its header: more than {MAX_COMPRESSED_PIXELS} "
            "pixels",
        )
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise MessageFault(BAD_IMAGE, f"{what} {error.err}") from None
    if bgr is None:
        raise MessageFault(BAD_IMAGE, f"{what} is no JPEG or PNG that can be read: it is damaged")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def depth_to_metres(message: Any) -> np.ndarray:
    """H x W float32 m, 0 for no return, of a 32FC1 (m) or 16UC1 (mm) image (REP 118)."""
    code, encoding = BAD_DEPTH, str(message.encoding)
    if encoding not in _DEPTH:
        raise MessageFault(
            code,
            f"depth encoding {_short(encoding)} is unknown; expected one of {_list(_DEPTH)}",
        )
    dtype = _DEPTH[encoding].newbyteorder(">" if message.is_bigendian else "<")
    raw = _rows(message, dtype.itemsize, code).view(dtype)
    if dtype.kind == "u":
        return raw.astype(np.float32) * np.float32(0.001)
    depth = raw.astype(np.float32)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0.0
    return depth


def image_to_mask(message: Any) -> np.ndarray:
    """H x W bool of a mono8 Image: true where it is brighter than half."""
    if message.encoding != "mono8":
        raise MessageFault(BAD_IMAGE, f"mask encoding {_short(message.encoding)}; expected mono8")
    return np.asarray(_rows(message, 1, BAD_IMAGE) > 127)


def compressed_to_depth(message: Any) -> np.ndarray:
    """H x W float32 m, 0 for no return, of a compressedDepth image: a header of 12 bytes and a PNG
    of 16 bits, in mm or, of 32FC1, of quantised inverse depth.
    """
    data, name = bytes(message.data), str(message.format)
    encoding = name.partition(";")[0].strip()
    what = f"compressed depth of {len(data)} bytes, format {_short(name)},"
    if "compressedDepth" not in name or encoding not in ("16UC1", "32FC1"):
        raise MessageFault(BAD_DEPTH, f"{what} expected '16UC1; compressedDepth png' or 32FC1")
    if len(data) <= DEPTH_HEADER:
        raise MessageFault(BAD_DEPTH, f"{what} ends within its header")
    try:
        height, width = picture_size(data[DEPTH_HEADER:])
    except HeaderError as error:
        raise MessageFault(BAD_DEPTH, f"{what} {error}") from None
    if height * width > MAX_COMPRESSED_PIXELS:
        raise MessageFault(BAD_DEPTH, f"{what} is {width} x {height}: too many pixels")
    raw = cv2.imdecode(np.frombuffer(data, np.uint8, offset=DEPTH_HEADER), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 2 or raw.dtype != np.uint16:
        raise MessageFault(BAD_DEPTH, f"{what} is no PNG of 16 bits that can be read")
    if encoding == "16UC1":
        return raw.astype(np.float32) * np.float32(0.001)
    _, quant_a, quant_b = struct.unpack("<iff", data[:DEPTH_HEADER])
    if not (np.isfinite(quant_a) and np.isfinite(quant_b) and quant_a > 0):
        raise MessageFault(BAD_DEPTH, f"{what} is quantised by {quant_a:g}, {quant_b:g}")
    inverse = raw.astype(np.float32) - np.float32(quant_b)
    known = (raw > 0) & (inverse > 0)
    return np.where(known, np.float32(quant_a) / np.where(known, inverse, 1), 0).astype(np.float32)


def _rows(message: Any, pixel_bytes: int, code: str) -> np.ndarray:
    """H x (W * pixel_bytes) uint8, without the padding of the rows, after all sizes agree."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    what = f"{message.encoding} image of {width} x {height}"
    if height <= 0 or width <= 0:
        raise MessageFault(code, f"{what}: the size is zero; is the camera driver running?")
    if height * width > MAX_PIXELS:
        raise MessageFault(code, f"{what}: more than {MAX_PIXELS} pixels")
    if step < width * pixel_bytes:
        raise MessageFault(
            code, f"{what}: step is {step}, but a row has {width * pixel_bytes} bytes"
        )
    data = np.frombuffer(message.data, np.uint8)
    # the last row may come without its padding
    if not height * step - (step - width * pixel_bytes) <= data.size <= height * step:
        raise MessageFault(
            code, f"{what}: {height} rows of {step} bytes were declared, {data.size} bytes came"
        )
    if step == width * pixel_bytes:
        return data.reshape(height, step)
    rows = np.lib.stride_tricks.as_strided(data, (height, width * pixel_bytes), (step, 1))
    return np.ascontiguousarray(rows)


def _bridged(message: Any, rows: np.ndarray) -> np.ndarray:
    from types import SimpleNamespace

    tight = SimpleNamespace(
        height=int(message.height),
        width=int(message.width),
        encoding=str(message.encoding),
        is_bigendian=int(bool(message.is_bigendian)),
        step=rows.shape[1],
        data=rows.reshape(-1),
    )
    try:
        return np.ascontiguousarray(_decoder()(tight), dtype=np.uint8)
    except (cv2.error, ValueError, TypeError) as error:
        raise MessageFault(
            BAD_IMAGE,
            f"{tight.encoding} image of {tight.width} x {tight.height}: {error}",
        ) from None


def _decoder() -> Any:
    """cv_bridge of a ROS installation, else rosbags-image: the same conversions by OpenCV."""
    try:
        from cv_bridge import CvBridge

        # its compiled part fails to import beside a numpy it was not built for
        from cv_bridge.boost import cv_bridge_boost  # noqa: F401
    except ImportError:
        from rosbags.image import image_to_cvimage

        return lambda message: image_to_cvimage(message, "rgb8")
    return lambda message: CvBridge().imgmsg_to_cv2(message, "rgb8")


def _short(text: Any) -> str:
    """What a driver wrote, in quotes and at a length that fits a log."""
    text = str(text)
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _list(names: Any) -> str:
    return ", ".join(names)
