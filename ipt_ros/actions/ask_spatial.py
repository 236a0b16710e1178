"""AskSpatial: any question about the present view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipt_ros.actions.desk import Desk
from ipt_ros.actions.server import GoalServer
from ipt_ros.answering.questions import GroundedQuestion, ask_spatial

if TYPE_CHECKING:
    from rclpy.node import Node


def ask_spatial_server(node: Node, desk: Desk) -> GoalServer:
    from imaginative_perception.action import AskSpatial

    def prepare(goal: Any) -> tuple[GroundedQuestion, None]:
        senses = desk.senses()
        view = senses.newest_view()
        memory, picture_px = senses.remember(view), desk.model.picture_px
        return ask_spatial(view, goal.question, goal.options, picture_px, memory), None

    return GoalServer(node, desk, AskSpatial, "~/ask_spatial", prepare)
