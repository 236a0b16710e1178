"""What the robot has seen: the newest complete view and a bounded set of keyframes with poses.

Callbacks put what arrives, the worker takes what it needs. Images stay as they came; nothing is
decoded here, so putting costs microseconds. Knows nothing of ROS: a frame carries whatever object
the caller decodes later.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipt_ros.errors import ErrorCode, GoalError


@dataclass(frozen=True)
class Frame:
    """One camera's image, its calibration, and the depth that belongs to it, undecoded.

    stamp_ns: capture time of the image. n_bytes: size of image and depth together.
    """

    camera: str
    stamp_ns: int
    frame_id: str
    image: Any
    info: Any
    depth: Any | None
    n_bytes: int


@dataclass(frozen=True)
class Keyframe:
    """A frame worth keeping, and where its optical camera stood: `world_from_camera`, 4 x 4."""

    frame: Frame
    world_from_camera: np.ndarray


@dataclass(frozen=True)
class MemoryLimits:
    """When a view becomes a keyframe, and how many are kept."""

    moved_m: float = 0.5
    turned_rad: float = 0.5
    age_s: float = 120.0
    number: int = 16
    n_bytes: int = 64 * 1024 * 1024


class CameraMemory:
    """The newest complete view of one camera: image, calibration and, where wanted, depth within
    `slop_s`.
    """

    def __init__(self, camera: str, want_depth: bool, slop_s: float = 0.03) -> None:
        self.camera = camera
        self._want_depth = want_depth
        self._slop_ns = int(slop_s * 1e9)
        self._lock = threading.Lock()
        self._images: deque[tuple[int, str, Any, int]] = deque(maxlen=8)
        self._depths: deque[tuple[int, Any, int]] = deque(maxlen=8)
        self._info: Any | None = None
        self._newest: Frame | None = None
        self._jump: tuple[int, int] | None = None
        self.received = 0

    def put_info(self, info: Any) -> None:
        with self._lock:
            self._info = info

    def put_depth(self, stamp_ns: int, depth: Any, n_bytes: int) -> None:
        with self._lock:
            if self._depths and stamp_ns < self._depths[-1][0]:
                self._depths.clear()
            self._depths.append((stamp_ns, depth, n_bytes))
            self._complete()

    def put_image(self, stamp_ns: int, frame_id: str, image: Any, n_bytes: int) -> bool:
        """False when the stamp went backwards, which forgets everything seen by this camera."""
        with self._lock:
            self.received += 1
            previous = self._images[-1][0] if self._images else None
            jumped = previous is not None and stamp_ns < previous
            if jumped:
                assert previous is not None
                self._images.clear()
                self._depths.clear()
                self._info = None
                self._newest = None
                self._jump = (previous, stamp_ns)
            self._images.append((stamp_ns, frame_id, image, n_bytes))
            self._complete()
            return not jumped

    def _complete(self) -> None:
        """Join the newest image that has its depth; called with the lock held."""
        if self._info is None:
            return
        for stamp_ns, frame_id, image, n_bytes in reversed(self._images):
            if self._newest is not None and stamp_ns <= self._newest.stamp_ns:
                return
            depth, depth_bytes = None, 0
            if self._want_depth:
                near = [d for d in self._depths if abs(d[0] - stamp_ns) <= self._slop_ns]
                if not near:
                    continue
                _, depth, depth_bytes = min(near, key=lambda d: abs(d[0] - stamp_ns))
            self._newest = Frame(
                self.camera, stamp_ns, frame_id, image, self._info, depth, n_bytes + depth_bytes
            )
            self._jump = None
            return

    def peek(self) -> Frame | None:
        """The newest complete view, however old."""
        with self._lock:
            self._complete()
            return self._newest

    def newest(self, now_ns: int, max_age_s: float) -> Frame:
        """The newest complete view, or the reason why there is none."""
        with self._lock:
            # calibration may have come after the image
            self._complete()
            frame, jump = self._newest, self._jump
            have_image, have_info = bool(self._images), self._info is not None
        if frame is None:
            if jump is not None:
                raise GoalError(
                    ErrorCode.TIME_JUMP,
                    f"{self.camera}: stamps went back from {jump[0] / 1e9:.3f} s to "
                    f"{jump[1] / 1e9:.3f} s; "
                    "what was seen before is forgotten and no complete view has arrived since",
                )
            if not have_image:
                raise GoalError(
                    ErrorCode.NO_IMAGE,
                    f"{self.camera}: no image has arrived; check the topic name and its "
                    "reliability (QoS)",
                )
            if not have_info:
                raise GoalError(
                    ErrorCode.NO_CAMERA_INFO, f"{self.camera}: images arrive, but no camera_info"
                )
            raise GoalError(
                ErrorCode.NO_IMAGE,
                f"{self.camera}: no depth image within {self._slop_ns / 1e6:.0f} ms of any image; "
                "do both come from one clock? else raise sync_slop_s or set use_depth to false",
            )
        age_s = (now_ns - frame.stamp_ns) / 1e9
        if age_s > max_age_s:
            raise GoalError(
                ErrorCode.STALE_VIEW,
                f"{self.camera}: the newest view is {age_s:.1f} s old, more than view_max_age_s "
                f"({max_age_s:.1f}); did the camera stop, or does use_sim_time differ from the "
                "camera's clock?",
            )
        return frame


class KeyframeMemory:
    """Views from different places, bounded in number and bytes; the oldest goes first."""

    def __init__(self, limits: MemoryLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._keyframes: list[Keyframe] = []

    def __len__(self) -> int:
        return len(self._keyframes)

    @property
    def n_bytes(self) -> int:
        return sum(k.frame.n_bytes for k in self._keyframes)

    def clear(self) -> None:
        with self._lock:
            self._keyframes.clear()

    def offer(self, frame: Frame, pose_at: Callable[[Frame], np.ndarray]) -> bool:
        """Keep the frame when it shows the world from elsewhere than the newest keyframes; says
        whether it did.
        """
        pose = pose_at(frame)
        limits = self._limits
        with self._lock:
            oldest = frame.stamp_ns - int(limits.age_s * 1e9)
            self._keyframes = [
                k for k in self._keyframes if oldest <= k.frame.stamp_ns <= frame.stamp_ns
            ]
            for kept in self._keyframes:
                if kept.frame.camera != frame.camera:
                    continue
                moved = np.linalg.norm(kept.world_from_camera[:3, 3] - pose[:3, 3])
                cosine = float(kept.world_from_camera[:3, 2] @ pose[:3, 2])
                if moved < limits.moved_m and cosine > np.cos(limits.turned_rad):
                    return False
            self._keyframes.append(Keyframe(frame, pose))
            while len(self._keyframes) > limits.number or (
                len(self._keyframes) > 1 and self.n_bytes > limits.n_bytes
            ):
                self._keyframes.pop(0)
            return True

    def all(self) -> list[Keyframe]:
        """Oldest first."""
        with self._lock:
            return list(self._keyframes)
