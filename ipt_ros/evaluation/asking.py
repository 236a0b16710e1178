"""One episode through an action of the running node: the goal, the wait for it, and the record of
what came back.

Every wait ends: a goal that brings no result in its time is cancelled and noted as a timeout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped

from imaginative_perception.action import AskSpatial, CountObjects, ImagineView, TracePath
from ipt_model.question import Outcome
from ipt_ros.answering.messages import ABSTAIN_TEXT
from ipt_ros.client import Asker, AskRefused, AskTimeout, Waiter
from ipt_ros.conversions import matrix_to_pose, planar_matrix
from ipt_ros.evaluation.episodes import Episode
from ipt_ros.evaluation.records import (
    ANSWERED,
    ERROR,
    LATE,
    REFUSED,
    TIMEOUT,
    UNPARSABLE,
    WITHHELD,
    Record,
)

ACTIONS = {
    action.__name__: action for action in (AskSpatial, CountObjects, ImagineView, TracePath)
}
#: The clearance question asks whether a path is free, a verdict says whether it is.
VERDICTS = {"yes": "clear", "no": "blocked"}
#: Until a goal is accepted, and a cancelled one has ended, s.
ACCEPTED_S, CANCELLED_S = 15.0, 5.0


class NodeGone(RuntimeError):
    """The node that is asked is not there, or not any more; the text names it."""


class Questioner:
    """frame: of the world. mode, seed: of every goal."""

    def __init__(
        self,
        asker: Asker,
        waiter: Waiter,
        frame: str,
        mode: str,
        seed: int,
        timeout_s: float,
    ) -> None:
        self._asker, self._waiter, self._frame = asker, waiter, frame
        self._mode, self._seed, self._timeout_s = mode, seed, timeout_s
        self.target = asker.target

    def ask(self, episode: Episode, world: str) -> tuple[Record, Any]:
        """The record, and the result with its pictures; None where none came."""
        blank = blank_record(episode, world)
        try:
            running = self._asker.start(ACTIONS[episode.action], self._goal(episode), ACCEPTED_S)
        except AskTimeout as error:
            raise NodeGone(f"{self._asker.target} does not answer: {error}") from error
        except AskRefused as error:
            return replace(blank, outcome=REFUSED, reason=str(error)), None
        try:
            self._waiter.until(running.result.done, episode.action, self._timeout_s)
        except AskTimeout as error:
            self.cancel(running)
            return replace(blank, outcome=TIMEOUT, reason=str(error)), None
        except BaseException:
            self.cancel(running)
            raise
        result = running.result.result().result
        return filled(blank, result), result

    def cancel(self, running: Any) -> None:
        """As far as the node still listens."""
        try:
            self._asker.cancel(running, CANCELLED_S)
        except AskTimeout:
            return

    def _goal(self, episode: Episode) -> Any:
        goal = ACTIONS[episode.action].Goal(mode=self._mode, seed=self._seed)
        if episode.action == "ImagineView":
            assert episode.viewpoint is not None
            goal.viewpoint.header.frame_id = self._frame
            # its height, roll and pitch are those of the camera, whatever the goal says
            goal.viewpoint.pose = matrix_to_pose(planar_matrix(*episode.viewpoint))
            goal.object, goal.question = episode.object, episode.text
            goal.options = [] if episode.object else list(episode.options)
        elif episode.action == "AskSpatial":
            goal.question, goal.options = episode.text, list(episode.options)
        elif episode.action == "CountObjects":
            goal.category, goal.max_count = episode.category, episode.max_count
        else:
            goal.robot_radius_m = episode.radius_m
            goal.path.header.frame_id = self._frame
            for x, y in episode.path:
                goal.path.poses.append(PoseStamped(pose=matrix_to_pose(planar_matrix(x, y, 0.0))))
        return goal


def blank_record(episode: Episode, world: str) -> Record:
    """Of an episode that nothing is known of yet."""
    words = episode.text
    if episode.object:
        words = f"{episode.text} of the {episode.object}"
    elif episode.category:
        words = f"how many: {episode.category}"
    elif episode.path:
        words = f"is the path clear for a radius of {episode.radius_m:g} m"
    return Record(
        id=episode.id,
        world=world,
        task=episode.task.value,
        kind=episode.kind,
        action=episode.action,
        question=words,
        options=episode.options,
        truth=episode.answer,
        outcome=ERROR,
        share_seen=episode.share_seen,
    )


def filled(blank: Record, result: Any) -> Record:
    """The record with what a result says."""
    answer = result.answer
    times = answer.times
    spoken = list(answer.options)
    stated = [float(p) for p in answer.option_probabilities]
    said, withheld = answer.answer, bool(answer.abstained)
    if blank.action == "TracePath":
        said, stated, spoken = verdict_of(result.verdict, spoken, stated)
        withheld = not said
    probabilities = in_order(blank.options, spoken, stated)
    would = blank.options[int(np.argmax(probabilities))] if probabilities else said
    return replace(
        blank,
        question=answer.question or blank.question,
        outcome=outcome_of(result.error_code, withheld, answer.abstain_reason),
        said="" if withheld else said,
        would_say=would,
        probabilities=probabilities,
        reason=result.error_msg or answer.abstain_reason,
        error_code=int(result.error_code),
        mode=answer.provenance.mode,
        model_id=answer.provenance.model_id,
        model_hash=answer.provenance.model_hash,
        times_s={
            name.removesuffix("_s"): float(getattr(times, name))
            for name in times.get_fields_and_field_types()
        },
    )


def verdict_of(
    verdict: Any, options: Sequence[str], stated: Sequence[float]
) -> tuple[str, list[float], list[str]]:
    """What a PathVerdict says, and the probabilities that go with it: its own where it decided,
    else what the model said of the path that was drawn.
    """
    blocked = float(verdict.probability_blocked)
    said = {verdict.CLEAR: "clear", verdict.BLOCKED: "blocked"}.get(verdict.verdict, "")
    if said and math.isfinite(blocked):
        return said, [1.0 - blocked, blocked], ["clear", "blocked"]
    return said, list(stated), [VERDICTS.get(option, option) for option in options]


def in_order(
    options: Sequence[str], spoken: Sequence[str], stated: Sequence[float]
) -> tuple[float, ...]:
    """The probabilities of our options in our order; empty where the reply is about others."""
    if len(spoken) != len(stated) or set(spoken) != set(options) or len(spoken) != len(options):
        return ()
    of = dict(zip(spoken, stated, strict=True))
    return tuple(round(of[option], 6) for option in options)


def outcome_of(error_code: int, withheld: bool, reason: str) -> str:
    if error_code:
        return ERROR
    if not withheld:
        return ANSWERED
    if reason == ABSTAIN_TEXT[Outcome.UNPARSABLE]:
        return UNPARSABLE
    return LATE if reason.startswith(ABSTAIN_TEXT[Outcome.OUT_OF_BUDGET]) else WITHHELD
