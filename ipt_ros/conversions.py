"""Cameras, poses, stamps and maps: ROS messages to numpy and back, checked on the way in.

In: what a topic or a goal brought. Out: arrays and frozen dataclasses, or a GoalError whose text
says what was found and what to do. Pictures and depth images are in `images`.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np

from ipt_model.messages import cameras
from ipt_model.messages.cameras import PIXEL_CENTRE, Intrinsics, numbers
from ipt_model.messages.poses import matrix_of
from ipt_model.messages.stamps import stamp_to_ns
from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.errors import ErrorCode, GoalError, told

__all__ = [
    "Intrinsics",
    "array_to_grid",
    "camera_info_to_intrinsics",
    "grid_to_array",
    "intrinsics_to_camera_info",
    "matrix_to_pose",
    "matrix_to_transform",
    "ns_to_stamp",
    "planar_matrix",
    "pose_to_matrix",
    "quaternion_of",
    "stamp_to_ns",
    "transform_to_matrix",
    "yaw_to_quaternion",
]

#: No robot is farther from the zero of its frame, m; beyond, a cell is lost in rounding.
FARTHEST_M = 1e6


def camera_info_to_intrinsics(
    info: Any, image_size: tuple[int, int] | None = None, rectified: bool = False
) -> Intrinsics:
    """The pinhole behind a CameraInfo; see `ipt_model.messages.cameras`."""
    with told():
        return cameras.camera_info_to_intrinsics(info, image_size, rectified)


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
    with told():
        return matrix_of(pose.position, pose.orientation, code.name, what)


def transform_to_matrix(
    transform: Any, code: ErrorCode = ErrorCode.NO_POSE, what: str = "transform"
) -> np.ndarray:
    """4 x 4 of a geometry_msgs Transform."""
    with told():
        return matrix_of(transform.translation, transform.rotation, code.name, what)


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
            f"its origin is at {numbers(origin[:2, 3])} m, more than {FARTHEST_M:g} away"
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


def _bad_map(text: str) -> GoalError:
    return GoalError(ErrorCode.BAD_MAP, f"map: {text}")
