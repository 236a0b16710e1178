"""What the robot perceives: cameras, pose and map, stored by callbacks and decoded on demand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ipt_ros.diagnostics import ERROR, Rate
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.parameters.table import LiveParameters
from ipt_ros.reports import Reports
from ipt_ros.senses.camera_input import CameraInput, sensor_qos
from ipt_ros.senses.keyframes import (
    CameraMemory,
    Frame,
    KeyframeMemory,
    MemoryLimits,
    newest_posed,
)
from ipt_ros.senses.observations import Observation, observe
from ipt_ros.senses.pose_source import OdometryPose, PoseSource, TfPose
from ipt_ros.senses.stamps import why_incredible

if TYPE_CHECKING:
    from rclpy.node import Node

#: Between looks at whether the newest view should become a keyframe, s.
REMEMBER_S = 0.2


class Senses:
    """on_jump and on_map are told of time going back and of new maps."""

    def __init__(
        self,
        node: Node,
        live: LiveParameters,
        reports: Reports,
        on_jump: Callable[[], None],
        on_map: Callable[[Any], None],
    ) -> None:
        from nav_msgs.msg import OccupancyGrid
        from rclpy.qos import DurabilityPolicy, QoSProfile

        self._node, self._live = node, live
        self._on_jump, self._on_map = on_jump, on_map
        values = self._live.values
        self.keyframes = KeyframeMemory(
            MemoryLimits(
                moved_m=values.keyframe_moved_m,
                turned_rad=values.keyframe_turned_rad,
                age_s=values.keyframe_age_s,
                number=values.keyframes,
                n_bytes=values.keyframe_bytes,
            )
        )
        self.poses: PoseSource = (
            OdometryPose(node, live, sensor_qos(values.reliability, 20), self._incredible)
            if values.pose_source == "odometry"
            else TfPose(node, live, reports)
        )

        def mismatched(text: str) -> None:
            reports.alarm("qos", ERROR, text)

        self._memories = {
            name: CameraMemory(name, values.use_depth, values.sync_slop_s)
            for name in values.cameras
        }
        self._rates = {name: Rate() for name in values.cameras}
        self._cameras = [
            CameraInput(node, memory, values, self._forget, mismatched, self._incredible)
            for memory in self._memories.values()
        ]
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._map: Any | None = None
        self._map_subscription = node.create_subscription(
            OccupancyGrid, "map", self._store_map, latched
        )
        self._timer = node.create_timer(REMEMBER_S, self._remember)

    def destroy(self) -> None:
        for camera in self._cameras:
            camera.destroy(self._node)
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._map_subscription)
        self.poses.destroy()

    # -- callbacks --------------------------------------------------------------------------------

    def _store_map(self, message: Any) -> None:
        self._map = message
        self._on_map(message)

    def _forget(self) -> None:
        """Stamps went backwards: a bag was restarted or the simulation reset; nothing remembered
        holds.
        """
        self.keyframes.clear()
        self.poses.clear()
        self._on_jump()

    def _remember(self) -> None:
        """Keep newest views that show the world from elsewhere; one whose pose is not known yet
        waits a turn.
        """
        for memory in self._memories.values():
            frame = memory.peek()
            if frame is not None:
                with contextlib.suppress(GoalError):
                    self.keyframes.offer(frame, self._pose_of)

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
        """The keyframes, oldest first, from where they were taken."""
        rectified = self._live.values.rectified
        return [observe(k.frame, k.world_from_camera, rectified) for k in self.keyframes.all()]

    def latest_map(self) -> Any:
        if self._map is None:
            raise GoalError(
                ErrorCode.NO_MAP,
                "no map has arrived on the topic map (reliable, transient local); remap it to the "
                "map of your SLAM or map server",
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
            figures = {
                "rate_hz": f"{self._rates[name].at(memory.received):.1f}",
                "callback_median_ms": f"{1e3 * took[len(took) // 2]:.3f}",
                "callback_p99_ms": f"{1e3 * took[int(0.99 * (len(took) - 1))]:.3f}",
            }
            report[name] = (wrong, figures)
        return report
