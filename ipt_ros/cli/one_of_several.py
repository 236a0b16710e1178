"""What one robot of several says on topics that they may share: its diagnostics, its transforms,
wherever they were remapped to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from ipt_ros.cli.facts import Status


def full_name(name: str, namespace: str) -> str:
    return f"{namespace.rstrip('/')}/{name}"


def _topics(of_node: Any, kind: str, name: str, namespace: str) -> list[str]:
    """Topics of a type that a node has; of_node: a query of rclpy's graph."""
    from rclpy.node import NodeNameNonExistentError

    try:
        return [topic for topic, kinds in of_node(name, namespace) if kind in kinds]
    except NodeNameNonExistentError:
        return []


class Statuses:
    """What the node tells in its diagnostics, the newest of each name."""

    def __init__(self, node: Any, name: str, namespace: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray

        self._of = full_name(name, namespace)
        self._newest: dict[str, Status] = {}
        kind = "diagnostic_msgs/msg/DiagnosticArray"
        told = _topics(node.get_publisher_names_and_types_by_node, kind, name, namespace)
        self._expected = bool(told)
        for topic in told:
            node.create_subscription(DiagnosticArray, topic, self._hear, 10)

    @property
    def enough(self) -> bool:
        """The node tells once a second, which may be after everything else was heard."""
        return bool(self._newest) or not self._expected

    def _hear(self, message: Any) -> None:
        for status in message.status:
            # two robots have an ipt_node each
            if status.hardware_id.strip("/") == self._of.strip("/"):
                about = status.name.split(": ", 1)[-1]
                level = int.from_bytes(status.level, "little")
                self._newest[about] = Status(about, level, status.message)

    def newest(self) -> tuple[Status, ...]:
        return tuple(self._newest.values())


def transforms_of(
    node: Any, asked: tuple[str, str], fixed: str, frames: Iterable[str], timeout_s: float
) -> dict[str, str] | None:
    """Why the transforms that the asked node hears do not lead from a frame to the fixed one;
    empty for those that they lead from. None where tf2 is not installed here.
    """
    try:
        import tf2_ros
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return None
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from rclpy.time import Time

    buffer = tf2_ros.Buffer()
    name, namespace = asked
    # the node listens to them by a node of its own
    heard = _topics(
        node.get_subscriber_names_and_types_by_node,
        "tf2_msgs/msg/TFMessage",
        f"{name}_tf",
        namespace,
    )

    def hear(set_transform: Any) -> Any:
        return lambda message: [set_transform(t, "heard") for t in message.transforms]

    for topic in heard or ["/tf", "/tf_static"]:
        static = topic.endswith("_static")
        qos = QoSProfile(depth=100)
        if static:
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        take = buffer.set_transform_static if static else buffer.set_transform
        node.create_subscription(TFMessage, topic, hear(take), qos)
    never = threading.Event()
    end = time.monotonic() + timeout_s
    problems = dict.fromkeys(frames, "")
    for frame in problems:
        while True:
            try:
                buffer.lookup_transform(fixed, frame, Time())
                problems[frame] = ""
                break
            except tf2_ros.TransformException as error:
                problems[frame] = f"no transform {fixed} <- {frame}: {error}"
            if time.monotonic() > end:
                break
            never.wait(0.1)
    return problems
