"""One question with its true answer and the true unseen view: what tasks make, datasets store and
evaluation asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ipt_model.question import Question
from ipt_model.spatial.recalled import RecalledView

#: The true view where nobody knows it.
NO_VIEW = np.zeros((0, 0, 3), np.uint8)


#: Side of the cells of the floor that are places, m.
PLACE_M = 2.0


class ExampleError(ValueError):
    """An example without a right answer; the message says what was given."""


@dataclass(frozen=True)
class Example:
    """A question with everything that is known about it.

    question: images, text and options, exactly as the model will be asked (no `true_view`).
    answer_index: the right one of `question.options`.
    true_view: what a camera at the asked place sees, H x W x 3 uint8 RGB: what the model should
        draw. `NO_VIEW` where a public benchmark does not have it.
    think: the sentence that introduces the drawing. reasoning: text chain-of-thought from the
        geometry.
    recalled: the true view as far as the robot has seen it; None where it remembers nothing.
    variant: how the task was posed (`marker`, `pose`, `pose+anchored`, ...). subcategory: what
        is balanced.
    scene_seed: the world. facts: JSON-able numbers (poses, distances, counts) that audits and
        auxiliary losses read.
    """

    question: Question
    answer_index: int
    true_view: np.ndarray
    think: str
    reasoning: str
    variant: str
    subcategory: str
    scene_seed: int
    facts: dict[str, Any] = field(default_factory=dict)
    recalled: RecalledView | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.answer_index < len(self.question.options):
            raise ExampleError(
                f"answer_index: expected the place of one of the options "
                f"{list(self.question.options)}, counted from 0, got {self.answer_index}"
            )

    @property
    def home(self) -> str:
        """The rendered scene, or the place of what a robot saw: examples of one home are alike."""
        place = self.facts.get("place_m")
        if place is None:
            return f"scene {self.scene_seed}"
        cell = f"{place[0] // PLACE_M:.0f} {place[1] // PLACE_M:.0f}"
        return f"place {cell} {self.facts.get('recording', '')}".rstrip()

    @property
    def asked(self) -> Question:
        """The question with the true view, where it is known."""
        view = self.true_view
        return replace(self.question, true_view=view) if view.size else self.question

    @property
    def answer(self) -> str:
        return self.question.options[self.answer_index]
