"""What a camera sent last: the newest complete view, never an older one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_model.messages.poses import from_xyz_rpy
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.frames import (
    CameraFrames,
    Frame,
    newest_posed,
)
from ipt_ros.senses.stamps import Restart

MS = 1_000_000
S = 1000 * MS


def memory(want_depth=True):
    return CameraFrames("camera", want_depth, slop_s=0.03)


def refusal(cam, now=10 * S, age=1.0):
    with pytest.raises(GoalError) as caught:
        cam.newest(now, age)
    return caught.value


def test_every_missing_part_has_its_own_reason():
    cam = memory()
    assert refusal(cam).code is ErrorCode.NO_IMAGE
    cam.put_image(10 * S, "optical", "image", 9)
    assert refusal(cam).code is ErrorCode.NO_CAMERA_INFO
    cam.put_info(0, "info")
    assert "no depth image within 30 ms" in refusal(cam).text
    cam.put_depth(10 * S + 10 * MS, "depth", 4)
    frame = cam.newest(10 * S, 1.0)
    assert (frame.image, frame.depth, frame.info, frame.n_bytes) == ("image", "depth", "info", 13)


def test_newest_complete_view_wins_over_a_newer_incomplete_one():
    cam = memory()
    cam.put_info(0, "info")
    cam.put_image(10 * S, "o", "first", 1)
    cam.put_depth(10 * S, "depth", 1)
    cam.put_image(10 * S + 66 * MS, "o", "second", 1)
    assert cam.newest(10 * S, 1.0).image == "first"
    cam.put_depth(10 * S + 66 * MS, "depth 2", 1)
    assert cam.newest(10 * S, 1.0).image == "second"


def test_the_nearest_depth_is_taken():
    cam = memory()
    cam.put_info(0, "info")
    cam.put_depth(10 * S - 20 * MS, "far", 1)
    cam.put_depth(10 * S + 5 * MS, "near", 1)
    cam.put_image(10 * S, "o", "image", 1)
    assert cam.newest(10 * S, 1.0).depth == "near"


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_no_frame_older_than_the_newest_is_ever_used(gaps):
    cam = memory(want_depth=False)
    cam.put_info(0, "info")
    stamp = 0
    for gap in gaps:
        stamp += gap * MS
        cam.put_image(stamp, "o", stamp, 1)
        assert cam.newest(stamp, 1.0).stamp_ns == stamp


def test_a_stale_view_is_refused_with_its_age():
    cam = memory(want_depth=False)
    cam.put_info(0, "info")
    cam.put_image(10 * S, "o", "image", 1)
    error = refusal(cam, now=13 * S)
    assert error.code is ErrorCode.STALE_VIEW
    assert "3.0 s old" in error.text


def test_time_going_backwards_forgets_and_says_so_until_a_view_is_complete_again():
    cam = memory(want_depth=False)
    cam.put_info(100 * S, "info")
    assert cam.put_image(100 * S, "o", "before", 1) is None
    assert cam.put_image(50 * S, "o", "after", 1) == Restart(100 * S, 50 * S)
    error = refusal(cam, now=50 * S)
    assert error.code is ErrorCode.TIME_JUMP
    assert "100.000 s to 50.000 s" in error.text
    cam.put_info(50 * S, "info")
    assert cam.newest(50 * S, 1.0).image == "after"


class Steady:
    """A clock that only the test moves."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def fed(steady, period_s=0.1, count=10, start_ns=10 * S):
    """A camera that sent images at a rate until now; its last stamp is returned too."""
    cam = CameraFrames("camera", want_depth=False, steady=steady)
    cam.put_info(0, "info")
    stamp_ns = start_ns
    for _ in range(count):
        steady.now_s += period_s
        stamp_ns += int(period_s * S)
        cam.put_image(stamp_ns, "o", stamp_ns, 1)
    return cam, stamp_ns


