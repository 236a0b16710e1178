"""The robot's node: remembers what the cameras see, runs the model in one thread, serves actions.

configure: topics and memory. activate: load and warm the model. deactivate: end every goal, take
the mask back, free the model. Callbacks only store; what takes time runs on the model's thread.
"""

from __future__ import annotations

import os
import threading
import traceback
from dataclasses import dataclass, field
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

import ipt_ros.yielding_threads  # noqa: F401  before torch, which reads it once
from ipt_ros import diagnostics
from ipt_ros.actions.ask_spatial import ask_spatial_server
from ipt_ros.actions.count_objects import count_objects_server
from ipt_ros.actions.imagine_view import imagine_view_server
from ipt_ros.actions.trace_path import trace_path_server
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.imagined_output import ImaginedOutput
from ipt_ros.ipt_parameters import IPT_PARAMETERS, check_together
from ipt_ros.mask_output import MaskOutput
from ipt_ros.model_worker import ModelWorker
from ipt_ros.parameters import declare
from ipt_ros.self_score_output import SelfScoreOutput
from ipt_ros.senses import Senses

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
        self.answering: Answering | None = None
        self.senses: Any = None
        self._diagnostics: diagnostics.Diagnostics | None = None
        self._mask: MaskOutput | None = None
        self._self_score: SelfScoreOutput | None = None
        self._questions = 0
        self._servers: list[Any] = []
        # In every state, so that an asker hears NOT_ACTIVE instead of waiting for ever.
        for make in ACTIONS:
            self._servers.append(make(self))
        if self.parameters.values.autostart:
            self._start = self.create_timer(0.01, self._autostart)

    def _autostart(self) -> None:
        self.destroy_timer(self._start)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # -- lifecycle --------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._configure()
        except Exception as error:  # rclpy would swallow it and end in "finalized"
            self.report(error, "configure")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        values = self.parameters.values
        self._diagnostics = diagnostics.Diagnostics(
            self, self._refresh, values.diagnostics_rate_hz
        )
        try:
            self.senses = Senses(self, self._time_jumped, self._qos_mismatch, self._new_map)
        except Exception:
            self._diagnostics.destroy()
            self._diagnostics = None
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
        values = self.parameters.values
        try:
            # late: torch and transformers take seconds to import
            import torch

            from ipt_model.imaginer import Imaginer

            # one core stays free for whoever drives the camera
            torch.set_num_threads(values.cpu_threads or max(1, (os.cpu_count() or 2) - 1))
            imaginer = Imaginer.from_pretrained(
                values.model,
                device=values.device,
                dtype=values.dtype,
                quantization=None if values.quantization == "none" else values.quantization,
            )
            imaginer.warm_up()
        except Exception as error:
            self.report(error, "activate", ErrorCode.MODEL_FAILED)
            return TransitionCallbackReturn.FAILURE
        self.answering = Answering(
            imaginer,
            ModelWorker(values.waiting_goals),
            imaginer.recipe.image_sizes.vae.max_size,
        )
        self.get_logger().info(f"ready: {imaginer.model_id} on {imaginer.device}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_answering()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._destroy_mask()
        self._imagined.destroy()
        if self._self_score is not None:
            self._self_score.destroy()
            self._self_score = None
        self._destroy_inputs()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_answering()
        return TransitionCallbackReturn.SUCCESS

    def _destroy_inputs(self) -> None:
        self.senses.destroy()
        self.senses = None
        if self._diagnostics is not None:
            self._diagnostics.destroy()
            self._diagnostics = None

    def close(self) -> None:
        """On SIGTERM, while publishers still work."""
        self._stop_answering()
        self._destroy_mask()
        if self.senses is not None:
            self.senses.destroy()

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
        self.get_logger().warning(text)
        if self._mask is not None:
            self._mask.take_back(text)
        self.tell("time", diagnostics.WARN, text)
        self._publish_diagnostics()

    def _qos_mismatch(self, text: str) -> None:
        self.get_logger().error(text)
        self.tell("qos", diagnostics.ERROR, text)
        self._publish_diagnostics()

    # -- reporting --------------------------------------------------------------------------------

    def report(self, error: Exception, during: str, code: ErrorCode | None = None) -> GoalError:
        """Make any exception a GoalError, log it and tell the diagnostics."""
        if isinstance(error, GoalError):
            failure = error
        elif isinstance(error, MemoryError):
            failure = GoalError(ErrorCode.OUT_OF_MEMORY, f"{type(error).__name__}: {error}")
        else:
            text = f"{type(error).__name__}: {error}"
            failure = GoalError(code or ErrorCode.UNKNOWN, text)
            self.log_trace(error)
        self.get_logger().warning(f"{during}: {failure}")
        self.tell(
            "last error", diagnostics.WARN, failure.text, code=int(failure.code), during=during
        )
        self._publish_diagnostics()
        return failure

    def _publish_diagnostics(self) -> None:
        if self._diagnostics is not None:
            self._diagnostics.publish()

    def tell(self, name: str, level: bytes, message: str, **values: Any) -> None:
        """Keep a status for /diagnostics."""
        if self._diagnostics is not None:
            self._diagnostics.status(name, level, message, **values)

    def log_trace(self, error: Exception) -> None:
        self.get_logger().error("".join(traceback.format_exception(error)))

    def answered(self, result: Any) -> None:
        """A goal was answered; called on the model's thread."""
        self._questions += 1
        if result.imagined_view.image.height:
            self._imagined.show(result.imagined_view)
        times = result.answer.times
        stages = {
            name: f"{getattr(times, name):.4f}" for name in times.get_fields_and_field_types()
        }
        self.tell("last answer", diagnostics.OK, "answered", **stages)

    def imagined(self, goal: Any, asked: Any, answer: Any) -> None:
        """What may be compared with the place itself later; called on the model's thread."""
        if self._self_score is not None:
            self._self_score.keep(goal, asked, answer)

    def _refresh(self) -> None:
        answering = self.answering
        if answering is None:
            self.tell("model", diagnostics.WARN, "not active")
        else:
            self.tell(
                "model",
                diagnostics.OK,
                answering.imaginer.model_id,
                questions=self._questions,
                goals=answering.worker.goals,
                keyframes=len(self.senses.keyframes),
            )
        for camera, (wrong, figures) in self.senses.health().items():
            level = diagnostics.ERROR if wrong else diagnostics.OK
            self.tell(camera, level, wrong or "views arrive", **figures)


def main() -> None:
    from ipt_ros.run import run_node

    raise SystemExit(run_node(IptNode))


if __name__ == "__main__":
    main()
