"""A map and the fixed frame brought together: views, poses and points along the axes of the cells.

A map is stated in a frame of its own (`map`), poses of the robot in the fixed frame (`odom`), and
the cells may be turned against both. Whoever compares them goes through a `LocatedMap`. ROS-free:
it reads the fields of a message and asks a pose source how frames lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ipt_model.messages.poses import inverse, yaw_of
from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.conversions import grid_to_array, planar_matrix
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.observations import Observation
from ipt_ros.senses.pose_source import PoseSource

#: A frame tilted by more than this against the fixed one is no floor to draw maps of.
MOST_TILT_RAD = math.radians(5.0)


@dataclass(frozen=True)
class LocatedMap:
    """grid_from_fixed: 4 x 4, from the fixed frame to the axes of the cells; in the plane."""

    grid: OccupancyGrid
    grid_from_fixed: np.ndarray

    def view(self, view: Observation) -> Observation:
        """The same view, its camera stated along the axes of the cells."""
        return replace(view, world_from_camera=self.grid_from_fixed @ view.world_from_camera)

    def points(self, xy: np.ndarray) -> np.ndarray:
        """N x 2 points of the fixed frame, m, along the axes of the cells."""
        return xy @ self.grid_from_fixed[:2, :2].T + self.grid_from_fixed[:2, 3]


def locate_map(message: Any, poses: PoseSource, stamp_ns: int, wait: bool = True) -> LocatedMap:
    """The cells of a nav_msgs OccupancyGrid and where they lay in the fixed frame at a stamp; 0:
    as known last. wait: for transforms that are still on their way.

    Refuses by name: BAD_MAP for a map that cannot be read, UNKNOWN_FRAME where nobody tells how
    its frame and the fixed frame lie.
    """
    grid = grid_to_array(message)
    frame_id = message.header.frame_id
    try:
        fixed_from_map = poses.frame(frame_id, stamp_ns, wait)
    except GoalError as error:
        raise GoalError(
            ErrorCode.UNKNOWN_FRAME,
            f"the map is stated in '{frame_id}', poses in fixed_frame '{poses.fixed_frame}', and "
            f"how they lie is not known ({error.text}); set pose_source to tf, or publish the map "
            f"in '{poses.fixed_frame}'",
        ) from error
    if fixed_from_map[2, 2] < math.cos(MOST_TILT_RAD):
        raise GoalError(
            ErrorCode.UNKNOWN_FRAME,
            f"the map's frame '{frame_id}' is tilted by "
            f"{math.degrees(math.acos(max(-1.0, fixed_from_map[2, 2]))):.0f} degrees against "
            f"fixed_frame '{poses.fixed_frame}'; expected one that lies in the same plane",
        )
    x, y = fixed_from_map[:2, 3]
    fixed_from_grid = planar_matrix(x, y, yaw_of(fixed_from_map) + grid.turn_rad)
    return LocatedMap(grid, inverse(fixed_from_grid))
