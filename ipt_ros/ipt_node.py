"""The robot's node: remembers what the cameras see, runs the model in one thread, serves actions.

constructor: an all-clear, and actions that say NOT_ACTIVE. configure: topics and memory. activate:
load and warm the model. deactivate: end every goal, take the mask back, free the model. Callbacks
only store; what takes time runs on the model's thread, or on one of its own while it loads. Only
wires: each part is given what it needs.
"""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

import ipt_ros.yielding_threads  # noqa: F401  before torch, which reads it once
from ipt_model.question import Answer
from ipt_ros import diagnostics
from ipt_ros.actions.ask_spatial import ask_spatial_server
from ipt_ros.actions.count_objects import count_objects_server
from ipt_ros.actions.desk import Desk
from ipt_ros.actions.imagine_view import imagine_view_server
from ipt_ros.actions.trace_path import trace_path_server
from ipt_ros.answering.model_life import ModelLife
from ipt_ros.answering.questions import GroundedQuestion
from ipt_ros.answering.transitions import wait_in_transitions
from ipt_ros.answering.view_topics import ImaginedOutput
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.mask.publisher import MaskOutput
from ipt_ros.mask.service import MaskService
from ipt_ros.mask.topic import MaskTopic
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS, check_together
from ipt_ros.parameters.table import Values, declare
from ipt_ros.reports import Reports
from ipt_ros.self_scoring.watch import SelfScoreOutput
from ipt_ros.senses.senses import Forgotten, Senses

ACTIONS = (ask_spatial_server, count_objects_server, imagine_view_server, trace_path_server)


