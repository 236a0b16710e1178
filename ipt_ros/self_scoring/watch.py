"""Watches for places that were imagined, compares them when the robot gets there, and tells how it
went: the ROS side of `self_scoring`.

A timer only looks at poses; decoding, comparing and asking the model again happen on the model's
thread when it is free, and stop for a goal. Whatever goes wrong here is a diagnostic, no more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ipt_model.question import Answer, Cancelled, Mode, Outcome, Question, Task
from ipt_ros import diagnostics
from ipt_ros.answering.model_life import ActiveModel, ModelLife
from ipt_ros.answering.questions import GroundedQuestion, scaled
from ipt_ros.errors import GoalError
from ipt_ros.parameters.table import LiveParameters
from ipt_ros.reports import Reports
from ipt_ros.self_scoring.compare import (
    ImaginedView,
    ImaginedViews,
    Reach,
    RunningScore,
    Score,
    asked_anew,
    compare,
    is_same_place,
    reduced,
)
from ipt_ros.self_scoring.log import PairLog, PairLogError, training_row
from ipt_ros.senses.observations import Observation
from ipt_ros.senses.senses import Senses

if TYPE_CHECKING:
    from rclpy.node import Node

#: Between looks whether the camera stands where something was imagined, s.
LOOK_S = 0.5
#: From this many judged answers on, confidence this much too high is worth a warning.
ENOUGH, TOO_SURE = 10, 0.2


@dataclass(frozen=True)
class Pair:
    """A drawing and the truth, compared and waiting for the model to name the right answer."""

    imagined: ImaginedView
    question: Question
    truth: np.ndarray
    world_from_truth: np.ndarray
    score: Score


class SelfScoreOutput:
    """Made only when the parameter self_scoring_log names a folder."""

    def __init__(
        self,
        node: Node,
        model: ModelLife,
        senses: Senses,
        live: LiveParameters,
        reports: Reports,
    ) -> None:
        self._node, self._model = node, model
        self._senses, self._live, self._reports = senses, live, reports
        values = live.values
        self._log = PairLog(values.self_scoring_log, values.self_scoring_log_bytes)
        self._reach = Reach(
            values.self_scoring_distance_m,
            values.self_scoring_angle_rad,
            values.self_scoring_overlap,
        )
        self._waiting = ImaginedViews()
        self._unlabelled: deque[Pair] = deque(maxlen=16)
        self._running = RunningScore()
        self._foreign = self._unreadable = 0
        self._trouble = ""
        self._timer = node.create_timer(LOOK_S, self._look)
        self._tell()

    def destroy(self) -> None:
        self._node.destroy_timer(self._timer)

    # -- on the executor's thread -----------------------------------------------------------------

    def begin_anew(self) -> None:
        """Time began anew or the pose jumped: poses of before hold no more. What was compared
        already stays."""
        self._waiting.clear()
        self._tell()

    def _look(self) -> None:
        active = self._model.active
        if active is None or not (len(self._waiting) or self._unlabelled):
            return
        try:
            stamp_ns, pose = self._senses.newest_pose()
        except GoalError:
            return  # no view or no pose: others tell about that
        if self._unlabelled or self._waiting.seen_from(stamp_ns, pose, self._reach):
            active.worker.submit_continuous("self score", lambda: self._work(active))

    # -- on the model's thread --------------------------------------------------------------------

    def keep(self, goal: Any, grounded: GroundedQuestion, answer: Answer) -> None:
        """A goal was answered. What was imagined of another viewpoint waits for the robot to come
        there; goal: the request of an ImagineView.
        """
        active = self._model.active
        if (
            grounded.question.task is not Task.PERSPECTIVE
            or not answer.imagined_views
            or not active
        ):
            return
        assert grounded.camera is not None and grounded.world_from_camera is not None
        # what was put in its place was not imagined
        picture, recalled = answer.raw_views[0], grounded.question.recalled
        chosen = answer.outcome is Outcome.ANSWERED and bool(answer.option_probabilities)
        self._waiting.keep(
            ImaginedView(
                view=reduced(grounded.sources[0], active.most_px),
                target=goal.object,
                text=goal.question,
                options=tuple(goal.options),
                picture=picture,
                camera=scaled(grounded.camera, picture.shape[1], picture.shape[0]),
                world_from_camera=grounded.world_from_camera,
                stated=answer.text,
                confidence=answer.confidence if chosen else float("nan"),
                model_hash=answer.provenance.model_hash,
                seed=answer.provenance.seed,
                seen=None if recalled is None else recalled.seen,
            )
        )
        self._tell()

    def _work(self, active: ActiveModel) -> None:
        try:
            view = self._senses.newest_view()
            reach = self._reach
            for found in self._waiting.seen_from(view.stamp_ns, view.world_from_camera, reach):
                self._compare(found, view)
            while self._unlabelled:
                self._label(self._unlabelled[0], active)
                self._unlabelled.popleft()
        except (Cancelled, GoalError):
            pass  # a goal goes first, or the camera has just stopped: the next look tries again
        except PairLogError as error:
            self._unlabelled.popleft()
            if not self._trouble:
                self._reports.warn(str(error))
            self._trouble = str(error)
        except Exception as error:
            self._unlabelled.clear()
            self._reports.report(error, "self score")
        self._tell()

    def _compare(self, imagined: ImaginedView, view: Observation) -> None:
        self._waiting.drop(imagined)
        height, width = imagined.picture.shape[:2]
        truth = cv2.resize(view.rgb, (width, height), interpolation=cv2.INTER_AREA)
        grounded = asked_anew(imagined, view, self._model.picture_px)
        if not is_same_place(grounded, truth, self._live.values.min_consistency):
            self._foreign += 1
            return
        score = compare(imagined, view)
        if np.isnan(score.consistency):
            return  # too little of it was seen in depth to say anything
        self._running.add(score)
        self._unlabelled.append(
            Pair(imagined, grounded.question, truth, view.world_from_camera, score)
        )

    def _label(self, pair: Pair, active: ActiveModel) -> None:
        """Ask again with the truth shown, judge what was stated, and log the pair."""
        label = active.imaginer.ask(
            replace(pair.question, true_view=pair.truth),
            mode=Mode.GIVEN,
            on_progress=lambda _: active.is_free,
        )
        if label.outcome is not Outcome.ANSWERED or not label.text:
            self._unreadable += 1
            return
        stated = pair.imagined
        if not np.isnan(stated.confidence):
            self._running.judge(stated.confidence, stated.stated == label.text)
        row = training_row(
            stated,
            pair.question,
            pair.truth,
            pair.world_from_truth,
            label,
            pair.score,
            self._log.written,
        )
        self._log.append(row)
        self._trouble = ""

    def _tell(self) -> None:
        too_sure = self._running.judged >= ENOUGH and self._running.drift() > TOO_SURE
        message = "imagined views are compared when the robot sees the place"
        if too_sure:
            message = "the model is surer of what it imagines than it is right"
        self._reports.tell(
            "self score",
            diagnostics.WARN if self._trouble or too_sure else diagnostics.OK,
            self._trouble or message,
            waiting=len(self._waiting),
            foreign=self._foreign,
            unreadable=self._unreadable,
            logged=self._log.written,
            **self._running.figures(),
        )
