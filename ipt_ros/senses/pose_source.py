"""Where a camera stood when it took an image, and how a goal's frame relates to the fixed frame.

Two sources with the same surface: `tf` asks tf2, `odometry` reads a topic and adds the camera's
mount (right for visual-inertial odometry too, and the only one where tf2 is not installed).
Neither guesses: no pose is an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_ros.conversions import FARTHEST_M, pose_to_matrix, stamp_to_ns, transform_to_matrix
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.parameters.table import LiveParameters
from ipt_ros.reports import Reports
from ipt_ros.senses.poses import PoseHistory
from ipt_ros.senses.stamps import Restart, Run, why_incredible
from ipt_ros.spinning import Faults, spin_once

if TYPE_CHECKING:
    from rclpy.node import Node

#: Transforms of each frame that are put back when time has begun anew.
TF_KEPT = 50
#: A transform stamped farther ahead is dropped, s. tf2 keeps ten seconds behind the newest stamp,
#: so one from the future would keep all that follow out. AMCL post-dates by one second.
TF_MAX_AHEAD_S = 5.0


class PoseSource(Protocol):
    fixed_frame: str

    def camera(self, camera: str, frame_id: str, stamp_ns: int, wait: bool = False) -> np.ndarray:
        """Fixed frame from optical camera at the stamp, 4 x 4. wait: up to pose_timeout_s for what
        is still on its way; never on the thread that receives it.
        """

    def frame(self, frame_id: str, stamp_ns: int, wait: bool = True) -> np.ndarray:
        """Fixed frame from any frame that a goal or a map may name, 4 x 4. wait: as above."""

    def begin_anew(self, restart: Restart) -> None:
        """Stamps went back: forget the poses of before, and keep those of the new time."""

    def destroy(self) -> None: ...


class OdometryPose:
    """From `odom`: the odometry's own frame is the fixed frame."""

    def __init__(
        self, node: Node, live: LiveParameters, qos: Any, incredible: Callable[[int], str]
    ) -> None:
        """incredible: what is wrong with a stamp."""
        from nav_msgs.msg import Odometry

        self._live, self._incredible = live, incredible
        values = live.values
        self.fixed_frame = values.fixed_frame
        self._base_frame = values.base_frame
        self._history = PoseHistory()
        self._frame_seen: str | None = None
        self._error: GoalError | None = None
        self._stamp_error = ""
        self._optical_frames: dict[str, str] = {}
        self._mounts = {
            name: from_xyz_rpy(*values.mounts[6 * i : 6 * i + 6]) @ BODY_FROM_OPTICAL
            for i, name in enumerate(values.cameras)
        }
        self._node = node
        self._subscription = node.create_subscription(Odometry, "odom", self._received, qos)

    def _received(self, message: Any) -> None:
        self._frame_seen = message.header.frame_id
        try:
            pose = near(pose_to_matrix(message.pose.pose, ErrorCode.NO_POSE, "odometry"))
        except GoalError as error:
            self._error = error
            return
        stamp_ns = stamp_to_ns(message.header.stamp)
        wrong = self._incredible(stamp_ns)
        # what came before holds for as long as it reaches: one bad stamp takes nothing away
        self._stamp_error = wrong
        if not wrong:
            self._error = None
            self._history.put(stamp_ns, pose)

    def _base(self, stamp_ns: int, wait: bool = False) -> np.ndarray:
        # the pose of the newest image may be the next message to be read
        deadline = time.monotonic() + (self._live.values.pose_timeout_s if wait else 0.0)
        while True:
            try:
                return self._base_now(stamp_ns)
            except GoalError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.005)

    def _base_now(self, stamp_ns: int) -> np.ndarray:
        if self._error is not None:
            raise self._error
        if self._frame_seen not in (None, self.fixed_frame):
            raise GoalError(
                ErrorCode.NO_POSE,
                f"odometry is stated in '{self._frame_seen}', fixed_frame is "
                f"'{self.fixed_frame}'; set them equal",
            )
        try:
            return self._history.at(stamp_ns)
        except GoalError as error:
            if not self._stamp_error:
                raise
            raise GoalError(error.code, f"odometry {self._stamp_error}") from error

    def camera(self, camera: str, frame_id: str, stamp_ns: int, wait: bool = False) -> np.ndarray:
        self._optical_frames[frame_id] = camera
        return self._base(stamp_ns, wait) @ self._mounts[camera]

    def frame(self, frame_id: str, stamp_ns: int, wait: bool = True) -> np.ndarray:
        if frame_id == self.fixed_frame:
            return np.eye(4)
        if frame_id == self._base_frame:
            return self._base(stamp_ns)
        if frame_id in self._optical_frames:
            return self.camera(self._optical_frames[frame_id], frame_id, stamp_ns)
        known = [self.fixed_frame, self._base_frame, *self._optical_frames]
        raise GoalError(
            ErrorCode.UNKNOWN_FRAME,
            f"frame '{frame_id}' is not known; with pose_source odometry there are {known}; "
            "pose_source tf relates others",
        )

    def begin_anew(self, restart: Restart) -> None:
        self._history.begin_anew(restart)

    def destroy(self) -> None:
        self._node.destroy_subscription(self._subscription)


