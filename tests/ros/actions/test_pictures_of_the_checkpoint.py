"""A node asks with the layout of pictures that its checkpoint was trained with."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from harness import peer, running, until
from robot_input import MOUNT, RobotInput

from imaginative_perception.action import TracePath
from ipt_model.spatial.maps import UNKNOWN, OccupancyGrid
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.loading import find_folder

pytestmark = pytest.mark.slow(15)


@pytest.fixture
def checkpoint(tmp_path):
    """The shipped weights, as if trained on maps of 2 m a side."""
    folder = tmp_path / "narrow"
    shutil.copytree(find_folder("ipt-tiny"), folder)
    pictures = PictureGeometry(map_side_m=2.0, map_behind_m=0.5)
    dataclasses.replace(AskingStyle.load(folder), pictures=pictures).save(folder)
    return folder


def test_the_map_of_a_path_question_has_the_side_of_the_checkpoint(
    checkpoint, ros_domain, tmp_path
) -> None:
    """3 m ahead lies on the map of our data, and beside that of this checkpoint."""
    parameters = {
        "model": str(checkpoint),
        "pose_source": "odometry",
        "mounts": list(MOUNT),
        "min_confidence": 0.0,
    }
    goal = TracePath.Goal(mode="answer", robot_radius_m=0.15)
    goal.path.header.frame_id = "odom"
    for x in (3.0, 4.0):
        pose = PoseStamped()
        pose.pose.position.x = x
        goal.path.poses.append(pose)
    unknown = OccupancyGrid(np.full((200, 200), UNKNOWN, np.int8), 0.1, (-10.0, -10.0))
    with (
        running("ipt_node", ros_domain + 1, tmp_path, parameters=parameters) as node,
        peer(ros_domain + 1) as tester,
    ):
        node.wait_for_print("ready:")
        robot = RobotInput(tester)
        client = tester.action(TracePath, "ipt_node/trace_path")

        def answered():
            robot.send_grid(unknown)
            _, result = tester.run_goal(client, goal)
            return result if result.error_code == 0 else None

        result = until(answered, "view, pose and map have come", 30)
        robot.close()
    assert result.verdict.verdict == result.verdict.UNKNOWN
    assert "outside the 2 m ahead of the robot" in result.answer.abstain_reason
