"""The robot's node: remembers what the cameras see, runs the model in one thread, serves four
actions.

configure: parameters, topics, servers. activate: load and warm the model. deactivate: end
    every goal and free the
model. Callbacks only store; whatever takes time runs on the model's thread.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from dataclasses import dataclass, field
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from ipt_ros import diagnostics
from ipt_ros.actions.ask_spatial import ask_spatial_server
from ipt_ros.actions.count_objects import count_objects_server
from ipt_ros.actions.imagine_view import imagine_view_server
from ipt_ros.actions.trace_path import trace_path_server
from ipt_ros.camera_input import CameraInput, sensor_qos
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.ipt_parameters import IPT_PARAMETERS, check_together
from ipt_ros.model_worker import ModelWorker
from ipt_ros.observations import Observation, observe
from ipt_ros.parameters import declare
from ipt_ros.pose_source import OdometryPose, PoseSource, TfPose
from ipt_ros.view_memory import CameraMemory, Frame, KeyframeMemory, MemoryLimits

#: Between looks at whether the newest view should become a keyframe.
REMEMBER_S = 0.2

ACTIONS = (ask_spatial_server, count_objects_server, imagine_view_server, trace_path_server)


@dataclass
class Answering:
    """What exists while the node is active."""

    imaginer: Any
    worker: ModelWorker
    stopping: threading.Event = field(default_factory=threading.Event)


class IptNode(LifecycleNode):
    def __init__(self) -> None:
        super().__init__("ipt_node")
        self.parameters = declare(self, IPT_PARAMETERS, check_together)
        self.answering: Answering | None = None
        self.poses: PoseSource
        self._diagnostics: diagnostics.Diagnostics | None = None
        self._latest_map: Any | None = None
        self._questions = 0
        self._servers: list[Any] = []
        # Servers exist in every state, so that an asker hears NOT_ACTIVE instead of waiting for
        # ever.
        for make in ACTIONS:
            self._servers.append(make(self))
        if self.parameters.values.autostart:
            self._start = self.create_timer(0.01, self._autostart)

    def _autostart(self) -> None:
        self.destroy_timer(self._start)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # -- lifecycle --------------------------------------------------------------------------------
    # ----------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._configure()
        except Exception as error:  # rclpy would swallow it and end in "finalized"
            self.report(error, "configure")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        from nav_msgs.msg import OccupancyGrid
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

        values = self.parameters.values
        self._rates = {name: diagnostics.Rate() for name in values.cameras}
        self.keyframes = KeyframeMemory(
            MemoryLimits(
                moved_m=values.keyframe_moved_m,
                turned_rad=values.keyframe_turned_rad,
                age_s=values.keyframe_age_s,
                number=values.keyframes,
                n_bytes=values.keyframe_bytes,
            )
        )
        self.poses = (
            OdometryPose(self, values, sensor_qos(values.reliability, 20))
            if values.pose_source == "odometry"
            else TfPose(self, values)
        )
        self._memories = {
            name: CameraMemory(name, values.use_depth, values.sync_slop_s)
            for name in values.cameras
        }
        self._cameras = [
            CameraInput(self, memory, values, self._forget, self._qos_mismatch)
            for memory in self._memories.values()
        ]
        self._remember_timer = self.create_timer(REMEMBER_S, self._remember)
        latched = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._map_subscription = self.create_subscription(
            OccupancyGrid, "map", self._store_map, latched
        )
        self._diagnostics = diagnostics.Diagnostics(
            self, self._refresh, values.diagnostics_rate_hz
        )

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        values = self.parameters.values
        try:
            # late: torch and transformers take seconds to import
            from ipt_model.imaginer import Imaginer

            imaginer = Imaginer.from_pretrained(
                values.model,
                device=values.device,
                dtype=values.dtype,
                quantization=None if values.quantization == "none" else values.quantization,
            )
            imaginer.warm_up()
        except Exception as error:
            self.report(error, "activate", ErrorCode.MODEL_FAILED)
            return TransitionCallbackReturn.FAILURE
        self.answering = Answering(imaginer, ModelWorker(values.waiting_goals))
        self.get_logger().info(f"ready: {imaginer.model_id} on {imaginer.device}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_answering()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        for camera in self._cameras:
            camera.destroy(self)
        self.poses.destroy()
        self.destroy_timer(self._remember_timer)
        self.destroy_subscription(self._map_subscription)
        self._diagnostics.destroy()
        self._diagnostics = None
        self._latest_map = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_answering()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """On SIGTERM, while publishers still work."""
        self._stop_answering()

    def _stop_answering(self) -> None:
        answering, self.answering = self.answering, None
        if answering is not None:
            answering.stopping.set()
            answering.worker.close()
            answering.imaginer.close()

    # -- what arrives
    # ---------------------------------------------------------------------------------------------

    def _store_map(self, message: Any) -> None:
        self._latest_map = message

    def _forget(self) -> None:
        """Stamps went backwards: a bag was restarted or the simulation reset; nothing remembered
        holds.
        """
        self.keyframes.clear()
        self.poses.clear()
        text = "stamps went backwards; remembered views are forgotten"
        self.get_logger().warning(text)
        self._diagnostics.status("time", diagnostics.WARN, text)
        self._diagnostics.publish()

    def _qos_mismatch(self, text: str) -> None:
        self.get_logger().error(text)
        self._diagnostics.status("qos", diagnostics.ERROR, text)
        self._diagnostics.publish()

    def _remember(self) -> None:
        """Keep newest views that show the world from elsewhere; one whose pose is not known yet
        waits a turn.
        """
        for memory in self._memories.values():
            frame = memory.peek()
            if frame is not None:
                with contextlib.suppress(GoalError):
                    self.keyframes.offer(frame, self._pose_of)

    def _pose_of(self, frame: Frame) -> Any:
        return self.poses.camera(frame.camera, frame.frame_id, frame.stamp_ns)

    # -- what the actions use, on the model's thread
    # --------------------------------------------------------------

    def newest_view(self) -> Observation:
        """The newest complete view of the first camera."""
        values = self.parameters.values
        now_ns = self.get_clock().now().nanoseconds
        frame = self._memories[values.cameras[0]].newest(now_ns, values.view_max_age_s)
        return observe(frame, self.poses, values.rectified)

    def remembered_views(self) -> list[Observation]:
        """The keyframes that can be decoded, oldest first."""
        rectified = self.parameters.values.rectified
        return [observe(k.frame, self.poses, rectified) for k in self.keyframes.all()]

    def latest_map(self) -> Any:
        if self._latest_map is None:
            raise GoalError(
                ErrorCode.NO_MAP,
                "no map has arrived on the topic map (reliable, transient local); remap it to "
                "/map or "
                "to /global_costmap/costmap",
            )
        return self._latest_map

    # -- reporting --------------------------------------------------------------------------------
    # ----------------

    def report(self, error: Exception, during: str, code: ErrorCode | None = None) -> GoalError:
        """Make any exception a GoalError, log it and tell the diagnostics."""
        if isinstance(error, GoalError):
            failure = error
        elif isinstance(error, MemoryError):
            failure = GoalError(ErrorCode.OUT_OF_MEMORY, f"{type(error).__name__}: {error}")
        else:
            text = f"{type(error).__name__}: {error}"
            failure = GoalError(code or ErrorCode.UNKNOWN, text)
            self.log_trace(error)
        self.get_logger().warning(f"{during}: {failure}")
        if self._diagnostics is not None:
            self._diagnostics.status(
                "last error", diagnostics.WARN, failure.text, code=int(failure.code), during=during
            )
            self._diagnostics.publish()
        return failure

    def log_trace(self, error: Exception) -> None:
        self.get_logger().error("".join(traceback.format_exception(error)))

    def answered(self, result: Any) -> None:
        """A goal was answered; called on the model's thread."""
        self._questions += 1
        times = result.answer.times
        stages = {
            name: f"{getattr(times, name):.4f}" for name in times.get_fields_and_field_types()
        }
        self._diagnostics.status("last answer", diagnostics.OK, "answered", **stages)

    def _refresh(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        answering = self.answering
        if answering is None:
            self._diagnostics.status("model", diagnostics.WARN, "not active")
        else:
            self._diagnostics.status(
                "model",
                diagnostics.OK,
                answering.imaginer.model_id,
                questions=self._questions,
                goals=answering.worker.goals,
                keyframes=len(self.keyframes),
            )
        for name, memory in self._memories.items():
            rate = f"{self._rates[name].at(memory.received):.1f}"
            try:
                memory.newest(now_ns, self.parameters.values.view_max_age_s)
                self._diagnostics.status(name, diagnostics.OK, "views arrive", rate_hz=rate)
            except GoalError as error:
                self._diagnostics.status(name, diagnostics.ERROR, error.text, rate_hz=rate)


def main() -> None:
    from ipt_ros.run import run_node

    raise SystemExit(run_node(IptNode))


if __name__ == "__main__":
    main()
