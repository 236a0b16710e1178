"""From what the robot saw and what is asked to a `Question`, in the words and pictures the model
was trained on.

One function per action. They know observations, maps and poses, and nothing of ROS messages,
threads or the model.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ipt_model.messages.poses import inverse, yaw_of
from ipt_model.question import Question, QuestionError, Task
from ipt_model.spatial import maps
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.memory import SpatialMemory, ViewRefused
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.spatial.recalled import RecalledView
from ipt_model.wording import phrasing
from ipt_ros.answering.guard import map_consistency, view_consistency
from ipt_ros.conversions import Intrinsics
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.observations import Observation

#: Seen from above, what is higher than this over the fixed frame's zero is cut off, m: ceilings.
CEILING_CUT_M = 2.2
#: Overlap and consistency with what was seen: of a picture as it was drawn, and H x W bool, which
#: of its pixels the drawing was free in; None where it was in all.
Measure = Callable[[np.ndarray, np.ndarray | None], tuple[float, float]]


@dataclass(frozen=True)
class Check:
    """How an imagined picture is held against what was seen.

    of_map: its consistency is that of walls and floor (`map_consistency`), which has a limit of
        its own; a coloured picture from above is a view like any other.
    """

    measure: Measure
    of_map: bool = False

    def __call__(self, picture: np.ndarray, free: np.ndarray | None) -> tuple[float, float]:
        return self.measure(picture, free)


@dataclass(frozen=True)
class GroundedQuestion:
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
    check: Check | None = None


def make_question(
    task: Task, images: Sequence[np.ndarray], text: str, options: Sequence[str]
) -> Question:
    """A Question; whatever is wrong with the asker's words becomes BAD_GOAL."""
    try:
        return Question(task, tuple(images), text, tuple(options))
    except QuestionError as error:
        raise GoalError(ErrorCode.BAD_GOAL, str(error)) from error


def memory_of(view: Observation, camera: str = "camera") -> SpatialMemory:
    """A memory of one view alone; of nothing where its depth is of no use."""
    memory = SpatialMemory()
    with contextlib.suppress(ViewRefused):
        memory.add(
            view.rgb, view.depth_m, view.intrinsics, view.world_from_camera, view.stamp_ns, camera
        )
    return memory


def ask_spatial(
    view: Observation,
    text: str,
    options: Sequence[str],
    picture_px: int = 128,
    memory: SpatialMemory | None = None,
) -> GroundedQuestion:
    """Any question about the present view, or about the view after a motion that it states.

    memory: None knows this view alone, here and below.
    """
    question = make_question(Task.FREE, [view.rgb], text, options)
    motion = phrasing.motion_in(text)
    if motion is None:
        return GroundedQuestion(question, (view,), view.intrinsics, view.world_from_camera)
    there = moved(view.world_from_camera, motion)
    recalled = recalled_view(view, there, picture_px, memory)
    question = replace(question, recalled=recalled, view_size=view.rgb.shape[:2])
    return GroundedQuestion(question, (view,), view.intrinsics, there, check=view_check(recalled))


