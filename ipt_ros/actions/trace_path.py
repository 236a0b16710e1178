"""TracePath: is a path clear, also where it cannot be seen? A verdict, and a risk per pose.

What was seen decides where it can: a sweep through a cell seen occupied is BLOCKED and one that
was seen free all along is CLEAR, whatever the model says. The model speaks only for the unseen
rest, and only as far as it was trained: for what its map shows, and for a robot of the width that
it is told or was trained with. For a wider one the drawn map must show the rest free as well.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ipt_model.question import Answer
from ipt_model.spatial import maps
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.actions.desk import Desk
from ipt_ros.actions.server import Finish, GoalServer
from ipt_ros.answering.messages import header_of
from ipt_ros.answering.path_risk import PathRisk, Sweep, check_number, check_radius, sweep
from ipt_ros.answering.questions import GroundedQuestion, ask_path, robot_of, told_radius
from ipt_ros.conversions import FARTHEST_M
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.map_frame import locate_map

if TYPE_CHECKING:
    from rclpy.node import Node


def path_points(path: Any) -> np.ndarray:
    """N x 3 points of a nav_msgs Path in its own frame, m; what is wrong with it by name."""
    check_number(len(path.poses))
    frames = {p.header.frame_id for p in path.poses} - {"", path.header.frame_id}
    if frames:
        raise GoalError(
            ErrorCode.BAD_GOAL,
            f"path: expected all poses in the path's frame '{path.header.frame_id}', some are in "
            f"{sorted(frames)[:3]}",
        )
    values = np.array(
        [
            (at.x, at.y, at.z, turn.x, turn.y, turn.z, turn.w)
            for at, turn in ((p.pose.position, p.pose.orientation) for p in path.poses)
        ]
    )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1) | (np.abs(values) > FARTHEST_M).any(1))
    if len(bad):
        at = ", ".join(f"{v:g}" for v in values[bad[0], :3])
        raise GoalError(
            ErrorCode.BAD_GOAL,
            f"path.poses[{bad[0]}]: expected finite numbers and at most {FARTHEST_M:g} m, got "
            f"position ({at})",
        )
    return values[:, :3]


def trace_path_server(node: Node, desk: Desk) -> GoalServer:
    from imaginative_perception.action import TracePath

    def prepare(goal: Any) -> tuple[GroundedQuestion, Finish]:
        senses = desk.senses()
        frame_id = goal.path.header.frame_id
        points = path_points(goal.path)
        radius = check_radius(goal.robot_radius_m or desk.live.values.robot_radius_m)
        view = senses.newest_view()
        senses.remember(view)
        located = locate_map(senses.latest_map(anew=True), senses.poses, view.stamp_ns)
        to_fixed = senses.poses.frame(frame_id, view.stamp_ns)
        fixed = points @ to_fixed[:3, :3].T + to_fixed[:3, 3]
        view = located.view(view)
        swept = sweep(located.grid, located.points(fixed[:, :2]), radius)
        pictures, picture_px = desk.model.pictures, desk.model.picture_px
        map_view = maps.MapView.ahead(robot_of(view), picture_px, pictures)
        stretch = swept.stretch(map_view.shows(swept.points, pictures))
        told = told_radius(radius, pictures)
        grounded = ask_path(view, located.grid, swept.line(stretch), pictures, picture_px, told)

        def finish(result: Any, answer: Answer) -> None:
            drawn = None
            if answer.imagined_views and grounded.map_view is not None:
                drawn = maps.read_map(answer.imagined_views[0], grounded.map_view, located.grid)
            risk = swept.risk(drawn)
            result.verdict.header = header_of(grounded, frame_id)
            result.verdict.risk = risk.poses.tolist()
            blocked = math.nan
            if not result.answer.abstained:
                blocked = answer.option_probabilities[grounded.question.options.index("no")]
            spoken = pictures if told is None else replace(pictures, robot_radius_m=told)
            why = decide(result.verdict, swept, risk, stretch, blocked, spoken)
            if why and not result.answer.abstained:
                result.answer.abstained, result.answer.answer = True, ""
                result.answer.abstain_reason = why

        return grounded, finish

    return GoalServer(node, desk, TracePath, "~/trace_path", prepare)


def decide(
    verdict: Any,
    swept: Sweep,
    risk: PathRisk,
    stretch: np.ndarray,
    blocked: float,
    pictures: PictureGeometry,
) -> str:
    """Sight first, then the model's word as far as it goes; else UNKNOWN, and why.

    stretch: the steps that the model's map shows. blocked: the model's probability that they are
    not clear, NaN when it abstained. pictures: of the question; the model speaks of a robot of
    its robot_radius_m.
    """
    verdict.first_blocked_pose = -1
    if swept.seen_blocked is not None:
        verdict.verdict, verdict.probability_blocked = verdict.BLOCKED, 1.0
        verdict.first_blocked_pose = swept.seen_blocked
        return ""
    if swept.all_seen:
        verdict.verdict, verdict.probability_blocked = verdict.CLEAR, 0.0
        return ""
    why = beyond_training(swept, risk, stretch, blocked, pictures)
    if why or math.isnan(blocked):
        verdict.verdict, verdict.probability_blocked = verdict.UNKNOWN, math.nan
        return why
    verdict.probability_blocked = blocked
    verdict.verdict = verdict.BLOCKED if blocked > 0.5 else verdict.CLEAR
    risky = np.flatnonzero(np.nan_to_num(risk.poses) > 0.5)
    if blocked > 0.5 and len(risky):
        verdict.first_blocked_pose = int(risky[0])
    return ""


def beyond_training(
    swept: Sweep, risk: PathRisk, stretch: np.ndarray, blocked: float, pictures: PictureGeometry
) -> str:
    """Why the model's word says nothing of this path, or an empty string. That a part is blocked,
    or too narrow for the robot it speaks of, holds for the whole and for wider ones too.
    """
    if not (swept.unseen & stretch).any():
        return (
            "what was not seen of the path lies outside the "
            f"{pictures.map_side_m:g} m ahead of the robot that the model is shown"
        )
    if blocked > 0.5:
        return ""
    if (swept.unseen & ~stretch).any():
        away = int(swept.leads_to[(swept.unseen & ~stretch).argmax()])
        return (
            f"the way to path.poses[{away}] was not seen and lies outside the "
            f"{pictures.map_side_m:g} m ahead of the robot that the model is shown"
        )
    wide = swept.radius_m > pictures.robot_radius_m + 1e-6
    if wide and not (risk.complete and (risk.poses <= 0.5).all()):
        return (
            f"the model speaks of a robot of {pictures.robot_radius_m:g} m radius; that one of "
            f"{swept.radius_m:g} m fits through must show in a drawn map (mode imagine), and "
            "does not"
        )
    return ""
