"""Poses as 4 x 4 matrices: a short history of a moving body, looked up and interpolated by stamp.

Knows nothing of ROS messages. Metres, radians, nanoseconds; matrices take points of the child
frame to the parent.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque

import numpy as np

from ipt_ros.errors import ErrorCode, GoalError


def from_xyz_rpy(
    x: float, y: float, z: float, roll: float, pitch: float, yaw: float
) -> np.ndarray:
    """Fixed-axis roll, pitch, yaw, as in URDF."""
    cr, sr, cp, sp = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    pose = np.eye(4)
    pose[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    pose[:3, 3] = (x, y, z)
    return pose


def yaw_of(pose: np.ndarray) -> float:
    """Heading of the x axis in the parent's plane, radians."""
    return math.atan2(pose[1, 0], pose[0, 0])


def inverse(pose: np.ndarray) -> np.ndarray:
    """Inverse of a rigid motion, without a general solve."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def interpolate(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The motion `share` (0..1) of the way from a to b: linear in place, constant turn rate."""
    relative = a[:3, :3].T @ b[:3, :3]
    angle = math.acos(min(1.0, max(-1.0, 0.5 * (np.trace(relative) - 1.0))))
    result = np.eye(4)
    result[:3, 3] = (1.0 - share) * a[:3, 3] + share * b[:3, 3]
    if angle < 1e-9:
        result[:3, :3] = a[:3, :3]
        return result
    if (
        math.pi - angle < 1e-6
    ):  # half a turn between two samples: no axis to follow, take the nearer one
        result[:3, :3] = (a if share < 0.5 else b)[:3, :3]
        return result
    skew = (relative - relative.T) / (2.0 * math.sin(angle))
    turn = share * angle
    result[:3, :3] = a[:3, :3] @ (
        np.eye(3) + math.sin(turn) * skew + (1.0 - math.cos(turn)) * skew @ skew
    )
    return result


#: What lies between two poses is guessed for a body that is no faster than this, and this much
#: more: m, m/s, rad, rad/s.
JUMP_M, FASTEST_M_S, JUMP_RAD, FASTEST_RAD_S = 0.2, 10.0, 0.3, 15.0


class PoseHistory:
    """The last seconds of a body's pose.

    A sample up to `reach_s` late takes its place among the others; one that is later clears the
    history first (the clock was set back). Samples more than `bridge_s` apart say nothing about
    the time between them.
    """

    def __init__(self, length: int = 400, reach_s: float = 0.2, bridge_s: float = 2.0) -> None:
        self._lock = threading.Lock()  # filled by a callback, read by the model's thread
        self._samples: deque[tuple[int, np.ndarray]] = deque(maxlen=length)
        self._reach_ns, self._bridge_ns = int(reach_s * 1e9), int(bridge_s * 1e9)

    def __len__(self) -> int:
        return len(self._samples)

    def clear(self) -> None:
        with self._lock:
            self._samples.clear()

    def put(self, stamp_ns: int, pose: np.ndarray) -> None:
        with self._lock:
            if self._samples and stamp_ns < self._samples[-1][0] - self._reach_ns:
                self._samples.clear()
            later = []
            while self._samples and stamp_ns <= self._samples[-1][0]:
                later.append(self._samples.pop())
            if later and later[-1][0] == stamp_ns:
                later.pop()
            self._samples.append((stamp_ns, pose))
            self._samples.extend(reversed(later))

    def at(self, stamp_ns: int) -> np.ndarray:
        """The pose at a stamp: interpolated between samples, held for `reach_s` outside."""
        with self._lock:
            samples = list(self._samples)
        if not samples:
            raise GoalError(
                ErrorCode.NO_POSE, "no odometry has arrived; is the topic published and remapped?"
            )
        i = bisect_left(samples, stamp_ns, key=lambda sample: sample[0])
        if i < len(samples) and samples[i][0] == stamp_ns:
            return samples[i][1]
        if 0 < i < len(samples):
            (before, a), (after, b) = samples[i - 1], samples[i]
            if after - before > self._bridge_ns:
                raise GoalError(
                    ErrorCode.NO_POSE,
                    f"odometry has a gap of {(after - before) / 1e9:.1f} s at the image, more "
                    f"than {self._bridge_ns / 1e9:.1f} s",
                )
            self._refuse_jump(a, b, (after - before) / 1e9)
            return interpolate(a, b, (stamp_ns - before) / (after - before))
        nearest, pose = samples[0] if i == 0 else samples[-1]
        gap = abs(stamp_ns - nearest)
        if gap > self._reach_ns:
            raise GoalError(
                ErrorCode.NO_POSE,
                f"the {'oldest' if i == 0 else 'newest'} odometry is {gap / 1e9:.2f} s away from "
                "the image, "
                f"more than {self._reach_ns / 1e9:.2f} s; do camera and odometry share a clock?",
            )
        return pose

    @staticmethod
    def _refuse_jump(a: np.ndarray, b: np.ndarray, dt_s: float) -> None:
        """Between two samples of which the second is of a robot put elsewhere, it never was."""
        moved_m = float(np.linalg.norm(b[:3, 3] - a[:3, 3]))
        cosine = 0.5 * (float(np.trace(a[:3, :3].T @ b[:3, :3])) - 1.0)
        turned_rad = math.acos(max(-1.0, min(1.0, cosine)))
        if moved_m > JUMP_M + FASTEST_M_S * dt_s or turned_rad > JUMP_RAD + FASTEST_RAD_S * dt_s:
            raise GoalError(
                ErrorCode.NO_POSE,
                f"the pose jumped by {moved_m:.2f} m and {turned_rad:.2f} rad within "
                f"{1e3 * dt_s:.0f} ms around the image",
            )
