"""The map that memory gives where nobody publishes one: occupancy around the robot, in the fixed
frame.

In: a `SpatialMemory` and where the robot is. Out: a nav_msgs OccupancyGrid that moves with the
robot in whole cells.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ipt_model.spatial.maps import UNKNOWN, OccupancyGrid
from ipt_model.spatial.memory import SpatialMemory
from ipt_ros.conversions import array_to_grid, ns_to_stamp


def memory_map(
    memory: SpatialMemory,
    at: tuple[float, float],
    frame_id: str,
    side_m: float,
    resolution_m: float,
    robot_radius_m: float,
) -> Any:
    """None while nothing is remembered. at: x, y in the fixed frame, m. Stamped with the newest
    view; the robot stood where its cameras were, so nothing else did.
    """
    from std_msgs.msg import Header

    views = memory.views
    if not views:
        return None
    cells = max(1, math.ceil(side_m / resolution_m))
    # whole cells: else every cell of every map would lie a little beside the last one's
    column, row = (math.floor(v / resolution_m) - cells // 2 for v in at)
    shape = OccupancyGrid(
        np.full((cells, cells), UNKNOWN, np.int8),
        resolution_m,
        (column * resolution_m, row * resolution_m),
    )
    seen = memory.occupancy(shape, footprint_m=robot_radius_m)
    stamp = ns_to_stamp(views[-1].stamp_ns)
    return array_to_grid(seen, Header(stamp=stamp, frame_id=frame_id))
