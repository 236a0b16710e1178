"""Whether an answer rests on the picture that it looked at: mirror the picture, and left becomes
right.

For questions of which the options are left and right. A model that answers from its inputs and not
from the picture says the same of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ipt_model.question import Answer, Mode, Question
from ipt_training.evaluation.asking import BatchAsker
from ipt_training.example import Example

SIDES = {"left", "right"}
#: Modes with a picture to mirror.
LOOKING = (Mode.IMAGINE, Mode.RECALL, Mode.GIVEN)


def can_turn(question: Question) -> bool:
    """Whether a mirrored picture has another answer."""
    return set(question.options) == SIDES


def turned_answers(
    asker: BatchAsker, examples: Sequence[Example], answers: Mapping[int, Mapping[Mode, Answer]]
) -> dict[int, dict[Mode, bool]]:
    """By place of the example and mode: whether the answer is the other one after the picture that
    it looked at, drawn, recalled or true, was mirrored. answers: those of the examples, by place.
    """
    places, modes, mirrored = [], [], []
    for place, own in answers.items():
        if not can_turn(examples[place].question):
            continue
        for mode in LOOKING:
            picture = _looked_at(examples[place], mode, own.get(mode))
            if picture is not None:
                places.append(place)
                modes.append(mode)
                view = np.ascontiguousarray(picture[:, ::-1])
                mirrored.append(replace(examples[place], true_view=view))
    turned: dict[int, dict[Mode, bool]] = {}
    for k, found in asker.ask(mirrored, [Mode.GIVEN]):
        before = answers[places[k]][modes[k]].text
        turned.setdefault(places[k], {})[modes[k]] = {before, found[Mode.GIVEN].text} == SIDES
    return turned


def _looked_at(example: Example, mode: Mode, answer: Answer | None) -> np.ndarray | None:
    """The picture that this answer was read from, None where nothing was read."""
    if answer is None or answer.text not in SIDES:
        return None
    if mode is Mode.GIVEN:
        return example.true_view
    if mode is Mode.RECALL:
        recalled = example.question.recalled
        return None if recalled is None else recalled.filled
    return answer.imagined_views[0] if answer.imagined_views else None
