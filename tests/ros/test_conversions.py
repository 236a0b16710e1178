"""Cameras, poses, stamps and maps survive the wire; what a robot should not act on is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed")
from geometry_msgs.msg import Pose, Quaternion, Transform
from std_msgs.msg import Header

from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.conversions import (
    Intrinsics,
    array_to_grid,
    camera_info_to_intrinsics,
    grid_to_array,
    intrinsics_to_camera_info,
    matrix_to_pose,
    matrix_to_transform,
    ns_to_stamp,
    planar_matrix,
    pose_to_matrix,
    stamp_to_ns,
    transform_to_matrix,
    yaw_to_quaternion,
)
from ipt_ros.errors import ErrorCode, GoalError

CAMERA = Intrinsics(320, 240, 160.0, 161.0, 160.0, 120.5)
metres = st.floats(-1e3, 1e3)


def info(**changes):
    message = intrinsics_to_camera_info(CAMERA, Header(frame_id="eye"))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_intrinsics_make_the_round_trip_and_ros_counts_from_pixel_centres():
    message = info()
    assert message.k[2] == 159.5 and message.p[6] == 120.0 and message.header.frame_id == "eye"
    assert camera_info_to_intrinsics(message, (320, 240)) == CAMERA
    assert camera_info_to_intrinsics(message, rectified=True) == CAMERA
    assert camera_info_to_intrinsics(info(p=[0.0] * 12)) == CAMERA  # some drivers leave P empty


def test_of_a_rectified_topic_the_projection_holds():
    p = [100.0, 0.0, 150.0, 0.0, 0.0, 101.0, 110.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    message = info(d=[0.1, 0.0, 0.0, 0.0, 0.0], p=p)
    got = camera_info_to_intrinsics(message, rectified=True)
    assert (got.fx, got.fy, got.cx, got.cy) == (100.0, 101.0, 150.5, 110.5)
    with pytest.raises(GoalError, match=r"distorted.*set rectified to true"):
        camera_info_to_intrinsics(message)


def k(**changes):
    values = {"fx": 160.0, "skew": 0.0, "cx": 159.5, "fy": 161.0, "cy": 120.0} | changes
    fx, skew, cx, fy, cy = (values[n] for n in ("fx", "skew", "cx", "fy", "cy"))
    matrix = {"k": [fx, skew, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]}
    return matrix | {"p": [fx, skew, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 0}, "size is 0 x 240"),
        ({"width": 640}, "it is for 640 x 240 pixels, but the image has 320 x 240"),
        ({"binning_x": 2}, "binning"),
        (k(fx=math.nan), "NaN"),
        (k(cy=math.inf), "NaN or infinity"),
        (k(fx=0.0), "focal lengths in K are 0, 161"),
        (k(fy=-5.0), "expected positive"),
        (k(skew=3.0), "skew"),
        (k(cx=5000.0), "far outside"),
        ({"k": [0.0] * 9, "p": [0.0] * 12}, "focal lengths in K are 0, 0"),
        ({"k": k(fx=99.0)["k"]}, "differ without any distortion"),
    ],
)
def test_a_calibration_that_would_mislead_is_refused(changes, words):
    with pytest.raises(GoalError, match=words) as error:
        camera_info_to_intrinsics(info(**changes), (320, 240))
    assert error.value.code == ErrorCode.BAD_CAMERA_INFO


@given(metres, metres, metres, hnp.arrays(float, 4, elements=st.floats(-1, 1)))
def test_poses_and_transforms_make_the_round_trip(x, y, z, q):
    if np.linalg.norm(q) < 1e-2:
        q = np.array([0.0, 0.0, 0.0, 1.0])
    pose = Pose(orientation=Quaternion(x=q[0], y=q[1], z=q[2], w=q[3]))
    pose.position.x, pose.position.y, pose.position.z = x, y, z
    matrix = pose_to_matrix(pose)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)
    again = matrix_to_pose(matrix)
    assert again.orientation.w >= 0
    np.testing.assert_allclose(pose_to_matrix(again), matrix, atol=1e-9)
    np.testing.assert_allclose(transform_to_matrix(matrix_to_transform(matrix)), matrix, atol=1e-9)


@given(metres, metres, st.floats(-10, 10))
def test_a_pose_on_the_floor_turns_about_z(x, y, yaw):
    q = yaw_to_quaternion(yaw)
    pose = Pose(orientation=Quaternion(x=q[0], y=q[1], z=q[2], w=q[3]))
    pose.position.x, pose.position.y = x, y
    np.testing.assert_allclose(pose_to_matrix(pose), planar_matrix(x, y, yaw), atol=1e-9)


@pytest.mark.parametrize("field", ["x", "y", "z", "w"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_pose_with_nan_is_refused(field, value):
    pose = Pose()
    setattr(pose.orientation, field, value)
    with pytest.raises(GoalError, match="viewpoint: holds NaN or infinity") as error:
        pose_to_matrix(pose, what="viewpoint")
    assert error.value.code == ErrorCode.BAD_GOAL
    if field != "w":
        pose = Pose()
        setattr(pose.position, field, value)
        with pytest.raises(GoalError, match="NaN"):
            pose_to_matrix(pose)


def test_a_quaternion_of_no_length_is_refused():
    with pytest.raises(GoalError, match="has length 0; expected 1"):
        pose_to_matrix(Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)))
    broken = Transform()
    broken.translation.y = math.nan
    with pytest.raises(GoalError) as error:
        transform_to_matrix(broken)
    assert error.value.code == ErrorCode.NO_POSE


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_make_the_round_trip(ns):
    assert stamp_to_ns(ns_to_stamp(ns)) == ns


@given(
    hnp.arrays(
        np.int8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-1, 100)
    ),
    st.sampled_from([0.05, 0.1, 0.025]),
    metres,
    metres,
    st.floats(-3.1, 3.1),
)
def test_maps_make_the_round_trip(cells, resolution, x, y, turn):
    map_of = OccupancyGrid(cells, resolution, (x, y), turn)
    message = array_to_grid(map_of, Header(frame_id="map"))
    assert (message.info.height, message.info.width) == cells.shape
    grid = grid_to_array(message)
    np.testing.assert_array_equal(grid.cells, cells)
    assert grid.cells.dtype == np.int8 and grid.resolution_m == resolution
    assert grid.origin_xy == pytest.approx((x, y), abs=1e-9)
    assert grid.turn_rad == pytest.approx(turn, abs=1e-9)


def test_an_origin_that_is_not_turned_comes_through_exactly():
    grid = OccupancyGrid(np.zeros((2, 3), np.int8), 0.05, (-1.23, 4.56))
    back = grid_to_array(array_to_grid(grid, Header()))
    assert (back.origin_xy, back.turn_rad) == ((-1.23, 4.56), 0.0)


def test_maps_that_cannot_be_read_are_refused():
    def broken(change):
        message = array_to_grid(
            OccupancyGrid(np.zeros((2, 3), np.int8), 0.1, (0.0, 0.0)), Header()
        )
        change(message)
        with pytest.raises(GoalError) as error:
            grid_to_array(message)
        assert error.value.code == ErrorCode.BAD_MAP
        return error.value.text

    assert "4 x 2 cells declared, 6 came" in broken(lambda m: setattr(m.info, "width", 4))
    assert "0 x 2" in broken(lambda m: setattr(m.info, "width", 0))
    assert "resolution is nan" in broken(lambda m: setattr(m.info, "resolution", math.nan))
    assert "cells from 0 to 101" in broken(lambda m: m.data.__setitem__(0, 101))
    assert "tilted" in broken(
        lambda m: setattr(m.info.origin, "orientation", Quaternion(x=0.7, w=0.7))
    )
    assert "its origin: holds NaN" in broken(
        lambda m: setattr(m.info.origin.position, "x", math.nan)
    )
    assert "1e+06 away" in broken(lambda m: setattr(m.info.origin.position, "x", 1e18))
