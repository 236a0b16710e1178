"""Perspective questions without human labels: seen from here, what is it like from there?

In: the frames of a recording. Out: `Example`s. The robot stood at A and at another time at B, so
what it saw at B is the true view. A spot that both show is framed in the picture of A; where it
lies at B is the answer. The memory holds what was seen up to A and nothing that looks as B does;
how much of B it shows is told with each row. Equal frames and seeds give equal examples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ipt_model.messages.cameras import Intrinsics
from ipt_model.messages.poses import inverse, yaw_of
from ipt_model.question import Question, Task
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL, beside
from ipt_model.spatial.memory import MemoryLimits, SpatialMemory, ViewRefused
from ipt_model.wording.phrasing import (
    DISTANCE_OPTIONS,
    SIDE_OPTIONS,
    Motion,
    perspective_question,
    round_motion,
)
from ipt_model.wording.prompts import think_sentence
from ipt_training.bags.frames import Frame
from ipt_training.example import Example

#: What the framed spot is called, and the frame's colour and side as a share of the picture's.
SPOT, FRAME_RGB, FRAME_SHARE = "thing in the green frame", (40, 220, 60), 0.14
#: A motion in the plane: this far at most, m, and as level as this, m and rad.
FARTHEST_M, LEAST_M, LEVEL_M, LEVEL_RAD = 4.0, 0.3, 0.12, math.radians(5)
LEAST_RAD = math.radians(15)
#: Nothing of these around the asked view is in the memory: it would be the answer's own picture.
APART_M, APART_RAD = 0.4, math.radians(20)
#: Depth at B may differ so much from what A saw there, m and share, and be the same spot.
SAME_M, SAME_SHARE = 0.1, 0.05
#: A spot lies this far from the middle, as a share of the width, or changes its distance so much.
ASIDE, CHANGE_M = 0.12, 0.5
#: Later views that are tried for each frame, and spots for each pair.
VIEWS, SPOTS = 6, 40
#: A spot is no edge: depth around it varies by less than this share.
FLAT = 0.1


@dataclass(frozen=True)
class Mining:
    """size_px: side of the square pictures of rows. per_frame: rows from one frame at most."""

    size_px: int = 64
    per_frame: int = 2
    seed: int = 0


@dataclass(frozen=True)
class _Spot:
    """A pixel (column, row) at A, where it is seen at B, and its place in both cameras, m."""

    pixel: tuple[int, int]
    before: np.ndarray
    after: np.ndarray


def square(frame: Frame, size_px: int) -> Frame:
    """The middle square of a frame, as large as rows have it."""
    height, width = frame.rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    rgb = frame.rgb[top : top + side, left : left + side]
    depth = frame.depth_m[top : top + side, left : left + side]
    scale = size_px / side
    camera = Intrinsics(
        size_px,
        size_px,
        frame.camera.fx * scale,
        frame.camera.fy * scale,
        (frame.camera.cx - left) * scale,
        (frame.camera.cy - top) * scale,
    )
    return replace(
        frame,
        rgb=cv2.resize(rgb, (size_px, size_px), interpolation=cv2.INTER_AREA),
        depth_m=cv2.resize(depth, (size_px, size_px), interpolation=cv2.INTER_NEAREST),
        camera=camera,
    )


def mine(
    frames: Sequence[Frame], options: Mining, refused: Counter[str] | None = None
) -> Iterator[tuple[int, Example]]:
    """(number of the frame B, example), A by A. refused: why pairs were none."""
    counts = Counter[str]() if refused is None else refused
    small = [square(frame, options.size_px) for frame in frames]
    balance: Counter[str] = Counter()
    for a in range(len(frames)):
        rng = np.random.default_rng([options.seed, a, frames[a].stamp_ns & 0xFFFFFFFF])
        made = 0
        later = [b for b in range(len(frames)) if b != a]
        for b in rng.permutation(later)[: 4 * VIEWS].tolist():
            if made >= options.per_frame:
                break
            motion = planar_motion(frames[a], frames[b])
            if motion is None:
                counts["no motion in the plane"] += 1
                continue
            example = _example(frames, small, a, b, motion, rng, balance, counts)
            if example is not None:
                made += 1
                balance[example.answer] += 1
                yield b, example


def planar_motion(a: Frame, b: Frame) -> Motion | None:
    """The words of the way from A to B; None where it is none for words."""
    one, two = (f.world_from_camera @ inverse(BODY_FROM_OPTICAL) for f in (a, b))
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
    frames: Sequence[Frame],
    small: Sequence[Frame],
    a: int,
    b: int,
    motion: Motion,
    rng: np.random.Generator,
    balance: Counter[str],
    counts: Counter[str],
) -> Example | None:
    spots = list(_spots(small[a], small[b], rng))
    chosen = _choose(spots, small[a].camera, balance)
    if chosen is None:
        counts["no spot that both show"] += 1
        return None
    spot, asked, answer = chosen
    memory = memory_before(frames, a, b)
    if memory is None:
        counts["nothing remembered"] += 1
        return None
    view = small[b]
    size = (view.camera.height, view.camera.width)
    recalled = memory.recall(view.world_from_camera, view.camera, size)
    phrase = perspective_question(
        asked, SPOT, motion, anchored=True, template=int(rng.integers(10))
    )
    options = tuple(str(o) for o in rng.permutation(list(phrase.options)))
    first = framed(small[a].rgb, spot.pixel)
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
            "place_m": [round(float(v), 2) for v in view.world_from_camera[:2, 3]],
            "share_seen": round(recalled.share_seen, 4),
        },
        recalled=recalled,
    )


def memory_before(frames: Sequence[Frame], a: int, b: int) -> SpatialMemory | None:
    """What was seen up to A, without anything that looks as B does; None where that is nothing."""
    memory = SpatialMemory(MemoryLimits(number=16))
    target = frames[b].world_from_camera
    for frame in frames[: a + 1]:
        if beside(frame.world_from_camera, target, APART_M, APART_RAD):
            continue
        try:
            memory.add(
                frame.rgb, frame.depth_m, frame.camera, frame.world_from_camera, frame.stamp_ns
            )
        except ViewRefused:
            continue
    return memory if len(memory) else None


def framed(rgb: np.ndarray, pixel: tuple[int, int]) -> np.ndarray:
    """The picture with a frame around a pixel."""
    out = rgb.copy()
    half = max(2, round(FRAME_SHARE * rgb.shape[0] / 2))
    x, y = pixel
    width = max(1, rgb.shape[0] // 64)
    cv2.rectangle(out, (x - half, y - half), (x + half, y + half), FRAME_RGB, width)
    return out


def _spots(a: Frame, b: Frame, rng: np.random.Generator) -> Iterator[_Spot]:
    """Spots of A that B shows as well."""
    camera = a.camera
    b_from_a = inverse(b.world_from_camera) @ a.world_from_camera
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
        after = b_from_a[:3, :3] @ point + b_from_a[:3, 3]
        if after[2] < 0.2:
            continue
        u = b.camera.fx * after[0] / after[2] + b.camera.cx
        v = b.camera.fy * after[1] / after[2] + b.camera.cy
        if not (1 <= u < b.camera.width - 1 and 1 <= v < b.camera.height - 1):
            continue
        there = float(b.depth_m[int(v), int(u)])
        if there <= 0 or abs(there - after[2]) > SAME_M + SAME_SHARE * after[2]:
            continue
        yield _Spot((x, y), point, after)


def _choose(
    spots: Sequence[_Spot], camera: Intrinsics, balance: Counter[str]
) -> tuple[_Spot, str, str] | None:
    """The spot whose answer was given least, so that no answer is likelier than another."""
    found = []
    for spot in spots:
        offset = camera.fx * spot.after[0] / (spot.after[2] * camera.width)
        if abs(offset) >= ASIDE:
            found.append((spot, "side", SIDE_OPTIONS[int(offset > 0)]))
        change = math.hypot(spot.after[0], spot.after[2]) - math.hypot(
            spot.before[0], spot.before[2]
        )
        if abs(change) >= CHANGE_M:
            found.append((spot, "distance", DISTANCE_OPTIONS[int(change > 0)]))
    return min(found, key=lambda one: balance[one[2]], default=None)
