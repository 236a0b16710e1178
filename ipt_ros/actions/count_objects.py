"""CountObjects: how many of a category stand around, over the remembered views near the robot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipt_model.question import Answer
from ipt_ros.actions.desk import Desk
from ipt_ros.actions.server import Finish, GoalServer
from ipt_ros.answering.questions import GroundedQuestion, ask_count, count_views

if TYPE_CHECKING:
    from rclpy.node import Node


def count_objects_server(node: Node, desk: Desk) -> GoalServer:
    from imaginative_perception.action import CountObjects

    def prepare(goal: Any) -> tuple[GroundedQuestion, Finish]:
        senses = desk.senses()
        pictures, picture_px = desk.model.pictures, desk.model.picture_px
        view = senses.newest_view()
        memory = senses.remember(view)
        views = count_views(senses.remembered_views(), view, pictures)
        grounded = ask_count(views, goal.category, pictures, goal.max_count, picture_px, memory)
        return grounded, finish

    def finish(result: Any, answer: Answer) -> None:
        result.count = -1 if result.answer.abstained else int(answer.text)

    return GoalServer(node, desk, CountObjects, "~/count_objects", prepare)
