"""What the robot perceives: cameras, pose and map, stored by callbacks and decoded on demand."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import numpy as np

from ipt_model.spatial.memory import MemoryLimits, SpatialMemory
from ipt_ros.conversions import stamp_to_ns
from ipt_ros.diagnostics import ERROR, Rate
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.parameters.table import LiveParameters, Values
from ipt_ros.reports import Reports
from ipt_ros.senses.camera_input import CameraInput, sensor_qos
from ipt_ros.senses.frames import CameraFrames, Frame, newest_posed
from ipt_ros.senses.memory_map import memory_map
from ipt_ros.senses.observations import Observation, observe
from ipt_ros.senses.pose_source import OdometryPose, PoseSource, TfPose
from ipt_ros.senses.remembering import Remembering
from ipt_ros.senses.stamps import Restart, why_incredible
from ipt_ros.spinning import hand_over

if TYPE_CHECKING:
    from rclpy.node import Node

#: Between looks at whether the newest view should be remembered, s.
REMEMBER_S = 0.2
#: Between two maps made from memory, at least, s.
MAP_S = 1.0


class Forgotten(Enum):
    """How it came that nothing of before is remembered."""

    ON_REQUEST = auto()
    CARRIED_AWAY = auto()
    TIME_BEGAN_ANEW = auto()


class Senses:
    """on_forgotten is told why nothing of before is remembered any more, and how that came; on_map
    is told of new maps.
    """

    def __init__(
        self,
        node: Node,
        live: LiveParameters,
        reports: Reports,
        on_forgotten: Callable[[str, Forgotten], None],
        on_map: Callable[[Any], None],
    ) -> None:
        from nav_msgs.msg import OccupancyGrid
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from std_srvs.srv import Trigger

        self._node, self._live = node, live
        self._on_forgotten, self._on_map = on_forgotten, on_map
        values = self._live.values
        self.memory = SpatialMemory(
            MemoryLimits(
                number=values.memory_views,
                n_bytes=values.memory_bytes,
                age_s=values.memory_age_s,
                fastest_m_s=values.memory_fastest_m_s,
            )
        )
        self.remembering = Remembering(self.memory, values.rectified, self._make_map)
        self.poses: PoseSource = (
            OdometryPose(node, live, sensor_qos(values.reliability, 20), self._incredible)
            if values.pose_source == "odometry"
            else TfPose(node, live, reports)
        )

        def mismatched(text: str) -> None:
            reports.alarm("qos", ERROR, text)

        self._memories = {
            name: CameraFrames(name, values.use_depth, values.sync_slop_s)
            for name in values.cameras
        }
        self._rates = {name: Rate() for name in values.cameras}
        self._cameras = [
            CameraInput(node, memory, values, self._begin_anew, mismatched, self._incredible)
            for memory in self._memories.values()
        ]
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        #: Made on other threads where it is made of memory.
        self._map: Any | None = None
        self._map_lock = threading.Lock()
        self._mapped_s = -math.inf
        #: Whether the map came before time began anew. It may be all that there is: a map server
        #: sends its map once.
        self.map_is_old = False
        self._map_subscription = self._map_publisher = None
        if values.map_source == "memory":
            self._map_publisher = node.create_publisher(OccupancyGrid, "~/memory_map", latched)
        else:
            self._map_subscription = node.create_subscription(
                OccupancyGrid, "map", self._store_map, latched
            )
        self._forget_service = node.create_service(Trigger, "~/forget", self._asked_to_forget)
        self._timer = node.create_timer(REMEMBER_S, self._remember)

    def destroy(self) -> None:
        for camera in self._cameras:
            camera.destroy(self._node)
        self._node.destroy_timer(self._timer)
        self._node.destroy_service(self._forget_service)
        self.remembering.stop()
        if self._map_publisher is not None:
            self._node.destroy_publisher(self._map_publisher)
            self._map_publisher = None
        if self._map_subscription is not None:
            self._node.destroy_subscription(self._map_subscription)
        self.poses.destroy()

    # -- callbacks --------------------------------------------------------------------------------

    def _store_map(self, message: Any) -> None:
        self._map, self.map_is_old = message, False
        self._on_map(message)

    def _begin_anew(self, restart: Restart) -> None:
        """Stamps of one camera went back, so those of all others do: nothing remembered holds, and
        what came of the new time stays.
        """
        for frames in self._memories.values():
            frames.begin_anew(restart)
        self.poses.begin_anew(restart)
        if self._map is not None:
            self.map_is_old = not restart.is_new(stamp_to_ns(self._map.header.stamp))
        self._forget_views(
            "stamps went backwards; remembered views are forgotten", Forgotten.TIME_BEGAN_ANEW
        )

    def _forget_views(self, why: str, how: Forgotten = Forgotten.ON_REQUEST) -> int:
        """And what was made of them; how many they were."""
        with self._map_lock:
            number = self.remembering.forget()
            self._forget_map()
        self._on_forgotten(why, how)
        return number

    def _forget_map(self) -> None:
        if self._map_publisher is not None:
            self._map, self._mapped_s = None, -math.inf

    def _look_for_jumps(self) -> None:
        """The memory notices them; here the others are told that nothing of before holds."""
        with self._map_lock:
            if not self.remembering.has_jumped():
                return
            self._forget_map()
        self._on_forgotten(
            "the robot was carried away or its pose jumped; what was seen before is forgotten",
            Forgotten.CARRIED_AWAY,
        )

    def take_over(self, values: Values) -> None:
        """Parameters have changed."""
        if not values.remember and len(self.memory):
            self._forget_views("remember was set to false; remembered views are forgotten")

    def _asked_to_forget(self, request: Any, response: Any) -> Any:
        number = self._forget_views("remembered views were asked to be forgotten")
        response.success, response.message = True, f"{number} views forgotten"
        return response

    def _remember(self) -> None:
        """Offer the newest views; one whose pose is not known yet waits a turn. Where none may be
        kept, a jump is noticed all the same."""
        remember = self._live.values.remember
        for memory in self._memories.values():
            frame = memory.peek()
            if frame is not None and not self._incredible(frame.stamp_ns):
                with contextlib.suppress(GoalError):
                    pose = self._pose_of(frame)
                    if remember:
                        self.remembering.offer(frame, pose)
                    else:
                        self.memory.follow(pose, frame.stamp_ns, frame.camera)
        self._look_for_jumps()

    def _make_map(self) -> None:
        """What is remembered, as the map; on the thread of remembering, once in a while."""
        if self._map_publisher is not None and time.monotonic() - self._mapped_s >= MAP_S:
            with contextlib.suppress(GoalError):
                self._map_anew()

    def _map_anew(self) -> None:
        values, times = self._live.values, self.remembering.times
        _, pose = self.newest_pose()
        message = memory_map(
            self.memory,
            (float(pose[0, 3]), float(pose[1, 3])),
            values.fixed_frame,
            values.memory_map_side_m,
            values.memory_map_resolution_m,
            values.robot_radius_m,
        )
        with self._map_lock:
            # what it was made of may be forgotten by now
            if message is None or times != self.remembering.times:
                return
            self._mapped_s, self._map = time.monotonic(), message
        hand_over(self._node, self._take_map, message, times)

    def _take_map(self, message: Any, times: int) -> None:
        # else this node was cleaned up meanwhile, or what the map was made of is forgotten
        if self._map_publisher is not None and times == self.remembering.times:
            self._map_publisher.publish(message)
            self._store_map(message)

    def _pose_of(self, frame: Frame, wait: bool = False) -> np.ndarray:
        return self.poses.camera(frame.camera, frame.frame_id, frame.stamp_ns, wait)

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _incredible(self, stamp_ns: int) -> str:
        return why_incredible(stamp_ns, self._now_ns(), self._live.values.stamp_max_ahead_s)

    # -- what is known ----------------------------------------------------------------------------

    def _fresh(self, camera: str) -> list[Frame]:
        values = self._live.values
        return self._memories[camera].fresh(
            self._now_ns(), values.view_max_age_s, values.stamp_max_ahead_s
        )

    def newest_view(self, map_frame: str = "") -> Observation:
        """The newest fresh view of the first camera whose pose is known, and how the frame of a
        map lay at its stamp.
        """
        values = self._live.values

        def pose_of(frame: Frame, wait: bool) -> np.ndarray:
            if map_frame:
                self.poses.frame(map_frame, frame.stamp_ns, wait)
            return self._pose_of(frame, wait)

        frame, pose = newest_posed(self._fresh(values.cameras[0]), pose_of, wait=True)
        return observe(frame, pose, values.rectified)

    def newest_pose(self) -> tuple[int, Any]:
        """Stamp of the newest fresh view whose pose is known, ns, and where its camera stood, 4 x
        4; raises when there is none. Decodes nothing.
        """
        frames = self._fresh(self._live.values.cameras[0])
        frame, pose = newest_posed(frames, self._pose_of, wait=False)
        return frame.stamp_ns, pose

    def remembered_views(self) -> list[Observation]:
        """Oldest first, from where they were taken."""
        return self.remembering.observations()

    def remember(self, view: Observation) -> SpatialMemory | None:
        """The memory, with this view of the first camera in it; None where nothing may be kept, or
        the view is of a time that is forgotten.
        """
        values = self._live.values
        if not values.remember:
            return None
        camera = values.cameras[0]
        frames = self._memories[camera]
        kept = self.remembering.add(view, camera, lambda: frames.is_of_now(view.stamp_ns))
        return self.memory if kept else None

    def latest_map(self, anew: bool = False) -> Any:
        """A nav_msgs OccupancyGrid. anew: one that is made of memory is made again, of all that is
        remembered by now; any thread but the executor's."""
        if anew and self._map_publisher is not None:
            self._map_anew()
        if self._map is None:
            raise GoalError(
                ErrorCode.NO_MAP,
                "nothing is remembered yet that a map could be made of"
                if self._map_publisher is not None
                else "no map has arrived on the topic map (reliable, transient local); remap it "
                "to the map of your SLAM or map server, or set map_source to memory",
            )
        return self._map

    def health(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Per camera: what is wrong, or an empty string; and its figures."""
        report = {}
        for camera in self._cameras:
            name, memory = camera.camera, self._memories[camera.camera]
            wrong = ""
            try:
                self._fresh(name)
            except GoalError as error:
                wrong = error.text
            took = sorted(camera.callback_s) or [0.0]
            newest = memory.peek()
            figures = {
                "newest_stamp_ns": str(0 if newest is None else newest.stamp_ns),
                "rate_hz": f"{self._rates[name].at(memory.received):.1f}",
                "callback_median_ms": f"{1e3 * took[len(took) // 2]:.3f}",
                "callback_p99_ms": f"{1e3 * took[int(0.99 * (len(took) - 1))]:.3f}",
            }
            report[name] = (wrong, figures)
        return report
