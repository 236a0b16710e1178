"""Odometry that lies: late, early, nowhere or not a number. What was known before stays known, and
an error says what came.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from ipt_ros.conversions import ns_to_stamp
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.pose_source import OdometryPose
from ipt_ros.senses.stamps import why_incredible

S = 1_000_000_000
NOW = 1000 * S


@pytest.fixture
def odometry():
    values = SimpleNamespace(
        fixed_frame="odom",
        base_frame="base_link",
        pose_timeout_s=0.0,
        mounts=(0.0,) * 6,
        cameras=("camera",),
    )
    node = SimpleNamespace(create_subscription=lambda *_: None)
    live = SimpleNamespace(values=values)
    return OdometryPose(node, live, None, lambda stamp: why_incredible(stamp, NOW, 0.5))


def sample(stamp_ns, x=0.0, frame="odom"):
    message = Odometry(header=Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame))
    message.pose.pose.position.x = x
    message.pose.pose.orientation.w = 1.0
    return message


def x_at(source, stamp_ns):
    return source.camera("camera", "optical", stamp_ns)[0, 3]


def refusal(source, stamp_ns):
    with pytest.raises(GoalError) as caught:
        source.camera("camera", "optical", stamp_ns)
    assert caught.value.code is ErrorCode.NO_POSE
    return caught.value.text


def test_a_sample_from_the_future_is_not_believed_and_takes_nothing_away(odometry):
    odometry._received(sample(NOW - S // 10, x=1.0))
    odometry._received(sample(NOW + 3600 * S, x=9.0))
    assert x_at(odometry, NOW) == 1.0
    assert "3600.0 s ahead" in refusal(odometry, NOW + S)
    odometry._received(sample(NOW, x=2.0))
    assert x_at(odometry, NOW) == 2.0
    assert "ahead of the node" not in refusal(odometry, NOW + S)


def test_a_sample_from_before_time_is_refused(odometry):
    odometry._received(sample(-5 * S))
    assert "before time began" in refusal(odometry, NOW)


@pytest.mark.parametrize("x", [1e18, -1e300, float("nan"), float("inf")])
def test_a_pose_that_cannot_be_is_named_until_a_good_one_comes(odometry, x):
    odometry._received(sample(NOW, x=1.0))
    odometry._received(sample(NOW, x=x))
    text = refusal(odometry, NOW)
    assert "NaN or infinity" in text or "from the origin" in text
    odometry._received(sample(NOW, x=2.0))
    assert x_at(odometry, NOW) == 2.0


def test_samples_out_of_order_are_put_in_order(odometry):
    for stamp, x in ((0, 0.0), (100, 1.0), (50, 0.5), (150, 1.5)):
        odometry._received(sample(NOW - S + stamp * S // 1000, x=x))
    assert x_at(odometry, NOW - S + 75 * S // 1000) == pytest.approx(0.75)


def test_frames_that_are_not_known_are_named(odometry):
    assert np.array_equal(odometry.frame("odom", NOW), np.eye(4))
    with pytest.raises(GoalError, match="frame 'map' is not known") as caught:
        odometry.frame("map", 0, wait=False)
    assert caught.value.code is ErrorCode.UNKNOWN_FRAME
