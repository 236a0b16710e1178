"""What the actions share: where they take a question's parts from, and whom they tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ipt_model.question import Answer
from ipt_ros.answering.model_life import ModelLife
from ipt_ros.answering.questions import GroundedQuestion
from ipt_ros.parameters.table import LiveParameters
from ipt_ros.reports import Reports
from ipt_ros.senses.senses import Senses

#: answered(request, grounded, answer, result): a goal was; called on the model's thread.
Answered = Callable[[Any, GroundedQuestion, Answer, Any], None]


@dataclass(frozen=True)
class Desk:
    """senses: those of the configured node; asked for while the model is active only."""

    model: ModelLife
    senses: Callable[[], Senses]
    live: LiveParameters
    reports: Reports
    answered: Answered
