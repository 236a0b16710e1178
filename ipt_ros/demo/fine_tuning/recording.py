"""Records a drive as a robot's owner would: what comes over the topics goes into a rosbag2 folder.

A recording is written below `.unfinished` and moved to its place when it is whole, so that what
is there is never half a drive.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_path
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from ipt_training.bags.contract import CAMERA_INFO, IMAGE, ODOMETRY, Contract

#: What is recorded, by the name that the robot itself has for it: the recording knows no
#: namespace, so that one contract does for all of them.
TOPICS: dict[str, tuple[Any, str]] = {
    "camera/image": (Image, IMAGE),
    "camera/depth_image": (Image, IMAGE),
    "camera/camera_info": (CameraInfo, CAMERA_INFO),
    "odom": (Odometry, ODOMETRY),
}
UNFINISHED = ".unfinished"


class RecordingError(RuntimeError):
    """A drive that could not be recorded; the message says why and what to do."""


def robot_setup() -> dict[str, Any]:
    """What `config/sim_robot.yaml` says of the simulated robot: `camera`, parameters of sim_node,
    and `mounts`, of ipt_node."""
    import yaml

    path = get_package_share_path("imaginative_perception") / "config" / "sim_robot.yaml"
    nodes = yaml.safe_load(path.read_text(encoding="utf-8"))
    simulator, model = (
        nodes[f"/**/{name}"]["ros__parameters"] for name in ("sim_node", "ipt_node")
    )
    camera = {name: v for name, v in simulator.items() if name.startswith("camera_")}
    return {"camera": camera, "mounts": [float(v) for v in model["mounts"]]}


def contract_of(mount: list[float], every_s: float) -> Contract:
    """What is what in the recordings. mount: of the camera's body frame on the base."""
    return Contract(
        colour="/camera/image",
        depth="/camera/depth_image",
        camera_info="/camera/camera_info",
        odometry="/odom",
        mount=tuple(mount),
        every_s=every_s,
    )


class Recorder:
    """Writes raw messages of a node's topics as they arrive, from `start` on.

    folder: of the finished recording. heard: called with each raw odometry, recorded or not.
    """

    def __init__(self, node: Node, folder: Path, heard: Any) -> None:
        try:
            from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise RecordingError(
                "rosbags is not installed, which writes the recordings: pip install '.[bags]'"
            ) from error
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self._part = folder.parent / UNFINISHED / folder.name
        if self._part.exists():
            shutil.rmtree(self._part)
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._writer: Any = Writer(self._part, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        store = get_typestore(Stores.ROS2_JAZZY)
        self._heard = heard
        self._lock = threading.Lock()
        self._recording = self._closed = False
        for topic, (kind, name) in TOPICS.items():
            connection = self._writer.add_connection(f"/{topic}", name, typestore=store)
            node.create_subscription(
                kind, topic, self._callback(topic, connection), QoSProfile(depth=50), raw=True
            )

    def _callback(self, topic: str, connection: Any) -> Any:
        def take(message: bytes) -> None:
            with self._lock:
                if self._recording:
                    self._writer.write(connection, time.time_ns(), message)
                    self.counts[topic] += 1
            if topic == "odom":
                self._heard(message)

        return take

    def start(self) -> None:
        """Everything that arrives from now on is kept."""
        with self._lock:
            self._recording = True

    def finish(self) -> None:
        """Close the recording and put it in its place."""
        self._close()
        if not self.counts["camera/image"]:
            raise RecordingError(f"{self.folder.name}: no picture came from the simulator")
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._part.rename(self.folder)

    def discard(self) -> None:
        """Close it without keeping it."""
        self._close()
        shutil.rmtree(self._part, ignore_errors=True)

    def _close(self) -> None:
        with self._lock:
            self._recording = False
            if not self._closed:
                self._writer.close()
            self._closed = True
