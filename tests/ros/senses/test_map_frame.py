"""A map, the fixed frame and turned cells are brought together; what cannot be is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header

from ipt_model.messages.poses import from_xyz_rpy, inverse, yaw_of
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.maps import OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.conversions import Intrinsics, array_to_grid, planar_matrix
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.map_frame import locate_map
from ipt_ros.senses.observations import Observation

metres, angles = st.floats(-20, 20), st.floats(-math.pi, math.pi)


class Frames:
    """A pose source that knows one transform."""

    fixed_frame = "odom"

    def __init__(self, fixed_from_map):
        self._fixed_from_map = fixed_from_map

    def frame(self, frame_id, stamp_ns, wait=True):
        if frame_id == "map":
            return self._fixed_from_map
        raise GoalError(ErrorCode.UNKNOWN_FRAME, f"frame '{frame_id}' is not known")


def message(x=0.0, y=0.0, turn=0.0, frame="map"):
    """7 x 5 cells of 0.5 m with one thing in column 4, row 2."""
    cells = np.full((5, 7), UNKNOWN, np.int8)
    cells[2, 4] = OCCUPIED
    return array_to_grid(OccupancyGrid(cells, 0.5, (x, y), turn), Header(frame_id=frame))


@given(metres, metres, angles, metres, metres, angles)
def test_a_point_finds_its_cell_whatever_the_frames(x, y, turn, map_x, map_y, map_yaw):
    fixed_from_map = planar_matrix(map_x, map_y, map_yaw)
    grid_message = message(x, y, turn)
    origin = grid_message.info.origin
    in_map = planar_matrix(
        origin.position.x,
        origin.position.y,
        2 * math.atan2(origin.orientation.z, origin.orientation.w),
    ) @ (4.5 * 0.5, 2.5 * 0.5, 0.0, 1.0)
    there = (fixed_from_map @ in_map)[:2]
    located = locate_map(grid_message, Frames(fixed_from_map), 0)
    assert located.grid.values(located.points(there[None]))[0] == OCCUPIED


@given(metres, metres, angles, angles)
def test_a_view_keeps_its_height_and_pitch(map_x, map_y, map_yaw, turn):
    camera = from_xyz_rpy(1.0, 2.0, 1.2, 0.0, 0.25, 0.5) @ BODY_FROM_OPTICAL
    view = Observation(
        1, "o", np.zeros((2, 2, 3), np.uint8), None, Intrinsics(2, 2, 1, 1, 1, 1), camera
    )
    located = locate_map(message(turn=turn), Frames(planar_matrix(map_x, map_y, map_yaw)), 0)
    body = located.view(view).world_from_camera @ inverse(BODY_FROM_OPTICAL)
    assert np.allclose(body[:2, 3], located.points(np.array([[1.0, 2.0]]))[0])
    assert body[2, 3] == pytest.approx(1.2) and body[2, 0] == pytest.approx(-math.sin(0.25))
    assert math.remainder(yaw_of(body) - (0.5 - map_yaw - turn), 2 * math.pi) == pytest.approx(
        0.0, abs=1e-9
    )


def test_a_frame_that_nobody_knows_is_refused_with_what_to_do():
    with pytest.raises(GoalError, match=r"stated in 'mars'.*'odom'.*pose_source to tf") as caught:
        locate_map(message(frame="mars"), Frames(np.eye(4)), 0)
    assert caught.value.code is ErrorCode.UNKNOWN_FRAME


def test_a_frame_that_is_no_floor_is_refused():
    with pytest.raises(GoalError, match="tilted by 90 degrees") as caught:
        locate_map(message(), Frames(from_xyz_rpy(0, 0, 0, math.pi / 2, 0, 0)), 0)
    assert caught.value.code is ErrorCode.UNKNOWN_FRAME
