"""CountObjects: how many of a category stand around, over the remembered views near the robot."""

from __future__ import annotations

from typing import Any

from ipt_model.question import Answer
from ipt_ros.actions.server import Finish, GoalServer
from ipt_ros.answering.questions import Asked, ask_count, count_views


def count_objects_server(node: Any) -> GoalServer:
    from imaginative_perception.action import CountObjects

    def prepare(goal: Any) -> tuple[Asked, Finish]:
        views = count_views(node.senses.remembered_views(), node.senses.newest_view())
        return ask_count(views, goal.category, goal.max_count, node.picture_px), finish

    def finish(result: Any, answer: Answer) -> None:
        result.count = -1 if result.answer.abstained else int(answer.text)

    return GoalServer(node, CountObjects, "~/count_objects", prepare)
