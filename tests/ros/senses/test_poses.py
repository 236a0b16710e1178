"""Poses by stamp: exact at samples, interpolated between, refused where nothing is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_model.messages.poses import from_xyz_rpy, interpolate, inverse, yaw_of
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.poses import PoseHistory

angles = st.floats(-3.1, 3.1)
lengths = st.floats(-50, 50)
poses = st.builds(from_xyz_rpy, lengths, lengths, lengths, angles, st.floats(-1.5, 1.5), angles)


@given(poses)
def test_inverse_undoes(pose):
    assert np.allclose(pose @ inverse(pose), np.eye(4), atol=1e-9)


@given(poses, poses, st.floats(0, 1))
def test_interpolation_stays_rigid_and_meets_both_ends(a, b, share):
    between = interpolate(a, b, share)
    assert np.allclose(between[:3, :3] @ between[:3, :3].T, np.eye(3), atol=1e-6)
    assert np.allclose(interpolate(a, b, 0.0), a, atol=1e-6)
    assert np.allclose(interpolate(a, b, 1.0)[:3, 3], b[:3, 3], atol=1e-6)


def test_interpolation_turns_at_a_constant_rate():
    a, b = from_xyz_rpy(0, 0, 0, 0, 0, 0.2), from_xyz_rpy(2, 0, 0, 0, 0, 1.0)
    quarter = interpolate(a, b, 0.25)
    assert yaw_of(quarter) == pytest.approx(0.4)
    assert quarter[0, 3] == pytest.approx(0.5)


def test_history_between_samples():
    history = PoseHistory()
    history.put(0, from_xyz_rpy(0, 0, 0, 0, 0, 0))
    history.put(100_000_000, from_xyz_rpy(1, 0, 0, 0, 0, math.pi / 2))
    assert history.at(50_000_000)[0, 3] == pytest.approx(0.5)
    assert yaw_of(history.at(50_000_000)) == pytest.approx(math.pi / 4)


def test_history_holds_briefly_and_then_refuses():
    history = PoseHistory(reach_s=0.2)
    history.put(1_000_000_000, np.eye(4))
    assert np.array_equal(history.at(1_150_000_000), np.eye(4))
    with pytest.raises(GoalError) as caught:
        history.at(1_300_000_000)
    assert caught.value.code is ErrorCode.NO_POSE
    assert "0.30 s away" in caught.value.text


def test_history_is_forgotten_when_time_goes_back():
    history = PoseHistory()
    history.put(5_000_000_000, np.eye(4))
    history.put(1_000_000_000, np.eye(4))
    assert len(history) == 1
    with pytest.raises(GoalError):
        history.at(5_000_000_000)


def test_a_sample_that_comes_a_little_late_takes_its_place():
    history = PoseHistory(reach_s=0.2)
    for stamp_ms, x in ((0, 0.0), (100, 1.0), (50, 0.2), (50, 0.3)):
        history.put(stamp_ms * 1_000_000, from_xyz_rpy(x, 0, 0, 0, 0, 0))
    assert len(history) == 3
    assert history.at(50_000_000)[0, 3] == pytest.approx(0.3)
    assert history.at(75_000_000)[0, 3] == pytest.approx(0.65)


@pytest.mark.parametrize("there", [(3.0, 0.0), (0.0, 1.6)])
def test_no_pose_is_made_up_between_before_and_after_a_jump(there):
    history = PoseHistory()
    history.put(0, np.eye(4))
    history.put(20_000_000, from_xyz_rpy(there[0], 0, 0, 0, 0, there[1]))
    with pytest.raises(GoalError, match="jumped") as caught:
        history.at(10_000_000)
    assert caught.value.code is ErrorCode.NO_POSE
    assert np.array_equal(history.at(0), np.eye(4))  # at the samples themselves it is known


def test_a_long_gap_is_not_bridged():
    history = PoseHistory(bridge_s=2.0)
    history.put(0, np.eye(4))
    history.put(2_000_000_000, np.eye(4))
    assert np.array_equal(history.at(1_000_000_000), np.eye(4))
    history.put(5_000_000_000, np.eye(4))
    with pytest.raises(GoalError, match=r"gap of 3.0 s") as caught:
        history.at(3_000_000_000)
    assert caught.value.code is ErrorCode.NO_POSE


def test_empty_history_says_what_to_check():
    with pytest.raises(GoalError, match="no odometry has arrived"):
        PoseHistory().at(0)
