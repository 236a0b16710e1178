"""What the robot sees is taken into memory beside its work, and what is of no use is counted."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from harness import until

from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN
from ipt_model.spatial.memory import SpatialMemory
from ipt_ros.conversions import Intrinsics, grid_to_array, intrinsics_to_camera_info
from ipt_ros.diagnostics import OK, WARN
from ipt_ros.senses import remembering as module
from ipt_ros.senses.frames import Frame
from ipt_ros.senses.images import depth_to_image, rgb_to_image
from ipt_ros.senses.memory_map import memory_map
from ipt_ros.senses.remembering import Remembering

pytest.importorskip("sensor_msgs.msg", reason="ROS messages are not installed")

PINHOLE = Intrinsics(64, 48, 40.0, 40.0, 32.0, 24.0)
OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def pose(x=0.0, yaw=0.0):
    return from_xyz_rpy(x, 0.0, 1.0, 0.0, 0.0, yaw) @ OPTICAL


def wall_and_floor():
    """Depth of a camera 1 m above the floor with a wall 3 m ahead."""
    v = (np.arange(48) + 0.5 - 24) / 40.0
    floor = np.where(v > 0, 1.0 / np.maximum(v, 1e-6), np.inf)
    return np.repeat(np.minimum(floor, 3.0)[:, None], 64, 1).astype(np.float32)


def frame(stamp_s, depth=None, camera="front"):
    from std_msgs.msg import Header

    header = Header(frame_id="optical")
    depth = wall_and_floor() if depth is None else depth
    return Frame(
        camera,
        int(stamp_s * 1e9),
        "optical",
        rgb_to_image(np.full((48, 64, 3), 90, np.uint8), header),
        intrinsics_to_camera_info(PINHOLE, header),
        depth_to_image(depth, header),
        0,
    )


@pytest.fixture
def looked():
    """A Remembering, and how often it has looked at a view."""
    done = []
    remembering = Remembering(SpatialMemory(), False, lambda: done.append(1))
    yield remembering, done
    remembering.stop()


def offer_all(looked, *offers):
    remembering, done = looked
    for number, (one, at) in enumerate(offers, 1):
        remembering.offer(one, at)
        until(lambda number=number: len(done) >= number, "the view was looked at", 10)


def test_views_from_elsewhere_are_kept_with_their_frames(looked):
    remembering, _ = looked
    offer_all(looked, (frame(0), pose()), (frame(1), pose(yaw=1.5)))
    seen = remembering.observations()
    assert [o.stamp_ns for o in seen] == [0, 10**9]
    assert {o.frame_id for o in seen} == {"optical"}
    assert np.array_equal(seen[1].world_from_camera, pose(yaw=1.5))
    assert seen[0].intrinsics == PINHOLE and seen[0].rgb.shape == (48, 64, 3)


def test_what_a_camera_showed_just_before_is_not_even_decoded(looked, monkeypatch):
    remembering, _ = looked
    offer_all(looked, (frame(0), pose()))
    monkeypatch.setattr(module, "observe", lambda *a: pytest.fail("decoded"))
    for k in range(1, 20):
        remembering.offer(frame(0.1 * k), pose(x=0.001 * k))
    assert len(remembering.memory) == 1 and not remembering.refused


@pytest.mark.parametrize(
    ("depth", "word"),
    [
        (1000 * wall_and_floor(), "metres"),
        (np.zeros((48, 64), np.float32), "metres"),
        (np.ones((24, 32), np.float32), "registered"),
    ],
)
def test_a_view_of_no_use_is_counted_and_says_why(looked, depth, word):
    remembering, _ = looked
    offer_all(looked, (frame(0, depth), pose()), (frame(1), pose()))
    assert remembering.refused == {"front": 1}
    assert word in remembering.why
    assert len(remembering.memory) == 1  # the next one is kept all the same
    level, _, figures = remembering.health()
    assert (level, figures["refused"], figures["views"]) == (OK, 1, 1)


def test_a_camera_that_is_not_where_it_is_told_to_be_is_warned_of(looked):
    offers = [(frame(3 * k), pose(x=1.0 * (k % 2))) for k in range(16)]  # the same picture at both
    offer_all(looked, *offers)
    level, message, figures = looked[0].health()
    assert level == WARN and "mounted" in message and figures["contradicted"] > 5


def test_a_failure_nobody_foresaw_does_not_end_remembering(looked, monkeypatch):
    remembering, _ = looked
    monkeypatch.setattr(module, "observe", lambda *a: 1 / 0)
    offer_all(looked, (frame(0), pose()))
    assert "ZeroDivisionError" in remembering.why
    monkeypatch.undo()
    remembering.offer(frame(1), pose())
    until(lambda: len(remembering.memory) == 1, "the next view is kept", 10)


def test_forgetting_takes_what_waits_too(looked, monkeypatch):
    remembering, _ = looked
    gate, entered = threading.Event(), threading.Event()
    observe = module.observe

    def slow(*given):
        entered.set()
        gate.wait(10)
        return observe(*given)

    offer_all(looked, (frame(0), pose()))
    monkeypatch.setattr(module, "observe", slow)
    remembering.offer(frame(1), pose(yaw=1.5))
    entered.wait(10)
    remembering.offer(frame(2), pose(yaw=3.0))
    assert remembering.forget() == 1
    gate.set()
    remembering.stop()
    assert len(remembering.memory) == 0


def test_the_map_of_what_is_remembered_moves_in_whole_cells(looked):
    remembering, _ = looked
    assert memory_map(remembering.memory, (0.0, 0.0), "odom", 8.0, 0.1, 0.3) is None
    offer_all(looked, (frame(0), pose()), (frame(5), pose(yaw=3.0)))
    one = memory_map(remembering.memory, (0.0, 0.0), "odom", 8.0, 0.1, 0.3)
    other = memory_map(remembering.memory, (0.234, 0.0), "odom", 8.0, 0.1, 0.3)
    assert (one.header.frame_id, one.header.stamp.sec) == ("odom", 5)
    moved = (other.info.origin.position.x - one.info.origin.position.x) / 0.1
    assert moved == pytest.approx(2.0)
    grid = grid_to_array(one)
    places = np.array([(0.0, 0.0), (2.0, 0.0), (3.05, 0.0), (3.6, 0.0), (0.0, 2.0)])
    assert grid.values(places).tolist() == [FREE, FREE, OCCUPIED, UNKNOWN, UNKNOWN]
