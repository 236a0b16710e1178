"""TracePath: is a path clear, also where it cannot be seen? A verdict, and a risk per pose.

What was seen decides where it can: a path through a cell seen occupied is BLOCKED and one that was
seen free all along is CLEAR, whatever the model says. The model speaks only for the unseen rest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ipt_model import maps
from ipt_model.question import Answer
from ipt_ros.actions.server import Finish, GoalServer
from ipt_ros.asking import Asked, ask_path
from ipt_ros.conversions import grid_to_array, pose_to_matrix
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.path_risk import PathRisk, path_risk
from ipt_ros.products import header_of


def path_points(node: Any, goal: Any, stamp_ns: int) -> np.ndarray:
    """N x 2 points of the path in the fixed frame, m."""
    if not goal.path.poses:
        raise GoalError(ErrorCode.EMPTY_PATH, "the path has no poses; send at least one")
    to_fixed = node.senses.poses.frame(goal.path.header.frame_id, stamp_ns)
    return np.array(
        [
            (to_fixed @ pose_to_matrix(p.pose, what=f"path.poses[{i}]"))[:2, 3]
            for i, p in enumerate(goal.path.poses)
        ]
    )


def trace_path_server(node: Any) -> GoalServer:
    from imaginative_perception.action import TracePath

    def prepare(goal: Any) -> tuple[Asked, Finish]:
        view = node.senses.newest_view()
        points = path_points(node, goal, view.stamp_ns)
        grid = grid_to_array(node.senses.latest_map())
        asked = ask_path(view, grid, points)
        radius_m = goal.robot_radius_m or node.parameters.values.robot_radius_m

        def finish(result: Any, answer: Answer) -> None:
            imagined = None
            if answer.imagined and asked.map_view is not None:
                imagined = maps.read_map(answer.imagined[0], asked.map_view, grid)
            risk = path_risk(grid, points, radius_m, imagined)
            result.verdict.header = header_of(asked, goal.path.header.frame_id)
            result.verdict.risk = risk.risk.tolist()
            decide(result.verdict, risk, asked, answer, result.answer.abstained)

        return asked, finish

    return GoalServer(node, TracePath, "~/trace_path", prepare)


def decide(verdict: Any, risk: PathRisk, asked: Asked, answer: Answer, abstained: bool) -> None:
    """Sight first, then the model's answer; neither is UNKNOWN."""
    verdict.first_blocked_pose = -1
    if risk.seen_blocked is not None:
        verdict.verdict, verdict.probability_blocked = verdict.BLOCKED, 1.0
        verdict.first_blocked_pose = risk.seen_blocked
    elif risk.all_seen:
        verdict.verdict, verdict.probability_blocked = verdict.CLEAR, 0.0
    elif abstained:
        verdict.verdict, verdict.probability_blocked = verdict.UNKNOWN, math.nan
    else:
        blocked = answer.option_probabilities[asked.question.options.index("no")]
        verdict.probability_blocked = blocked
        verdict.verdict = verdict.BLOCKED if blocked > 0.5 else verdict.CLEAR
        risky = np.flatnonzero(np.nan_to_num(risk.risk) > 0.5)
        if blocked > 0.5 and len(risky):
            verdict.first_blocked_pose = int(risky[0])
