"""What is remembered: the newest complete view, never an older one, and bounded keyframes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.poses import from_xyz_rpy
from ipt_ros.view_memory import CameraMemory, Frame, KeyframeMemory, MemoryLimits

MS = 1_000_000
S = 1000 * MS


def memory(want_depth=True):
    return CameraMemory("camera", want_depth, slop_s=0.03)


def refusal(cam, now=10 * S, age=1.0):
    with pytest.raises(GoalError) as caught:
        cam.newest(now, age)
    return caught.value


def test_every_missing_part_has_its_own_reason():
    cam = memory()
    assert refusal(cam).code is ErrorCode.NO_IMAGE
    cam.put_image(10 * S, "optical", "image", 9)
    assert refusal(cam).code is ErrorCode.NO_CAMERA_INFO
    cam.put_info("info")
    assert "no depth image within 30 ms" in refusal(cam).text
    cam.put_depth(10 * S + 10 * MS, "depth", 4)
    frame = cam.newest(10 * S, 1.0)
    assert (frame.image, frame.depth, frame.info, frame.n_bytes) == ("image", "depth", "info", 13)


def test_newest_complete_view_wins_over_a_newer_incomplete_one():
    cam = memory()
    cam.put_info("info")
    cam.put_image(10 * S, "o", "first", 1)
    cam.put_depth(10 * S, "depth", 1)
    cam.put_image(10 * S + 66 * MS, "o", "second", 1)
    assert cam.newest(10 * S, 1.0).image == "first"
    cam.put_depth(10 * S + 66 * MS, "depth 2", 1)
    assert cam.newest(10 * S, 1.0).image == "second"


def test_the_nearest_depth_is_taken():
    cam = memory()
    cam.put_info("info")
    cam.put_depth(10 * S - 20 * MS, "far", 1)
    cam.put_depth(10 * S + 5 * MS, "near", 1)
    cam.put_image(10 * S, "o", "image", 1)
    assert cam.newest(10 * S, 1.0).depth == "near"


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_no_frame_older_than_the_newest_is_ever_used(gaps):
    cam = memory(want_depth=False)
    cam.put_info("info")
    stamp = 0
    for gap in gaps:
        stamp += gap * MS
        cam.put_image(stamp, "o", stamp, 1)
        assert cam.newest(stamp, 1.0).stamp_ns == stamp


def test_a_stale_view_is_refused_with_its_age():
    cam = memory(want_depth=False)
    cam.put_info("info")
    cam.put_image(10 * S, "o", "image", 1)
    error = refusal(cam, now=13 * S)
    assert error.code is ErrorCode.STALE_VIEW
    assert "3.0 s old" in error.text


def test_time_going_backwards_forgets_and_says_so_until_a_view_is_complete_again():
    cam = memory(want_depth=False)
    cam.put_info("info")
    assert cam.put_image(100 * S, "o", "before", 1)
    assert not cam.put_image(50 * S, "o", "after", 1)
    error = refusal(cam, now=50 * S)
    assert error.code is ErrorCode.TIME_JUMP
    assert "100.000 s to 50.000 s" in error.text
    cam.put_info("info")
    assert cam.newest(50 * S, 1.0).image == "after"


def frame(stamp_ns, camera="camera", n_bytes=10):
    return Frame(camera, stamp_ns, "optical", None, None, None, n_bytes)


def at(x, yaw=0.0):
    pose = from_xyz_rpy(x, 0, 0, 0, 0, 0)
    pose[:3, 2] = (np.cos(yaw), np.sin(yaw), 0)
    return lambda _: pose


def test_a_keyframe_needs_a_new_place_or_direction():
    kept = KeyframeMemory(MemoryLimits(moved_m=0.5, turned_rad=0.5))
    assert kept.offer(frame(1), at(0.0))
    assert not kept.offer(frame(2), at(0.4))
    assert kept.offer(frame(3), at(0.6))
    assert kept.offer(frame(4), at(0.0, yaw=0.8))
    assert [k.frame.stamp_ns for k in kept.all()] == [1, 3, 4]


def test_another_camera_at_the_same_place_is_kept():
    kept = KeyframeMemory(MemoryLimits())
    assert kept.offer(frame(1, "front"), at(0.0))
    assert kept.offer(frame(1, "rear"), at(0.0))


@given(
    st.lists(st.tuples(st.integers(0, 10**11), st.floats(-9, 9), st.integers(1, 50))),
    st.integers(1, 8),
    st.integers(60, 200),
)
def test_memory_is_bounded_in_number_and_bytes(offers, number, n_bytes):
    kept = KeyframeMemory(MemoryLimits(moved_m=0.1, number=number, n_bytes=n_bytes))
    for stamp, x, size in sorted(offers):
        kept.offer(frame(stamp, n_bytes=size), at(x))
        assert len(kept) <= number
        assert kept.n_bytes <= n_bytes


def test_old_keyframes_and_those_of_the_future_are_dropped():
    kept = KeyframeMemory(MemoryLimits(age_s=10.0))
    kept.offer(frame(1 * S), at(0.0))
    kept.offer(frame(12 * S), at(3.0))
    assert [k.frame.stamp_ns for k in kept.all()] == [12 * S]
    kept.offer(frame(5 * S), at(6.0))
    assert [k.frame.stamp_ns for k in kept.all()] == [5 * S]
