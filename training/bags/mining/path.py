"""Path tracing: which of four framed spots of the map can be seen on one side at the midpoint?

The robot looked at B to the side of a straight way between two places where it was, so what it saw
at B is the true view. Four spots are framed on the memory's map in four colours; one of them shows
at B, the others certainly do not. How near the right one is to the midpoint, beside the others,
says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ipt_model.question import Question, Task
from ipt_model.spatial.maps import OCCUPIED, UNKNOWN, MapView, OccupancyGrid
from ipt_model.spatial.memory import SpatialMemory
from ipt_model.wording.phrasing import SIDE_OPTIONS, path_question
from ipt_model.wording.prompts import think_sentence
from ipt_training.bags.frames import Frame
from ipt_training.bags.mining.window import CUT_M, Window, body_of, framed, seen_at
from ipt_training.example import Example
from ipt_training.tasks.drawing import draw_path

KIND = "path"
OPTION_COUNT = 4
#: What spots are called by the colour of their frame on the map.
FRAMES = {
    "green": (40, 220, 60),
    "blue": (40, 90, 255),
    "orange": (255, 150, 0),
    "purple": (160, 40, 220),
}
#: Half the side of a frame, as a share of the picture's side.
FRAME_SHARE = 0.05
#: Ways of these lengths whose middle is so near to B, m, and to whose side B looks within this.
LENGTH_M, OFF_M, OFF_RAD = (1.4, 5.0), 0.35, math.radians(30)
#: Free for a robot of this half width, m.
WALK_CLEAR_M, CELL_M = 0.2, 0.1
#: Spots rise so far above the floor, m, are at least this far apart and within this of the middle.
HEIGHT_M, SPOTS_APART_M, REACH_M = (0.15, 1.4), 0.5, 4.5
#: Points and ways that are looked at, and sets of spots. Depth beside a spot differs less, share.
POINTS, TRIES, EDGE = 400, 12, 0.1
#: Of a remembered view so many points are looked at.
OF_A_VIEW = 100
#: Most of a map may be unknown, not all.
LEAST_MAP = 0.3
#: Sides of the squares that maps show, m.
MAP_M = (4.0, 10.0)


@dataclass(frozen=True)
class _Way:
    """start, end: x, y, m. side: of the walk, on which B looks."""

    start: np.ndarray
    end: np.ndarray
    side: str


def questions(window: Window) -> Iterator[tuple[int, Example]]:
    """(number of the frame B, example), B by B."""
    ranks = [0] * OPTION_COUNT
    free = _Floor(window)
    for b in range(len(window.frames)):
        rng = window.rng(KIND, b)
        made = 0
        for way in _ways(window, b, free, rng):
            if made >= window.options.per_frame:
                break
            example = _example(window, b, way, ranks, rng)
            if isinstance(example, str):
                window.refused[example] += 1
                continue
            made += 1
            ranks[example.facts["rank"]] += 1
            yield b, example
        if not made:
            window.refused["no way with a view to its side"] += 1


class _Floor:
    """Where the robot could have driven, as far as was ever seen."""

    def __init__(self, window: Window) -> None:
        self.places = np.array([window.robot(k)[:2] for k in range(len(window.frames))])
        low = self.places.min(axis=0) - 1.0
        columns, rows = (np.ceil((np.ptp(self.places, axis=0) + 2.0) / CELL_M)).astype(int)
        blank = OccupancyGrid(
            np.full((rows, columns), UNKNOWN, np.int8), CELL_M, (float(low[0]), float(low[1]))
        )
        grid = window.everything.occupancy(
            blank, floor_m=window.floor_m(0), footprint_m=WALK_CLEAR_M
        )
        taken = np.isin(grid.cells, (OCCUPIED, UNKNOWN)).astype(np.uint8)
        reach = 2 * round(WALK_CLEAR_M / CELL_M) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        self.grid = replace(grid, cells=(100 * cv2.dilate(taken, kernel)).astype(np.int8))

    def free(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """N x bool: whether the straight ways between N x 2 places are free."""
        steps = np.linspace(0, 1, 50)[:, None, None]
        return np.asarray((self.grid.values(starts + steps * (ends - starts)) == 0).all(axis=0))


def _ways(window: Window, b: int, floor: _Floor, rng: np.random.Generator) -> Iterator[_Way]:
    body = body_of(window.frames[b])
    looks = math.atan2(body[1, 0], body[0, 0])
    here = body[:2, 3]
    away = floor.places - here
    far = np.hypot(*away.T)
    near = np.flatnonzero((far > 0.3 * LENGTH_M[0]) & (far < LENGTH_M[1]))
    if len(near) < 2:
        return
    pairs = rng.choice(near, (POINTS, 2))
    starts, ends = floor.places[pairs[:, 0]], floor.places[pairs[:, 1]]
    length = np.hypot(*(ends - starts).T)
    middle = 0.5 * (starts + ends)
    heading = np.arctan2(*(ends - starts).T[::-1])
    turned = np.remainder(looks - heading + math.pi, 2 * math.pi) - math.pi
    good = (
        (length >= LENGTH_M[0])
        & (length <= LENGTH_M[1])
        & (np.hypot(*(middle - here).T) <= OFF_M)
        & (np.abs(np.abs(turned) - 0.5 * math.pi) <= OFF_RAD)
    )
    good[good] = floor.free(starts[good], ends[good])
    for k in np.flatnonzero(good)[:TRIES]:
        yield _Way(starts[k], ends[k], SIDE_OPTIONS[int(turned[k] < 0)])


def _example(
    window: Window, b: int, way: _Way, ranks: list[int], rng: np.random.Generator
) -> Example | str:
    frames, size_px = window.frames, window.options.size_px
    memory = window.memory(int(rng.integers(len(frames) // 2, len(frames))), [b], rng)
    if memory is None:
        return "nothing remembered"
    middle = 0.5 * (way.start + way.end)
    square = memory.extent((float(middle[0]), float(middle[1])), LENGTH_M[1])
    if square is None:
        return "nothing remembered"
    side_m = min(max(square[2], MAP_M[0]), MAP_M[1])
    view = MapView.around(float(middle[0]), float(middle[1]), side_m, size_px)
    floor_m = window.floor_m(b)
    top = memory.recall_top_down(view, floor_m + CUT_M)
    if top.share_seen < LEAST_MAP:
        return "map shows too little"
    spots = _spots(window, b, view, middle, memory, ranks, rng)
    if spots is None:
        return "no four spots of which one shows"
    chosen, rank = spots
    colours = [str(c) for c in rng.permutation(list(FRAMES))]
    picture = top.filled
    for point, colour in zip(chosen, colours, strict=True):
        x, y = (int(v) for v in np.floor(view.to_pixel(point[:2])))
        picture = framed(picture, (x, y), FRAMES[colour], FRAME_SHARE)
    ends = view.to_pixel(np.stack([way.start, way.end]))
    picture = draw_path(picture, ends[0], ends[1])
    target = window.small[b]
    recalled = memory.recall(target.world_from_camera, target.camera, (size_px, size_px))
    names = [f"thing in the {colour} frame" for colour in colours]
    options = [str(n) for n in rng.permutation(names)]
    phrase = path_question(way.side, options, template=int(rng.integers(10)))
    question = Question(Task.PATH, (picture,), phrase.text, phrase.options, recalled=recalled)
    return Example(
        question,
        options.index(names[0]),
        target.rgb,
        think_sentence(question),
        "",
        variant="map+memory",
        subcategory=way.side,
        scene_seed=0,
        facts={
            "stamps_ns": [frames[b].stamp_ns],
            "start_m": np.round(way.start, 3).tolist(),
            "end_m": np.round(way.end, 3).tolist(),
            "spots_m": np.round(chosen, 3).tolist(),
            "rank": rank,
            "option_distance_m": {
                name: round(float(math.dist(spot[:2], middle)), 3)
                for name, spot in zip(names, chosen, strict=True)
            },
            "map_view": [round(view.x_min, 4), round(view.y_min, 4), round(side_m, 4)],
            "share_seen": round(recalled.share_seen, 4),
        },
        recalled=recalled,
    )


def _spots(
    window: Window,
    b: int,
    view: MapView,
    middle: np.ndarray,
    memory: SpatialMemory,
    ranks: list[int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, int] | None:
    """4 x 3, the one that B shows first, and its rank by distance to the middle; of the ranks that
    can be had the one that was had least."""
    target, floor_m = window.small[b], window.floor_m(b)
    shown = _points(target, rng)
    samples = [np.stack(tuple(v.samples), axis=1) for v in memory.views if len(v.sample_z)]
    some = [s[:: max(1, len(s) // OF_A_VIEW)] for s in samples]
    others = np.concatenate(some) + memory.views[0].origin
    low, high = floor_m + HEIGHT_M[0], floor_m + HEIGHT_M[1]

    def usable(points: np.ndarray) -> np.ndarray:
        away = np.hypot(*(points[:, :2] - middle).T)
        pixel = view.to_pixel(points[:, :2]) / view.size_px
        inside = ((pixel > FRAME_SHARE) & (pixel < 1 - FRAME_SHARE)).all(axis=1)
        tall = (points[:, 2] > low) & (points[:, 2] < high)
        return points[tall & inside & (away > SPOTS_APART_M) & (away < REACH_M)]

    shown, others = usable(shown), usable(others)
    others = others[seen_at(target, others, margin_px=2)[1]]
    if not len(shown) or len(others) < OPTION_COUNT - 1:
        return None
    found: dict[int, np.ndarray] = {}
    for _ in range(TRIES):
        chosen = [shown[int(rng.integers(len(shown)))]]
        for k in rng.permutation(len(others)).tolist():
            apart = [math.dist(others[k, :2], c[:2]) for c in chosen]
            if min(apart) >= SPOTS_APART_M:
                chosen.append(others[k])
                if len(chosen) == OPTION_COUNT:
                    break
        if len(chosen) < OPTION_COUNT:
            continue
        four = np.stack(chosen)
        away = np.hypot(*(four[:, :2] - middle).T)
        found.setdefault(int((away < away[0]).sum()), four)
    if not found:
        return None
    rank = min(found, key=lambda r: (ranks[r], r))
    return found[rank], rank


def _points(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Points of surfaces that a small frame shows, N x 3 in the world, off its border."""
    camera, pose, depth = frame.camera, frame.world_from_camera, frame.depth_m
    border = max(2, depth.shape[0] // 10)
    v, u = rng.integers(border, depth.shape[0] - border, (2, POINTS))
    z = depth[v, u]
    beside = [depth[v + i, u + j] for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    flat = (np.abs(np.stack(beside) - z) < EDGE * z).all(axis=0)  # a spot is no edge
    u, v, z = (one[(z > 0) & flat] for one in (u, v, z))
    slopes = [
        (u + 0.5 - camera.cx) / camera.fx,
        (v + 0.5 - camera.cy) / camera.fy,
        np.ones(len(z)),
    ]
    return np.asarray((z * np.stack(slopes)).T @ pose[:3, :3].T + pose[:3, 3])
