"""A hand-made camera, odometry and map for tests of `ipt_node`: every message can be made wrong in
one way.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from harness import BEST_EFFORT, LATCHED, RELIABLE, Peer, until
from nav_msgs.msg import OccupancyGrid, Odometry
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.spatial import maps
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_ros.conversions import (
    Intrinsics,
    array_to_grid,
    intrinsics_to_camera_info,
    matrix_to_transform,
    ns_to_stamp,
)
from ipt_ros.senses.images import depth_to_image, rgb_to_image

PINHOLE = Intrinsics(64, 48, 40.0, 40.0, 32.0, 24.0)


#: x, y, z, roll, pitch, yaw of the camera's body on base_link.
MOUNT = (0.1, 0.0, 1.2, 0.0, 0.25, 0.0)


def view_messages(stamp_ns: int, grey: int, x_m: float = 0.0) -> dict[str, Any]:
    """One view, of one grey 2 m away, from the x axis."""
    header = Header(stamp=ns_to_stamp(stamp_ns), frame_id="camera_optical_frame")
    odometry = Odometry(header=Header(stamp=header.stamp, frame_id="odom"))
    odometry.child_frame_id = "base_link"
    odometry.pose.pose.position.x = x_m
    return {
        "odometry": odometry,
        "info": intrinsics_to_camera_info(PINHOLE, header),
        "depth": depth_to_image(np.full((48, 64), 2.0, np.float32), header),
        "image": rgb_to_image(np.full((48, 64, 3), grey, np.uint8), header),
    }


def half_seen(columns: int = 50) -> maps.OccupancyGrid:
    """10 x 10 m around the origin, so many columns in the west seen free, the rest unknown."""
    cells = np.full((100, 100), maps.UNKNOWN, np.int8)
    cells[:, :columns] = maps.FREE
    return maps.OccupancyGrid(cells, 0.1, (-5.0, -5.0))


class RobotInput:
    """Publishes one view after another, 20 a second, in a thread; `wrong` changes the messages of
    every view. With `tf` the odometry goes out as transforms instead.
    """

    def __init__(self, peer: Peer, tf: bool = False, prefix: str = "") -> None:
        """prefix: of the topics."""
        self._peer = peer
        self._image = peer.publisher(Image, f"{prefix}camera/image", BEST_EFFORT)
        self._depth = peer.publisher(Image, f"{prefix}camera/depth_image", BEST_EFFORT)
        self._info = peer.publisher(CameraInfo, f"{prefix}camera/camera_info", BEST_EFFORT)
        self._odometry = (
            _Transforms(peer) if tf else peer.publisher(Odometry, f"{prefix}odom", BEST_EFFORT)
        )
        self._map = peer.publisher(OccupancyGrid, f"{prefix}map", LATCHED)
        self.wrong: Any = lambda messages: messages
        self.offset_ns = 0
        self.sent: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self.send()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def destroy(self) -> None:
        """Take every publisher out of the graph; not with `tf`."""
        for publisher in (self._image, self._depth, self._info, self._odometry, self._map):
            self._peer.node.destroy_publisher(publisher)

    def send(self) -> None:
        stamp_ns = time.time_ns() + self.offset_ns
        messages = view_messages(stamp_ns, (stamp_ns // 50_000_000) % 200)
        messages = self.wrong(messages)
        publishers = {
            "odometry": self._odometry,
            "info": self._info,
            "depth": self._depth,
            "image": self._image,
        }
        for name, message in messages.items():
            publishers[name].publish(message)
        self.sent.append(stamp_ns)

    def send_map(self, seen_columns: int = 50) -> None:
        """10 x 10 m around the robot, the west part seen free, the rest unknown."""
        self.send_grid(half_seen(seen_columns))

    def send_grid(self, grid: maps.OccupancyGrid, frame_id: str = "odom") -> None:
        self.send_map_message(array_to_grid(grid, Header(frame_id=frame_id)))

    def send_map_message(self, message: OccupancyGrid) -> None:
        self._map.publish(message)

    def look_around(self) -> None:
        """Quarter turns to the left on the spot, with time at each to be remembered."""
        before = self.wrong
        for quarter in range(5):
            half = 0.25 * math.pi * quarter

            def turned(messages: Any, half: float = half) -> Any:
                orientation = messages["odometry"].pose.pose.orientation
                orientation.z, orientation.w = math.sin(half), math.cos(half)
                return messages

            self.wrong = turned
            have = len(self.sent)
            until(lambda have=have: len(self.sent) >= have + 16, "the robot looks around")
        self.wrong = before


class _Transforms:
    """Sends odometry as tf does, and the mount of the camera once."""

    def __init__(self, peer: Peer) -> None:
        from tf2_msgs.msg import TFMessage

        self._message = TFMessage
        self._moving = peer.publisher(TFMessage, "/tf", RELIABLE)
        self._fixed = peer.publisher(TFMessage, "/tf_static", LATCHED)
        mount = TransformStamped(child_frame_id="camera_optical_frame")
        mount.header.frame_id = "base_link"
        mount.transform = matrix_to_transform(from_xyz_rpy(*MOUNT) @ BODY_FROM_OPTICAL)
        self._fixed.publish(TFMessage(transforms=[mount]))

    def publish(self, odometry: Odometry) -> None:
        pose = odometry.pose.pose
        moved = TransformStamped(header=odometry.header, child_frame_id=odometry.child_frame_id)
        moved.transform.rotation = pose.orientation
        at = moved.transform.translation
        at.x, at.y, at.z = pose.position.x, pose.position.y, pose.position.z
        self._moving.publish(self._message(transforms=[moved]))
