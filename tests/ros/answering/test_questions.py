"""Questions made from observations: the motion told to the model is the pose that is published."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_model.messages.poses import from_xyz_rpy, inverse, yaw_of
from ipt_model.question import Task
from ipt_model.spatial import maps
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.answering.questions import (
    ask_count,
    ask_path,
    ask_spatial,
    ask_viewpoint,
    count_views,
)
from ipt_ros.conversions import Intrinsics
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.observations import Observation

PICTURES = PictureGeometry()
PINHOLE = Intrinsics(32, 24, 20.0, 20.0, 16.0, 12.0)


def seen(x=0.0, y=0.0, yaw=0.0, pitch=0.25, stamp_ns=1):
    pose = from_xyz_rpy(x, y, 1.2, 0.0, pitch, yaw) @ BODY_FROM_OPTICAL
    return Observation(stamp_ns, "optical", np.zeros((24, 32, 3), np.uint8), None, PINHOLE, pose)


coordinates = st.floats(-4, 4)
headings = st.floats(-math.pi, math.pi)


@given(coordinates, coordinates, headings, coordinates, coordinates, headings)
def test_the_published_pose_is_where_the_spoken_motion_leads(x, y, yaw, x2, y2, yaw2):
    view = seen(x, y, yaw)
    grounded = ask_viewpoint(view, from_xyz_rpy(x2, y2, 1.2, 0, 0, yaw2), "green ball", "", ())
    body = grounded.world_from_camera @ inverse(BODY_FROM_OPTICAL)
    # rounding moves it by half a step at most: 0.05 m each way, 2.5 degrees
    assert abs(body[0, 3] - x2) < 0.0708 and abs(body[1, 3] - y2) < 0.0708
    assert abs(math.remainder(yaw_of(body) - yaw2, 2 * math.pi)) < math.radians(2.51)
    # height and pitch of the real camera are kept
    assert body[2, 3] == pytest.approx(1.2)
    assert body[2, 0] == pytest.approx(-math.sin(0.25))


def test_a_motion_in_words():
    grounded = ask_viewpoint(
        seen(), from_xyz_rpy(1.2, 0.4, 1.2, 0, 0, math.radians(60)), "blue cube", "side", ()
    )
    assert grounded.question.text == (
        "Move 1.2 m forward and 0.4 m to the left, then turn left 60 degrees. "
        "Will the blue cube be on your left or right?"
    )
    assert grounded.question.options == ("left", "right")
    assert grounded.question.task is Task.PERSPECTIVE


def test_a_question_of_ones_own_follows_the_motion():
    grounded = ask_viewpoint(
        seen(), from_xyz_rpy(1, 0, 1.2, 0, 0, 0), "", "Is a door there?", ("yes", "no")
    )
    assert grounded.question.text == "Move 1.0 m forward. Is a door there?"
    assert grounded.question.options == ("yes", "no")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ask_spatial(seen(), "   ", ()), "empty"),
        (lambda: ask_spatial(seen(), "What?", ("only",)), "2 to 26"),
        (lambda: ask_spatial(seen(), "What?", ("same", "same")), "differ"),
        (lambda: ask_count([seen()], " ", PICTURES, 6), "category"),
        (lambda: ask_count([seen()] * 4, "chair", PICTURES, 200), "max_count"),
        (lambda: ask_count([seen()] * 4, "chair", PICTURES, 3), r"4 .1 to 4., 5 .2 to 5., 6"),
        (lambda: ask_viewpoint(seen(), np.eye(4), "", "side", ()), "needs an object"),
    ],
)
def test_bad_goals_are_named(make, words):
    with pytest.raises(GoalError, match=words) as caught:
        make()
    assert caught.value.code is ErrorCode.BAD_GOAL


def half_known():
    """4 x 4 m: the west half seen free, a seen wall at the far north, the rest unknown."""
    cells = np.full((80, 80), maps.UNKNOWN, np.int8)
    cells[:, :40] = maps.FREE
    cells[78:, :40] = maps.OCCUPIED
    return maps.OccupancyGrid(cells, 0.05, (-2.0, -2.0))


def test_a_path_question_shows_view_and_map_and_draws_a_map():
    grounded = ask_path(seen(-1, 0), half_known(), np.array([[-1.0, 0.0], [1.0, 0.0]]), PICTURES)
    view, picture = grounded.question.images
    assert view.shape == (24, 32, 3)
    assert grounded.question.view_size == picture.shape[:2]
    assert grounded.question.options == ("yes", "no")
    line = grounded.map_view.to_pixel(np.array([0.5, 0.0])).astype(int)
    red, green, blue = picture[line[1], line[0]]
    assert (red, blue) == maps.PATH_RED_BLUE and green == maps.UNKNOWN_GREEN


@pytest.mark.parametrize("pictures", [PICTURES, PictureGeometry(map_side_m=4, map_behind_m=0.5)])
def test_the_map_is_shown_as_in_training_wherever_the_path_leads(pictures):
    for line in (np.array([[0.0, 0.0], [14.0, 3.0]]), np.empty((0, 2))):
        grounded = ask_path(seen(1.0, 2.0, 0.7), half_known(), line, pictures, 64)
        ahead = 0.5 * pictures.map_side_m - pictures.map_behind_m
        middle = np.array([1.0 + ahead * math.cos(0.7), 2.0 + ahead * math.sin(0.7)])
        assert grounded.map_view.to_pixel(middle) == pytest.approx([32.0, 32.0])
        assert grounded.map_view.side_m == pictures.map_side_m
        assert grounded.question.images[1].shape == (64, 64, 3)


def test_a_count_is_asked_as_in_training():
    views = [seen(yaw=a, stamp_ns=i) for i, a in enumerate((0.0, 1.5, 3.0, 4.5))]
    for most, options in ((0, "1234"), (4, "1234"), (6, "3456")):
        grounded = ask_count(views, "chair", PICTURES, most, 64)
        assert grounded.question.options == tuple(options)
        assert len(grounded.question.images) == PICTURES.count_frames
        assert grounded.question.view_size == (64, 64)


def test_a_count_is_asked_as_the_checkpoint_was():
    pictures = PictureGeometry(count_frames=2, count_options=3, count_most=(7, 9), count_apart_m=1)
    views = [seen(yaw=a, stamp_ns=i) for i, a in enumerate((0.0, 1.5, 3.0, 4.5))]
    taken = count_views(views[:-1], views[-1], pictures)
    assert len(taken) == 2
    assert ask_count(taken, "chair", pictures).question.options == ("5", "6", "7")
    with pytest.raises(GoalError, match=r"7 .5 to 7., 9 .7 to 9."):
        ask_count(taken, "chair", pictures, 6)
    with pytest.raises(GoalError, match=r"needs 2 views.*within 1 m"):
        ask_count(views, "chair", pictures)
    assert count_views([seen(x=1.5, yaw=2.0)], views[-1], pictures) == [views[-1]]


def test_a_count_over_too_few_views_is_refused_with_what_to_do():
    with pytest.raises(GoalError, match=r"needs 4 views.*1 are remembered; turn") as caught:
        ask_count([seen()], "chair", PICTURES)
    assert caught.value.code is ErrorCode.TOO_FEW_VIEWS


def test_views_for_counting_are_spread_and_near():
    around = [seen(yaw=math.radians(a), stamp_ns=10 + a) for a in range(0, 360, 15)]
    far = seen(x=30.0, stamp_ns=5)
    present = seen(yaw=0.05, stamp_ns=1000)
    taken = count_views([far, *around], present, PICTURES)
    assert len(taken) == 4 and present in taken and far not in taken
    yaws = sorted(yaw_of(v.world_from_camera @ inverse(BODY_FROM_OPTICAL)) % 6.2832 for v in taken)
    assert min(np.diff(yaws)) > math.radians(60)
    # each turned left from the one before, from the oldest on, as the frames of the data
    assert taken[0].stamp_ns == min(v.stamp_ns for v in taken)
    turned = [yaw_of(v.world_from_camera @ inverse(BODY_FROM_OPTICAL)) for v in taken]
    assert (np.diff([(t - turned[0]) % 6.2832 for t in turned]) > 0).all()
