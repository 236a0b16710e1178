"""A camera, odometry and map in time that only the test moves: nothing is published but what it
asks for, stamped and in the order that it says.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness import LATCHED, RELIABLE, Peer
from nav_msgs.msg import OccupancyGrid, Odometry
from robot_input import MOUNT, half_seen, view_messages
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ipt_ros.conversions import array_to_grid, ns_to_stamp

S = 1_000_000_000
#: Of an ipt_node in this time. Between two steps nothing grows old; messages come in any order.
STEPPED = {
    "model": "ipt-tiny-untrained",
    "use_sim_time": True,
    "pose_source": "odometry",
    "mounts": list(MOUNT),
    "reliability": "reliable",
    "view_max_age_s": 60.0,
    "stamp_max_ahead_s": 60.0,
    "flow_steps": 2,
}
PARTS = ("odometry", "info", "depth", "image")


class SteppedInput:
    """Time goes on by no more than `stamp_max_ahead_s` at once: the clock is a topic like others,
    and a node may hear a picture before the clock that it belongs to.
    """

    def __init__(self, peer: Peer) -> None:
        self._now_ns = 0
        self._clock = peer.publisher(Clock, "/clock", RELIABLE)
        self._map = peer.publisher(OccupancyGrid, "map", LATCHED)
        self._view = {
            "odometry": peer.publisher(Odometry, "odom", RELIABLE),
            "info": peer.publisher(CameraInfo, "camera/camera_info", RELIABLE),
            "depth": peer.publisher(Image, "camera/depth_image", RELIABLE),
            "image": peer.publisher(Image, "camera/image", RELIABLE),
        }

    def tick(self, stamp_ns: int) -> None:
        ahead_s = (stamp_ns - self._now_ns) / S
        assert ahead_s <= STEPPED["stamp_max_ahead_s"], f"{ahead_s} s at once may be refused"
        self._now_ns = stamp_ns
        self._clock.publish(Clock(clock=ns_to_stamp(stamp_ns)))

    def see(
        self, stamp_ns: int, parts: Sequence[str] = PARTS, grey: int = 90, x_m: float = 0.0
    ) -> None:
        """The clock, and these parts of one view."""
        self.tick(stamp_ns)
        messages = view_messages(stamp_ns, grey, x_m)
        for part in parts:
            self._view[part].publish(messages[part])

    def dwell(self, stamp_ns: int) -> None:
        """Two seconds from then on, for a look: a node looks every so often in time that only the
        clock moves."""
        for tenths in range(1, 20):
            time.sleep(0.05)
            self.tick(stamp_ns + tenths * S // 10)

    def be_carried_away(self, stamp_ns: int) -> None:
        """A view of that time from farther away than a robot drives in a minute."""
        self.see(stamp_ns, x_m=1000.0)
        self.dwell(stamp_ns)

    def map(self, stamp_ns: int, columns: int = 50) -> None:
        header = Header(stamp=ns_to_stamp(stamp_ns), frame_id="odom")
        self._map.publish(array_to_grid(half_seen(columns), header))
