"""Perspective: seen from here, what is it like from there?

The robot stood at A and at another time at B, so what it saw at B is the true view. A spot that
both show is framed in the picture of A; where it lies at B is the answer. The memory holds what
was seen up to A; how much of B it shows is told with each row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ipt_model.messages.cameras import Intrinsics
from ipt_model.messages.poses import yaw_of
from ipt_model.question import Question, Task
from ipt_model.wording.phrasing import (
    DISTANCE_OPTIONS,
    SIDE_OPTIONS,
    Motion,
    perspective_question,
    round_motion,
)
from ipt_model.wording.prompts import think_sentence
from ipt_training.bags.frames import Frame
from ipt_training.bags.mining.window import Window, body_of, framed, seen_at
from ipt_training.example import Example

KIND = "perspective"
#: What the framed spot is called, and the frame's colour and side as a share of the picture's.
SPOT, FRAME_RGB, FRAME_SHARE = "thing in the green frame", (40, 220, 60), 0.14
#: A motion in the plane: this far at most, m, and as level as this, m and rad.
FARTHEST_M, LEAST_M, LEVEL_M, LEVEL_RAD = 4.0, 0.3, 0.12, math.radians(5)
LEAST_RAD = math.radians(15)
#: A spot lies this far from the middle, as a share of the width, or changes its distance so much.
ASIDE, CHANGE_M = 0.12, 0.5
#: Other views that are tried for each frame, and spots for each pair.
TRIED, SPOTS = 24, 40
#: A spot is no edge: depth around it varies by less than this share.
FLAT = 0.1


#: How often each answer was given, by cells of like questions.
Balance = Counter[tuple[str, str]]


@dataclass(frozen=True)
class _Spot:
    """A pixel (column, row) at A, where it is seen at B, and its place in both cameras, m."""

    pixel: tuple[int, int]
    before: np.ndarray
    after: np.ndarray


def questions(window: Window) -> Iterator[tuple[int, Example]]:
    """(number of the frame B, example), A by A."""
    frames, options = window.frames, window.options
    balance: Balance = Counter()
    for a in window.asked_at:
        rng = window.rng(KIND, a)
        made = 0
        for b in rng.permutation(window.views_asked_at(a))[:TRIED].tolist():
            if made >= options.per_frame:
                break
            motion = planar_motion(frames[a], frames[b])
            if motion is None:
                window.refused["no motion in the plane"] += 1
                continue
            example = _example(window, a, b, motion, rng, balance)
            if example is not None:
                made += 1
                yield b, example


def planar_motion(a: Frame, b: Frame) -> Motion | None:
    """The words of the way from A to B; None where it is none for words."""
    one, two = body_of(a), body_of(b)
    if abs(one[2, 3] - two[2, 3]) > LEVEL_M:
        return None
    # how far each camera looks down and leans must be the same
    if np.abs(one[2, :3] - two[2, :3]).max() > math.sin(LEVEL_RAD):
        return None
    heading = yaw_of(one)
    dx, dy = (two[:2, 3] - one[:2, 3]).tolist()
    c, s = math.cos(heading), math.sin(heading)
    turn = math.remainder(yaw_of(two) - heading, 2 * math.pi)
    motion = round_motion(Motion(c * dx + s * dy, c * dy - s * dx, turn))
    far = math.hypot(dx, dy)
    if far > FARTHEST_M or (far < LEAST_M and abs(turn) < LEAST_RAD):
        return None
    return motion


def _example(
    window: Window,
    a: int,
    b: int,
    motion: Motion,
    rng: np.random.Generator,
    balance: Balance,
) -> Example | None:
    frames, small = window.frames, window.small
    spots = list(_spots(small[a], small[b], rng))
    if not spots:
        window.refused["no spot that both show"] += 1
        return None
    chosen = _choose(spots, small[a].camera, motion, balance)
    if chosen is None:
        window.refused["its motion would tell the answer"] += 1
        return None
    spot, asked, answer, cell = chosen
    memory = window.memory(a, [b], rng)
    if memory is None:
        window.refused["nothing remembered"] += 1
        return None
    view = small[b]
    size = (view.camera.height, view.camera.width)
    recalled = memory.recall(view.world_from_camera, view.camera, size)
    phrase = perspective_question(
        asked, SPOT, motion, anchored=True, template=int(rng.integers(10))
    )
    options = tuple(str(o) for o in rng.permutation(list(phrase.options)))
    balance[cell, answer] += 1
    first = framed(small[a].rgb, spot.pixel, FRAME_RGB, 0.5 * FRAME_SHARE)
    question = Question(Task.PERSPECTIVE, (first, recalled.rgb), phrase.text, options)
    before = "left" if spot.before[0] < 0 else "right"
    return Example(
        replace(question, recalled=recalled),
        options.index(answer),
        view.rgb,
        think_sentence(question),
        "",
        variant="pose+anchored+memory",
        subcategory=answer if asked == "distance" else f"{before}-{answer}",
        scene_seed=0,
        facts={
            "stamps_ns": [frames[a].stamp_ns, frames[b].stamp_ns],
            "object_before_m": [round(float(v), 4) for v in spot.before],
            "object_after_m": [round(float(v), 4) for v in spot.after],
            "motion": [motion.forward_m, motion.left_m, motion.turn_rad],
            "share_seen": round(recalled.share_seen, 4),
        },
        recalled=recalled,
    )


def _spots(a: Frame, b: Frame, rng: np.random.Generator) -> Iterator[_Spot]:
    """Spots of A that B shows as well."""
    camera = a.camera
    border = max(2, round(FRAME_SHARE * camera.width / 2))
    for _ in range(SPOTS):
        x, y = (int(v) for v in rng.integers(border, camera.width - border, 2))
        depth = float(a.depth_m[y, x])
        patch = a.depth_m[y - 1 : y + 2, x - 1 : x + 2]
        if depth <= 0 or (patch <= 0).any() or np.ptp(patch) > FLAT * depth:
            continue
        point = depth * np.array(
            [(x + 0.5 - camera.cx) / camera.fx, (y + 0.5 - camera.cy) / camera.fy, 1.0]
        )
        world = a.world_from_camera[:3, :3] @ point + a.world_from_camera[:3, 3]
        if seen_at(b, world[None])[0][0]:
            after = b.world_from_camera[:3, :3].T @ (world - b.world_from_camera[:3, 3])
            yield _Spot((x, y), point, after)


def _choose(
    spots: Sequence[_Spot], camera: Intrinsics, motion: Motion, balance: Balance
) -> tuple[_Spot, str, str, str] | None:
    """A spot with what is asked of it, the answer and the cell that both count in: of questions
    with a like motion, and the spot on the same side, half have either answer. None where every
    spot would make one answer likelier."""
    found = []
    for spot in spots:
        offset = camera.fx * spot.after[0] / (spot.after[2] * camera.width)
        if abs(offset) >= ASIDE:
            cell = f"{_sign(motion.turn_rad, 0.1)} {_sign(motion.left_m, 0.2)} "
            cell += f"{spot.before[0] > 0}"
            found.append((spot, "side", SIDE_OPTIONS, int(offset > 0), cell))
        change = math.hypot(spot.after[0], spot.after[2]) - math.hypot(
            spot.before[0], spot.before[2]
        )
        if abs(change) >= CHANGE_M:
            cell = f"{_sign(motion.forward_m, 0.2)}"
            found.append((spot, "distance", DISTANCE_OPTIONS, int(change > 0), cell))
    fair = []
    for spot, asked, options, place, cell in found:
        ahead = balance[cell, options[place]] - balance[cell, options[1 - place]]
        if ahead <= 0:
            fair.append((ahead, spot, asked, options[place], cell))
    if not fair:
        return None
    _, spot, asked, answer, cell = min(fair, key=lambda one: one[0])
    return spot, asked, answer, cell


def _sign(value: float, least: float) -> int:
    return 0 if abs(value) < least else 1 if value > 0 else -1
