"""One house of the demo: a simulator in a process and namespace of its own, a robot that drives a
tour through it, and the recording of that.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from imaginative_perception.srv import SetPose
from ipt_model.messages.poses import yaw_of
from ipt_ros.conversions import matrix_to_pose, planar_matrix, pose_to_matrix, stamp_to_ns
from ipt_ros.demo.fine_tuning.driving import Tour
from ipt_ros.demo.fine_tuning.recording import Recorder, RecordingError
from ipt_ros.demo.fine_tuning.route import Route
from ipt_ros.demo.robot import NodeProcess
from ipt_training.houses.generator import make_scene
from ipt_training.houses.looks import dressed

#: Pictures per simulated second, and simulated seconds per second that one core can draw.
RATE_HZ, REAL_TIME_FACTOR = 2.5, 4.0
#: Odometry per simulated second: the driver steers with each.
ODOMETRY_HZ = 10.0
#: A simulator that says nothing for so long is given up, and a tour that goes on for longer, s.
SILENT_S, LONGEST_S = 60.0, 240.0


@dataclass(frozen=True)
class HousePlan:
    """Which house is driven through. places: at most so many are looked at, 0 for all."""

    seed: int
    look: str
    level: str = "house"
    places: int = 0

    @property
    def name(self) -> str:
        return f"{self.look}_{self.level}_{self.seed}"


@dataclass(frozen=True)
class Drive:
    """How a recorded drive went. places, reached, skipped: numbers of them. driven_m, simulated_s:
    of the recording. megabytes: of its folder."""

    name: str
    seed: int
    rooms: int
    places: int
    reached: int
    skipped: int
    pictures: int
    driven_m: float
    simulated_s: float
    megabytes: float


class HouseDrive:
    """Drives and records one house; `run` blocks until it is done. camera: sim_node's parameters
    of the robot's camera."""

    def __init__(self, plan: HousePlan, folder: Path, camera: dict[str, Any], logs: Path) -> None:
        self.plan = plan
        scene = dressed(make_scene(plan.seed, plan.level), plan.look)
        self._rooms = len(scene.rooms)
        self._route = Route(scene)
        self._tour: Tour | None = None
        self._heard_s = time.monotonic()
        self._pose: tuple[float, float, float] | None = None
        self._first_s, self._last_s, self._driven_m = math.nan, math.nan, 0.0
        self._fault: BaseException | None = None
        self._done = threading.Event()
        parameters = {
            "seed": plan.seed,
            "level": plan.level,
            "look": plan.look,
            **camera,
            "rate": RATE_HZ,
            "odom_rate": ODOMETRY_HZ,
            "depth_encoding": "16UC1",
            "reliability": "reliable",
            "publish_clock": True,
            "real_time_factor": REAL_TIME_FACTOR,
            "map_rate": 0.1,
            # a late command must neither stop the robot at once nor let it go on for long
            "command_timeout": 0.8,
        }
        namespace = f"/{plan.name}"
        # every simulator has a clock of its own
        own = ["-r", f"__ns:={namespace}", "-r", f"/clock:={namespace}/clock"]
        self._node = Node("driver", namespace=namespace)
        self._drive = self._node.create_publisher(Twist, "cmd_vel", 10)
        self._set_pose = self._node.create_client(SetPose, "sim_node/set_pose")
        self._recorder = Recorder(self._node, folder, self._odometry)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._simulator = NodeProcess(
            "sim_node", parameters, logs / f"sim_node_{plan.name}.log", own
        )
        self._thread = threading.Thread(target=self._spin, name=plan.name, daemon=True)

    def run(self) -> Drive:
        """Drive the whole tour. The recording is in its folder, or there is none."""
        self._thread.start()
        try:
            self._until(lambda: self._pose is not None, "odometry")
            self._begin()
            self._until(self._done.is_set, "the end of the tour")
            self._recorder.finish()
        except BaseException:
            self._recorder.discard()
            raise
        finally:
            self._simulator.stop()
            self._executor.shutdown()
            self._thread.join(timeout=5.0)
            self._node.destroy_node()
        assert self._tour is not None
        folder = self._recorder.folder
        size = sum(file.stat().st_size for file in folder.iterdir())
        return Drive(
            self.plan.name,
            self.plan.seed,
            self._rooms,
            len(self._tour.places),
            len(self._tour.reached),
            len(self._tour.skipped),
            self._recorder.counts["camera/image"],
            round(self._driven_m, 1),
            round(self._last_s - self._first_s, 1),
            round(size / 1e6, 1),
        )

    def _begin(self) -> None:
        """Stand on the floor that can be driven on, then record and drive."""
        assert self._pose is not None
        start = self._route.places(self._pose[:2], most=1)[0]
        self._put(*start)
        tour = Tour(self._route, self._route.places(start, self.plan.places))
        self._recorder.start()
        self._tour = tour

    def _put(self, x: float, y: float) -> None:
        if not self._set_pose.wait_for_service(SILENT_S):
            raise RecordingError(f"{self.plan.name}: the simulator offers no set_pose")
        replied = threading.Event()
        future = self._set_pose.call_async(
            SetPose.Request(pose=matrix_to_pose(planar_matrix(x, y, 0.0)))
        )
        future.add_done_callback(lambda _: replied.set())
        self._until(replied.is_set, "set_pose")
        if not future.result().success:
            raise RecordingError(f"{self.plan.name}: {future.result().message}")

    def _odometry(self, raw: bytes) -> None:
        """Steer with every odometry."""
        message = deserialize_message(raw, Odometry)
        matrix = pose_to_matrix(message.pose.pose)
        x, y, yaw = float(matrix[0, 3]), float(matrix[1, 3]), yaw_of(matrix)
        now_s = stamp_to_ns(message.header.stamp) * 1e-9
        before, self._pose, self._heard_s = self._pose, (x, y, yaw), time.monotonic()
        tour = self._tour
        if tour is None or self._done.is_set():
            return
        if math.isnan(self._first_s):
            self._first_s = now_s
        elif before is not None:
            self._driven_m += math.dist(before[:2], (x, y))
        self._last_s = now_s
        command = tour.step(x, y, yaw, now_s)
        told = Twist()
        told.linear.x, told.angular.z = float(command.speed), float(command.turn)
        self._drive.publish(told)
        if tour.done:
            self._done.set()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:  # a full disk, say: `run` raises it where it is heard
            self._fault = error

    def _until(self, ready: Any, what: str) -> None:
        began = self._heard_s = time.monotonic()
        while not ready():
            if self._fault is not None:
                raise RecordingError(f"{self.plan.name}: {self._fault}") from self._fault
            self._simulator.check()
            now = time.monotonic()
            if now - self._heard_s > SILENT_S or now - began > LONGEST_S:
                raise RecordingError(
                    f"{self.plan.name}: {what} did not come within {now - began:.0f} s; the "
                    f"simulator wrote {self._simulator.log}"
                )
            if not rclpy.ok():
                raise RecordingError(f"{self.plan.name}: interrupted")
            time.sleep(0.02)
