"""Takes what the cameras see into the spatial memory, beside the work of callbacks and model.

The executor offers undecoded frames with their poses; a thread of its own decodes the newest of
each camera and adds it, so that no callback waits for pixels. A frame that shows what its camera
showed just before is not even decoded.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ipt_model.spatial.memory import SpatialMemory, ViewRefused
from ipt_model.spatial.views.remembered import RememberedView
from ipt_ros.conversions import Intrinsics
from ipt_ros.diagnostics import OK, WARN
from ipt_ros.errors import GoalError
from ipt_ros.senses.frames import Frame
from ipt_ros.senses.observations import Observation, observe

#: How long the end of the node waits for the view in hand, s.
_LAST_S = 2.0
#: So many contradictions may be chance: a door was opened, people walked by.
MANY = 5


class Remembering:
    """told: called on the thread after a view was looked at, kept or not.

    refused: how many views were of no use, by reason; `why` is the newest reason. newest_ns: stamp
    of the view that was looked at last, or was found to need no look; 0 since all was forgotten.
    times: how often that was, asked for or because a camera had jumped.
    """

    def __init__(
        self, memory: SpatialMemory, rectified: bool, told: Callable[[], None] = lambda: None
    ) -> None:
        self.memory, self._rectified, self._told = memory, rectified, told
        self.refused: Counter[str] = Counter()
        self.why = ""
        self.newest_ns = 0
        self._frame_ids: dict[str, str] = {}
        self._waiting: dict[str, tuple[Frame, np.ndarray]] = {}
        self._changed = threading.Condition()
        self._ends = False
        self.times = self._looked = self._jumps = 0
        self._thread = threading.Thread(target=self._run, name="remembering", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame, world_from_camera: np.ndarray) -> None:
        """Any thread; returns at once. A newer frame takes the place of one that still waits."""
        self._frame_ids[frame.camera] = frame.frame_id
        if not self.memory.wants(world_from_camera, frame.stamp_ns, frame.camera):
            self.newest_ns = frame.stamp_ns
            return
        with self._changed:
            self._waiting[frame.camera] = frame, world_from_camera
            self._changed.notify()

    def add(
        self, view: Observation, camera: str, is_of_now: Callable[[], bool] = lambda: True
    ) -> bool:
        """A view that is decoded already, now. is_of_now: whether it was not taken in a time that
        is forgotten; asked when nothing can be forgotten in between. False where it was.
        """
        with self._changed:
            if not is_of_now():
                return False
            self._add(view, camera)
        return True

    def _add(self, view: Observation, camera: str) -> None:
        self._frame_ids[camera] = view.frame_id
        try:
            self.memory.add(
                view.rgb,
                view.depth_m,
                view.intrinsics,
                view.world_from_camera,
                view.stamp_ns,
                camera,
            )
        except ViewRefused as error:
            self._refuse(f"{camera}: {error}")

    def forget(self) -> int:
        """Everything, what still waits too; how many views that were."""
        with self._changed:
            self._waiting.clear()
            self.times += 1  # and what is being decoded
            number = len(self.memory)
            self.memory.clear()
            self.newest_ns = 0
        return number

    def has_jumped(self) -> bool:
        """Whether a camera has jumped since this was asked last. The memory has forgotten all of
        before then; what is being decoded, or made of it, may be of before.
        """
        with self._changed:
            before, self._jumps = self._jumps, self.memory.counts["jumps"]
            jumped = self._jumps > before
            self.times += jumped
        return jumped

    def observations(self) -> list[Observation]:
        """The remembered views, oldest first; without depth, which the memory keeps smaller."""
        return [self._observation(view) for view in self.memory.views]

    def _observation(self, view: RememberedView) -> Observation:
        height, width = view.rgb.shape[:2]
        return Observation(
            stamp_ns=view.stamp_ns,
            frame_id=self._frame_ids.get(view.name, ""),
            rgb=view.rgb,
            depth_m=None,
            intrinsics=Intrinsics(width, height, *view.picture_lens),
            world_from_camera=view.world_from_camera,
        )

    def health(self) -> tuple[bytes, str, dict[str, Any]]:
        """Level, words and figures for the diagnostics. Views that contradict each other mean
        poses that jump, or a camera whose mounting is told wrong.
        """
        memory, refused = self.memory, sum(self.refused.values())
        counts = memory.counts
        level, message = OK, "views are remembered"
        if refused and not len(memory):
            level, message = WARN, f"nothing is remembered: {self.why}"
        elif counts["contradicted"] > MANY and counts["contradicted"] > 0.1 * self._looked:
            level = WARN
            message = (
                "views contradict each other: does the pose jump, or is a camera mounted "
                "elsewhere than told?"
            )
        figures = {
            "views": len(memory),
            "megabytes": f"{memory.n_bytes / 2**20:.1f}",
            "looked_at": self._looked,
            "refused": refused,
            "contradicted": counts["contradicted"],
            "jumps": counts["jumps"],
            "newest_stamp_ns": self.newest_ns,
        }
        return level, message, figures

    def stop(self) -> None:
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join(_LAST_S)

    # -- the thread
    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ends or self._waiting)
                if self._ends:
                    return
                camera, (frame, pose) = self._waiting.popitem()
                times = self.times
            try:
                view = observe(frame, pose, self._rectified)
                self.add(view, camera, partial(self._is_of, times))
            except GoalError as error:
                self._refuse(error.text)
            except Exception as error:  # a picture that nobody foresaw must not end remembering
                self._refuse(f"{camera}: {type(error).__name__}: {error}")
            self._looked += 1
            with self._changed:
                if times == self.times:
                    self.newest_ns = frame.stamp_ns
            self._told()

    def _is_of(self, times: int) -> bool:
        return times == self.times

    def _refuse(self, why: str) -> None:
        self.why = why
        self.refused[why.partition(":")[0]] += 1
