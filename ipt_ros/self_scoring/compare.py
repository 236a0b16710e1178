"""How good was what was imagined? Drawings wait here until the robot sees the place itself, and
are compared with it.

In: imagined views, and what the camera sees later, both with poses. Out: scores, their running
means, and the same question put anew for the pose that the camera really reached. Knows nothing of
ROS, threads, the model or files.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ipt_model.messages.poses import inverse
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL, warp_rgbd
from ipt_model.spatial.recalled import RecalledView
from ipt_ros.answering.guard import view_consistency
from ipt_ros.answering.questions import GroundedQuestion, ask_viewpoint, scaled
from ipt_ros.conversions import Intrinsics
from ipt_ros.self_scoring.similarity import peak_signal_to_noise, structural_similarity
from ipt_ros.senses.observations import Observation

#: Pictures are compared at this size of the longer side: what a planner cares about is coarser.
COMPARED_PX = 128
#: Drawings that wait at once, and for how long: odometry has drifted away after that.
WAITING, WAITING_S = 16, 900.0
#: Depths at which the overlap of two frustums is estimated, m.
_DEPTHS_M = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class ImaginedView:
    """A drawing, how it came about and what was said from it.

    view: what it was imagined from, reduced to what the model takes in. target, text, options: as
    the goal stated them. picture: H x W x 3 uint8, taken by `camera` at `world_from_camera` (4 x
    4, optical). stated, confidence: the answer and its probability, NaN when none was chosen.
    seen: H x W bool, what was recalled of the picture when it was drawn, of any size.
    """

    view: Observation
    target: str
    text: str
    options: tuple[str, ...]
    picture: np.ndarray
    camera: Intrinsics
    world_from_camera: np.ndarray
    stated: str = ""
    confidence: float = float("nan")
    model_hash: str = ""
    seed: int = 0
    seen: np.ndarray | None = None


@dataclass(frozen=True)
class Reach:
    """How near to the imagined camera the real one must come. overlap: of the two frustums."""

    distance_m: float = 0.25
    angle_rad: float = 0.26
    overlap: float = 0.7


@dataclass(frozen=True)
class Score:
    """How far a drawing agrees with the place; all but psnr_db are 0 to 1, 1 is the same.

    consistency: as the guard's, over all that was truly seen; unseen: over that part alone which
    had to be imagined, NaN where it is too small to tell. ssim, psnr_db: the usual measures.
    """

    consistency: float
    unseen: float
    ssim: float
    psnr_db: float


class ImaginedViews:
    """The drawings that wait to be compared; the oldest goes first when there are too many."""

    def __init__(self, number: int = WAITING, age_s: float = WAITING_S) -> None:
        self._waiting: deque[ImaginedView] = deque(maxlen=number)
        self._age_ns = int(age_s * 1e9)
        self._lock = threading.Lock()  # kept on the model's thread, looked through on another

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, imagined: ImaginedView) -> None:
        with self._lock:
            self._waiting.append(imagined)

    def seen_from(
        self, stamp_ns: int, world_from_camera: np.ndarray, reach: Reach
    ) -> list[ImaginedView]:
        """Those that a camera at this pose sees for itself; they go on waiting until `drop`.

        Forgets what is too old, and what lies in the future: stamps went backwards, poses of
        before hold no more.
        """
        with self._lock:
            kept = [i for i in self._waiting if 0 <= stamp_ns - i.view.stamp_ns <= self._age_ns]
            self._waiting.clear()
            self._waiting.extend(kept)
        return [
            i for i in kept if stamp_ns > i.view.stamp_ns and in_reach(i, world_from_camera, reach)
        ]

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def drop(self, imagined: ImaginedView) -> None:
        with self._lock:
            kept = [i for i in self._waiting if i is not imagined]
            self._waiting.clear()
            self._waiting.extend(kept)


def in_reach(imagined: ImaginedView, world_from_camera: np.ndarray, reach: Reach) -> bool:
    there = imagined.world_from_camera
    if np.linalg.norm(there[:3, 3] - world_from_camera[:3, 3]) > reach.distance_m:
        return False
    turn = there[:3, :3].T @ world_from_camera[:3, :3]
    angle = math.acos(float(np.clip(0.5 * (np.trace(turn) - 1.0), -1.0, 1.0)))
    if angle > reach.angle_rad:
        return False
    return frustum_overlap(imagined.camera, there, world_from_camera) >= reach.overlap


def frustum_overlap(camera: Intrinsics, there: np.ndarray, real: np.ndarray) -> float:
    """Share of what a camera at pose `imagined` looks at that the same camera sees from `real`,
    estimated over a grid of pixels at a few depths.
    """
    u, v, z = np.meshgrid(
        (np.arange(12) + 0.5) / 12 * camera.width,
        (np.arange(9) + 0.5) / 9 * camera.height,
        _DEPTHS_M,
    )
    points = np.stack(
        [(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], axis=-1
    ).reshape(-1, 3)
    motion = inverse(real) @ there
    x, y, depth = (points @ motion[:3, :3].T + motion[:3, 3]).T
    front = depth > 0.05
    depth = np.where(front, depth, 1.0)
    column = x / depth * camera.fx + camera.cx
    row = y / depth * camera.fy + camera.cy
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    return float((front & inside).mean())


def reduced(view: Observation, longer_px: int) -> Observation:
    """The same view with fewer pixels: what is kept and stored."""
    shrink = min(1.0, longer_px / max(view.rgb.shape[:2]))
    height, width = (max(1, round(n * shrink)) for n in view.rgb.shape[:2])
    depth = view.depth_m
    if depth is not None:  # averaging depth would invent surfaces between near and far
        depth = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    return replace(
        view,
        rgb=cv2.resize(view.rgb, (width, height), interpolation=cv2.INTER_AREA),
        depth_m=depth,
        intrinsics=scaled(view.intrinsics, width, height),
    )


def compare(imagined: ImaginedView, truth: Observation) -> Score:
    """Score a drawing against a later view, moved to the imagined camera where depth allows."""
    shrink = min(1.0, COMPARED_PX / max(imagined.picture.shape[:2]))
    height, width = (max(1, round(n * shrink)) for n in imagined.picture.shape[:2])
    drawn = cv2.resize(imagined.picture, (width, height), interpolation=cv2.INTER_AREA)
    there = imagined.world_from_camera
    if truth.depth_m is None:
        rgb = cv2.resize(truth.rgb, (width, height), interpolation=cv2.INTER_AREA)
        nowhere = np.zeros((height, width), np.float32)
        moved = RecalledView(rgb, nowhere, np.ones((height, width), bool))
    else:
        near = reduced(truth, COMPARED_PX)
        assert near.depth_m is not None
        moved = warp_rgbd(
            near.rgb,
            near.depth_m,
            near.intrinsics,
            near.world_from_camera,
            there,
            scaled(imagined.camera, width, height),
            (height, width),
        )
    seen, known = moved.rgb, moved.seen
    new = replace(moved, seen=known & ~_seen_before(imagined, known.shape))
    return Score(
        consistency=view_consistency(drawn, moved)[1],
        unseen=view_consistency(drawn, new)[1],
        ssim=structural_similarity(drawn, seen, known),
        psnr_db=peak_signal_to_noise(drawn, seen, known),
    )


def _seen_before(imagined: ImaginedView, size: tuple[int, ...]) -> np.ndarray:
    """Which pixels of the drawing were seen when it was made; none without depth."""
    if imagined.seen is None:
        return np.zeros(size, bool)
    seen = imagined.seen.astype(np.uint8)
    return cv2.resize(seen, (size[1], size[0]), interpolation=cv2.INTER_NEAREST) > 0


def asked_anew(imagined: ImaginedView, truth: Observation, picture_px: int) -> GroundedQuestion:
    """The same question for the pose that the camera really reached, in the same words: with the
    later view it is a sample whose picture and motion are both true.
    """
    body = truth.world_from_camera @ inverse(BODY_FROM_OPTICAL)
    target, text, options = imagined.target, imagined.text, imagined.options
    return ask_viewpoint(imagined.view, body, target, text, options, picture_px)


def is_same_place(grounded: GroundedQuestion, truth_picture: np.ndarray, least: float) -> bool:
    """Whether the later view agrees with what was seen before the question: if not, the odometry
    has drifted or the world was changed, and the later view is no measure of the drawing.
    """
    if grounded.check is None:
        return True  # without depth nobody can tell
    consistency = grounded.check(truth_picture, None)[1]
    return math.isnan(consistency) or consistency >= least


class RunningScore:
    """Means over the last comparisons, and over the last answers that the truth judged."""

    def __init__(self, number: int = 50) -> None:
        self._scores: deque[Score] = deque(maxlen=number)
        self._judged: deque[tuple[float, bool]] = deque(maxlen=number)
        self.compared = 0

    @property
    def judged(self) -> int:
        return len(self._judged)

    def add(self, score: Score) -> None:
        self._scores.append(score)
        self.compared += 1

    def judge(self, confidence: float, confirmed: bool) -> None:
        """confirmed: whether the model says the same when it is shown the truth."""
        self._judged.append((confidence, confirmed))

    def drift(self) -> float:
        """Mean stated confidence less the share of answers that the truth confirmed: above 0 the
        model is too sure of what it imagines. NaN until there is one.
        """
        return _mean([confidence - confirmed for confidence, confirmed in self._judged])

    def figures(self) -> dict[str, str]:
        """For a diagnostic."""
        values = {
            "mean_consistency": _mean([s.consistency for s in self._scores]),
            "mean_unseen_consistency": _mean([s.unseen for s in self._scores]),
            "mean_ssim": _mean([s.ssim for s in self._scores]),
            "mean_psnr_db": _mean([s.psnr_db for s in self._scores]),
            "mean_confidence": _mean([confidence for confidence, _ in self._judged]),
            "confirmed_share": _mean([float(confirmed) for _, confirmed in self._judged]),
            "confidence_drift": self.drift(),
        }
        shown = {name: f"{value:.3f}" for name, value in values.items()}
        return {"compared": str(self.compared), "judged_answers": str(self.judged), **shown}


def _mean(values: Sequence[float]) -> float:
    """Over those that could be measured."""
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else float("nan")
