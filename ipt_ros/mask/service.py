"""`~/imagine_space`: has the mask drawn of the view and the map of one time, and replies when what
became of it is published. A simulation that waits for the reply goes the same way every time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipt_ros.conversions import stamp_to_ns
from ipt_ros.mask.publisher import MaskOutput

if TYPE_CHECKING:
    from rclpy.node import Node


class MaskService:
    def __init__(self, node: Node, mask: MaskOutput) -> None:
        from imaginative_perception.srv import ImagineSpace

        self._node, self._mask = node, mask
        self._service = node.create_service(ImagineSpace, "~/imagine_space", self._asked)

    async def _asked(self, request: Any, response: Any) -> Any:
        from rclpy.task import Future

        done: Any = Future(executor=self._node.executor)
        self._mask.draw_of(stamp_to_ns(request.stamp), done.set_result)
        response.success = await done
        response.message, response.checksum = self._mask.standing()
        return response

    def destroy(self) -> None:
        self._node.destroy_service(self._service)
