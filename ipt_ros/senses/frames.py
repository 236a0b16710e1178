"""What a camera sent last: its newest complete views, each an image with what belongs to it.

Callbacks put what arrives, the worker takes what it needs. Images stay as they came; nothing is
decoded here, so putting costs microseconds. Knows nothing of ROS: a frame carries whatever object
the caller decodes later.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.senses.stamps import Restart, Run, why_incredible

#: Complete views kept, and the least time between two of them but the newest: among them is one
#: whose pose is known already when transforms come later than images.
RECENT, SPACING_NS = 10, 100_000_000
#: A camera that was this many times longer silent than it usually is has stopped.
SILENCES = 3.0


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


class CameraFrames:
    """The newest complete views of one camera: image, calibration and, where wanted, depth within
    `slop_s`.

    steady: a clock that nobody sets, s. Freshness is judged by stamps and by arrival: a clock that
    stops together with the camera makes no stamp older.
    """

    def __init__(
        self,
        camera: str,
        want_depth: bool,
        slop_s: float = 0.03,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.camera = camera
        self._want_depth = want_depth
        self._slop_ns = int(slop_s * 1e9)
        self._lock = threading.Lock()
        self._steady = steady
        self._images: deque[tuple[int, str, Any, int]] = deque(maxlen=8)
        self._depths: Run[tuple[Any, int]] = Run(8)
        self._info: tuple[int, Any] | None = None
        self._recent: list[Frame] = []  # the newest last
        self._arrived_s = -float("inf")
        self._gaps_s: deque[float] = deque(maxlen=9)
        self._incredible = ""
        self._restart: Restart | None = None
        self.received = 0

    def put_info(self, stamp_ns: int, info: Any) -> None:
        with self._lock:
            self._info = stamp_ns, info

    def put_depth(self, stamp_ns: int, depth: Any, n_bytes: int) -> None:
        with self._lock:
            self._depths.put(stamp_ns, (depth, n_bytes))
            self._complete()

    def put_image(self, stamp_ns: int, frame_id: str, image: Any, n_bytes: int) -> Restart | None:
        """How stamps went back, if they did: then what this camera saw before is forgotten."""
        with self._lock:
            self.received += 1
            self._incredible = ""
            restart = None
            if self._images and stamp_ns < self._images[-1][0]:
                restart = Restart(self._images[-1][0], stamp_ns)
                self._forget(restart)
            self._images.append((stamp_ns, frame_id, image, n_bytes))
            self._gaps_s.append(self._steady() - self._arrived_s)
            self._arrived_s = self._steady()
            self._complete()
            return restart

    def begin_anew(self, restart: Restart) -> None:
        """Another camera's stamps went back: what came of the new time stays."""
        with self._lock:
            self._forget(restart)

    def _forget(self, restart: Restart) -> None:
        """Calibration and depth come before their image as often as behind it, so what of them is
        of the new time stays. Called with the lock held.
        """
        if self._images and not restart.is_new(self._images[-1][0]):
            self._images.clear()
            self._recent.clear()
            self._restart = restart
        self._depths.begin_anew(restart)
        if self._info is not None and not restart.is_new(self._info[0]):
            self._info = None

    def is_of_now(self, stamp_ns: int) -> bool:
        """Whether a view stamped so was taken since time began anew last: none of this camera's is
        newer than its newest image.
        """
        with self._lock:
            return bool(self._images) and stamp_ns <= self._images[-1][0]

    def refuse(self, why: str) -> None:
        """An image came that is not stored, and why: told when there is no better one."""
        with self._lock:
            self.received += 1
            self._incredible = why

    def _complete(self) -> None:
        """Join the newest image that has its depth; called with the lock held."""
        if self._info is None:
            return
        for stamp_ns, frame_id, image, n_bytes in reversed(self._images):
            if self._recent and stamp_ns <= self._recent[-1].stamp_ns:
                return
            depth, depth_bytes = None, 0
            if self._want_depth:
                near = [d for d in self._depths.items if abs(d[0] - stamp_ns) <= self._slop_ns]
                if not near:
                    continue
                _, (depth, depth_bytes) = min(near, key=lambda d: abs(d[0] - stamp_ns))
            if len(self._recent) > 1 and (
                self._recent[-1].stamp_ns - self._recent[-2].stamp_ns < SPACING_NS
            ):
                self._recent.pop()
            self._recent.append(
                Frame(
                    self.camera,
                    stamp_ns,
                    frame_id,
                    image,
                    self._info[1],
                    depth,
                    n_bytes + depth_bytes,
                )
            )
            del self._recent[:-RECENT]
            self._restart = None
            return

    def peek(self) -> Frame | None:
        """The newest complete view, however old."""
        with self._lock:
            self._complete()
            return self._recent[-1] if self._recent else None

    def newest(self, now_ns: int, max_age_s: float, max_ahead_s: float = 0.5) -> Frame:
        """The newest complete view, or the reason why there is none that is fresh."""
        return self.fresh(now_ns, max_age_s, max_ahead_s)[0]

    def fresh(self, now_ns: int, max_age_s: float, max_ahead_s: float = 0.5) -> list[Frame]:
        """The complete views that are fresh, the newest first and at least that one."""
        with self._lock:
            # calibration may have come after the image
            self._complete()
            frames, restart = self._recent[::-1], self._restart
            incredible, silent_s = self._incredible, self._steady() - self._arrived_s
            # a simulation slower than the world sends its images in its own time
            usual_s = statistics.median(self._gaps_s) if len(self._gaps_s) > 2 else 0.0
            have_image, have_info = bool(self._images), self._info is not None
        if not frames:
            if incredible:
                raise self._stale(f"the image that came last {incredible}")
            if restart is not None:
                raise GoalError(
                    ErrorCode.TIME_JUMP,
                    f"{self.camera}: stamps went back from {restart.before_ns / 1e9:.3f} s to "
                    f"{restart.since_ns / 1e9:.3f} s; "
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
        # a clock that was set back leaves what is remembered in its future
        wrong = why_incredible(frames[0].stamp_ns, now_ns, max_ahead_s)
        if wrong:
            raise self._stale(f"the newest view {wrong}")
        age_s = (now_ns - frames[0].stamp_ns) / 1e9
        if age_s > max_age_s:
            if incredible:
                raise self._stale(f"the image that came last {incredible}")
            raise self._stale(
                f"the newest view is {age_s:.1f} s old, more than view_max_age_s "
                f"({max_age_s:.1f}); did the camera stop, or does use_sim_time differ from the "
                "camera's clock?"
            )
        if silent_s > max(max_age_s, SILENCES * usual_s):
            raise self._stale(
                f"no image has arrived for {silent_s:.1f} s, more than view_max_age_s "
                f"({max_age_s:.1f}), though the clock says {age_s:.1f} s; did the camera stop, "
                "and /clock with it?"
            )
        return [f for f in frames if (now_ns - f.stamp_ns) / 1e9 <= max_age_s]

    def _stale(self, text: str) -> GoalError:
        return GoalError(ErrorCode.STALE_VIEW, f"{self.camera}: {text}")


def newest_posed(
    frames: list[Frame], pose_of: Callable[[Frame, bool], np.ndarray], wait: bool
) -> tuple[Frame, np.ndarray]:
    """The first of the frames whose pose is known, and the pose.

    pose_of: of a frame; its second argument says whether to wait for what is still on its way.
    That is done for the newest frame alone, and only when no pose is known at all.
    """
    for frame in frames:
        with contextlib.suppress(GoalError):
            return frame, pose_of(frame, False)
    return frames[0], pose_of(frames[0], wait)