class IptNode(LifecycleNode):
    def __init__(self) -> None:
        super().__init__("ipt_node")
        self._live = declare(self, IPT_PARAMETERS, check_together)
        self._reports = Reports(self)
        self._live.on_change(self._take_over)
        self._mask_topic = MaskTopic(self, self._live.values.fixed_frame)
        self._model = ModelLife(self._live, self._reports)
        self._senses: Senses | None = None
        self._mask: MaskOutput | None = None
        self._self_score: SelfScoreOutput | None = None
        #: Whether /diagnostics has told that stamps went back; None where they did not, or where
        #: it has told since that views arrive again.
        self._jump_told: bool | None = None
        # In every state, so that an asker hears NOT_ACTIVE instead of waiting for ever.
        desk = Desk(self._model, self._seen, self._live, self._reports, self._answered)
        self._servers = [make(self, desk) for make in ACTIONS]
        self._mask_service = MaskService(self, lambda: self._mask, self._model.why_not_active)
        wait_in_transitions(self, self._loaded, self._reports)
        if self._live.values.autostart:
            # at once, also when simulated time has not begun
            self._start = self.create_timer(
                0.01,
                self._autostart,
                ReentrantCallbackGroup(),
                clock=Clock(clock_type=ClockType.STEADY_TIME),
            )

    def _take_over(self, values: Values) -> None:
        self._reports.set_rate(values.diagnostics_rate_hz)
        if self._senses is not None:
            self._senses.take_over(values)

    async def _autostart(self) -> None:
        self.destroy_timer(self._start)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS and await self._loaded():
            self.trigger_activate()

    async def _loaded(self) -> bool:
        return await self._model.loaded(self.executor)

    def _seen(self) -> Senses:
        if self._senses is None:
            raise GoalError(ErrorCode.NOT_ACTIVE, self._model.why_not_active())
        return self._senses

    # -- lifecycle --------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._configure()
        except Exception as error:  # rclpy would swallow it and end in "finalized"
            self.report(error, "configure")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        live, reports, model = self._live, self._reports, self._model
        reports.start(self._refresh, live.values.diagnostics_rate_hz)
        try:
            senses = Senses(self, live, reports, self._forgotten, self._new_map)
        except Exception:
            reports.stop()
            raise
        self._senses = senses
        if live.values.self_scoring_log:
            try:
                self._self_score = SelfScoreOutput(self, model, senses, live, reports)
            except Exception:
                self._destroy_inputs()
                raise
        self._mask = MaskOutput(self, self._mask_topic, model, senses, live, reports)
        self._imagined = ImaginedOutput(self)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        if not self._model.activate():
            return TransitionCallbackReturn.FAILURE
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_answering()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._model.stop_loading()
        mask, self._mask = self._mask, None
        if mask is not None:
            mask.destroy()
        self._imagined.destroy()
        if self._self_score is not None:
            self._self_score.destroy()
            self._self_score = None
        self._destroy_inputs()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._model.stop_loading()
        self._stop_answering()
        return TransitionCallbackReturn.SUCCESS

    def _stop_answering(self) -> None:
        # first: closing waits for the work in hand
        if self._mask is not None:
            self._mask.take_back("the node was deactivated")
        self._model.deactivate()

    def _destroy_inputs(self) -> None:
        senses, self._senses = self._senses, None
        if senses is not None:
            senses.destroy()
        self._reports.stop()

    # -- the end of the process -------------------------------------------------------------------

    def last_word(self) -> None:
        """Any thread: upon a signal, before anything else."""
        self._mask_topic.last_word()

    def close(self) -> None:
        """While publishers still work. Nothing waits for the model: the process ends with it."""
        self.last_word()
        for server in self._servers:  # first: who begins from now on says so too
            server.end_all()
        why = "the node is going"
        self._model.end(why)
        if self._mask is not None:
            self._mask.end(why)

    def owes(self) -> bool:
        """Whether an asker has not heard yet how its goal ended, or what became of a mask."""
        return self._mask_service.owes() or any(server.owes() for server in self._servers)

    def destroy_node(self) -> None:
        """What rclpy does not take down itself holds on to the node, and its name to the graph."""
        for server in self._servers:
            server.destroy()
        self._destroy_inputs()
        super().destroy_node()

    # -- told by its parts ------------------------------------------------------------------------

    def report(self, error: BaseException, during: str) -> GoalError:
        """An exception left a callback."""
        return self._reports.report(error, during)

    def _new_map(self, message: Any) -> None:
        if self._mask is not None:
            self._mask.new_map(message)

    def _forgotten(self, why: str, how: Forgotten) -> None:
        if self._mask is not None:
            self._mask.forget(why)
        if self._self_score is not None and how is not Forgotten.ON_REQUEST:
            self._self_score.begin_anew()
        anew = how is Forgotten.TIME_BEGAN_ANEW
        code = ErrorCode.TIME_JUMP if anew else ErrorCode.STALE_VIEW
        for server in self._servers:
            server.outdate(GoalError(code, f"{why}, while the goal was under way: ask again"))
        if anew:
            self._jump_told = False
            self._reports.alarm("time", diagnostics.WARN, why)
        elif how is Forgotten.CARRIED_AWAY:
            self._reports.warn(why)
        else:
            self._reports.say(why)

    def _answered(
        self, request: Any, grounded: GroundedQuestion, answer: Answer, result: Any
    ) -> None:
        """A goal was answered; called on the model's thread."""
        if result.imagined_view.image.height:
            self._imagined.show(result.imagined_view)
        self._reports.answered(result.answer.times)
        if self._self_score is not None:
            # may be compared with the place itself later
            self._self_score.keep(request, grounded, answer)

    def _refresh(self) -> None:
        """What is so now, for the diagnostics."""
        active, senses = self._model.active, self._senses
        if senses is None:
            return
        if active is None:
            message = "loading" if self._model.is_loading else "not active"
            self._reports.tell("model", diagnostics.WARN, message)
        else:
            self._reports.tell(
                "model",
                diagnostics.OK,
                active.imaginer.model_id,
                questions=self._reports.answers,
                goals=active.worker.goals,
            )
        level, message, figures = senses.remembering.health()
        self._reports.tell("memory", level, message, **figures)
        all_see = True
        for camera, (wrong, figures) in senses.health().items():
            level = diagnostics.ERROR if wrong else diagnostics.OK
            self._reports.tell(camera, level, wrong or "views arrive", **figures)
            all_see = all_see and not wrong
        if self._jump_told is False:
            self._jump_told = True  # by the message that comes now
        elif self._jump_told and all_see:
            self._reports.tell("time", diagnostics.OK, "goes on; it jumped back once")
            self._jump_told = None


def main() -> None:
    from ipt_ros.run import run_node

    run_node("ipt_node", IptNode)
