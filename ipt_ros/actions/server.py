"""The life of a goal, the same for every action: accepted, queued, answered with feedback, ended
exactly once.

The executor's thread accepts and ends goals; the model's thread does everything between. A goal
that cannot be answered ends aborted with a code and a text; it never takes the node with it. One
that waits for its turn ends as soon as it is cancelled or its budget is over, and all end when the
process does, whatever the model is at.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import Future as PoolFuture
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.action import ActionServer, CancelResponse
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile
from rclpy.task import Future
from std_msgs.msg import Header

from ipt_model.question import Answer, Cancelled, Mode, Outcome, Progress, QuestionError
from ipt_ros.actions.desk import Desk
from ipt_ros.answering.guard import GuardScores, Thresholds, option_spread, why_withheld
from ipt_ros.answering.messages import ABSTAIN_TEXT, answer_message, imagined_message
from ipt_ros.answering.model_life import ActiveModel
from ipt_ros.answering.questions import GroundedQuestion
from ipt_ros.errors import ErrorCode, GoalError, is_out_of_memory
from ipt_ros.senses.images import rgb_to_image
from ipt_ros.spinning import bridged, hand_over
from ipt_ros.texts import MOST_INSIDE, cut

if TYPE_CHECKING:
    from rclpy.node import Node

#: Fills in the fields that only this action's result has.
Finish = Callable[[Any, Answer], None]
#: The default depth of 10 silently drops requests of a burst; nobody then hears of them again.
SERVICE_QOS = QoSProfile(depth=200)
#: rclpy keeps every result, pictures and all, for this long after the goal ended.
RESULT_KEPT_S = 30
#: Between two reports of one stage that bring no picture: a model writes hundreds of words a
#: second.
FEEDBACK_PERIOD_S = 0.1
#: An asker fetches its result this soon after the goal was accepted or ended, s.
FETCHED_S = 0.15


@dataclass(frozen=True)
class Wish:
    """How the asker wants the answer. budget_s: from acceptance to result; None is no limit."""

    mode: Mode
    budget_s: float | None
    seed: int
    accepted: float

    def left_s(self) -> float | None:
        """Seconds of the budget that are left now; never quite none, which the model refuses."""
        if self.budget_s is None:
            return None
        return max(1e-3, self.accepted + self.budget_s - time.monotonic())


class Feedback:
    """Tells an asker how far a goal is. Called on the model's thread; the executor's publishes,
    because that takes milliseconds for which the model would have to wait.
    """

    def __init__(self, goal: Any, message: Any, executor: Any) -> None:
        """message: the action's type of feedback."""
        self._goal, self._message, self._executor = goal, message, executor
        self._stage, self._told = "", -math.inf
        self._waiting: deque[Progress] = deque()

    def tell(self, progress: Progress) -> None:
        now = time.monotonic()
        soon = now - self._told < FEEDBACK_PERIOD_S
        if soon and progress.stage == self._stage and progress.preview is None:
            return
        self._stage, self._told = progress.stage, now
        self._waiting.append(progress)
        self._executor.create_task(self.publish)

    def publish(self) -> None:
        """All that was told so far, in order; an executor runs its newest task first. Once more
        before the goal ends: nothing may follow a result.
        """
        while self._waiting and self._goal.is_active:
            progress = self._waiting.popleft()
            message = self._message(stage=progress.stage, progress=float(progress.fraction))
            if progress.preview is not None:
                message.preview = rgb_to_image(progress.preview, Header())
            self._goal.publish_feedback(message)


