"""`~/imagined_space` itself: there from the first act of the process to its last, whatever becomes
of the node in between.

The first word is an all-clear, before anything is loaded: whoever was killed here may have left a
mask standing in somebody's costmap. No map is known then, so it is one cell of -1 at the origin of
the fixed frame. The last word is an all-clear too, and nothing is said after it. Any thread may
call.
"""

from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.node import Node

#: A subscriber that died without a word never acknowledges: the goodbye does not wait for it.
ACKNOWLEDGED_S = 0.4


class MaskTopic:
    def __init__(self, node: Node, fixed_frame: str) -> None:
        from nav_msgs.msg import OccupancyGrid
        from rclpy.qos import DurabilityPolicy, QoSProfile

        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = node.create_publisher(OccupancyGrid, "~/imagined_space", latched)
        self._lock = threading.Lock()
        self._ended = False
        self._newest = OccupancyGrid()
        self._newest.header.frame_id = fixed_frame
        self._newest.header.stamp = node.get_clock().now().to_msg()
        self._newest.info.width = self._newest.info.height = 1
        self._newest.info.resolution = 1.0
        self._newest.info.origin.orientation.w = 1.0
        self.publish(_all_clear(self._newest))

    def publish(self, message: Any) -> None:
        """An OccupancyGrid; dropped after the last word."""
        with self._lock:
            if not self._ended:
                self._newest = message
                self._publisher.publish(message)

    def last_word(self) -> None:
        """All -1 on the geometry of the newest mask, heard by those who listen."""
        from rclpy.duration import Duration

        with self._lock:  # in one go: a mask of the executor's must not slip in between
            if not self._ended:
                self._publisher.publish(_all_clear(self._newest))
                self._ended = True
        self._publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGED_S))


def _all_clear(message: Any) -> Any:
    from nav_msgs.msg import OccupancyGrid

    cells = array("b", [-1]) * (message.info.width * message.info.height)
    return OccupancyGrid(header=message.header, info=message.info, data=cells)
