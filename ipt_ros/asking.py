"""From what the robot saw and what is asked to a `Question`, in the words and pictures the model
was trained on.

One function per action. They know observations, maps and poses, and nothing of ROS messages,
threads or the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ipt_model import maps, phrasing
from ipt_model.geometry import Warped, warp_rgbd
from ipt_model.question import Question, QuestionError, Task
from ipt_ros.conversions import Intrinsics
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.guard import map_consistency, view_consistency
from ipt_ros.observations import Observation
from ipt_ros.pose_source import BODY_FROM_OPTICAL
from ipt_ros.poses import inverse, yaw_of


@dataclass(frozen=True)
class Asked:
    """A question, the observations it was made from, and where the imagined picture would be
    taken.

    camera: pinhole of the imagined picture as the sources give it, or None for a map.
    world_from_camera: 4 x 4 pose of that camera, optical, in the fixed frame; a map's camera
        looks down.
    map_view: the square of the world that an imagined map shows.
    check: overlap and consistency of an imagined picture with what was seen.
    """

    question: Question
    sources: tuple[Observation, ...]
    camera: Intrinsics | None = None
    world_from_camera: np.ndarray | None = None
    map_view: maps.MapView | None = None
    check: Callable[[np.ndarray], tuple[float, float]] | None = None


def make_question(
    task: Task, images: Sequence[np.ndarray], text: str, options: Sequence[str]
) -> Question:
    """A Question; whatever is wrong with the asker's words becomes BAD_GOAL."""
    try:
        return Question(task, tuple(images), text, tuple(options))
    except QuestionError as error:
        raise GoalError(ErrorCode.BAD_GOAL, str(error)) from error


def ask_spatial(view: Observation, text: str, options: Sequence[str]) -> Asked:
    """Any question about the present view."""
    return Asked(
        make_question(Task.FREE, [view.rgb], text, options),
        (view,),
        view.intrinsics,
        view.world_from_camera,
    )


def ask_viewpoint(
    view: Observation,
    world_from_viewpoint: np.ndarray,
    target: str,
    text: str,
    options: Sequence[str],
    picture_px: int = 128,
) -> Asked:
    """What is seen from a viewpoint (body axes: x forward, z up), told to the model as a motion
    from here.

    With depth, what was seen is moved to the viewpoint and shown to the model too: only the rest
    need be imagined. picture_px: the longer side of that picture.

    The motion is rounded as in training, and the imagined camera stands where the rounded motion
    leads: what is published is the pose that was asked of the model, not the one that was almost
    asked.
    """
    world_from_body = view.world_from_camera @ inverse(BODY_FROM_OPTICAL)
    heading = yaw_of(world_from_body)
    dx, dy = (world_from_viewpoint - world_from_body)[:2, 3]
    motion = phrasing.round_motion(
        phrasing.Motion(
            forward_m=math.cos(heading) * dx + math.sin(heading) * dy,
            left_m=-math.sin(heading) * dx + math.cos(heading) * dy,
            turn_rad=yaw_of(world_from_viewpoint) - heading,
        )
    )
    there = moved(view.world_from_camera, motion)
    anchor = anchor_of(view, there, picture_px)
    images = [view.rgb] if anchor is None else [view.rgb, anchor.rgb]
    asked = text or ("side" if target else "")
    if asked in ("side", "distance"):
        if not target:
            raise GoalError(
                ErrorCode.BAD_GOAL, f"question '{asked}' needs an object, like 'green chair'"
            )
        phrase = phrasing.perspective_question(asked, target, motion, anchored=anchor is not None)
        question = make_question(Task.PERSPECTIVE, images, phrase.text, phrase.options)
    else:
        words = phrasing.motion_in_words(motion)
        sentence = f"{words[0].upper()}{words[1:]}. {text or 'What is seen from there?'}"
        question = make_question(Task.PERSPECTIVE, images, sentence, options)
    question = replace(question, view_size=view.rgb.shape[:2])
    check = None
    if anchor is not None:
        seen = anchor

        def check(picture: np.ndarray) -> tuple[float, float]:
            return view_consistency(picture, seen.rgb, seen.known)

    return Asked(question, (view,), view.intrinsics, there, check=check)


def anchor_of(view: Observation, there: np.ndarray, picture_px: int) -> Warped | None:
    """What was seen, moved to another camera pose; None without depth."""
    if view.depth_m is None:
        return None
    shrink = min(1.0, picture_px / max(view.rgb.shape[:2]))
    width, height = (
        max(1, round(n * shrink)) for n in (view.intrinsics.width, view.intrinsics.height)
    )
    camera = scaled(view.intrinsics, width, height)
    rgb = cv2.resize(view.rgb, (width, height), interpolation=cv2.INTER_AREA)
    # averaging depth would invent surfaces between near and far
    depth = cv2.resize(view.depth_m, (width, height), interpolation=cv2.INTER_NEAREST)
    return warp_rgbd(rgb, depth, camera, view.world_from_camera, there)


def scaled(camera: Intrinsics, width: int, height: int) -> Intrinsics:
    """The same camera with another number of pixels."""
    sx, sy = width / camera.width, height / camera.height
    return replace(
        camera,
        width=width,
        height=height,
        fx=camera.fx * sx,
        fy=camera.fy * sy,
        cx=camera.cx * sx,
        cy=camera.cy * sy,
    )