class GoalServer:
    """One action. `prepare` makes, on the model's thread, the question and what fills in this
    action's own fields.
    """

    def __init__(
        self,
        node: Node,
        desk: Desk,
        action_type: Any,
        name: str,
        prepare: Callable[[Any], tuple[GroundedQuestion, Finish | None]],
    ) -> None:
        self._node, self._desk = node, desk
        self._type = action_type
        self._prepare = prepare
        #: What the goals that have not ended wait for, and the work of each, by the goal's id.
        self._open: dict[bytes, tuple[Future, PoolFuture[None]]] = {}
        self._ended = -math.inf
        self._going = False
        #: Why goals that began before this object was put here cannot be answered.
        self._outdated: GoalError | None = None
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._server = ActionServer(
            node,
            action_type,
            name,
            self._execute,
            cancel_callback=self._cancel,
            goal_service_qos_profile=SERVICE_QOS,
            result_service_qos_profile=SERVICE_QOS,
            cancel_service_qos_profile=SERVICE_QOS,
            result_timeout=RESULT_KEPT_S,
        )

    def destroy(self) -> None:
        self._server.destroy()

    def end_all(self) -> None:
        """The process is going: every goal ends now, even if the model is still at it or, accepted
        already, has not seen it.
        """
        self._going = True
        for done, _ in list(self._open.values()):
            if not done.done():
                done.set_result(None)

    def outdate(self, error: GoalError) -> None:
        """What goals under way were asked of is forgotten: they end with this error, whatever
        would have come of them.
        """
        self._outdated = error

    def _still_of(self, before: GoalError | None) -> None:
        """Raises what ended the time that a goal began in, if that is over."""
        now = self._outdated
        if now is not None and now is not before:
            raise now

    def owes(self) -> bool:
        """Whether an asker may not have heard yet how its goal ended."""
        return bool(self._open) or time.monotonic() - self._ended < FETCHED_S

    def _cancel(self, goal: Any) -> CancelResponse:
        # once rclpy has noted it; work that has begun asks for itself whether it is cancelled
        hand_over(self._node, self._drop, goal)
        return CancelResponse.ACCEPT

    def _drop(self, goal: Any) -> None:
        if bytes(goal.goal_id.uuid) in self._open:
            _, work = self._open[bytes(goal.goal_id.uuid)]
            work.cancel()

    def _end_waiting(self, work: PoolFuture[None], after_s: float) -> Any:
        """A timer that ends the wait only: work that has begun keeps the budget itself."""

        def over() -> None:
            timer.cancel()
            work.cancel()

        timer = self._node.create_timer(max(1e-3, after_s), over, clock=self._steady)
        return timer

    async def _execute(self, goal: Any) -> Any:
        """On the executor's thread: hand over, wait without blocking, end the goal."""
        active = self._desk.model.active
        result = self._type.Result()
        wish = deadline = None
        try:
            if self._going:
                raise Cancelled
            if active is None:
                raise GoalError(ErrorCode.NOT_ACTIVE, self._desk.model.why_not_active())
            wish = self._wish(goal.request)
            feedback = Feedback(goal, self._type.Feedback, self._node.executor)
            work = active.worker.submit_goal(
                lambda: self._answer(goal, wish, active, feedback, result)
            )
            if wish.budget_s is not None:
                deadline = self._end_waiting(work, wish.budget_s)
            done = bridged(work, self._node.executor)
            self._open[bytes(goal.goal_id.uuid)] = done, work
            if goal.is_cancel_requested:
                work.cancel()
            await done
            if not work.done():
                raise Cancelled  # by end_all
            feedback.publish()
            work.result()
            goal.succeed()
        except (Cancelled, CancelledError):
            result = self._type.Result()
            self._broken_off(goal, wish, active, result)
        except Exception as error:
            result = self._type.Result()
            failure = self._desk.reports.report(error, self._type.__name__)
            result.error_code, result.error_msg = int(failure.code), failure.text
            result.answer.abstained = True
            result.answer.abstain_reason = failure.text
            goal.abort()
        finally:
            if deadline is not None:
                self._node.destroy_timer(deadline)
            self._open.pop(bytes(goal.goal_id.uuid), None)
            self._ended = time.monotonic()
        return result

    def _broken_off(self, goal: Any, wish: Any, active: Any, result: Any) -> None:
        """A goal that did not get its turn, or not to the end of it."""
        result.error_code = int(ErrorCode.CANCELLED)
        result.answer.abstained = True
        if goal.is_cancel_requested:
            result.error_msg = "cancelled by the asker"
            goal.canceled()
        elif self._going or active.stopping.is_set():
            result.error_msg = "the node was deactivated"
            goal.abort()
        else:  # as if its turn had come too late, which is no error either
            result.error_code = int(ErrorCode.NONE)
            reason = ABSTAIN_TEXT[Outcome.OUT_OF_BUDGET]
            result.answer.abstain_reason = f"{reason}: it was over before the goal's turn came"
            waited_s = time.monotonic() - wish.accepted
            result.answer.times.queue_s = result.answer.times.total_s = waited_s
            goal.succeed()

    def _wish(self, request: Any) -> Wish:
        values = self._desk.live.values
        name = request.mode or values.default_mode
        if name not in ("answer", "imagine", "recall", "auto"):
            raise GoalError(
                ErrorCode.BAD_GOAL,
                "mode: expected answer, imagine, recall or auto, "
                f"got '{cut(request.mode, MOST_INSIDE)}'",
            )
        budget_s = request.budget.sec + request.budget.nanosec * 1e-9
        if budget_s < 0:
            raise GoalError(ErrorCode.BAD_GOAL, f"budget: expected 0 or more, got {budget_s} s")
        return Wish(Mode(name), budget_s or None, request.seed, time.monotonic())

    def _answer(
        self, goal: Any, wish: Wish, active: ActiveModel, feedback: Feedback, result: Any
    ) -> None:
        """On the model's thread: look, ask, and fill in the result."""
        started = time.monotonic()
        values = self._desk.live.values
        before = self._outdated

        def on_progress(progress: Progress) -> bool:
            self._still_of(before)
            feedback.tell(progress)
            return not (goal.is_cancel_requested or active.stopping.is_set())

        if not on_progress(Progress("preprocess", 0.0)):
            raise Cancelled
        grounded, finish = self._prepare(goal.request)
        prepared = time.monotonic()
        try:
            answer = active.imaginer.ask(
                grounded.question,
                mode=wish.mode,
                budget_s=wish.left_s(),
                seed=wish.seed,
                on_progress=on_progress,
                k=values.imaginations,
                flow_steps=values.flow_steps or None,
            )
        except QuestionError as error:
            raise GoalError(ErrorCode.BAD_GOAL, str(error)) from error
        except (Cancelled, MemoryError, GoalError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            self._desk.reports.trace(error)
            text = f"{type(error).__name__}: {error}"
            raise GoalError(ErrorCode.MODEL_FAILED, text) from error
        times = replace(
            answer.times,
            queue_s=started - wish.accepted,
            preprocess_s=answer.times.preprocess_s + prepared - started,
        )
        answer = replace(answer, times=times)
        scores, withheld = judge(grounded, answer, values)
        fixed_frame = self._desk.senses().poses.fixed_frame
        result.imagined_view = imagined_message(grounded, answer, scores, fixed_frame)
        result.answer = answer_message(grounded, answer, withheld, values.answer_valid_s)
        if finish is not None:
            finish(result, answer)
        self._still_of(before)
        # last, so that it covers everything but the way back
        result.answer.times.total_s = time.monotonic() - wish.accepted
        self._desk.answered(goal.request, grounded, answer, result)


def judge(grounded: GroundedQuestion, answer: Answer, values: Any) -> tuple[GuardScores, str]:
    """How far the answer can be believed, and why it is withheld, if it is."""
    overlap = consistency = math.nan
    of_map = grounded.check is not None and grounded.check.of_map
    if answer.raw_views and grounded.check is not None:
        # as it was drawn, and where it was free: what it was held to agrees with itself
        overlap, consistency = grounded.check(answer.raw_views[0], answer.unheld)
    spread = 0.0
    if answer.option_probabilities:
        chosen = int(np.argmax(answer.option_probabilities))
        spread = option_spread(answer.probabilities_by_view, chosen)
    scores = GuardScores(overlap, consistency, spread)
    # a map that says nothing scores 0.5, a view that shows nothing scores 0
    agreement = values.min_map_agreement if of_map else values.min_consistency
    limits = Thresholds(values.min_confidence, agreement, values.max_spread)
    return scores, why_withheld(answer, scores, limits)