class TfPose:
    """From tf2: the camera's frame_id must be its optical frame, as REP-103 has it."""

    def __init__(self, node: Node, live: LiveParameters, reports: Reports) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise RuntimeError(
                "pose_source is 'tf', but tf2_ros cannot be imported: install "
                "ros-$ROS_DISTRO-tf2-ros-py, "
                "or set pose_source to 'odometry'"
            ) from error
        import rclpy
        from rclpy.duration import Duration
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.time import Time

        self.fixed_frame = live.values.fixed_frame
        self._time, self._duration = Time, Duration
        self._live = live
        # rclpy and tf2 answer stamps that cannot be with errors of their own kinds
        self._errors = (tf2_ros.TransformException, ValueError, OverflowError)
        self._refused: dict[str, str] = {}
        self._buffer = self._guarded(tf2_ros.Buffer, node)
        # A node and a thread of its own: a look-up waits for transforms that the cameras' executor
        # must not delay.
        self._node = rclpy.create_node(
            f"{node.get_name()}_tf",
            namespace=node.get_namespace(),
            context=node.context,
            # not the arguments of the command line, which would give it the main node's name,
            # but the main node's idea of where transforms come from
            use_global_arguments=False,
            cli_args=["--ros-args"]
            + [
                part
                for topic in ("/tf", "/tf_static")
                for part in ("-r", f"{topic}:={node.resolve_topic_name(topic)}")
            ],
        )
        self._listener = tf2_ros.TransformListener(self._buffer, self._node)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._faults, self._ended = Faults(reports.report), threading.Event()
        self._thread = threading.Thread(target=self._spin, name="tf", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while self._node.context.ok() and not self._ended.is_set():
            spin_once(self._executor, self._faults)

    def _guarded(self, buffer: Any, node: Node) -> Any:
        """tf2's buffer, which keeps nothing from the future. tf2 itself drops what is stamped
        farther back than it remembers: the first transforms of a time that begins anew.
        """
        runs: dict[str, Run[tuple[Any, str]]] = {}
        # transforms come on a thread of their own
        lock = threading.Lock()

        def refuses(transform: Any) -> bool:
            wrong = why_incredible(
                stamp_to_ns(transform.header.stamp),
                node.get_clock().now().nanoseconds,
                TF_MAX_AHEAD_S,
            )
            child = transform.child_frame_id
            if wrong:
                self._refused[child] = f"; a transform of '{child}' was dropped: it {wrong}"
            else:
                self._refused.pop(child, None)
            return bool(wrong)

        class Guarded(buffer):
            def set_transform(self, transform: Any, authority: str) -> None:
                if refuses(transform):
                    return
                stamp_ns, child = stamp_to_ns(transform.header.stamp), transform.child_frame_id
                with lock:
                    runs.setdefault(child, Run(TF_KEPT)).put(stamp_ns, (transform, authority))
                    super().set_transform(transform, authority)

            def begin_anew(self, restart: Restart) -> None:
                with lock:
                    self.clear()
                    for run in runs.values():
                        run.begin_anew(restart)
                        for _, (transform, authority) in run.items:
                            super().set_transform(transform, authority)

        return Guarded(node=node)

    def _lookup(self, frame_id: str, stamp_ns: int, wait: bool) -> np.ndarray:
        if stamp_ns < 0:
            raise GoalError(
                ErrorCode.NO_POSE,
                f"{frame_id}: the stamp {stamp_ns / 1e9:.3f} s is before time began, and tf knows "
                "nothing of it; does the driver fill in header.stamp?",
            )
        stamp = self._time(nanoseconds=stamp_ns)
        timeout = self._duration(seconds=self._live.values.pose_timeout_s if wait else 0.0)
        transform = self._buffer.lookup_transform(self.fixed_frame, frame_id, stamp, timeout)
        return near(transform_to_matrix(transform.transform))

    def camera(self, camera: str, frame_id: str, stamp_ns: int, wait: bool = False) -> np.ndarray:
        try:
            return self._lookup(frame_id, stamp_ns, wait)
        except self._errors as error:
            raise GoalError(
                ErrorCode.NO_POSE,
                f"{camera}: no transform {self.fixed_frame} <- {frame_id}: {error}"
                f"{self._dropped()}",
            ) from error

    def frame(self, frame_id: str, stamp_ns: int, wait: bool = True) -> np.ndarray:
        if frame_id == self.fixed_frame:
            return np.eye(4)
        try:
            return self._lookup(frame_id, stamp_ns, wait)
        except self._errors as error:
            raise GoalError(
                ErrorCode.UNKNOWN_FRAME,
                f"frame '{frame_id}' cannot be related to '{self.fixed_frame}': {error}"
                f"{self._dropped()}",
            ) from error

    def _dropped(self) -> str:
        """Of the transforms that were refused; tf's own thread may add one meanwhile."""
        return "".join(list(self._refused.values()))

    def begin_anew(self, restart: Restart) -> None:
        self._buffer.begin_anew(restart)

    def destroy(self) -> None:
        self._ended.set()
        self._executor.shutdown()
        self._thread.join(timeout=2.0)
        self._node.destroy_node()


def near(pose: np.ndarray) -> np.ndarray:
    """The pose itself; refused where it stands nowhere that a robot can be."""
    if np.abs(pose[:3, 3]).max() > FARTHEST_M:
        raise GoalError(
            ErrorCode.NO_POSE,
            f"the pose {pose[:3, 3].tolist()} is more than {FARTHEST_M:g} m from the origin of "
            "its frame; look at what publishes it",
        )
    return pose
