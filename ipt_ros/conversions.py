"""Cameras, poses, stamps and maps: ROS messages to numpy and back, checked on the way in.

In: what a topic or a goal brought. Out: arrays and frozen dataclasses, or a GoalError whose text
says what was found and what to do. Pictures and depth images are in `images`.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.errors import ErrorCode, GoalError

#: ROS counts pixels from the middle of the first one, this package from its corner.
PIXEL_CENTRE = 0.5
#: No robot is farther from the zero of its frame, m; beyond, a cell is lost in rounding.
FARTHEST_M = 1e6


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
        raise _bad_info(f"{name} holds NaN or infinity: {_short(matrix)}")
    if not rectified:
        if any(value != 0.0 for value in info.d):
            raise _bad_info(
                f"the image is distorted ({info.distortion_model}); use the rectified topic "
                "(image_proc) and set rectified to true"
            )
        # Without distortion P says the same as K, or nothing.
        if np.any(p != 0.0) and not np.allclose(p, k, rtol=1e-3, atol=1e-2, equal_nan=True):
            raise _bad_info(f"K {_short(k)} and P {_short(p)} differ without any distortion")
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


def intrinsics_to_camera_info(camera: Any, header: Any) -> Any:
    """CameraInfo of anything with the fields of `Intrinsics`."""
    from sensor_msgs.msg import CameraInfo

    fx, fy = float(camera.fx), float(camera.fy)
    cx, cy = float(camera.cx) - PIXEL_CENTRE, float(camera.cy) - PIXEL_CENTRE
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def pose_to_matrix(
    pose: Any, code: ErrorCode = ErrorCode.BAD_GOAL, what: str = "pose"
) -> np.ndarray:
    """4 x 4 of a geometry_msgs Pose. The quaternion is normalised; NaN and zero are refused."""
    return _matrix(pose.position, pose.orientation, code, what)


def transform_to_matrix(
    transform: Any, code: ErrorCode = ErrorCode.NO_POSE, what: str = "transform"
) -> np.ndarray:
    """4 x 4 of a geometry_msgs Transform."""
    return _matrix(transform.translation, transform.rotation, code, what)


def matrix_to_pose(matrix: np.ndarray) -> Any:
    """The geometry_msgs Pose of a rigid 4 x 4."""
    from geometry_msgs.msg import Point, Pose, Quaternion

    x, y, z = (float(v) for v in matrix[:3, 3])
    qx, qy, qz, qw = quaternion_of(matrix)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def matrix_to_transform(matrix: np.ndarray) -> Any:
    """The geometry_msgs Transform of a rigid 4 x 4."""
    from geometry_msgs.msg import Quaternion, Transform, Vector3

    x, y, z = (float(v) for v in matrix[:3, 3])
    qx, qy, qz, qw = quaternion_of(matrix)
    return Transform(
        translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw)
    )


def quaternion_of(matrix: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z, w with w >= 0 of the rotation in a 4 x 4 or 3 x 3."""
    m = np.asarray(matrix, float)
    # Bar-Itzhack: the quaternion is the eigenvector of the largest eigenvalue; no case distinction
    # and no loss near half turns.
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0.0, 0.0, 0.0],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], 0.0, 0.0],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], 0.0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], np.trace(m[:3, :3])],
        ]
    )
    q = np.linalg.eigh(k, UPLO="L")[1][:, -1]
    if q[3] < 0:
        q = -q
    x, y, z, w = (float(v) for v in q)
    return x, y, z, w


def yaw_to_quaternion(yaw: float) -> tuple[float, float, float, float]:
    """x, y, z, w of a turn about z, rad."""
    return 0.0, 0.0, math.sin(0.5 * yaw), math.cos(0.5 * yaw)


def planar_matrix(x: float, y: float, yaw: float) -> np.ndarray:
    """4 x 4 of a pose on the floor."""
    c, s = math.cos(yaw), math.sin(yaw)
    matrix = np.eye(4)
    matrix[:2, :2] = [[c, -s], [s, c]]
    matrix[:2, 3] = (x, y)
    return matrix


