"""Clearance: is a path free that runs through floor which the camera has not seen?

In: a scene. Out: an `Example` with one or two views and the partial map that their depth gives,
with the path drawn in; its true view is the completed map. No path meets anything that is
already on the partial map, and whatever blocks one was seen from some side, so the answer is a
matter of inference, neither of reading nor of luck. `told radius` asks for a robot whose size the
question states, and draws the path as wide as the robot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipt_model.question import Question, Task
from ipt_model.spatial.maps import (
    FREE,
    OCCUPIED,
    UNKNOWN,
    MapView,
    OccupancyGrid,
    draw_map,
    recalled_map,
)
from ipt_model.wording.phrasing import (
    RADIUS_STEP_M,
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
from ipt_training.tasks.twins import matched_pairs

TASK = "clearance"
VARIANTS = ("one view", "two views")
TOLD_RADIUS = tuple(f"{variant}+told radius" for variant in VARIANTS)
MORE_VARIANTS = (*TOLD_RADIUS, *(f"{variant}+memory" for variant in (*VARIANTS, *TOLD_RADIUS)))
SHARES = CLEARANCE_SHARE_BINS
SUBCATEGORIES = ("clear", "blocked")
OPTION_COUNT = 2
RADIUS_M = PICTURES.robot_radius_m

CELL_M = 0.1
#: A clear path keeps this much more than the robot's half width on both sides.
MARGIN_M = 0.05
#: Half widths that are told, and how far from touching a path then is, clear or blocked.
TOLD_RADIUS_M = (0.10, 0.35)
TOLD_MARGIN_M = 0.1
MIN_HIDDEN_M = 0.4
#: A blocked path runs at least this far through what blocks it.
MIN_BLOCKED_M = 0.15
LENGTH_M = (1.2, 5.0)
#: Paths are led through hidden floor no further than this from something seen.
SHADOW_M = 0.9
LOOKS = 6
PATHS = 3000
PATH_POINTS = 60
#: Every so many of the points are looked at first: most paths fail there already.
COARSE = 6
DRAWN_POINTS = 13
#: How closely a clear path and its blocked twin agree in numbers of path and partial map.
TOLERANCE = np.array([0.7, 0.25, 0.005, 0.8])


@dataclass(frozen=True)
class Room:
    """What a path has to leave: nothing within clear_m of a clear one, something within blocked_m
    of a blocked one. radius_m: of the robot.
    """

    radius_m: float
    clear_m: float
    blocked_m: float

    @staticmethod
    def wanted(wanted: Wanted) -> Room:
        """For the robot of the data, or for one of a size of its own."""
        if not wanted.has("told radius"):
            # blocked for certain: the middle line itself runs through something
            return Room(RADIUS_M, RADIUS_M + MARGIN_M, 0.0)
        low, high = (round(r / RADIUS_STEP_M) for r in TOLD_RADIUS_M)
        radius = int(wanted.stream("radius").integers(low, high + 1)) * RADIUS_STEP_M
        return Room(radius, radius + TOLD_MARGIN_M, max(radius - TOLD_MARGIN_M, 0.0))


@dataclass(frozen=True)
class Proposal:
    """One path: N x 2 points, m, densely sampled from the robot to the goal."""

    points: np.ndarray
    hidden_m: float
    length_m: float
    seen_clear_m: float

    @property
    def drawn(self) -> np.ndarray:
        """Enough of the points for a smooth line, both ends among them."""
        return self.points[np.linspace(0, len(self.points) - 1, DRAWN_POINTS).round().astype(int)]


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
        for proposal, _twin in propose(scene, rng, wanted, sight):
            example = realise(scene, proposal, sight, wanted, context, renderer)
            # pixels of another size may fall on other sides of a border
            if wanted.as_seen(example.question.share_seen):
                return example
            counts.add(TASK, "not seen as wanted")
            break
        else:
            counts.add(TASK, "no twin paths")
    return None


def propose(
    scene: Scene, rng: np.random.Generator, wanted: Wanted, sight: Sight
) -> Iterator[tuple[Proposal, Proposal]]:
    """Paths of the wanted kind with twins of the other kind on the same map, in random order."""
    room = Room.wanted(wanted)
    seen_m = distance_m(sight.seen, (OCCUPIED,))
    points = _paths(rng, sight, seen_m, room)
    unseen = sight.seen.cells == UNKNOWN
    walkable = sight.shown() & (seen_m >= room.clear_m) & (sight.in_frustum() | ~unseen)
    for some in (slice(None, None, COARSE), slice(None)):
        cells, inside = _flat_cells(sight.truth, points[:, some])
        keep = (inside & walkable.ravel()[cells]).all(axis=1)
        points, cells = points[keep], cells[keep]
    step = np.hypot(*np.diff(points, axis=1).transpose(2, 0, 1))
    length = step.sum(axis=1)
    hidden = unseen.ravel()[cells]
    hidden_m = (step * hidden[:, 1:]).sum(axis=1)
    passable = (hidden_m >= MIN_HIDDEN_M) & (length >= LENGTH_M[0]) & (length <= LENGTH_M[1])
    free_m = distance_m(sight.truth, (OCCUPIED, UNKNOWN)).ravel()[cells]
    known_m = seen_m.ravel()[cells]
    clear = passable & (free_m.min(axis=1, initial=99) >= room.clear_m)
    stopped = free_m <= room.blocked_m
    blocked = passable & ((step * stopped[:, 1:]).sum(axis=1) >= MIN_BLOCKED_M)
    blocked[blocked] = _first_blocker_seen(
        scene, points[blocked], stopped[blocked], sight, room.blocked_m
    )
    reach = np.hypot(points[..., 0] - sight.robot[0], points[..., 1] - sight.robot[1])
    away = (reach * hidden).sum(axis=1) / np.maximum(hidden.sum(axis=1), 1)
    numbers = np.column_stack([length, hidden_m, known_m.min(axis=1, initial=99), away])
    kinds = [np.flatnonzero(clear), np.flatnonzero(blocked)]
    if wanted.subcategory == "blocked":
        kinds.reverse()
    for a, b in matched_pairs(numbers[kinds[0]], numbers[kinds[1]], TOLERANCE, rng):
        made = [
            Proposal(
                points=points[k],
                hidden_m=float(hidden_m[k]),
                length_m=float(length[k]),
                seen_clear_m=float(known_m[k].min()),
            )
            for k in (int(kinds[0][a]), int(kinds[1][b]))
        ]
        yield made[0], made[1]


def _paths(rng: np.random.Generator, sight: Sight, behind: np.ndarray, room: Room) -> np.ndarray:
    """Soft curves through the shadow of something seen, between places known to be free: P x N x
    2, P <= PATHS. behind: from each cell to what is seen, m.

    Pieces of a plan: few could start at the robot, for what is hidden is hidden behind what stands
    before it.
    """
    hidden = (sight.seen.cells == UNKNOWN) & sight.in_frustum() & sight.shown()
    near = hidden & (behind >= room.clear_m) & (behind <= SHADOW_M)
    solid = near & (sight.truth.cells == OCCUPIED)
    if not near.any():
        return np.empty((0, PATH_POINTS, 2))
    number = 4 * PATHS
    # half through what is there, else few were blocked; twins undo what this does to the numbers
    middle = _any_of(rng, sight.seen, near, number)
    if solid.any():
        middle[::2] = _any_of(rng, sight.seen, solid, len(middle[::2]))
    # mostly across the line of sight, where a shadow is narrow
    sight_line = np.arctan2(middle[:, 1] - sight.robot[1], middle[:, 0] - sight.robot[0])
    either_way = math.pi * (rng.integers(0, 2, number) + 0.5)
    angle = sight_line + either_way + rng.normal(0, 0.5, number)
    turn = rng.uniform(-0.5, 0.5, number)
    back, on = rng.uniform(0.4, 2.0, (2, number, 1))
    start = middle - back * np.column_stack([np.cos(angle), np.sin(angle)])
    end = middle + on * np.column_stack([np.cos(angle + turn), np.sin(angle + turn)])
    known = (sight.seen.values(start) == FREE) & (sight.seen.values(end) == FREE)
    start, middle, end = (v[known][:PATHS] for v in (start, middle, end))
    bend = 2 * middle - 0.5 * (start + end)  # half-way, the curve is at `middle`
    t = np.linspace(0, 1, PATH_POINTS)
    weights = np.column_stack([(1 - t) ** 2, 2 * t * (1 - t), t**2])
    controls = np.stack([start, bend, end], axis=1)  # P x 3 x 2
    return np.asarray(weights @ controls)


def _any_of(
    rng: np.random.Generator, grid: OccupancyGrid, cells: np.ndarray, number: int
) -> np.ndarray:
    """Middles of random cells out of a mask: number x 2."""
    places = grid.centres()[cells]
    return np.asarray(places[rng.integers(len(places), size=number)])


def _flat_cells(grid: OccupancyGrid, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat index of the cell under each point, and whether the point is on the grid at all."""
    row, column = grid.indices(points)
    h, w = grid.cells.shape
    return row.clip(0, h - 1) * w + column.clip(0, w - 1), grid.inside(row, column)


