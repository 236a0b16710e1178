"""What a planner is told of a picture: what was seen of it, from when, and for how long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.question import Answer, Mode, Outcome, Provenance, StageTimes
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.recalled import RecalledView
from ipt_ros.answering.guard import GuardScores
from ipt_ros.answering.messages import answer_message, imagined_message, provenance_message
from ipt_ros.answering.questions import ask_viewpoint
from ipt_ros.conversions import Intrinsics, stamp_to_ns
from ipt_ros.senses.images import image_to_mask
from ipt_ros.senses.observations import Observation

STAMP_NS = 7_500_000_000
PINHOLE = Intrinsics(32, 24, 20.0, 20.0, 16.0, 12.0)


def question(depth_m=2.0):
    """About the view half a metre ahead, of a wall, with depth in the left half of the picture."""
    depth = None if depth_m is None else np.full((24, 32), depth_m, np.float32)
    if depth is not None:
        depth[:, 16:] = 0.0
    pose = from_xyz_rpy(0, 0, 1.2, 0, 0, 0) @ BODY_FROM_OPTICAL
    rgb = np.full((24, 32, 3), 99, np.uint8)
    view = Observation(STAMP_NS, "optical", rgb, depth, PINHOLE, pose)
    return ask_viewpoint(view, from_xyz_rpy(0.5, 0, 1.2, 0, 0, 0), "green ball", "", ())


def drawn(height=24, width=32):
    picture = np.full((height, width, 3), 50, np.uint8)
    of = Provenance("m", "h", 0, 4, Mode.IMAGINE)
    return Answer(Outcome.ANSWERED, "left", (0.9, 0.1), (picture,), StageTimes(), of)


@pytest.mark.parametrize(("height", "width"), [(24, 32), (48, 64), (12, 16)])
def test_every_pixel_says_whether_it_was_seen(height, width):
    view = imagined_message(question(), drawn(height, width), GuardScores(), "odom")
    assert (view.seen.height, view.seen.width, view.seen.encoding) == (height, width, "mono8")
    assert view.seen.header == view.image.header
    assert set(view.seen.data) == {0, 255}
    mask = image_to_mask(view.seen)
    # from half a metre nearer the left half of what was seen still fills the left of the picture
    assert mask[:, : width // 4].all() and not mask[:, width // 2 + 1 :].any()
    assert view.seen_share == pytest.approx(mask.mean())


def test_an_answer_from_memory_alone_shows_what_it_rests_on():
    grounded = question()
    of = Provenance("m", "h", 0, 0, Mode.RECALL)
    answer = Answer(Outcome.ANSWERED, "left", (0.9, 0.1), (), StageTimes(), of)
    view = imagined_message(grounded, answer, GuardScores(), "odom")
    recalled = grounded.question.recalled
    assert bytes(view.image.data) == recalled.filled.tobytes()
    assert np.array_equal(image_to_mask(view.seen), recalled.seen)
    at_once = replace(answer, provenance=replace(of, mode=Mode.ANSWER))
    assert imagined_message(grounded, at_once, GuardScores(), "odom").image.height == 0


def test_without_depth_all_of_it_is_imagined():
    view = imagined_message(question(None), drawn(), GuardScores(), "odom")
    assert set(view.seen.data) == {0} and view.seen_share == 0.0


def test_nothing_drawn_has_no_mask():
    view = imagined_message(question(), replace(drawn(), imagined_views=()), GuardScores(), "odom")
    assert view.seen.height == 0 and view.seen_share == 0.0


def test_provenance_lists_remembered_views_too_each_once():
    grounded = question()
    stamps_ns = STAMP_NS, 2_000_000_001, 3_000_000_000
    old = replace(grounded.question.recalled, stamps_ns=stamps_ns)
    question_of_old = replace(grounded.question, recalled=old)
    message = provenance_message(replace(grounded, question=question_of_old), drawn())
    stamps = [stamp_to_ns(s) for s in message.source_stamps]
    assert stamps == [2_000_000_001, 3_000_000_000, STAMP_NS]


def test_an_answer_is_valid_for_a_while_after_what_was_seen_last():
    message = answer_message(question(), drawn(), "", valid_s=2.25)
    assert stamp_to_ns(message.header.stamp) == STAMP_NS
    assert stamp_to_ns(message.valid_until) == STAMP_NS + 2_250_000_000


def test_the_mask_at_another_size_claims_no_pixel_that_was_seen_in_part():
    seen = np.zeros((8, 8), bool)
    seen[:, :3] = True
    view = RecalledView(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32), seen)
    assert view.seen_at(8, 8) is seen
    half = view.seen_at(4, 4)
    assert half[:, 0].all() and not half[:, 1:].any()
    double = view.seen_at(16, 16)
    assert double[:, :5].all() and not double[:, 6:].any()
