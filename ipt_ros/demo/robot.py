"""The demo's hands and eyes: two nodes as processes of their own, and what comes from them over
DDS.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image

from imaginative_perception.srv import SetPose
from ipt_model.messages.poses import yaw_of
from ipt_model.spatial import maps
from ipt_ros.client import Asker, AskTimeout
from ipt_ros.conversions import (
    grid_to_array,
    matrix_to_pose,
    planar_matrix,
    pose_to_matrix,
    stamp_to_ns,
)
from ipt_ros.demo.story import Pose2
from ipt_ros.senses.images import image_to_rgb
from ipt_ros.starting.interruption import undisturbed


class NodeProcess:
    """One installed executable, its output in a file; ended with SIGTERM like a robot's supervisor
    does.
    """

    def __init__(
        self,
        executable: str,
        parameters: dict[str, Any],
        log: Path,
        ros_arguments: Sequence[str] = (),
    ) -> None:
        """ros_arguments: more of what follows --ros-args."""
        self.name, self.log = executable, log
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            [*command_line(executable, parameters), *ros_arguments],
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    def check(self) -> None:
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{tail}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._file.close()


def start_node(
    ends: ExitStack, executable: str, parameters: dict[str, Any], log: Path
) -> NodeProcess:
    """One that is ended with `ends`, whenever Ctrl-C comes."""
    with undisturbed():
        node = NodeProcess(executable, parameters, log)
        ends.callback(node.stop)
    return node


def command_line(executable: str, parameters: dict[str, Any]) -> list[str]:
    """An installed executable with its parameters; more ROS arguments may follow."""
    from ament_index_python.packages import get_package_prefix

    package = "imaginative_perception"
    path = Path(get_package_prefix(package)) / "lib" / package / executable
    given = [part for n, v in parameters.items() for part in ("-p", f"{n}:={_yaml(v)}")]
    return [str(path), "--ros-args", *given]


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(v) for v in value) + "]"
    return str(value)


class Robot:
    """Hears camera, odometry and map; drives and, between questions, is put somewhere."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._lock = threading.Lock()
        self.pictures: OrderedDict[int, np.ndarray] = OrderedDict()
        self._pose: Pose2 | None = None
        self._pose_stamp = 0
        self._map: maps.OccupancyGrid | None = None
        node = asker.node
        self._drive = node.create_publisher(Twist, "cmd_vel", 10)
        self._set_pose = node.create_client(SetPose, "sim_node/set_pose")
        node.create_subscription(Image, "camera/image", self._image, qos_profile_sensor_data)
        node.create_subscription(Odometry, "odom", self._odometry, 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(OccupancyGrid, "map", self._store_map, latched)

    def _image(self, message: Any) -> None:
        with self._lock:
            self.pictures[stamp_to_ns(message.header.stamp)] = image_to_rgb(message)
            while len(self.pictures) > 1500:
                self.pictures.popitem(last=False)

    def _odometry(self, message: Any) -> None:
        pose = pose_to_matrix(message.pose.pose)
        self._pose = Pose2(float(pose[0, 3]), float(pose[1, 3]), yaw_of(pose))
        self._pose_stamp = stamp_to_ns(message.header.stamp)

    def _store_map(self, message: Any) -> None:
        self._map = grid_to_array(message)

    @property
    def pose(self) -> Pose2:
        assert self._pose is not None
        return self._pose

    @property
    def map(self) -> maps.OccupancyGrid:
        assert self._map is not None
        return self._map

    def picture_of(self, stamp_ns: int) -> np.ndarray | None:
        """The very image with this stamp, as it came over the wire."""
        with self._lock:
            return self.pictures.get(stamp_ns)

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if time.monotonic() > deadline:
                raise AskTimeout(f"{what}: not within {timeout_s:.0f} s")
            time.sleep(0.02)

    def wait_for_model(self, alive: Callable[[], bool], timeout_s: float = 240.0) -> None:
        """Until the node is active. While it loads its model it answers nobody, this service
        included. alive: raises when a process has ended.
        """
        from lifecycle_msgs.srv import GetState

        client = self._asker.node.create_client(GetState, f"{self._asker.target}/get_state")
        asked: list[Any] = []

        def active() -> bool:
            alive()
            if asked and asked[-1].done():
                return bool(asked.pop().result().current_state.label == "active")
            if not asked and client.service_is_ready():
                asked.append(client.call_async(GetState.Request()))
            return False

        self.wait_until(active, "the model", timeout_s)

    def senses_ready(self) -> bool:
        return bool(self.pictures) and self._pose is not None and self._map is not None

    def put(self, pose: Pose2) -> None:
        """Stand somewhere else at once, and wait until the camera has seen it from there."""
        if not self._set_pose.wait_for_service(10.0):
            raise AskTimeout("the simulator offers no set_pose")
        request = SetPose.Request(pose=matrix_to_pose(planar_matrix(pose.x, pose.y, pose.yaw)))
        reply = self._asker.wait(self._set_pose.call_async(request), 10.0, "set_pose")
        if not reply.success:
            raise RuntimeError(f"set_pose refused: {reply.message}")
        self._wait_for_pictures(3)

    def _wait_for_pictures(self, count: int) -> None:
        """Until `count` pictures newer than now have come."""
        before = self._pose_stamp
        self.wait_until(
            lambda: sum(stamp > before for stamp in list(self.pictures)) >= count,
            "new pictures",
            10.0,
        )

    def newest_picture(self) -> np.ndarray:
        with self._lock:
            return next(reversed(self.pictures.values()))

    def look_around(self, rate: float = 1.8) -> None:
        """Turn once on the spot, by cmd_vel, as a robot would."""
        turned, last = 0.0, self.pose.yaw
        deadline = time.monotonic() + 30.0
        while turned < 2 * math.pi and time.monotonic() < deadline:
            command = Twist()
            command.angular.z = rate
            self._drive.publish(command)
            time.sleep(0.05)
            turned += math.remainder(self.pose.yaw - last, 2 * math.pi)
            last = self.pose.yaw
        self._drive.publish(Twist())
        self._wait_for_pictures(3)


def begin(program: str, out: Path) -> bool:
    """Make the folder of the results and choose a domain for all that is started; False where the
    folder cannot be made, and one line says why."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"{program}: --out {out}: {error.strerror}", file=sys.stderr)
        return False
    os.environ["ROS_DOMAIN_ID"] = str(free_domain())
    return True


def free_domain() -> int:
    """A ROS domain that a robot on this machine is unlikely to use; one that was chosen stays."""
    chosen = os.environ.get("ROS_DOMAIN_ID")
    return int(chosen) if chosen else 70 + os.getpid() % 30