def _first_blocker_seen(
    scene: Scene, points: np.ndarray, stopped: np.ndarray, sight: Sight, reach_m: float
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
    proposal: Proposal,
    sight: Sight,
    wanted: Wanted,
    context: Context,
    renderer: Renderer,
) -> Example:
    """Render the views, draw both maps and put the question into words."""
    camera = Camera.from_fov(context.size_px, context.size_px, sight.camera_fov)
    views = renderer.render_many(sight.poses, camera)
    view = MapView(sight.view.x_min, sight.view.y_min, PICTURES.map_side_m, context.size_px)
    room, told = Room.wanted(wanted), wanted.has("told radius")
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
    scene: Scene, proposal: Proposal, sight: Sight, reach_m: float
) -> tuple[str | None, float]:
    """The first thing the path runs into or comes within reach_m of, and how far along, m."""
    cells, _ = _flat_cells(sight.truth, proposal.points)
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


def _nearest_seen(scene: Scene, proposal: Proposal, sight: Sight) -> str | None:
    """The visible thing that comes nearest to the path."""
    distance = ObjectTable.of(scene).distance(proposal.points).min(axis=0)
    distance[sight.shares < MIN_SHARE] = np.inf
    near = int(distance.argmin())
    return scene.objects[near].name if distance[near] < 1.5 else None
