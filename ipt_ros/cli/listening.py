"""Listens to one of the node's inputs for a while; reads the newest message as the node does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np

from ipt_ros.cli.facts import Publisher, Topic
from ipt_ros.conversions import (
    camera_info_to_intrinsics,
    grid_to_array,
    pose_to_matrix,
    stamp_to_ns,
)
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.images import compressed_to_rgb, depth_to_metres, image_to_rgb

#: Messages after which a rate is known well enough.
ENOUGH = 10


class SimClock:
    """The newest time on /clock, ns; None where nobody publishes it."""

    def __init__(self, node: Any) -> None:
        from rosgraph_msgs.msg import Clock

        self.now_ns: int | None = None
        node.create_subscription(Clock, "/clock", self._hear, 10)

    def _hear(self, message: Any) -> None:
        self.now_ns = stamp_to_ns(message.clock)


class Heard:
    """What came on a topic. Only the newest message is kept."""

    def __init__(self, node: Any, kind: str, topic: str, role: str, clock: SimClock) -> None:
        self._node, self.kind, self.topic, self.role = node, kind, topic, role
        self._clock = clock
        self._newest: Any = None
        self._times_s: list[float] = []
        self._ages_s: deque[float] = deque(maxlen=50)
        self._ages_by_clock_s: deque[float] = deque(maxlen=50)
        self._stamps_ns: deque[int] = deque(maxlen=50)
        published = node.get_publishers_info_by_topic(topic)
        self.expected = any(p.topic_type == kind for p in published)
        self._subscription = node.create_subscription(
            _message_type(kind), topic, self._hear, _as_published(published)
        )

    def _hear(self, message: Any) -> None:
        self._newest = message
        self._times_s.append(time.monotonic())
        if self.role in ("clock", "map"):
            return  # their stamps are no time of capture
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._stamps_ns.append(stamp_ns)
        self._ages_s.append((time.time_ns() - stamp_ns) / 1e9)
        if self._clock.now_ns is not None:
            self._ages_by_clock_s.append((self._clock.now_ns - stamp_ns) / 1e9)

    @property
    def enough(self) -> bool:
        """Nothing more is to be learned by waiting."""
        wanted = 1 if self.role == "map" else ENOUGH
        return len(self._times_s) >= wanted or not self.expected

    @property
    def newest(self) -> Any:
        return self._newest

    def stop(self) -> None:
        self._node.destroy_subscription(self._subscription)

    def fact(
        self,
        needed: bool,
        publishers: tuple[Publisher, ...],
        subscribed: bool,
        parameters: Mapping[str, Any],
    ) -> Topic:
        times = self._times_s
        span_s = times[-1] - times[0] if len(times) > 1 else 0.0
        problem, seen = "", {}
        if self._newest is not None:
            try:
                seen = examine(self.role, self._newest, bool(parameters["rectified"]))
            except GoalError as error:
                problem = error.text
        return Topic(
            role=self.role,
            name=self.topic,
            type=self.kind,
            needed=needed,
            publishers=publishers,
            subscribed=subscribed,
            heard=len(times),
            rate_hz=(len(times) - 1) / span_s if span_s > 0 else float("nan"),
            age_s=median(self._ages_s) if self._ages_s else float("nan"),
            age_by_clock_s=(
                median(self._ages_by_clock_s) if self._ages_by_clock_s else float("nan")
            ),
            problem=problem,
            seen=seen,
            stamps_ns=tuple(self._stamps_ns),
        )


def _message_type(kind: str) -> Any:
    """The class of `package/msg/Name`."""
    package, _, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)


def _as_published(published: list[Any]) -> Any:
    """A QoS that hears all of these publishers, and what they said before where they keep it."""
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    latched = DurabilityPolicy.TRANSIENT_LOCAL
    if published and all(p.qos_profile.durability == latched for p in published):
        qos.durability = latched
        qos.reliability = ReliabilityPolicy.RELIABLE
        qos.depth = 1
    return qos


def examine(role: str, message: Any, rectified: bool) -> dict[str, Any]:
    """Figures of a message; what the node could not read is a GoalError with the node's words."""
    if role == "clock":
        return {}
    seen: dict[str, Any] = {"frame": message.header.frame_id}
    if role == "image":
        compressed = not hasattr(message, "encoding")
        rgb = compressed_to_rgb(message) if compressed else image_to_rgb(message)
        seen |= {
            "width": rgb.shape[1],
            "height": rgb.shape[0],
            "encoding": message.format if compressed else message.encoding,
            "n_bytes": len(message.data),
        }
    elif role == "depth":
        depth = depth_to_metres(message)
        seen |= {
            "width": depth.shape[1],
            "height": depth.shape[0],
            "encoding": message.encoding,
            "n_bytes": len(message.data),
            "returns_share": float((depth > 0).mean()),
        }
    elif role == "camera_info":
        camera_info_to_intrinsics(message, None, rectified)
        seen |= {"width": message.width, "height": message.height}
    elif role == "odometry":
        pose_to_matrix(message.pose.pose, ErrorCode.NO_POSE, "odometry")
        seen["child_frame"] = message.child_frame_id
    elif role == "map":
        cells = grid_to_array(message).cells
        seen |= {"unknown_share": float(np.mean(cells == -1)), "n_bytes": len(message.data)}
    return seen
