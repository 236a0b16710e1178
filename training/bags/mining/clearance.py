"""Clearance: is a path free that leads through floor the robot had not seen yet?

The map of what was seen up to A asks, the map of everything that was seen answers. Paths come in
twins, one clear and one blocked, that look alike on the map that asks. Floor that nobody ever saw
blocks none, and no clear path runs there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

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
from ipt_model.wording.phrasing import YES_NO_OPTIONS, clearance_question
from ipt_model.wording.prompts import think_sentence
from ipt_training.bags.mining.window import Window
from ipt_training.example import Example
from ipt_training.tasks.seen.hidden_paths import HiddenPath, Room, hidden_paths
from ipt_training.tasks.seen.sight import PICTURES, Sight
from ipt_training.tasks.stored_maps import rows_of

KIND = "clearance"
CELL_M = 0.1
#: What is higher above the floor than this cannot be hit, m. Nothing stood within this of the
#: robot, m.
ROBOT_HEIGHT_M, FOOTPRINT_M = 1.3, 0.2
#: What was hidden and is known now lies sparsely: paths lead so far behind something seen, m.
SHADOW_M = 3.0
#: Sizes of robots that are tried.
TRIES = 4
#: What a map that asks shows at least, and at most, of its square.
SHOWN = (0.05, 0.85)


def questions(window: Window) -> Iterator[tuple[int, Example]]:
    """(number of the frame A, example), A by A; by turns clear and blocked ones."""
    kinds = ("clear", "blocked")
    made_of = dict.fromkeys(kinds, 0)
    for a in window.asked_at:
        rng = window.rng(KIND, a)
        sight = _sight(window, a, rng)
        if sight is None:
            continue
        for _ in range(window.options.per_frame):
            kind = min(kinds, key=made_of.__getitem__)
            example = _example(window, a, kind, sight, rng)
            if example is None:
                window.refused["no twin paths through hidden floor"] += 1
                break
            made_of[kind] += 1
            yield a, example


def _sight(window: Window, a: int, rng: np.random.Generator) -> Sight | None:
    robot = window.robot(a)
    view = MapView.ahead(robot, window.options.size_px, PICTURES)
    # on the cells of one lattice, whatever the place: what a view shows of them is kept
    side = round(PICTURES.map_side_m / CELL_M) + 1
    x, y = (math.floor(v / CELL_M) * CELL_M for v in (view.x_min, view.y_min))
    blank = OccupancyGrid(np.full((side, side), UNKNOWN, np.int8), CELL_M, (x, y))
    memory = window.memory(a, [], rng)
    if memory is None:
        window.refused["nothing remembered"] += 1
        return None
    truth, seen = (
        m.occupancy(blank, ROBOT_HEIGHT_M, window.floor_m(a), FOOTPRINT_M)
        for m in (window.everything, memory)
    )
    cells = seen.cells.copy()
    near = np.hypot(*(blank.centres() - robot[:2]).transpose(2, 0, 1)) <= 2 * FOOTPRINT_M
    cells[near & (truth.cells != OCCUPIED)] = FREE
    # where the two do not agree, the one that has seen more is right
    known = cells != UNKNOWN
    cells[known] = truth.cells[known]
    share = float((cells != UNKNOWN).mean())
    if not SHOWN[0] <= share <= SHOWN[1]:
        window.refused["map shows too little or too much"] += 1
        return None
    poses = [v.world_from_camera for v in memory.views]
    return Sight(
        robot=robot,
        poses=poses,
        earlier=[],
        camera_fov=2 * math.pi,  # what was not looked at is as unknown as what was hidden
        truth=truth,
        seen=OccupancyGrid(cells, CELL_M, blank.origin_xy),
        shares=np.zeros(0),
        view=view,
    )


def _example(
    window: Window, a: int, kind: str, sight: Sight, rng: np.random.Generator
) -> Example | None:
    for _ in range(TRIES):
        room = Room.told(rng) if window.heard is None else Room.of(window.heard.radius_m)
        found = hidden_paths(rng, sight, room, kind, stops=(OCCUPIED,), shadow_m=SHADOW_M)
        pair: tuple[HiddenPath, HiddenPath] | None = next(found, None)
        if pair is not None:
            break
    else:
        return None
    path = pair[0]
    view, drawn = sight.view, path.drawn
    goal = float(drawn[-1, 0]), float(drawn[-1, 1])

    def picture(grid: OccupancyGrid) -> np.ndarray:
        return draw_map(
            grid, view, path=drawn, robot=sight.robot, goal=goal, path_width_m=2 * room.radius_m
        )

    partial = picture(sight.seen)
    phrase = clearance_question(radius_m=room.radius_m, template=int(rng.integers(10)))
    options = tuple(str(o) for o in rng.permutation(list(phrase.options)))
    right = YES_NO_OPTIONS[0] if kind == "clear" else YES_NO_OPTIONS[1]
    stamps = (window.frames[a].stamp_ns,)
    recalled = recalled_map(partial, sight.seen, view, stamps)
    question = Question(
        Task.CLEARANCE, (window.small[a].rgb, partial), phrase.text, options, recalled=recalled
    )
    return Example(
        question,
        options.index(right),
        picture(sight.truth),
        think_sentence(question),
        "",
        variant="one view+told radius+memory",
        subcategory=kind,
        scene_seed=0,
        facts={
            "stamps_ns": list(stamps),
            "robot": [round(v, 4) for v in sight.robot],
            "path_m": np.round(drawn, 3).tolist(),
            "robot_radius_m": round(room.radius_m, 2),
            "path_length_m": round(path.length_m, 3),
            "hidden_m": round(path.hidden_m, 3),
            "seen_clear_m": round(path.seen_clear_m, 3),
            "goal_distance_m": round(math.dist(sight.robot[:2], goal), 3),
            "known_share": round(float((sight.seen.cells != UNKNOWN).mean()), 4),
            "map_view": [round(view.x_min, 4), round(view.y_min, 4), PICTURES.map_side_m],
            "cells_origin_m": [round(v, 4) for v in sight.truth.origin_xy],
            "cells_resolution_m": CELL_M,
            "cells_true": rows_of(sight.truth.cells),
            "cells_seen": rows_of(sight.seen.cells),
            "share_seen": round(recalled.share_seen, 4),
        },
        recalled=recalled,
    )
