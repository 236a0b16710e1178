"""The robot's node: remembers what the cameras see, runs the model in one thread, serves actions.

constructor: an all-clear, and actions that say NOT_ACTIVE. configure: topics and memory. activate:
load and warm the model. deactivate: end every goal, take the mask back, free the model. Callbacks
only store; what takes time runs on the model's thread, or on one of its own while it loads.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future as PoolFuture
from dataclasses import dataclass, field
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

import ipt_ros.yielding_threads  # noqa: F401  before torch, which reads it once
from ipt_ros import diagnostics
from ipt_ros.actions.ask_spatial import ask_spatial_server
from ipt_ros.actions.count_objects import count_objects_server
from ipt_ros.actions.imagine_view import imagine_view_server
from ipt_ros.actions.trace_path import trace_path_server
from ipt_ros.answering.loading import discard, start_loading
from ipt_ros.answering.transitions import wait_in_transitions
from ipt_ros.answering.view_topics import ImaginedOutput
from ipt_ros.answering.worker import ModelWorker
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.mask.publisher import MaskOutput
from ipt_ros.mask.topic import MaskTopic
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS, check_together
from ipt_ros.parameters.table import declare
from ipt_ros.reports import Reports
from ipt_ros.self_scoring.watch import SelfScoreOutput
from ipt_ros.senses.senses import Senses
from ipt_ros.spinning import bridged

ACTIONS = (ask_spatial_server, count_objects_server, imagine_view_server, trace_path_server)


@dataclass
class Answering:
    """What exists while the node is active."""

    imaginer: Any
    worker: ModelWorker
    picture_px: int
    stopping: threading.Event = field(default_factory=threading.Event)


class IptNode(LifecycleNode):
    def __init__(self) -> None:
        super().__init__("ipt_node")
        self.parameters = declare(self, IPT_PARAMETERS, check_together)
        self.reports = Reports(self)
        self.parameters.on_change(lambda values: self.reports.set_rate(values.diagnostics_rate_hz))
        self.mask_topic = MaskTopic(self, self.parameters.values.fixed_frame)
        self.answering: Answering | None = None
        self.senses: Any = None
        self._loading: PoolFuture[Any] | None = None
        self._mask: MaskOutput | None = None
        self._self_score: SelfScoreOutput | None = None
        # In every state, so that an asker hears NOT_ACTIVE instead of waiting for ever.
        self._servers = [make(self) for make in ACTIONS]
        wait_in_transitions(self, self._loaded, self.reports)
        if self.parameters.values.autostart:
            # at once, also when simulated time has not begun
            self._start = self.create_timer(
                0.01,
                self._autostart,
                ReentrantCallbackGroup(),
                clock=Clock(clock_type=ClockType.STEADY_TIME),
            )

    async def _autostart(self) -> None:
        self.destroy_timer(self._start)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS and await self._loaded():
            self.trigger_activate()

    # -- loading ----------------------------------------------------------------------------------

    async def _loaded(self) -> bool:
        """Whether there is a model to activate with, once it is known."""
        if self._loading is None:
            self._loading = start_loading(self.parameters.values)
            self.reports.inform(f"loading {self.parameters.values.model}")
        loading = self._loading
        self.reports.publish()
        await bridged(loading, self.executor)
        if loading is not self._loading:
            return False  # cleaned up or shut down in the meantime
        error = loading.exception()
        if error is not None:
            self._loading = None
            self.reports.report(error, "activate", ErrorCode.MODEL_FAILED)
        return error is None

    def _stop_loading(self) -> None:
        loading, self._loading = self._loading, None
        if loading is not None:
            discard(loading)

    def why_not_active(self) -> str:
        if self._loading is not None:
            return "the model is loading: ask again in a while"
        return (
            "the node is not active: ros2 lifecycle set <node> activate (or autostart:=true); "
            "when that fails, the log says why"
        )

    # -- lifecycle --------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._configure()
        except Exception as error:  # rclpy would swallow it and end in "finalized"
            self.reports.report(error, "configure")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        values = self.parameters.values
        self.reports.start(self._refresh, values.diagnostics_rate_hz)
        try:
            self.senses = Senses(self, self._time_jumped, self._qos_mismatch, self._new_map)
        except Exception:
            self.reports.stop()
            raise
        if values.self_scoring_log:
            try:
                self._self_score = SelfScoreOutput(self, values)
            except Exception:
                self._destroy_inputs()
                raise
        self._mask = MaskOutput(self, values)
        self._imagined = ImaginedOutput(self)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        loading, self._loading = self._loading, None
        if loading is None:
            return TransitionCallbackReturn.FAILURE
        imaginer = loading.result()
        self.answering = Answering(
            imaginer,
            ModelWorker(self.parameters.values.waiting_goals),
            imaginer.recipe.image_sizes.vae.max_size,
        )
        self.reports.inform(f"ready: {imaginer.model_id} on {imaginer.device}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_answering()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_loading()
        self._destroy_mask()
        self._imagined.destroy()
        if self._self_score is not None:
            self._self_score.destroy()
            self._self_score = None
        self._destroy_inputs()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_loading()
        self._stop_answering()
        return TransitionCallbackReturn.SUCCESS

    def _destroy_inputs(self) -> None:
        self.senses.destroy()
        self.senses = None
        self.reports.stop()

    # -- the end of the process -------------------------------------------------------------------

    def last_word(self) -> None:
        """Any thread: upon a signal, before anything else."""
        self.mask_topic.last_word()

    def close(self) -> None:
        """While publishers still work. Nothing waits for the model: the process ends with it."""
        self.last_word()
        answering, self.answering = self.answering, None
        if answering is not None:
            answering.stopping.set()
            answering.worker.close(wait=False)
        for server in self._servers:
            server.end_all()

    def owes(self) -> bool:
        """Whether an asker has not heard yet how its goal ended."""
        return any(server.owes() for server in self._servers)

    def _destroy_mask(self) -> None:
        mask, self._mask = self._mask, None
        if mask is not None:
            mask.destroy()

    def _stop_answering(self) -> None:
        answering, self.answering = self.answering, None
        if self._mask is not None:
            self._mask.take_back("the node was deactivated")
        if answering is not None:
            answering.stopping.set()
            answering.worker.close()
            answering.imaginer.close()

    @property
    def picture_px(self) -> int:
        """Longer side of the pictures that the model takes in, of use up to 128."""
        answering = self.answering
        return 128 if answering is None else min(128, answering.picture_px)

    # -- told by the senses -----------------------------------------------------------------------

    def _new_map(self, message: Any) -> None:
        if self._mask is not None:
            self._mask.new_map(message)

    def _time_jumped(self) -> None:
        text = "stamps went backwards; remembered views are forgotten"
        if self._mask is not None:
            self._mask.take_back(text)
        self.reports.alarm("time", diagnostics.WARN, text)

    def _qos_mismatch(self, text: str) -> None:
        self.reports.alarm("qos", diagnostics.ERROR, text)

    # -- reporting --------------------------------------------------------------------------------

    def report(self, error: BaseException, during: str) -> GoalError:
        return self.reports.report(error, during)

    def tell(self, name: str, level: bytes, message: str, **values: Any) -> None:
        self.reports.tell(name, level, message, **values)

    def answered(self, result: Any) -> None:
        """A goal was answered; called on the model's thread."""
        if result.imagined_view.image.height:
            self._imagined.show(result.imagined_view)
        self.reports.answered(result.answer.times)

    def imagined(self, goal: Any, asked: Any, answer: Any) -> None:
        """What may be compared with the place itself later; called on the model's thread."""
        if self._self_score is not None:
            self._self_score.keep(goal, asked, answer)

    def _refresh(self) -> None:
        answering = self.answering
        if answering is None:
            loading = self._loading is not None
            self.reports.tell("model", diagnostics.WARN, "loading" if loading else "not active")
        else:
            self.reports.tell(
                "model",
                diagnostics.OK,
                answering.imaginer.model_id,
                questions=self.reports.answers,
                goals=answering.worker.goals,
                keyframes=len(self.senses.keyframes),
            )
        for camera, (wrong, figures) in self.senses.health().items():
            level = diagnostics.ERROR if wrong else diagnostics.OK
            self.reports.tell(camera, level, wrong or "views arrive", **figures)


def main() -> None:
    from ipt_ros.run import run_node

    run_node("ipt_node", IptNode)


if __name__ == "__main__":
    main()
