"""Subscriptions of one camera. The callbacks store what came and return; decoding is somebody
else's work.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipt_ros.conversions import stamp_to_ns
from ipt_ros.senses.frames import CameraFrames
from ipt_ros.senses.stamps import Restart

if TYPE_CHECKING:
    from rclpy.node import Node


def sensor_qos(reliability: str, depth: int = 5) -> Any:
    """Keep-last sensor QoS. A best-effort subscription hears both kinds of publisher."""
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

    policy = {
        "best_effort": ReliabilityPolicy.BEST_EFFORT,
        "reliable": ReliabilityPolicy.RELIABLE,
    }[reliability]
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=policy)


class CameraInput:
    """Feeds one `CameraFrames`. on_restart is told about stamps that went back, on_qos about
    silent mismatches. incredible: what is wrong with a stamp, as `why_incredible` says it.
    """

    def __init__(
        self,
        node: Node,
        memory: CameraFrames,
        values: Any,
        on_restart: Callable[[Restart], None],
        on_qos: Callable[[str], None],
        incredible: Callable[[int], str],
    ) -> None:
        from rclpy.event_handler import SubscriptionEventCallbacks
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image

        self._memory = memory
        self.camera = memory.camera
        self._on_restart, self._incredible = on_restart, incredible
        #: What the last image callbacks took, s: proof that nothing is computed in them.
        self.callback_s: deque[float] = deque(maxlen=1000)
        qos = sensor_qos(values.reliability)

        def subscribe(kind: Any, topic: str, callback: Any) -> Any:
            def differs(event: Any) -> None:
                on_qos(
                    f"{topic}: a publisher offers another QoS (policy {event.last_policy_kind}); "
                    "nothing of it arrives. Set the parameter reliability to best_effort"
                )

            mismatch = SubscriptionEventCallbacks(incompatible_qos=differs)
            return node.create_subscription(kind, topic, callback, qos, event_callbacks=mismatch)

        name = memory.camera
        compressed = values.image_transport == "compressed"
        self._subscriptions = [
            subscribe(
                CompressedImage if compressed else Image,
                f"{name}/image/compressed" if compressed else f"{name}/image",
                self._image,
            ),
            subscribe(CameraInfo, f"{name}/camera_info", self._info),
        ]
        if values.use_depth:
            self._subscriptions.append(subscribe(Image, f"{name}/depth_image", self._depth))

    def _image(self, message: Any) -> None:
        began = time.perf_counter()
        self._store(message)
        self.callback_s.append(time.perf_counter() - began)

    def _store(self, message: Any) -> None:
        header = message.header
        stamp = stamp_to_ns(header.stamp)
        wrong = self._incredible(stamp)
        if wrong:
            self._memory.refuse(wrong)
            return
        restart = self._memory.put_image(stamp, header.frame_id, message, len(message.data))
        if restart is not None:
            self._on_restart(restart)

    def _info(self, message: Any) -> None:
        self._memory.put_info(stamp_to_ns(message.header.stamp), message)

    def _depth(self, message: Any) -> None:
        stamp = stamp_to_ns(message.header.stamp)
        if not self._incredible(stamp):
            self._memory.put_depth(stamp, message, len(message.data))

    def destroy(self, node: Node) -> None:
        for subscription in self._subscriptions:
            node.destroy_subscription(subscription)
