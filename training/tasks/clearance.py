"""Clearance: is a path free that runs through floor which the camera has not seen?

In: a scene. Out: an `Example` with one or two views and the partial map that their depth gives,
with the path drawn in; its true view is the completed map. No path meets anything that is
already on the partial map, and whatever blocks one was seen from some side, so the answer is a
matter of inference, neither of reading nor of luck. `told radius` asks for a robot whose size the
question states, and draws the path as wide as the robot.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ipt_model.question import Question, Task
from ipt_model.spatial.maps import (
    OCCUPIED,
    UNKNOWN,
    MapView,
    draw_map,
    recalled_map,
)
from ipt_model.wording.phrasing import (
    YES_NO_OPTIONS,
    clearance_question,
)
from ipt_model.wording.prompts import think_sentence
from ipt_training.example import Example
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.scene import Scene
from ipt_training.tasks.geometry import ObjectTable, room_of
from ipt_training.tasks.reasoning import clearance_reasoning
from ipt_training.tasks.sampling import CLEARANCE_SHARE_BINS, Context, Wanted, place_answer
from ipt_training.tasks.seen.hidden_paths import HiddenPath, Room, flat_cells, hidden_paths
from ipt_training.tasks.seen.remembered import Remembered, with_memory
from ipt_training.tasks.seen.sight import (
    MIN_SHARE,
    PICTURES,
    Sight,
    distance_m,
    look,
    true_map,
)
from ipt_training.tasks.stored_maps import cropped, rows_of

TASK = "clearance"
VARIANTS = ("one view", "two views")
TOLD_RADIUS = tuple(f"{variant}+told radius" for variant in VARIANTS)
MORE_VARIANTS = (*TOLD_RADIUS, *(f"{variant}+memory" for variant in (*VARIANTS, *TOLD_RADIUS)))
SHARES = CLEARANCE_SHARE_BINS
SUBCATEGORIES = ("clear", "blocked")
OPTION_COUNT = 2
RADIUS_M = PICTURES.robot_radius_m

CELL_M = 0.1
LOOKS = 6


def sample(
    scene: Scene,
    rng: np.random.Generator,
    *,
    wanted: Wanted,
    context: Context,
    renderer: Renderer | None = None,
) -> Example | None:
    """An example of the wanted kind from this scene, or None when it has none."""
    counts = context.rejections
    renderer = renderer or Renderer(scene)
    truth = true_map(scene, CELL_M)
    for _ in range(LOOKS):
        sight = look(scene, rng, wanted, renderer, truth)
        if sight is None:
            reason = "nothing in sight" if wanted.share_seen is None else "not seen as wanted"
            counts.add(TASK, reason)
            continue
        room = room_of_robot(wanted)
        first_seen = partial(_first_blocker_seen, scene, sight, room.blocked_m)
        for proposal, _twin in hidden_paths(rng, sight, room, wanted.subcategory, first_seen):
            example = realise(scene, proposal, sight, wanted, context, renderer)
            # pixels of another size may fall on other sides of a border
            if wanted.as_seen(example.question.share_seen):
                return example
            counts.add(TASK, "not seen as wanted")
            break
        else:
            counts.add(TASK, "no twin paths")
    return None


def room_of_robot(wanted: Wanted) -> Room:
    """What the asked robot needs."""
    return Room.told(wanted.stream("radius")) if wanted.has("told radius") else Room.usual()


def _first_blocker_seen(
    scene: Scene, sight: Sight, reach_m: float, points: np.ndarray, stopped: np.ndarray
) -> np.ndarray:
    """P: whether the first thing in the way is in some picture. Walls of the robot's room count as
    known. stopped: P x N, points with something within reach_m.
    """
    if not len(points):
        return np.zeros(0, bool)
    first = points[np.arange(len(points)), stopped.argmax(axis=1)]
    distance = ObjectTable.of(scene).distance(first)
    is_object = distance.min(axis=1) <= reach_m + 1.5 * CELL_M
    here = room_of(scene, np.array([sight.robot[:2]]), 0.0)[0]
    at_wall = room_of(scene, first, -0.15) == here
    return np.where(is_object, sight.shares[distance.argmin(axis=1)] >= MIN_SHARE, at_wall)


def realise(
    scene: Scene,
    proposal: HiddenPath,
    sight: Sight,
    wanted: Wanted,
    context: Context,
    renderer: Renderer,
) -> Example:
    """Render the views, draw both maps and put the question into words."""
    camera = Camera.from_fov(context.size_px, context.size_px, sight.camera_fov)
    views = renderer.render_many(sight.poses, camera)
    view = MapView(sight.view.x_min, sight.view.y_min, PICTURES.map_side_m, context.size_px)
    room, told = room_of_robot(wanted), wanted.has("told radius")
    marks: dict[str, Any] = {
        "path": proposal.drawn,
        "path_width_m": 2 * room.radius_m if told else None,
        "robot": sight.robot,
        "goal": (float(proposal.drawn[-1, 0]), float(proposal.drawn[-1, 1])),
    }
    partial = draw_map(sight.seen, view, **marks)
    complete = draw_map(sight.truth, view, **marks)
    words = wanted.stream("words")
    phrase = clearance_question(
        radius_m=room.radius_m if told else None, template=int(words.integers(10))
    )
    right = YES_NO_OPTIONS[0] if wanted.subcategory == "clear" else YES_NO_OPTIONS[1]
    options = place_answer(list(phrase.options), right, wanted.answer_position, words)
    question = Question(Task.CLEARANCE, (*(v.rgb for v in views), partial), phrase.text, options)
    blocker, at_m = _blocker(scene, proposal, sight, room.blocked_m)
    nearest = _nearest_seen(scene, proposal, sight)
    truth, seen = cropped(sight.truth, view), cropped(sight.seen, view)
    example = Example(
        question=question,
        answer_index=wanted.answer_position,
        true_view=complete,
        think=think_sentence(question),
        reasoning=clearance_reasoning(
            clear=wanted.subcategory == "clear",
            blocker=blocker,
            blocker_at_m=at_m,
            hidden_m=proposal.hidden_m,
            nearest=nearest,
        ),
        variant=wanted.variant,
        subcategory=wanted.subcategory,
        scene_seed=scene.seed,
        facts={
            "robot": [round(v, 4) for v in sight.robot],
            "path_m": np.round(proposal.drawn, 3).tolist(),
            "robot_radius_m": round(room.radius_m, 2),
            "path_length_m": round(proposal.length_m, 3),
            "hidden_m": round(proposal.hidden_m, 3),
            "seen_clear_m": round(proposal.seen_clear_m, 3),
            "goal_distance_m": round(float(math.dist(sight.robot[:2], proposal.drawn[-1])), 3),
            "known_share": round(float((sight.seen.cells != UNKNOWN).mean()), 4),
            "seen_occupied_cells": int((sight.seen.cells == OCCUPIED).sum()),
            "objects_in_view": int((sight.shares >= MIN_SHARE).sum()),
            "blocker": blocker,
            "poses": [np.round(p, 4).tolist() for p in sight.poses],
            "fov_rad": round(sight.camera_fov, 4),
            "map_view": [round(view.x_min, 4), round(view.y_min, 4), PICTURES.map_side_m],
            "cells_origin_m": [round(v, 4) for v in truth.origin_xy],
            "cells_resolution_m": CELL_M,
            "cells_true": rows_of(truth.cells),
            "cells_seen": rows_of(seen.cells),
        },
    )
    if wanted.share_seen is None:
        return example
    return with_memory(
        example, Remembered(recalled_map(partial, sight.seen, view), sight.every_pose)
    )


def _blocker(
    scene: Scene, proposal: HiddenPath, sight: Sight, reach_m: float
) -> tuple[str | None, float]:
    """The first thing the path runs into or comes within reach_m of, and how far along, m."""
    cells, _ = flat_cells(sight.truth, proposal.points)
    away = distance_m(sight.truth, (OCCUPIED, UNKNOWN)).ravel()[cells]
    stopped = np.flatnonzero(away <= reach_m)
    if not len(stopped):
        return None, 0.0
    first = int(stopped[0])
    steps = np.hypot(*np.diff(proposal.points[: first + 1], axis=0).T)
    distance = ObjectTable.of(scene).distance(proposal.points[first : first + 1])[0]
    near = int(distance.argmin())
    name = scene.objects[near].name if distance[near] <= reach_m + 1.5 * CELL_M else "wall"
    return name, float(steps.sum())


def _nearest_seen(scene: Scene, proposal: HiddenPath, sight: Sight) -> str | None:
    """The visible thing that comes nearest to the path."""
    distance = ObjectTable.of(scene).distance(proposal.points).min(axis=0)
    distance[sight.shares < MIN_SHARE] = np.inf
    near = int(distance.argmin())
    return scene.objects[near].name if distance[near] < 1.5 else None