def stamp_to_ns(stamp: Any) -> int:
    """Nanoseconds of a builtin_interfaces Time or Duration."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int) -> Any:
    from builtin_interfaces.msg import Time

    sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def grid_to_array(message: Any) -> OccupancyGrid:
    """The cells of a nav_msgs OccupancyGrid: -1 unknown, 0 to 100; row 0 at the lowest y."""
    info = message.info
    data = np.asarray(message.data, np.int16)
    if info.width <= 0 or info.height <= 0 or data.size != info.width * info.height:
        raise _bad_map(f"{info.width} x {info.height} cells declared, {data.size} came")
    if not (math.isfinite(info.resolution) and info.resolution > 0):
        raise _bad_map(f"resolution is {info.resolution} m")
    origin = pose_to_matrix(info.origin, ErrorCode.BAD_MAP, "map: its origin")
    if np.abs(origin[:2, 3]).max() > FARTHEST_M:
        raise _bad_map(
            f"its origin is at {_short(origin[:2, 3])} m, more than {FARTHEST_M:g} away"
        )
    if origin[2, 2] < math.cos(1e-3):
        raise _bad_map("its origin is tilted; publish a map that lies in the plane of its frame")
    if data.min() < -1 or data.max() > 100:
        raise _bad_map(f"cells from {data.min()} to {data.max()}; expected -1 to 100")
    cells = data.astype(np.int8).reshape(info.height, info.width)
    # float32 on the wire: 0.05 comes as 0.0500000007, which adds up over a thousand cells
    resolution = float(np.format_float_positional(np.float32(info.resolution)))
    turn = math.atan2(origin[1, 0], origin[0, 0])
    x, y = (planar_matrix(0.0, 0.0, turn)[:2, :2].T @ origin[:2, 3]).tolist()
    return OccupancyGrid(cells, resolution, (x, y), turn)


def array_to_grid(grid: OccupancyGrid, header: Any) -> Any:
    """The nav_msgs OccupancyGrid of cells with int8 values -1 to 100."""
    from geometry_msgs.msg import Point, Pose, Quaternion
    from nav_msgs.msg import MapMetaData
    from nav_msgs.msg import OccupancyGrid as Message

    height, width = grid.cells.shape
    x, y = planar_matrix(0.0, 0.0, grid.turn_rad)[:2, :2] @ grid.origin_xy
    qx, qy, qz, qw = yaw_to_quaternion(grid.turn_rad)
    return Message(
        header=header,
        info=MapMetaData(
            map_load_time=header.stamp,
            resolution=float(grid.resolution_m),
            width=width,
            height=height,
            origin=Pose(
                position=Point(x=float(x), y=float(y)),
                orientation=Quaternion(x=qx, y=qy, z=qz, w=qw),
            ),
        ),
        data=array("b", np.ascontiguousarray(grid.cells).tobytes()),
    )


def _matrix(position: Any, rotation: Any, code: ErrorCode, what: str) -> np.ndarray:
    xyz = (position.x, position.y, position.z)
    q = (rotation.x, rotation.y, rotation.z, rotation.w)
    if not all(math.isfinite(v) for v in (*xyz, *q)):
        raise GoalError(code, f"{what}: holds NaN or infinity: position {xyz}, quaternion {q}")
    norm = math.hypot(*q)
    if not 1e-3 < norm < 1e3:
        raise GoalError(code, f"{what}: the quaternion {q} has length {norm:g}; expected 1")
    x, y, z, w = (v / norm for v in q)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = xyz
    return matrix


def _bad_info(text: str) -> GoalError:
    return GoalError(ErrorCode.BAD_CAMERA_INFO, f"camera_info: {text}")


def _bad_map(text: str) -> GoalError:
    return GoalError(ErrorCode.BAD_MAP, f"map: {text}")


def _short(matrix: np.ndarray) -> str:
    return "[" + ", ".join(f"{v:g}" for v in matrix) + "]"
