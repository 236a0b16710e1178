"""What TracePath makes of sight, of the model's word and of its drawing; which paths it takes."""

import math
from types import SimpleNamespace as Fields

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.actions.trace_path import decide, path_points
from ipt_ros.answering.path_risk import MOST_POSES, sweep
from ipt_ros.answering.questions import told_radius
from ipt_ros.errors import ErrorCode, GoalError

STRAIGHT = np.array([[0.5, 1.0], [1.5, 1.0], [2.5, 1.0], [3.5, 1.0]])
PICTURES = PictureGeometry()
TRAINED = PICTURES.robot_radius_m
#: The codes of PathVerdict.
UNDECIDED, CLEAR, BLOCKED = 0, 1, 2


def half_seen():
    """4 x 2 m, the west half seen free, the rest not seen."""
    cells = np.full((20, 40), UNKNOWN, np.int8)
    cells[:, :20] = FREE
    return cells


def decided(
    cells, no, *, radius=TRAINED, shown=(0.0, 4.0), drawn=None, path=STRAIGHT, pictures=PICTURES
):
    """The verdict when the model is shown the path between two x and says "no" with probability
    `no`.
    """
    swept = sweep(OccupancyGrid(cells, 0.1, (0.0, 0.0)), path, radius)
    x = swept.points[:, 0]
    verdict = Fields(UNKNOWN=UNDECIDED, CLEAR=CLEAR, BLOCKED=BLOCKED)
    stretch = swept.stretch((x >= shown[0]) & (x <= shown[1]))
    why = decide(verdict, swept, swept.risk(drawn), stretch, no, pictures)
    assert bool(why) <= (verdict.verdict == UNDECIDED)
    assert math.isnan(verdict.probability_blocked) == (verdict.verdict == UNDECIDED)
    return verdict.verdict, verdict.first_blocked_pose, why


@pytest.mark.parametrize("no", [0.0, 1.0, math.nan])
def test_sight_decides_whatever_the_model_says(no):
    assert decided(np.full((20, 40), FREE, np.int8), no) == (CLEAR, -1, "")
    walled = half_seen()
    walled[:, 12] = OCCUPIED
    assert decided(walled, no) == (BLOCKED, 1, "")
    # also where the model was shown nothing of it
    assert decided(walled, no, shown=(9.0, 9.0)) == (BLOCKED, 1, "")


def test_the_model_speaks_for_what_it_was_shown():
    assert decided(half_seen(), 0.1) == (CLEAR, -1, "")
    assert decided(half_seen(), 0.9)[0] == BLOCKED
    assert decided(half_seen(), math.nan) == (UNDECIDED, -1, "")


def test_the_drawing_tells_where_it_is_blocked():
    drawn = np.full((20, 40), 0.1)
    drawn[:, 30] = 0.9
    assert decided(half_seen(), 0.9, drawn=drawn)[:2] == (BLOCKED, 3)


def test_what_lies_outside_the_picture_is_not_answered():
    verdict, _, why = decided(half_seen(), 0.1, shown=(0.0, 3.0))
    assert verdict == UNDECIDED and "path.poses[3] was not seen" in why
    # what is blocked in part is blocked
    assert decided(half_seen(), 0.9, shown=(0.0, 3.0))[0] == BLOCKED


@pytest.mark.parametrize("no", [0.1, 0.9])
def test_a_word_about_nothing_unseen_is_no_word(no):
    """Shown is only what was seen free, or nothing at all."""
    for shown in ((0.0, 1.0), (9.0, 9.0)):
        verdict, _, why = decided(half_seen(), no, shown=shown)
        assert verdict == UNDECIDED and "lies outside" in why


def test_the_word_of_a_narrow_robot_is_not_that_of_a_wide_one():
    verdict, _, why = decided(half_seen(), 0.1, radius=0.3, path=STRAIGHT[:3])
    assert verdict == UNDECIDED and "0.15 m radius" in why and "0.3 m" in why
    # but what stops a narrow one stops a wide one
    assert decided(half_seen(), 0.9, radius=0.3, path=STRAIGHT[:3])[0] == BLOCKED


def test_wide_is_wider_than_the_robot_that_the_model_speaks_of():
    wide = {"radius": 0.3, "path": STRAIGHT[:3]}
    spoken = [PictureGeometry(robot_radius_m=radius) for radius in (0.3, 0.29)]
    assert decided(half_seen(), 0.1, pictures=spoken[0], **wide) == (CLEAR, -1, "")
    assert "0.29 m radius" in decided(half_seen(), 0.1, pictures=spoken[1], **wide)[2]


@pytest.mark.parametrize(
    ("radius", "told"), [(0.05, 0.1), (0.1, 0.1), (0.12, 0.15), (0.3, 0.3), (0.5, 0.35)]
)
def test_a_robot_is_told_of_as_no_narrower_than_it_is_within_what_was_learned(radius, told):
    learned = PictureGeometry(told_radius_m=(0.1, 0.35))
    assert told_radius(radius, learned) == pytest.approx(told)
    assert told_radius(radius, PICTURES) is None, "a model that was never told of any"


def test_for_a_wide_robot_the_drawing_must_show_all_of_it_free():
    drawn = np.full((20, 40), 0.2)
    wide = {"radius": 0.3, "path": STRAIGHT[:3]}
    assert decided(half_seen(), 0.1, drawn=drawn, **wide) == (CLEAR, -1, "")
    beside = drawn.copy()
    beside[12, 24] = 0.8  # 0.2 m beside the middle of the path
    assert decided(half_seen(), 0.1, drawn=beside, **wide)[0] == UNDECIDED
    assert decided(half_seen(), 0.1, drawn=beside, radius=TRAINED, path=STRAIGHT[:3])[0] == CLEAR
    gap = drawn.copy()
    gap[12, 24] = np.nan
    assert decided(half_seen(), 0.1, drawn=gap, **wide)[0] == UNDECIDED


# -- paths ----------------------------------------------------------------------------------------


def path(*xs):
    message = Path()
    message.header.frame_id = "odom"
    for x in xs:
        pose = PoseStamped()
        pose.pose.position.x = float(x)
        message.poses.append(pose)
    return message


def foreign():
    message = path(1, 2)
    message.poses[1].header.frame_id = "mars"
    return message


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        (path(), ErrorCode.EMPTY_PATH, "no poses"),
        (path(0, math.nan), ErrorCode.BAD_GOAL, r"path.poses\[1\].*nan"),
        (path(math.inf), ErrorCode.BAD_GOAL, r"path.poses\[0\].*inf"),
        (path(0, 1, 1e18), ErrorCode.BAD_GOAL, r"path.poses\[2\].*1e\+18"),
        (path(*[0.0] * (MOST_POSES + 1)), ErrorCode.BAD_GOAL, "at most 5000 poses, got 5001"),
        (foreign(), ErrorCode.BAD_GOAL, "mars"),
    ],
    ids=["empty", "NaN", "infinite", "absurd", "too many", "two frames"],
)
def test_paths_that_cannot_be_meant_are_refused(message, code, words):
    with pytest.raises(GoalError, match=words) as caught:
        path_points(message)
    assert caught.value.code is code


def test_the_points_of_a_path():
    assert path_points(path(1, 2.5)).tolist() == [[1, 0, 0], [2.5, 0, 0]]
