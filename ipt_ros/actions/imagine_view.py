"""ImagineView: what a camera would see from a viewpoint, as a picture and as an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipt_ros.actions.desk import Desk
from ipt_ros.actions.server import GoalServer
from ipt_ros.answering.questions import GroundedQuestion, ask_viewpoint
from ipt_ros.conversions import pose_to_matrix

if TYPE_CHECKING:
    from rclpy.node import Node


def imagine_view_server(node: Node, desk: Desk) -> GoalServer:
    from imaginative_perception.action import ImagineView

    def prepare(goal: Any) -> tuple[GroundedQuestion, None]:
        senses = desk.senses()
        view = senses.newest_view()
        viewpoint = pose_to_matrix(goal.viewpoint.pose, what="viewpoint")
        to_fixed = senses.poses.frame(goal.viewpoint.header.frame_id, view.stamp_ns)
        grounded = ask_viewpoint(
            view,
            to_fixed @ viewpoint,
            goal.object,
            goal.question,
            goal.options,
            desk.model.picture_px,
            senses.remember(view),
        )
        return grounded, None

    return GoalServer(node, desk, ImagineView, "~/imagine_view", prepare)
