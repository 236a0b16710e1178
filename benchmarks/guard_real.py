"""Part of `guard_roc.py`: the guard's consistency of views on real pictures.

In: frames with depth and poses (`real_frames`). For every ordered pair what one frame saw is
moved to the other's pose; the picture taken there is the true view. True ones are scored also
under other exposures, and with a pose that is 2 cm and 1 degree off. Wrong ones are other
pictures, the true one mirrored or shifted, and the true one with something large put in or taken
out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from real_frames import RealFrame
from roc_figure import Panel, auc, curve
from scipy.spatial.transform import Rotation

from ipt_model.spatial.geometry import warp_rgbd
from ipt_model.spatial.memory import SpatialMemory
from ipt_model.spatial.recalled import RecalledView
from ipt_ros.answering.guard import view_consistency

#: What was seen: one frame's pixels moved as they are, or recalled by the memory, which holds back
#: what it is not sure of.
MOVED, REMEMBERED = "moved as it is", "from memory"
RECALLED = (MOVED, REMEMBERED)
#: Least share of the view that must have been seen for a pair to count.
LEAST_SEEN = 0.15
GAINS = (0.6, 0.8, 1.25, 1.6)
POSE_ERRORS, ERROR_M, ERROR_RAD = 4, 0.02, math.radians(1.0)
#: Two frames that stand and look this close to each other show nearly the same.
BESIDE_M, BESIDE_RAD = 0.5, math.radians(10)
#: How wide a small model draws before it is stretched.
SMALL_PX = 16


class Score(NamedTuple):
    """One picture's: true or not, its kind, and the pair of frames it belongs to."""

    pair: tuple[int, int]
    true: bool
    kind: str
    score: float


