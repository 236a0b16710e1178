"""The node's model: on its way, active, or neither. Who wants an answer asks here who gives it.

Changed on the executor's thread only; the model's thread may read.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future as PoolFuture
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.answering.loading import discard, start_loading
from ipt_ros.answering.worker import ModelWorker
from ipt_ros.errors import ErrorCode
from ipt_ros.parameters.table import LiveParameters
from ipt_ros.reports import Reports
from ipt_ros.spinning import bridged

if TYPE_CHECKING:
    from ipt_model.asking.imaginer import Imaginer

#: Longer side of the pictures that a question is made of, at most.
MOST_PX = 128


@dataclass(frozen=True)
class ActiveModel:
    """From activation to deactivation."""

    imaginer: Imaginer
    worker: ModelWorker
    #: Set when no answer is wanted any more.
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def most_px(self) -> int:
        """Longer side of the pictures that the model takes in."""
        return int(self.imaginer.style.image_sizes.vae.max_size)

    @property
    def is_free(self) -> bool:
        """Whether work that nobody waits for may go on: a goal that arrives goes first."""
        return self.worker.goals == 0 and not self.stopping.is_set()


class ModelLife:
    def __init__(self, live: LiveParameters, reports: Reports) -> None:
        self._live, self._reports = live, reports
        self._loading: PoolFuture[Imaginer] | None = None
        #: Who answers now, if anybody.
        self.active: ActiveModel | None = None
        #: Why nobody ever will again, or empty.
        self._ended = ""

    @property
    def picture_px(self) -> int:
        """Longer side of the pictures that questions are to be made of now."""
        active = self.active
        return MOST_PX if active is None else min(MOST_PX, active.most_px)

    @property
    def pictures(self) -> PictureGeometry:
        """How the pictures of questions are to be laid out now."""
        active = self.active
        return PictureGeometry() if active is None else active.imaginer.style.pictures

    @property
    def is_loading(self) -> bool:
        return self._loading is not None

    def why_not_active(self) -> str:
        if self._ended:
            return self._ended
        if self.is_loading:
            return "the model is loading: ask again in a while"
        return (
            "the node is not active: ros2 lifecycle set <node> activate (or autostart:=true); "
            "when that fails, the log says why"
        )

    async def loaded(self, executor: Any) -> bool:
        """Whether there is a model to activate with, once it is known; begins to load it."""
        if self._ended:
            return False
        if self._loading is None:
            self._loading = start_loading(self._live.values)
            self._reports.inform(f"loading {self._live.values.model}")
        loading = self._loading
        self._reports.publish()
        await bridged(loading, executor)
        if loading is not self._loading:
            return False  # cleaned up or shut down in the meantime
        error = loading.exception()
        if error is not None:
            self._loading = None
            self._reports.report(error, "activate", ErrorCode.MODEL_FAILED)
        return error is None

    def activate(self) -> bool:
        """With what was loaded; false where nothing was."""
        loading, self._loading = self._loading, None
        if loading is None:
            return False
        imaginer = loading.result()
        self.active = ActiveModel(imaginer, ModelWorker(self._live.values.waiting_goals))
        self._reports.inform(f"ready: {imaginer.model_id} on {imaginer.device}")
        return True

    def deactivate(self) -> None:
        """End the work in hand, drop what waits, free the model."""
        active, self.active = self.active, None
        if active is not None:
            active.stopping.set()
            active.worker.close()
            active.imaginer.close()

    def stop_loading(self) -> None:
        loading, self._loading = self._loading, None
        if loading is not None:
            discard(loading)

    def end(self, why: str) -> None:
        """Wait for nothing: the process ends with the model. Who asks from now on hears why."""
        self._ended = why
        self.stop_loading()
        active, self.active = self.active, None
        if active is not None:
            active.stopping.set()
            active.worker.close(wait=False)
