"""What all kinds of questions share: frames that are mined together, and memories of them.

In: frames. Out: small square frames, memories of what was seen up to one of them, and of all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np

from ipt_model.messages.cameras import Intrinsics
from ipt_model.messages.poses import inverse, yaw_of
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL, beside
from ipt_model.spatial.memory import MemoryLimits, SpatialMemory, ViewRefused
from ipt_training.bags.frames import Frame

#: Nothing of these around an asked view is in the memory: it would be the answer's own picture.
APART_M, APART_RAD = 0.4, math.radians(20)
#: Views nearer to each other than this show the same; the newest of them is remembered.
ELSE_M, ELSE_RAD = 0.25, math.radians(12)
#: Views that the memory of a question may hold, by chance, so that shares seen are spread; and
#: those that a memory of everything holds.
VIEWS, ALL_VIEWS = (1, 2, 4, 8, 16), 64
#: A picture that is remembered has this height at least; smaller ones are as they are.
REMEMBERED_PX = 240
#: What rises no higher above the floor is drawn on a map from above, m.
CUT_M = 1.6


@dataclass(frozen=True)
class Mining:
    """What is made of a recording.

    size_px: side of the square pictures of rows. per_frame: rows of one kind from one frame at
    most. kinds: of questions. held_out: share of the places whose rows are for validation.
    """

    size_px: int = 64
    per_frame: int = 2
    seed: int = 0
    kinds: tuple[str, ...] = ("perspective", "path", "clearance", "counting")
    held_out: float = 0.2


@dataclass(frozen=True)
class Heard:
    """The window is played to a robot that is asked on the way: it has seen everything up to the
    frame A that it is asked at, and what it is asked about was never seen so before.

    places: numbers of the frames that may be A. earlier: poses of all frames before the window.
    radius_m: half width of this robot.
    """

    places: frozenset[int]
    earlier: Sequence[np.ndarray]
    radius_m: float


@dataclass
class Window:
    """Frames that are mined together, in the order of their stamps. refused: why pairs of frames
    were no questions. heard: None for rows to train on, whose memories are chosen by chance."""

    frames: Sequence[Frame]
    options: Mining
    refused: Counter[str] = field(default_factory=Counter)
    heard: Heard | None = None

    @cached_property
    def asked_at(self) -> list[int]:
        """Numbers of the frames A."""
        everywhere = range(len(self.frames))
        return list(everywhere) if self.heard is None else sorted(self.heard.places)

    def views_asked_at(self, a: int) -> list[int]:
        """Numbers of the frames B that may be asked about at A."""
        numbers = range(len(self.frames))
        if self.heard is None:
            return [b for b in numbers if b != a]
        poses = np.stack([frame.world_from_camera for frame in self.frames])
        before = np.concatenate([np.reshape(self.heard.earlier, (-1, 4, 4)), poses[: a + 1]])
        found = []
        for b in numbers[a + 1 :]:
            near = np.linalg.norm(before[:, :3, 3] - poses[b, :3, 3], axis=1) <= APART_M
            cosine = 0.5 * (np.einsum("nij,ij->n", before[:, :3, :3], poses[b, :3, :3]) - 1)
            if not (near & (cosine >= math.cos(APART_RAD))).any():
                found.append(b)
        return found

    @cached_property
    def small(self) -> list[Frame]:
        return [square(frame, self.options.size_px) for frame in self.frames]

    @cached_property
    def everything(self) -> SpatialMemory:
        """All that was seen, the target of every question among it."""
        return self._remember(self.thinned(range(len(self.frames)), ALL_VIEWS), ALL_VIEWS)

    def rng(self, kind: str, number: int) -> np.random.Generator:
        """For the questions of a kind about a frame."""
        stamp = self.frames[number].stamp_ns & 0xFFFFFFFF
        return np.random.default_rng([self.options.seed, len(kind), ord(kind[0]), number, stamp])

    def memory(
        self, last: int, hidden: Sequence[int], rng: np.random.Generator
    ) -> SpatialMemory | None:
        """What was last seen up to frame `last`, without anything that looks as `hidden` frames
        do; None where that is nothing."""
        if self.heard is not None:
            memory = self._remember(self.thinned(range(last + 1), ALL_VIEWS), ALL_VIEWS)
            return memory if len(memory) else None
        targets = [self.frames[k].world_from_camera for k in hidden]
        allowed = [
            k
            for k in range(last + 1)
            if not any(
                beside(self.frames[k].world_from_camera, target, APART_M, APART_RAD)
                for target in targets
            )
        ]
        most = int(rng.choice(VIEWS))
        memory = self._remember(self.thinned(allowed, most), most)
        return memory if len(memory) else None

    def thinned(self, numbers: Sequence[int], most: int) -> list[int]:
        """Of these frames those that show something else than a newer one, the newest ones."""
        kept: list[int] = []
        for k in sorted(numbers, reverse=True):
            pose = self.frames[k].world_from_camera
            others = (self.frames[o].world_from_camera for o in kept)
            if not any(beside(pose, other, ELSE_M, ELSE_RAD) for other in others):
                kept.append(k)
                if len(kept) == most:
                    break
        return kept[::-1]

    def floor_m(self, number: int) -> float:
        """How high the floor lies in the frame of the poses: the robot stands on it."""
        base = self.frames[number].world_from_base
        return 0.0 if base is None else float(base[2, 3])

    def robot(self, number: int) -> tuple[float, float, float]:
        """x, y, yaw of the robot, or of its camera where nobody knows more."""
        frame = self.frames[number]
        base = frame.world_from_base
        body = body_of(frame) if base is None else base
        return float(body[0, 3]), float(body[1, 3]), yaw_of(body)

    def _remember(self, numbers: Sequence[int], most: int) -> SpatialMemory:
        memory = SpatialMemory(MemoryLimits(number=most))
        for k in numbers:
            frame = self._remembered(k)
            try:
                memory.add(
                    frame.rgb, frame.depth_m, frame.camera, frame.world_from_camera, frame.stamp_ns
                )
            except ViewRefused:
                self.refused["cannot be remembered"] += 1
        return memory

    def _remembered(self, number: int) -> Frame:
        frame = self.frames[number]
        height = frame.rgb.shape[0]
        return frame if height <= REMEMBERED_PX else smaller(frame, REMEMBERED_PX / height)


def body_of(frame: Frame) -> np.ndarray:
    """4 x 4: the camera's body frame, x ahead, in the world."""
    return np.asarray(frame.world_from_camera @ inverse(BODY_FROM_OPTICAL))


def square(frame: Frame, size_px: int) -> Frame:
    """The middle square of a frame, as large as rows have it."""
    height, width = frame.rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = replace(
        frame,
        rgb=frame.rgb[top : top + side, left : left + side],
        depth_m=frame.depth_m[top : top + side, left : left + side],
        camera=replace(
            frame.camera,
            width=side,
            height=side,
            cx=frame.camera.cx - left,
            cy=frame.camera.cy - top,
        ),
    )
    return smaller(cut, size_px / side)


def smaller(frame: Frame, scale: float) -> Frame:
    """A frame with a share of its pixels' number in each direction."""
    old, height, width = frame.camera, *frame.rgb.shape[:2]
    size = round(width * scale), round(height * scale)
    across, down = size[0] / width, size[1] / height
    return replace(
        frame,
        rgb=cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA),
        depth_m=cv2.resize(frame.depth_m, size, interpolation=cv2.INTER_NEAREST),
        camera=Intrinsics(*size, old.fx * across, old.fy * down, old.cx * across, old.cy * down),
    )


def framed(
    rgb: np.ndarray, pixel: tuple[int, int], colour: tuple[int, int, int], half_share: float
) -> np.ndarray:
    """The picture with a square frame around a pixel. half_share: half its side, as a share of
    the picture's height."""
    out = rgb.copy()
    half = max(2, round(half_share * rgb.shape[0]))
    x, y = pixel
    width = max(1, rgb.shape[0] // 64)
    cv2.rectangle(out, (x - half, y - half), (x + half, y + half), colour, width)
    return out


def seen_at(frame: Frame, world: np.ndarray, margin_px: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Of N x 3 points: N x bool, that this frame shows them, and that it certainly does not.

    Neither holds at the border of the picture and near the surface that hides a point. Where
    there is no depth, a point within the picture may be shown.
    """
    camera, pose = frame.camera, frame.world_from_camera
    local = (world - pose[:3, 3]) @ pose[:3, :3]
    z = local[:, 2]
    ahead = z > NEAREST_M
    depth = np.where(ahead, z, 1.0)
    u = np.floor(camera.fx * local[:, 0] / depth + camera.cx).astype(int)
    v = np.floor(camera.fy * local[:, 1] / depth + camera.cy).astype(int)
    inside = _within(u, v, camera, margin_px)
    there = np.zeros(len(world))
    there[ahead & inside] = frame.depth_m[v[ahead & inside], u[ahead & inside]]
    known = there > 0
    shown = ahead & inside & known & (np.abs(there - z) <= SAME_M + SAME_SHARE * z)
    hidden = known & (there < z - HIDDEN_M)
    outside = ~(ahead & _within(u, v, camera, -margin_px))
    return shown, np.asarray(outside | (ahead & inside & hidden))


#: Nearer to a camera than this nothing is judged, m. Depth may differ so much from a point's own,
#: m and share, and be the same spot; a point so far behind a surface is hidden by it, m.
NEAREST_M = 0.2
SAME_M, SAME_SHARE, HIDDEN_M = 0.1, 0.05, 0.4


def _within(u: np.ndarray, v: np.ndarray, camera: Intrinsics, margin: int) -> np.ndarray:
    return np.asarray(
        (u >= margin) & (u < camera.width - margin) & (v >= margin) & (v < camera.height - margin)
    )