def blurred(picture: np.ndarray) -> np.ndarray:
    """As a small model draws: `SMALL_PX` wide, stretched again."""
    height, width = picture.shape[:2]
    small = cv2.resize(
        picture, (SMALL_PX, SMALL_PX * height // width), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def scores(
    frames: Sequence[RealFrame],
    drawn: Sequence[np.ndarray],
    rooms: Sequence[np.ndarray],
    how: str,
    seed: int = 0,
) -> list[Score]:
    """Of all pairs with enough overlap. drawn: the frames' colours at the size that a model draws.
    rooms: pictures of other rooms, of that size.
    """
    rng = np.random.default_rng(seed)
    found = []
    for i, j in np.ndindex(len(frames), len(frames)):
        seen_from = _recaller(frames[i], frames[j], drawn[j].shape[:2], how)
        recalled = seen_from(frames[j].world_from_camera)
        if i == j or recalled.share_seen < LEAST_SEEN:
            continue
        pictures = _true(drawn[j], recalled, frames[j], seen_from, rng)
        for kind, picture, seen in pictures:
            found.append(Score((i, j), True, kind, view_consistency(picture, seen)[1]))
        for kind, picture in _wrong(i, j, frames, drawn, rooms, recalled, rng):
            found.append(Score((i, j), False, kind, view_consistency(picture, recalled)[1]))
    return found


def _recaller(
    frame: RealFrame, other: RealFrame, size: tuple[int, int], how: str
) -> Callable[[np.ndarray], RecalledView]:
    """From a pose (world from camera) to what `frame` saw of it, through the camera of `other`
    with as many pixels as are drawn.
    """
    height, width = size
    scale = width / other.camera.width
    camera = other.camera
    small = type(camera)(
        width, height, camera.fx * scale, camera.fy * scale, camera.cx * scale, camera.cy * scale
    )
    if how == REMEMBERED:
        memory = SpatialMemory()
        memory.add(frame.rgb, frame.depth_m, frame.camera, frame.world_from_camera, 1)
        return lambda pose: memory.recall(pose, small, size)
    # as many pixels on both sides, or the near ones would be thinned out at random
    rgb = cv2.resize(frame.rgb, (width, height), interpolation=cv2.INTER_AREA)
    depth = cv2.resize(frame.depth_m, (width, height), interpolation=cv2.INTER_NEAREST)
    return lambda pose: warp_rgbd(rgb, depth, small, frame.world_from_camera, pose)


def _true(
    picture: np.ndarray,
    recalled: RecalledView,
    frame: RealFrame,
    seen_from: Callable[[np.ndarray], RecalledView],
    rng: np.random.Generator,
) -> Iterator[tuple[str, np.ndarray, RecalledView]]:
    yield "as taken", picture, recalled
    yield "as a small model draws", blurred(picture), recalled
    off = [seen_from(frame.world_from_camera @ _small_motion(rng)) for _ in range(POSE_ERRORS)]
    for wrong_pose in off:
        yield "pose 2 cm and 1 degree off", picture, wrong_pose
    for gain, wrong_pose in zip(GAINS, off, strict=True):
        exposed = np.clip(np.rint(picture * gain), 0, 255).astype(np.uint8)
        yield "exposed by 0.6 to 1.6", exposed, recalled
        yield "both", exposed, wrong_pose


def _small_motion(rng: np.random.Generator) -> np.ndarray:
    """ERROR_M in a direction of chance, and ERROR_RAD about an axis of chance."""
    motion = np.eye(4)
    step, axis = rng.normal(size=(2, 3))
    motion[:3, 3] = ERROR_M * step / np.linalg.norm(step)
    motion[:3, :3] = Rotation.from_rotvec(ERROR_RAD * axis / np.linalg.norm(axis)).as_matrix()
    return motion


def _wrong(
    i: int,
    j: int,
    frames: Sequence[RealFrame],
    drawn: Sequence[np.ndarray],
    rooms: Sequence[np.ndarray],
    recalled: RecalledView,
    rng: np.random.Generator,
) -> Iterator[tuple[str, np.ndarray]]:
    picture = drawn[j]
    height, width = picture.shape[:2]
    for k, other in enumerate(drawn):
        if k == j:
            continue
        beside = _are_beside(frames[k], frames[j])
        yield "frame beside it" if beside else "not moved" if k == i else "another frame", other
    yield "mirrored", np.ascontiguousarray(picture[:, ::-1])
    for part in (4, 2):
        yield "rows shifted", np.roll(picture, height // part, axis=0)
        yield "columns shifted", np.roll(picture, width // part, axis=1)
    for index in rng.choice(len(rooms), 4, replace=False):
        yield "rendered room", rooms[index]
    yield "noise", rng.integers(0, 256, picture.shape, np.uint8)
    yield "blank wall", np.full_like(picture, recalled.rgb[recalled.seen].mean(axis=0))
    rows, columns = _most_seen(recalled.seen, rng)
    box = picture.copy()
    hue = np.array([[[rng.integers(180), 160, 150]]], np.uint8)
    box[rows, columns] = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)
    yield "coloured box put in", box
    place = np.zeros((height, width), np.uint8)
    place[rows, columns] = 1
    yield "thing taken out", cv2.inpaint(picture, place, 3, cv2.INPAINT_TELEA)


def _are_beside(a: RealFrame, b: RealFrame) -> bool:
    motion = np.linalg.inv(a.world_from_camera) @ b.world_from_camera
    turned = Rotation.from_matrix(motion[:3, :3]).magnitude()
    return bool(np.linalg.norm(motion[:3, 3]) < BESIDE_M and turned < BESIDE_RAD)


def _most_seen(seen: np.ndarray, rng: np.random.Generator) -> tuple[slice, slice]:
    """Of 200 boxes, half as high and three tenths as wide as the picture, the best seen one."""
    height, width = seen.shape
    high, wide = height // 2, round(0.3 * width)
    corners = rng.integers(0, (height - high, width - wide), (200, 2))
    top, left = max(corners, key=lambda at: seen[at[0] :, at[1] :][:high, :wide].sum())
    return slice(top, top + high), slice(left, left + wide)


# -- from scores to figures -----------------------------------------------------------------------


def summary(found: Sequence[Score], threshold: float, resamples: int) -> dict[str, Any]:
    """True pictures by kind, wrong ones by kind against all true ones; intervals over pairs."""
    measured = [s for s in found if not math.isnan(s.score)]
    pairs = sorted({s.pair for s in measured})
    true = {p: np.array([s.score for s in measured if s.true and s.pair == p]) for p in pairs}
    all_true = np.concatenate(list(true.values()))
    report: dict[str, Any] = {
        "pairs": len(pairs),
        "not measurable": len(found) - len(measured),
        "true passed": round(float((all_true >= threshold).mean()), 4),
        "true": {},
        "wrong": {},
    }
    for kind in dict.fromkeys(s.kind for s in measured if s.true):
        values = np.array([s.score for s in measured if s.true and s.kind == kind])
        report["true"][kind] = {
            "n": len(values),
            "lowest": round(float(values.min()), 4),
            "median": round(float(np.median(values)), 4),
            "passed": round(float((values >= threshold).mean()), 4),
        }
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(pairs), (resamples, len(pairs)))
    for kind in dict.fromkeys(s.kind for s in measured if not s.true):
        by_pair = {p: [s.score for s in measured if s.kind == kind and s.pair == p] for p in pairs}
        wrong = np.concatenate(list(by_pair.values()))
        again = []
        for draw in draws:
            drawn = [pairs[k] for k in draw]
            some = np.concatenate([by_pair[p] for p in drawn])
            if len(some):
                again.append(auc(np.concatenate([true[p] for p in drawn]), some))
        low, high = np.percentile(again, (2.5, 97.5))
        report["wrong"][kind] = {
            "n": len(wrong),
            "auc": round(auc(all_true, wrong), 4),
            "auc_95": [round(float(low), 4), round(float(high), 4)],
            "passed": round(float((wrong >= threshold).mean()), 4),
            "median": round(float(np.median(wrong)), 4),
        }
    report["by threshold"] = [
        {
            "threshold": round(float(t), 2),
            "true passed": _passed(measured, True, t),
            "wrong passed": _passed(measured, False, t),
        }
        for t in np.arange(0.0, 0.96, 0.05)
    ]
    return report


def _passed(found: Sequence[Score], true: bool, threshold: float) -> float:
    return round(float(np.mean([s.score >= threshold for s in found if s.true is true])), 4)


def panel(how: str, found: Sequence[Score], threshold: float) -> Panel:
    """ROC curves of every kind of wrong drawing, against all true ones."""
    measured = [s for s in found if not math.isnan(s.score)]
    true = np.array([s.score for s in measured if s.true])
    kinds = dict.fromkeys(s.kind for s in measured if not s.true)
    wrong = {k: np.array([s.score for s in measured if s.kind == k]) for k in kinds}
    curves = [curve(kind, true, wrong[kind], threshold) for kind in kinds]
    return Panel(f"real views, {how}", curves)


def table_lines(report: dict[str, Any]) -> list[str]:
    """Of the summaries by way of recalling, as Markdown."""
    threshold = report["threshold"]
    lines = []
    for true in (True, False):
        what = "true" if true else "wrong"
        head = "| real views: " + what + " drawing |"
        rule = "|---|"
        for how in RECALLED:
            head += f" n, {how} | {'lowest' if true else 'AUC'} | passes {threshold} |"
            rule += "---|---|---|"
        lines += [head, rule]
        kinds = dict.fromkeys(kind for how in RECALLED for kind in report[how][what])
        for kind in kinds:
            cells = []
            for how in RECALLED:
                of = report[how][what].get(kind)
                if of is None:
                    cells += ["0", "", ""]
                    continue
                if true:
                    figure = f"{of['lowest']:.2f}"
                else:
                    low, high = of["auc_95"]
                    figure = f"{of['auc']:.2f} ({low:.2f}–{high:.2f})"
                cells += [str(of["n"]), figure, f"{of['passed']:.1%}"]
            lines.append(f"| {kind} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines
