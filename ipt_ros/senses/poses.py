"""A short history of a moving body's pose, looked up and interpolated by stamp.

Knows nothing of ROS messages. Metres, radians, nanoseconds.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque

import numpy as np

from ipt_model.messages.poses import interpolate
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.stamps import Restart, Run

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
        self._run: Run[np.ndarray] = Run(length)
        self._reach_ns, self._bridge_ns = int(reach_s * 1e9), int(bridge_s * 1e9)

    def __len__(self) -> int:
        return len(self._samples)

    def begin_anew(self, restart: Restart) -> None:
        """Keep what came of the new time, and nothing that it was put among."""
        with self._lock:
            self._run.begin_anew(restart)
            self._samples.clear()
            self._samples.extend(dict(self._run.items).items())

    def put(self, stamp_ns: int, pose: np.ndarray) -> None:
        with self._lock:
            self._run.put(stamp_ns, pose)
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
