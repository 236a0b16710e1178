"""`~/imagine_space`: has the mask drawn of the view and the map of one time, and replies when what
became of it is published. A simulation that waits for the reply goes the same way every time.

Served from the first act of the process to its last, so that an asker hears why nothing is drawn
instead of waiting for a service that is not there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipt_ros.conversions import stamp_to_ns
from ipt_ros.mask.publisher import MaskOutput

if TYPE_CHECKING:
    from rclpy.node import Node

#: A reply that was sent this long ago has reached its asker, s.
SENT_S = 0.15


class MaskService:
    def __init__(
        self, node: Node, mask: Callable[[], MaskOutput | None], why_not: Callable[[], str]
    ) -> None:
        """mask: of the configured node, else None; why_not: then says why nothing is drawn."""
        from rclpy.callback_groups import ReentrantCallbackGroup
        from rclpy.qos import QoSProfile

        from imaginative_perception.srv import ImagineSpace

        self._node, self._mask, self._why_not = node, mask, why_not
        self._open: set[Any] = set()
        self._sent = -math.inf
        node.create_service(
            ImagineSpace,
            "~/imagine_space",
            self._asked,
            # the default depth of 10 silently drops requests of a burst
            qos_profile=QoSProfile(depth=200),
            # an asker that waits must not hold up the camera that it waits for
            callback_group=ReentrantCallbackGroup(),
        )

    async def _asked(self, request: Any, response: Any) -> Any:
        from rclpy.task import Future

        mask = self._mask()
        if mask is None:
            response.message = self._why_not()
            return response
        done: Any = Future(executor=self._node.executor)
        self._open.add(done)
        try:
            mask.draw_of(stamp_to_ns(request.stamp), done.set_result)
            reply = await done
        finally:
            self._open.discard(done)
            self._sent = time.monotonic()
        response.success, response.message = reply.drawn, reply.message
        response.checksum = reply.checksum
        return response

    def owes(self) -> bool:
        """Whether an asker may not have heard yet what became of its wish."""
        return bool(self._open) or time.monotonic() - self._sent < SENT_S