def ask_viewpoint(
    view: Observation,
    world_from_viewpoint: np.ndarray,
    target: str,
    text: str,
    options: Sequence[str],
    picture_px: int = 128,
    memory: SpatialMemory | None = None,
) -> GroundedQuestion:
    """What is seen from a viewpoint (body axes: x forward, z up), told to the model as a motion
    from here.

    What was ever seen of it is recalled and shown to the model too: only the rest need be
    imagined. memory: holds the present view as well. picture_px: the longer side of that picture.

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
    recalled = recalled_view(view, there, picture_px, memory)
    images = [view.rgb] if recalled is None else [view.rgb, recalled.rgb]
    asked = text or ("side" if target else "")
    if asked in ("side", "distance"):
        if not target:
            raise GoalError(
                ErrorCode.BAD_GOAL, f"question '{asked}' needs an object, like 'green chair'"
            )
        phrase = phrasing.perspective_question(
            asked, target, motion, anchored=recalled is not None
        )
        question = make_question(Task.PERSPECTIVE, images, phrase.text, phrase.options)
    else:
        words = phrasing.motion_in_words(motion)
        sentence = f"{words[0].upper()}{words[1:]}. {text or 'What is seen from there?'}"
        question = make_question(Task.PERSPECTIVE, images, sentence, options)
    question = replace(question, view_size=view.rgb.shape[:2], recalled=recalled)
    return GroundedQuestion(question, (view,), view.intrinsics, there, check=view_check(recalled))


def recalled_view(
    view: Observation, there: np.ndarray, picture_px: int, memory: SpatialMemory | None = None
) -> RecalledView | None:
    """What was ever seen of the view from another pose of this camera; None where the robot has
    no depth and so remembers no space.
    """
    shrink = min(1.0, picture_px / max(view.rgb.shape[:2]))
    width, height = (
        max(1, round(n * shrink)) for n in (view.intrinsics.width, view.intrinsics.height)
    )
    memory = memory_of(view) if memory is None else memory
    recalled = memory.recall(there, scaled(view.intrinsics, width, height), (height, width))
    return None if view.depth_m is None and not recalled.stamps_ns else recalled


def view_check(recalled: RecalledView | None) -> Check | None:
    """Whether a drawing agrees with what is recalled of it, where it was not held to that."""
    if recalled is None:
        return None

    def measure(picture: np.ndarray, free: np.ndarray | None) -> tuple[float, float]:
        seen = recalled.seen
        if free is not None:
            size = seen.shape[1], seen.shape[0]
            there = cv2.resize(free.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            seen = seen & (there > 0)
        _, consistency = view_consistency(picture, replace(recalled, seen=seen))
        return recalled.share_seen, consistency

    return Check(measure)


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


def ask_path(
    view: Observation,
    grid: maps.OccupancyGrid,
    line: np.ndarray,
    pictures: PictureGeometry,
    picture_px: int = 128,
    told_m: float | None = None,
) -> GroundedQuestion:
    """Whether a path (N x 2, m) is clear, from partial map and present view; both along the axes
    of the grid's cells. The map shows the square ahead of the robot, as in training; an empty line
    draws no path. picture_px: the side of the map's picture. told_m: the robot's half width, told
    in words and painted; None for the robot that the model was trained with.
    """
    robot = robot_of(view)
    map_view = maps.MapView.ahead(robot, picture_px, pictures)
    path, goal = None, None
    if len(line):
        path = line if len(line) > 1 else np.repeat(line, 2, axis=0)
        goal = (float(line[-1, 0]), float(line[-1, 1]))
    width_m = None if told_m is None else 2 * told_m
    picture = maps.draw_map(
        grid, map_view, path=path, robot=robot, goal=goal, path_width_m=width_m
    )
    phrase = phrasing.clearance_question(radius_m=told_m)
    question = replace(
        make_question(Task.CLEARANCE, [view.rgb, picture], phrase.text, phrase.options),
        view_size=picture.shape[:2],
        recalled=maps.recalled_map(picture, grid, map_view, (view.stamp_ns,)),
    )

    def measure(drawn: np.ndarray, free: np.ndarray | None) -> tuple[float, float]:
        values = maps.read_map(drawn, map_view, grid)
        inside = ~np.isnan(values)
        seen = float((grid.cells[inside] != maps.UNKNOWN).mean()) if inside.any() else 0.0
        if free is not None:
            values[~maps.under(free, map_view, grid)] = np.nan
        return seen, map_consistency(grid.cells, values)

    check = Check(measure, of_map=True)
    return GroundedQuestion(question, (view,), map_view=map_view, check=check)


def told_radius(radius_m: float, pictures: PictureGeometry) -> float | None:
    """What the model is told of a robot's half width: the next step that is no smaller, within
    what it has learned to be told. None for a model that is told nothing."""
    if not pictures.told_radius_m:
        return None
    low, high = pictures.told_radius_m
    return min(max(phrasing.round_radius(radius_m), low), high)


def robot_of(view: Observation) -> tuple[float, float, float]:
    """x, y, yaw of the robot that a map marks: where its camera stands and looks."""
    body = view.world_from_camera @ inverse(BODY_FROM_OPTICAL)
    return float(body[0, 3]), float(body[1, 3]), yaw_of(body)


def ask_map(
    view: Observation,
    grid: maps.OccupancyGrid,
    pictures: PictureGeometry,
    picture_px: int = 128,
) -> GroundedQuestion:
    """The completed map around the robot, asked for with a path straight ahead."""
    x, y, heading = robot_of(view)
    steps = np.linspace(0.0, 2.0, 21)[:, None]
    ahead = np.array([x, y]) + steps * (math.cos(heading), math.sin(heading))
    return ask_path(view, grid, ahead, pictures, picture_px)


def ask_count(
    views: Sequence[Observation],
    category: str,
    pictures: PictureGeometry,
    most: int = 0,
    picture_px: int = 128,
    memory: SpatialMemory | None = None,
) -> GroundedQuestion:
    """How many things of a category stand around, over as many views as in training.

    most: the largest of the counts in a row to choose from; 0 takes the smallest that was trained.
    What was seen of these surroundings from above is recalled: the square around all that the
    views of this place show.
    """
    if not category.strip():
        raise GoalError(ErrorCode.BAD_GOAL, "category is empty; name one, like 'chair'")
    most = most or min(pictures.count_most)
    if most not in pictures.count_most:
        choices = [f"{m} ({m - pictures.count_options + 1} to {m})" for m in pictures.count_most]
        raise GoalError(
            ErrorCode.BAD_GOAL,
            f"max_count: expected {', '.join(choices)}, the counts that the model learned to "
            f"choose among, or 0 for the first; got {most}",
        )
    if len(views) != pictures.count_frames:
        raise GoalError(
            ErrorCode.TOO_FEW_VIEWS,
            f"a count needs {pictures.count_frames} views in different directions within "
            f"{pictures.count_apart_m:g} m, {len(views)} are remembered; turn the robot once on "
            "the spot",
        )
    numbers = range(most - pictures.count_options + 1, most + 1)
    phrase = phrasing.counting_question(category.strip(), numbers)
    question = make_question(Task.COUNTING, [v.rgb for v in views], phrase.text, phrase.options)
    question = replace(question, view_size=(picture_px, picture_px))
    here = np.mean([v.world_from_camera[:2, 3] for v in views], axis=0)
    at, reach_m = (float(here[0]), float(here[1])), pictures.count_apart_m
    square = None if memory is None else memory.extent(at, reach_m)
    if memory is None or square is None:
        return GroundedQuestion(question, tuple(views))
    x, y, side_m = square
    map_view = maps.MapView(x, y, side_m, picture_px)
    recalled = memory.recall_top_down(map_view, CEILING_CUT_M)
    return GroundedQuestion(
        replace(question, recalled=recalled),
        tuple(views),
        map_view=map_view,
        check=view_check(recalled),
    )


def count_views(
    views: Sequence[Observation], present: Observation, pictures: PictureGeometry
) -> list[Observation]:
    """The views that a count is asked over, fewer where there are not enough: near the present
    place, headings spread, so that they show most of the surroundings. As in training they turn
    left from one to the next, from the oldest on.

    Greedy: the present view first, then the one whose heading is farthest from all that were
        taken.
    """
    here = present.world_from_camera[:2, 3]
    near = [
        v
        for v in views
        if v.stamp_ns != present.stamp_ns
        and np.linalg.norm(v.world_from_camera[:2, 3] - here) <= pictures.count_apart_m
    ]
    taken = [present]
    while near and len(taken) < pictures.count_frames:

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
    start = robot_of(min(taken, key=lambda v: v.stamp_ns))[2]
    # a hair's breadth to the right of the start is not a whole turn to the left
    return sorted(taken, key=lambda v: (robot_of(v)[2] - start + 1e-6) % (2 * math.pi))