def test_a_camera_that_falls_silent_is_stale_though_the_clock_stands_still():
    steady = Steady()
    cam, now = fed(steady)
    steady.now_s += 0.9
    assert cam.newest(now, 1.0).stamp_ns == now
    steady.now_s += 0.2
    error = refusal(cam, now)
    assert error.code is ErrorCode.STALE_VIEW
    assert "no image has arrived for 1.1 s" in error.text and "/clock" in error.text


def test_a_simulation_slower_than_the_world_is_not_taken_for_a_dead_camera():
    steady = Steady()
    cam = CameraFrames("camera", want_depth=False, steady=steady)
    cam.put_info(0, "info")
    for number in range(6):
        steady.now_s += 2.0  # 0.1 s of the simulation
        cam.put_image(10 * S + number * 100 * MS, "o", number, 1)
    now = 10 * S + 550 * MS
    steady.now_s += 3.0
    assert cam.newest(now, 1.0).image == 5
    steady.now_s += 3.5
    assert refusal(cam, now).code is ErrorCode.STALE_VIEW


def test_a_view_ahead_of_the_clock_is_refused():
    """As when the clock was set back and the camera stopped."""
    cam, last = fed(Steady())
    assert cam.newest(last - 400 * MS, 1.0).stamp_ns == last
    error = refusal(cam, last - 3600 * S)
    assert error.code is ErrorCode.STALE_VIEW
    assert "3600.0 s ahead" in error.text and "use_sim_time" in error.text


def test_images_refused_at_the_door_are_the_reason_only_while_nothing_better_is_there():
    cam = CameraFrames("camera", want_depth=False)
    cam.put_info(0, "info")
    cam.refuse("is stamped nonsense")
    assert "is stamped nonsense" in refusal(cam).text
    cam.put_image(10 * S, "o", "good", 1)
    cam.refuse("is stamped nonsense")
    assert cam.newest(10 * S, 1.0).image == "good"
    assert "is stamped nonsense" in refusal(cam, now=12 * S).text


def test_a_few_views_are_kept_over_about_a_second_and_the_newest_always():
    cam, last = fed(Steady(), period_s=1 / 30, count=90)
    stamps = [f.stamp_ns for f in cam.fresh(last, 2.0)]
    assert stamps[0] == last and stamps == sorted(stamps, reverse=True)
    assert len(stamps) == 10 and 0.7 * S < last - stamps[-1] < 1.2 * S
    assert all(last - s <= 300 * MS for s in [f.stamp_ns for f in cam.fresh(last, 0.3)])


def pose_known_until(limit_ns, waited):
    def pose_of(frame, wait):
        waited.append(wait)
        if frame.stamp_ns > limit_ns and not (wait and frame.stamp_ns <= limit_ns + 50 * MS):
            raise GoalError(ErrorCode.NO_POSE, f"not known at {frame.stamp_ns}")
        return np.eye(4)

    return pose_of


def test_the_newest_view_whose_pose_is_known_is_taken_without_waiting():
    cam, last = fed(Steady())
    waited = []
    found, _ = newest_posed(
        cam.fresh(last, 1.0), pose_known_until(last - 250 * MS, waited), wait=True
    )
    assert found.stamp_ns == last - 300 * MS and not any(waited)


def test_only_when_no_pose_is_known_is_the_newest_waited_for():
    cam, last = fed(Steady(), count=1)
    found, _ = newest_posed(cam.fresh(last, 1.0), pose_known_until(last - 1, []), wait=True)
    assert found.stamp_ns == last
    with pytest.raises(GoalError, match=f"not known at {last}"):
        newest_posed(cam.fresh(last, 1.0), pose_known_until(last - 1, []), wait=False)


def frame(stamp_ns, camera="camera", n_bytes=10):
    return Frame(camera, stamp_ns, "optical", None, None, None, n_bytes)


def at(x, yaw=0.0):
    pose = from_xyz_rpy(x, 0, 0, 0, 0, 0)
    pose[:3, 2] = (np.cos(yaw), np.sin(yaw), 0)
    return lambda _: pose