def moved(world_from_camera: np.ndarray, motion: phrasing.Motion) -> np.ndarray:
    """The camera after a motion in the plane of the floor: height, pitch and roll stay as they
    were.
    """
    heading = yaw_of(world_from_camera @ inverse(BODY_FROM_OPTICAL))
    c, s = math.cos(heading), math.sin(heading)
    ct, st = math.cos(motion.turn_rad), math.sin(motion.turn_rad)
    result = np.eye(4)
    turn = np.array([[ct, -st, 0.0], [st, ct, 0.0], [0.0, 0.0, 1.0]])
    result[:3, :3] = turn @ world_from_camera[:3, :3]
    result[:3, 3] = world_from_camera[:3, 3] + (
        c * motion.forward_m - s * motion.left_m,
        s * motion.forward_m + c * motion.left_m,
        0.0,
    )
    return result


#: Side of the square of the world that a map picture shows, m, and its size in pixels.
MAP_SIDE_M = 8.0
MAP_SIZE_PX = 128


def ask_path(view: Observation, grid: maps.OccupancyGrid, path_xy: np.ndarray) -> Asked:
    """Whether a path (N x 2, m, fixed frame) is clear, from partial map and present view."""
    line = path_xy if len(path_xy) > 1 else np.repeat(path_xy, 2, axis=0)
    low, high = line.min(axis=0), line.max(axis=0)
    middle = 0.5 * (low + high)
    side = max(MAP_SIDE_M, float((high - low).max()) + 2.0)
    map_view = maps.MapView.around(float(middle[0]), float(middle[1]), side, MAP_SIZE_PX)
    body = view.world_from_camera @ inverse(BODY_FROM_OPTICAL)
    robot = (float(body[0, 3]), float(body[1, 3]), yaw_of(body))
    picture = maps.draw_map(
        grid, map_view, path=line, robot=robot, goal=(float(line[-1, 0]), float(line[-1, 1]))
    )
    phrase = phrasing.clearance_question()
    question = replace(
        make_question(Task.CLEARANCE, [view.rgb, picture], phrase.text, phrase.options),
        view_size=picture.shape[:2],
    )

    def check(drawn: np.ndarray) -> tuple[float, float]:
        values = maps.read_map(drawn, map_view, grid)
        inside = ~np.isnan(values)
        seen = float((grid.cells[inside] != maps.UNKNOWN).mean()) if inside.any() else 0.0
        return seen, map_consistency(grid.cells, values)

    return Asked(question, (view,), map_view=map_view, check=check)


def ask_map(view: Observation, grid: maps.OccupancyGrid) -> Asked:
    """The completed map around the robot, asked for with a path straight ahead."""
    body = view.world_from_camera @ inverse(BODY_FROM_OPTICAL)
    x, y, heading = float(body[0, 3]), float(body[1, 3]), yaw_of(body)
    steps = np.linspace(0.0, 2.0, 21)[:, None]
    ahead = np.array([x, y]) + steps * (math.cos(heading), math.sin(heading))
    return ask_path(view, grid, ahead)


def ask_count(views: Sequence[Observation], category: str, max_count: int) -> Asked:
    """How many things of a category stand around, over several views from about one place."""
    if not category.strip():
        raise GoalError(ErrorCode.BAD_GOAL, "category is empty; name one, like 'chair'")
    if not 1 <= max_count <= 25:
        raise GoalError(ErrorCode.BAD_GOAL, f"max_count: expected 1 to 25, got {max_count}")
    phrase = phrasing.counting_question(category.strip(), range(max_count + 1))
    question = make_question(Task.COUNTING, [v.rgb for v in views], phrase.text, phrase.options)
    body = views[-1].world_from_camera @ inverse(BODY_FROM_OPTICAL)
    map_view = maps.MapView.around(float(body[0, 3]), float(body[1, 3]), MAP_SIDE_M, MAP_SIZE_PX)
    question = replace(question, view_size=(MAP_SIZE_PX, MAP_SIZE_PX))
    return Asked(question, tuple(views), map_view=map_view)


def count_views(
    views: Sequence[Observation], present: Observation, limit: int = 4
) -> list[Observation]:
    """Up to `limit` views that together show most of the surroundings: near the present place,
    headings spread.

    Greedy: the present view first, then the one whose heading is farthest from all that were
        taken.
    """
    here = present.world_from_camera[:2, 3]
    near = [
        v
        for v in views
        if v.stamp_ns != present.stamp_ns
        and np.linalg.norm(v.world_from_camera[:2, 3] - here) <= 0.5 * MAP_SIDE_M
    ]
    taken = [present]
    while near and len(taken) < limit:

        def apart(v: Observation) -> float:
            return min(
                math.acos(
                    float(np.clip(v.world_from_camera[:3, 2] @ t.world_from_camera[:3, 2], -1, 1))
                )
                for t in taken
            )

        best = max(near, key=apart)
        if apart(best) < 0.2:
            break
        near.remove(best)
        taken.append(best)
    return sorted(taken, key=lambda v: v.stamp_ns)
