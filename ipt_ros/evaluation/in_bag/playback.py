"""Plays the frames of a recording to a running node, in step with it: sends one, waits until the
node has taken it in, sends the next. /clock goes with the recording's stamps.

What the node has taken in is told by its diagnostics. While the recording stands still, its last
picture is sent again and again, as a camera of a robot that stands would: each is stamped a
microsecond later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ipt_model.messages.poses import from_xyz_rpy, inverse
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_ros.client import Asker, AskTimeout, Waiter, read_parameters, write_parameter
from ipt_ros.conversions import (
    intrinsics_to_camera_info,
    matrix_to_pose,
    matrix_to_transform,
    ns_to_stamp,
)
from ipt_ros.evaluation.asking import NodeGone
from ipt_ros.evaluation.body import PlaceError
from ipt_ros.senses.images import depth_to_image, rgb_to_image
from ipt_training.bags.frames import Frame

OPTICAL_FRAME = "recorded_camera"
#: How often the node tells what it has taken in, Hz, and the last picture is sent again, s.
TOLD_HZ, AGAIN_S = 20.0, 0.4
#: The node looks for something to remember this often by its clock, and a little more, s.
REMEMBERED_S, TICK_S = 0.25, 0.05
#: A picture that was not taken in is sent again after this, and given up, s.
LOST_S, GIVEN_UP_S = 1.0, 20.0
ASKED_OF_THE_NODE = (
    "use_sim_time",
    "fixed_frame",
    "cameras",
    "pose_source",
    "mounts",
    "image_transport",
    "remember",
    "diagnostics_rate_hz",
)


class Playback:
    """frames: of the recording, from its beginning. fixed_frame: of the poses."""

    def __init__(
        self, asker: Asker, waiter: Waiter, frames: Iterator[Frame], fixed_frame: str
    ) -> None:
        self._asker, self._waiter, self._frames = asker, waiter, frames
        self._fixed_frame = fixed_frame
        self._node_name = asker.node.resolve_service_name(asker.target)
        #: By the part of the node: what it says, and its figures.
        self._told: dict[str, tuple[str, dict[str, str]]] = {}
        self._shown: Frame | None = None
        self._stamp_ns = self._clock_ns = self._settled_ns = 0
        self._sending = threading.Lock()
        self._ends = threading.Event()
        self._standing = threading.Thread(target=self._stand, name="standing", daemon=True)

    def begin(self) -> None:
        """Have the node forget what it saw before, and listen to what is played."""
        asker, node = self._asker, self._asker.node
        known = read_parameters(asker, ASKED_OF_THE_NODE)
        self._check(known)
        self._known = known
        camera = known["cameras"][0]
        mount = from_xyz_rpy(*list(known["mounts"])[:6]) @ BODY_FROM_OPTICAL
        self._base_from_camera = mount
        deep = QoSProfile(depth=10)
        self._clock = node.create_publisher(Clock, "/clock", deep)
        self._image = node.create_publisher(Image, f"{camera}/image", deep)
        self._depth = node.create_publisher(Image, f"{camera}/depth_image", deep)
        self._info = node.create_publisher(CameraInfo, f"{camera}/camera_info", deep)
        self._pose = self._pose_publisher(known["pose_source"], deep)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, deep)
        topics = (self._clock, self._image, self._depth, self._info, self._pose)
        try:
            self._waiter.until(
                lambda: all(one.get_subscription_count() for one in topics), "", GIVEN_UP_S
            )
        except AskTimeout as error:
            deaf = [t.topic_name for t in topics if not t.get_subscription_count()]
            raise PlaceError(f"nobody listens to {', '.join(deaf)}: is it remapped?") from error
        write_parameter(asker, "diagnostics_rate_hz", TOLD_HZ)
        asker.call(Trigger, f"{asker.target}/forget", Trigger.Request())
        self._standing.start()

    def _check(self, known: dict[str, Any]) -> None:
        if not known["use_sim_time"]:
            raise PlaceError(
                f"{self._node_name} has its own clock, and recorded pictures would be too old; "
                "start it with use_sim_time:=true"
            )
        if known["fixed_frame"] != self._fixed_frame:
            raise PlaceError(
                f"{self._node_name}: fixed_frame is '{known['fixed_frame']}', the evaluator's is "
                f"'{self._fixed_frame}'; set them equal"
            )
        if known["image_transport"] != "raw":
            raise PlaceError(
                f"{self._node_name}: image_transport is {known['image_transport']}; a recording "
                "is played as raw pictures, start it with image_transport:=raw"
            )

    def _pose_publisher(self, source: str, qos: QoSProfile) -> Any:
        if source == "odometry":
            return self._asker.node.create_publisher(Odometry, "odom", qos)
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            raise PlaceError(
                f"{self._node_name}: pose_source is tf, and tf2_msgs is not installed here; start "
                "it with pose_source:=odometry"
            ) from error
        return self._asker.node.create_publisher(TFMessage, "/tf", qos)

    def close(self) -> None:
        self._ends.set()
        if self._standing.is_alive():
            self._standing.join(5.0)
            self._quietly_slower()

    def _quietly_slower(self) -> None:
        """Its diagnostics as often as before, as far as the node still listens."""
        try:
            write_parameter(
                self._asker, "diagnostics_rate_hz", self._known["diagnostics_rate_hz"], 2.0
            )
        except (AskTimeout, ValueError):
            return

    def _hear(self, message: Any) -> None:
        for status in message.status:
            if status.hardware_id == self._node_name:
                part = status.name.partition(": ")[2]
                self._told[part] = status.message, {one.key: one.value for one in status.values}

    # -- in step ----------------------------------------------------------------------------------

    def play_to(self, stamp_ns: int) -> Frame:
        """Everything up to the frame with this stamp, which is taken in last."""
        while self._shown is None or self._shown.stamp_ns < stamp_ns:
            frame = next(self._frames, None)
            if frame is None or frame.stamp_ns > stamp_ns:
                raise PlaceError(f"the recording has no frame of {stamp_ns} any more")
            self._take(frame)
        return self._shown

    def show(self, rgb: np.ndarray) -> None:
        """This picture in place of the one at this place, from now on."""
        assert self._shown is not None
        with self._sending:
            self._shown = replace(self._shown, rgb=rgb)
        self._again()
        self._seen()

    def see_anew(self) -> None:
        """The same picture once more, newer than before."""
        self._again()
        self._seen()

    def _take(self, frame: Frame) -> None:
        with self._sending:
            self._shown, self._stamp_ns = frame, frame.stamp_ns
            self._send()
        self._seen()
        if not self._known["remember"] or frame.stamp_ns < self._settled_ns + REMEMBERED_S * 1e9:
            return
        # by its clock the node looks for something to remember
        self._settled_ns = frame.stamp_ns
        self._in_step("memory", frame.stamp_ns, frame.stamp_ns + int(REMEMBERED_S * 1e9))

    def _seen(self) -> None:
        self._in_step(str(self._known["cameras"][0]), self._stamp_ns)

    def _in_step(self, part: str, stamp_ns: int, clock_to_ns: int = 0) -> None:
        """Until a part of the node has taken in what is stamped so, or later at the same place.
        clock_to_ns: the clock goes on meanwhile, no further than that."""
        began = sent = time.monotonic()
        while not stamp_ns <= self._newest(part) <= self._stamp_ns:
            now = time.monotonic()
            if now > began + GIVEN_UP_S:
                said, _ = self._told.get(part, ("nothing", {}))
                raise NodeGone(f"{self._node_name} does not take in what is played: {said}")
            if now > sent + LOST_S:
                sent = now
                self._again()
            if self._clock_ns < clock_to_ns:
                self._tick(min(clock_to_ns, self._clock_ns + int(TICK_S * 1e9)))
            self._waiter.pause(0.01)

    def _newest(self, part: str) -> int:
        return int(self._told.get(part, ("", {}))[1].get("newest_stamp_ns", 0))

    # -- sending ----------------------------------------------------------------------------------

    def _stand(self) -> None:
        """In a thread of its own."""
        while not self._ends.wait(AGAIN_S):
            if self._shown is not None:
                self._again()

    def _again(self) -> None:
        with self._sending:
            self._stamp_ns += 1000
            self._send()

    def _send(self) -> None:
        frame, stamp_ns = self._shown, self._stamp_ns
        assert frame is not None
        self._tick(max(stamp_ns, self._clock_ns))
        header = Header(stamp=ns_to_stamp(stamp_ns), frame_id=OPTICAL_FRAME)
        self._publish_pose(frame.world_from_camera, stamp_ns)
        self._info.publish(intrinsics_to_camera_info(frame.camera, header))
        self._depth.publish(depth_to_image(frame.depth_m, header))
        self._image.publish(rgb_to_image(frame.rgb, header))

    def _publish_pose(self, world_from_camera: np.ndarray, stamp_ns: int) -> None:
        header = Header(stamp=ns_to_stamp(stamp_ns), frame_id=self._fixed_frame)
        if self._known["pose_source"] == "odometry":
            # by the mount that the node believes in, so that its camera is where the recorded was
            base = world_from_camera @ inverse(self._base_from_camera)
            message = Odometry(header=header)
            message.pose.pose = matrix_to_pose(base)
            self._pose.publish(message)
            return
        from geometry_msgs.msg import TransformStamped
        from tf2_msgs.msg import TFMessage

        transform = matrix_to_transform(world_from_camera)
        one = TransformStamped(header=header, child_frame_id=OPTICAL_FRAME, transform=transform)
        self._pose.publish(TFMessage(transforms=[one]))

    def _tick(self, clock_ns: int) -> None:
        self._clock_ns = clock_ns
        self._clock.publish(Clock(clock=ns_to_stamp(clock_ns)))
