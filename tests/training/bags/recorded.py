"""Recordings of a robot in a generated room, written as rosbag2 with the real library."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import occupancy, passable
from ipt_training.scenes.scene import Scene

STORE = get_typestore(Stores.ROS2_JAZZY)
DETECTIONS = "vision_msgs/msg/Detection2DArray"
#: The part of vision_msgs 4 that a detection needs.
VISION = {
    DETECTIONS: "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
    "vision_msgs/msg/Detection2D": "std_msgs/Header header\n"
    "vision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox2D bbox\nstring id",
    "vision_msgs/msg/ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\n"
    "geometry_msgs/PoseWithCovariance pose",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y",
}
for _name, _text in VISION.items():
    STORE.register(get_types_from_msg(_text, _name))
WIDTH, HEIGHT, FOV = 160, 120, math.radians(80)
#: A thing is detected from so many pixels on.
LEAST_PX = 60
START_NS, STEP_NS = 1_700_000_000 * 10**9, 500_000_000
MOUNT = (0.1, 0.0, 0.8, 0.0, 0.15, 0.0)


@dataclass
class Drive:
    """What a robot saw: poses of the base (x, y, yaw), pictures and depths, one each step.
    instances: which object each pixel shows."""

    bases: list[tuple[float, float, float]]
    colour: list[np.ndarray]
    depth: list[np.ndarray]
    camera: Camera
    scene: Scene | None = None
    instances: list[np.ndarray] = field(default_factory=list)

    def boxes(self, k: int) -> list[tuple[str, tuple[float, float, float, float]]]:
        """What a good detector says of picture k."""
        found = []
        for number, thing in enumerate(self.scene.objects):
            rows, columns = np.nonzero(self.instances[k] == number)
            if len(rows) >= LEAST_PX:
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                found.append((thing.category, tuple(float(v) for v in box)))
        return found


@lru_cache(maxsize=2)
def drive(seed: int = 5, turns: int = 12) -> Drive:
    """Turn on the spot at two places of a room."""
    scene = make_scene(seed, "room")
    rng = np.random.default_rng(seed)
    spots = occupancy(scene, 0.1)
    free = spots.centres()[passable(spots, 0.4)]
    places = free[rng.permutation(len(free))[:2]]
    return _seen(
        scene,
        [(float(x), float(y), 2 * math.pi * k / turns) for x, y in places for k in range(turns)],
    )


@lru_cache(maxsize=2)
def tour(seed: int = 5, level: str = "room", places: int = 9, turns: int = 10) -> Drive:
    """Turn on the spot at places along straight ways through a scene."""
    scene = make_scene(seed, level)
    rng = np.random.default_rng(seed)
    grid = occupancy(scene, 0.1)
    walkable = passable(grid, 0.3)
    free = grid.centres()[walkable]
    stops: list[np.ndarray] = [free[int(rng.integers(len(free)))]]
    while len(stops) < places:
        aim = free[int(rng.integers(len(free)))]
        way = np.linspace(stops[-1], aim, 40)
        rows, columns = grid.indices(way)
        if 0.7 < math.dist(stops[-1], aim) < 3 and walkable[rows, columns].all():
            stops.append(aim)
    return _seen(
        scene,
        [
            (float(x), float(y), 2 * math.pi * k / turns + float(rng.uniform(-0.2, 0.2)))
            for x, y in stops
            for k in range(turns)
        ],
    )


def _seen(scene: Scene, bases: list[tuple[float, float, float]]) -> Drive:
    camera = Camera.from_fov(WIDTH, HEIGHT, FOV)
    poses = [
        camera_pose(
            x + MOUNT[0] * math.cos(yaw), y + MOUNT[0] * math.sin(yaw), yaw, MOUNT[2], MOUNT[4]
        )
        for x, y, yaw in bases
    ]
    views = Renderer(scene).render_many(poses, camera)
    return Drive(
        bases,
        [v.rgb for v in views],
        [v.depth_m for v in views],
        camera,
        scene,
        [v.instance for v in views],
    )


@dataclass
class Layout:
    """How a recording is written."""

    storage: StoragePlugin = StoragePlugin.MCAP
    compressed: bool = False
    pictures: str = "rgb8"  # or bgr8, padded, jpeg
    depths: str = "16UC1"  # or 32FC1, compressedDepth, millimetres as 32FC1
    poses: str = "tf"  # or odometry
    detections: bool = False
    leave_out: tuple[str, ...] = ()
    stamps: dict[int, int] = field(default_factory=dict)  # frame: moved by, ns


def write_bag(folder: Path, layout: Layout | None = None, made: Drive | None = None) -> Path:
    """Write a recording; the pictures' log time is 0.2 s after their stamp."""
    layout, made = layout or Layout(), made or drive()
    writer = Writer(folder, version=9, storage_plugin=layout.storage)
    if layout.compressed:
        mode = (
            CompressionMode.STORAGE
            if layout.storage is StoragePlugin.MCAP
            else CompressionMode.MESSAGE
        )
        writer.set_compression(mode, CompressionFormat.ZSTD)
    t = STORE.types
    with writer:
        connections: dict[str, Any] = {}

        def put(topic: str, kind: str, stamp_ns: int, message: Any) -> None:
            if topic in layout.leave_out:
                return
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            data = STORE.serialize_cdr(message, kind)
            writer.write(connections[topic], stamp_ns + 200_000_000, data)

        def header(stamp_ns: int, frame: str) -> Any:
            stamp = t["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
            return t["std_msgs/msg/Header"](stamp, frame)

        optical = _body() @ BODY_FROM_OPTICAL
        static = _transform(t, header(START_NS, "base_link"), "camera_optical", optical)
        kind = "tf2_msgs/msg/TFMessage"
        put("/tf_static", kind, START_NS - 10**9, t[kind]([static]))
        every = zip(made.bases, made.colour, made.depth, strict=True)
        for k, ((x, y, yaw), rgb, depth) in enumerate(every):
            stamp_ns = START_NS + k * STEP_NS
            for early in (-100_000_000, 100_000_000):
                pose = np.eye(4)
                pose[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
                pose[:2, 3] = x, y
                where = header(stamp_ns + early, "odom")
                if layout.poses == "tf":
                    put("/tf", kind, stamp_ns, t[kind]([_transform(t, where, "base_link", pose)]))
                else:
                    put("/odom", "nav_msgs/msg/Odometry", stamp_ns, _odometry(t, where, pose))
            told = header(stamp_ns + layout.stamps.get(k, 0), "camera_optical")
            put("/camera/color/camera_info", *_info(t, stamp_ns, told, made.camera))
            put("/camera/depth/image", *_depth(t, stamp_ns, told, depth, layout.depths))
            put("/camera/color/image", *_picture(t, stamp_ns, told, rgb, layout.pictures))
            if layout.detections:
                # a detector takes its time
                put("/detections", *_detected(t, stamp_ns + 300_000_000, told, made.boxes(k)))
    return folder


def _body() -> np.ndarray:
    from ipt_model.messages.poses import from_xyz_rpy

    return from_xyz_rpy(*MOUNT)


def _quaternion(t: Any, matrix: np.ndarray) -> Any:
    w = math.sqrt(max(0.0, 1 + np.trace(matrix))) / 2
    if w > 1e-6:
        x, y, z = (
            (matrix[2, 1] - matrix[1, 2]) / (4 * w),
            (matrix[0, 2] - matrix[2, 0]) / (4 * w),
            (matrix[1, 0] - matrix[0, 1]) / (4 * w),
        )
    else:
        x, y, z, w = 0.0, 0.0, 1.0, 0.0
    return t["geometry_msgs/msg/Quaternion"](float(x), float(y), float(z), float(w))


def _transform(t: Any, header: Any, child: str, pose: np.ndarray) -> Any:
    vector = t["geometry_msgs/msg/Vector3"](*(float(v) for v in pose[:3, 3]))
    moved = t["geometry_msgs/msg/Transform"](vector, _quaternion(t, pose[:3, :3]))
    return t["geometry_msgs/msg/TransformStamped"](header, child, moved)


def _odometry(t: Any, header: Any, pose: np.ndarray) -> Any:
    point = t["geometry_msgs/msg/Point"](*(float(v) for v in pose[:3, 3]))
    there = t["geometry_msgs/msg/Pose"](point, _quaternion(t, pose[:3, :3]))
    zero = t["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    return t["nav_msgs/msg/Odometry"](
        header,
        "base_link",
        t["geometry_msgs/msg/PoseWithCovariance"](there, np.zeros(36)),
        t["geometry_msgs/msg/TwistWithCovariance"](
            t["geometry_msgs/msg/Twist"](zero, zero), np.zeros(36)
        ),
    )


def _info(t: Any, stamp_ns: int, header: Any, camera: Camera) -> tuple[str, int, Any]:
    kind = "sensor_msgs/msg/CameraInfo"
    cx, cy = camera.cx - 0.5, camera.cy - 0.5
    k = np.array([camera.fx, 0, cx, 0, camera.fy, cy, 0, 0, 1], float)
    p = np.array([camera.fx, 0, cx, 0, 0, camera.fy, cy, 0, 0, 0, 1, 0], float)
    roi = t["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    message = t[kind](
        header, camera.height, camera.width, "plumb_bob", np.zeros(5), k,
        np.eye(3).ravel(), p, 0, 0, roi,
    )  # fmt: skip
    return kind, stamp_ns, message


def _image(t: Any, header: Any, pixels: np.ndarray, encoding: str, pad: int = 0) -> Any:
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    step = rows.shape[1] + pad
    rows = np.pad(rows, ((0, 0), (0, pad)))
    return t["sensor_msgs/msg/Image"](header, height, width, encoding, 0, step, rows.ravel())


def _picture(
    t: Any, stamp_ns: int, header: Any, rgb: np.ndarray, how: str
) -> tuple[str, int, Any]:
    if how == "jpeg":
        _, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        kind = "sensor_msgs/msg/CompressedImage"
        return kind, stamp_ns, t[kind](header, "rgb8; jpeg compressed bgr8", data.ravel())
    pixels = rgb[:, :, ::-1] if how == "bgr8" else rgb
    encoding = "bgr8" if how == "bgr8" else "rgb8"
    kind = "sensor_msgs/msg/Image"
    return kind, stamp_ns, _image(t, header, pixels, encoding, 8 if how == "padded" else 0)


def _depth(
    t: Any, stamp_ns: int, header: Any, depth: np.ndarray, how: str
) -> tuple[str, int, Any]:
    kind = "sensor_msgs/msg/Image"
    millimetres = np.rint(1000 * depth).astype(np.uint16)
    if how == "16UC1":
        return kind, stamp_ns, _image(t, header, millimetres, how)
    if how == "compressedDepth":
        _, data = cv2.imencode(".png", millimetres)
        data = np.concatenate([np.zeros(12, np.uint8), data.ravel()])
        kind = "sensor_msgs/msg/CompressedImage"
        return kind, stamp_ns, t[kind](header, "16UC1; compressedDepth png", data)
    metres = depth.astype(np.float32)
    scale = 1000 if how == "millimetres as 32FC1" else 1
    return kind, stamp_ns, _image(t, header, metres * np.float32(scale), "32FC1")


def _detected(
    t: Any, stamp_ns: int, header: Any, boxes: list[tuple[str, tuple[float, ...]]]
) -> tuple[str, int, Any]:
    kind = "vision_msgs/msg/"
    zero = t["geometry_msgs/msg/Point"](0.0, 0.0, 0.0)
    upright = t["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    pose = t["geometry_msgs/msg/PoseWithCovariance"](
        t["geometry_msgs/msg/Pose"](zero, upright), np.zeros(36)
    )
    found = []
    for name, (left, top, right, bottom) in boxes:
        named = t[kind + "ObjectHypothesis"](name, 0.9)
        centre = t[kind + "Pose2D"](
            t[kind + "Point2D"](0.5 * (left + right), 0.5 * (top + bottom)), 0.0
        )
        box = t[kind + "BoundingBox2D"](centre, right - left, bottom - top)
        results = [t[kind + "ObjectHypothesisWithPose"](named, pose)]
        found.append(t[kind + "Detection2D"](header, results, box, ""))
    return DETECTIONS, stamp_ns, t[DETECTIONS](header, found)
