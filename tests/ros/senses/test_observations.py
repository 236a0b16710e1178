"""Frames decoded: raw and compressed pictures, depth that belongs, errors that name the camera."""

import cv2
import numpy as np
import pytest

from ipt_ros.conversions import Intrinsics, intrinsics_to_camera_info
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.frames import Frame
from ipt_ros.senses.images import depth_to_image, rgb_to_image
from ipt_ros.senses.observations import observe

messages = pytest.importorskip("sensor_msgs.msg", reason="ROS messages are not installed")

PINHOLE = Intrinsics(32, 24, 20.0, 20.0, 16.0, 12.0)
RGB = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
POSE = np.eye(4)


def header():
    from std_msgs.msg import Header

    return Header(frame_id="optical")


def frame(image=None, depth=None):
    info = intrinsics_to_camera_info(PINHOLE, header())
    image = rgb_to_image(RGB, header()) if image is None else image
    return Frame("front", 7, "optical", image, info, depth, 0)


def test_a_raw_picture_with_depth():
    depth = depth_to_image(np.full((24, 32), 1.5, np.float32), header())
    seen = observe(frame(depth=depth), POSE)
    assert np.array_equal(seen.rgb, RGB)
    assert (seen.depth_m == 1.5).all()
    assert (seen.stamp_ns, seen.frame_id, seen.intrinsics) == (7, "optical", PINHOLE)


def test_a_compressed_picture():
    png = cv2.imencode(".png", cv2.cvtColor(RGB, cv2.COLOR_RGB2BGR))[1].tobytes()
    image = messages.CompressedImage(header=header(), format="png", data=png)
    assert np.array_equal(observe(frame(image), POSE).rgb, RGB)


def test_a_compressed_picture_that_is_garbage():
    image = messages.CompressedImage(header=header(), format="jpeg", data=b"not a picture")
    with pytest.raises(GoalError, match="front") as caught:
        observe(frame(image), POSE)
    assert caught.value.code is ErrorCode.BAD_IMAGE


def test_depth_of_another_size_is_not_registered():
    depth = depth_to_image(np.ones((12, 16), np.float32), header())
    with pytest.raises(GoalError, match="front: depth is 16x12, the image is 32x24") as caught:
        observe(frame(depth=depth), POSE)
    assert caught.value.code is ErrorCode.BAD_DEPTH
