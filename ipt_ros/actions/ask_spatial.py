"""AskSpatial: any question about the present view."""

from __future__ import annotations

from typing import Any

from ipt_ros.actions.server import GoalServer
from ipt_ros.answering.questions import Asked, ask_spatial


def ask_spatial_server(node: Any) -> GoalServer:
    from imaginative_perception.action import AskSpatial

    def prepare(goal: Any) -> tuple[Asked, None]:
        return ask_spatial(node.senses.newest_view(), goal.question, goal.options), None

    return GoalServer(node, AskSpatial, "~/ask_spatial", prepare)
