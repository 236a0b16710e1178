"""Counting: how many things of a kind are there, over four views? Where a detector said what is in
the pictures.

Boxes with depth are places; places of one kind that are near each other are one thing. A thing
that was detected once only is doubted, and nothing is counted that a doubted one of the kind may
be part of. The true view is the map of everything that was seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ipt_model.question import Question, Task
from ipt_model.spatial.maps import MapView
from ipt_model.wording.phrasing import counting_question
from ipt_model.wording.prompts import think_sentence
from ipt_training.bags.frames import Frame
from ipt_training.bags.mining.window import CUT_M, Window, seen_at
from ipt_training.example import Example
from ipt_training.tasks.seen.sight import PICTURES

KIND = "counting"
#: Places of one kind within this are one thing, m.
SAME_THING_M = 0.5
#: Of a box, the middle share whose depth is taken.
MIDDLE = 0.4
#: A thing is doubted that was detected less often.
LEAST_TIMES = 2
#: Sets of frames that are tried from each frame; a map shows at least this share.
TRIED, LEAST_MAP = 8, 0.4


@dataclass
class _Thing:
    """place: mean of where it was seen, 3. frames: numbers of those that a detector saw it in."""

    name: str
    places: list[np.ndarray]
    frames: set[int]

    @property
    def place(self) -> np.ndarray:
        return np.asarray(np.mean(self.places, axis=0))


def questions(window: Window) -> Iterator[tuple[int, Example]]:
    """(number of the newest frame, example)."""
    looked_at = [k for k, f in enumerate(window.frames) if f.detections is not None]
    if not looked_at:
        return
    things = things_of(window.frames)
    balance: Counter[int] = Counter()
    for a in looked_at:
        rng = window.rng(KIND, a)
        made = 0
        for _ in range(TRIED):
            if made >= window.options.per_frame:
                break
            example = _example(window, a, looked_at, things, balance, rng)
            if isinstance(example, str):
                window.refused[example] += 1
                continue
            made += 1
            balance[example.facts["rank"]] += 1
            yield a, example


def things_of(frames: Sequence[Frame]) -> list[_Thing]:
    """Everything that was detected, each thing once."""
    things: list[_Thing] = []
    for number, frame in enumerate(frames):
        for one in frame.detections or ():
            place = _place(frame, one.box)
            if place is None:
                continue
            same = [
                t
                for t in things
                if t.name == one.name and math.dist(t.place, place) <= SAME_THING_M
            ]
            if same:
                nearest = min(same, key=lambda t: math.dist(t.place, place))
                nearest.places.append(place)
                nearest.frames.add(number)
            else:
                things.append(_Thing(one.name, [place], {number}))
    return things


def _place(frame: Frame, box: tuple[float, float, float, float]) -> np.ndarray | None:
    """The middle of the thing that a box shows; None where its depth is unknown."""
    height, width = frame.depth_m.shape
    middle = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
    half = 0.5 * MIDDLE * (box[2] - box[0]), 0.5 * MIDDLE * (box[3] - box[1])
    x0, x1 = (int(np.clip(middle[0] + s * half[0], 0, width - 1)) for s in (-1, 1))
    y0, y1 = (int(np.clip(middle[1] + s * half[1], 0, height - 1)) for s in (-1, 1))
    depth = frame.depth_m[y0 : y1 + 1, x0 : x1 + 1]
    known = depth[depth > 0]
    if known.size < 0.5 * depth.size:
        return None
    camera, pose = frame.camera, frame.world_from_camera
    # a camera sees the near side; a thing is about as deep as it is wide or high
    shown = min((box[2] - box[0]) / camera.fx, (box[3] - box[1]) / camera.fy)
    z = float(np.median(known)) * (1 + 0.5 * shown)
    local = z * np.array(
        [(middle[0] - camera.cx) / camera.fx, (middle[1] - camera.cy) / camera.fy, 1.0]
    )
    return np.asarray(pose[:3, :3] @ local + pose[:3, 3])


def _example(
    window: Window,
    a: int,
    looked_at: Sequence[int],
    things: Sequence[_Thing],
    balance: Counter[int],
    rng: np.random.Generator,
) -> Example | str:
    frames, size_px = window.frames, window.options.size_px
    here = frames[a].world_from_camera[:3, 3]
    near = [
        k
        for k in looked_at
        if k < a
        and np.linalg.norm(frames[k].world_from_camera[:3, 3] - here) <= PICTURES.count_apart_m
    ]
    others = window.thinned(near, len(near))
    if len(others) < PICTURES.count_frames - 1:
        return "too few views to count over"
    chosen = sorted(int(k) for k in rng.permutation(others)[: PICTURES.count_frames - 1])
    chosen.append(a)
    counted = Counter(t.name for t in things if t.frames & set(chosen))
    doubted = {t.name for t in things if _doubted(window, t, chosen)}
    most = PICTURES.count_most
    rows = {
        name: [m for m in most if m - PICTURES.count_options < number <= m]
        for name, number in counted.items()
        if name not in doubted
    }
    fitting = [(name, m) for name, ms in sorted(rows.items()) for m in ms]
    if not fitting:
        return "nothing that can be counted for certain"
    name, top = min(
        (fitting[int(k)] for k in rng.permutation(len(fitting))),
        key=lambda one: balance[one[1] - counted[one[0]]],
    )
    number = counted[name]
    memory = window.memory(a, [], rng)
    square = None
    if memory is not None:
        square = memory.extent((float(here[0]), float(here[1])), PICTURES.count_apart_m)
    if memory is None or square is None:
        return "nothing remembered"
    view = MapView(*square, size_px)
    cut = window.floor_m(a) + CUT_M
    truth, recalled = (m.recall_top_down(view, cut) for m in (window.everything, memory))
    if truth.share_seen < LEAST_MAP:
        return "map shows too little"
    places = [t.place[:2] for t in things if t.name == name and t.frames & set(chosen)]
    at = view.to_pixel(np.stack(places)) / size_px
    if not ((at > 0) & (at < 1)).all():
        return "a counted thing is off the map"
    options = [str(n) for n in rng.permutation(range(top - PICTURES.count_options + 1, top + 1))]
    phrase = counting_question(name, [int(o) for o in options], template=int(rng.integers(10)))
    pictures = tuple(window.small[k].rgb for k in chosen)
    question = Question(Task.COUNTING, pictures, phrase.text, phrase.options, recalled=recalled)
    return Example(
        question,
        options.index(str(number)),
        truth.filled,
        think_sentence(question),
        "",
        variant="rotation+memory",
        subcategory="recorded",
        scene_seed=0,
        facts={
            "stamps_ns": [frames[k].stamp_ns for k in chosen],
            "category": name,
            "count": number,
            "rank": top - number,
            "map_square_m": [round(v, 3) for v in square],
            "share_seen": round(recalled.share_seen, 4),
        },
        recalled=recalled,
    )


def _doubted(window: Window, thing: _Thing, chosen: Sequence[int]) -> bool:
    """Whether a thing may be in these pictures though nobody knows for certain that it is one."""
    inside = bool(thing.frames & set(chosen))
    if len(thing.frames) >= LEAST_TIMES:
        # detected elsewhere, and shown here without being detected
        return not inside and any(
            seen_at(window.frames[k], thing.place[None])[0][0] for k in chosen
        )
    return inside or any(not seen_at(window.frames[k], thing.place[None])[1][0] for k in chosen)
