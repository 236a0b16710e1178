"""The reliance test: a mirrored picture must turn left and right round, if the answer rests on
it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ipt_model.question import Mode, Question, Task
from ipt_model.spatial.recalled import RecalledView
from ipt_model.weights.asking_style import AskingStyle
from ipt_training.evaluation.records import record_of, summary
from ipt_training.evaluation.reliance import LOOKING, turned_answers
from ipt_training.example import Example


def picture(bright_left: bool) -> np.ndarray:
    out = np.zeros((8, 8, 3), np.uint8)
    out[:, :4] = 255
    return out if bright_left else out[:, ::-1].copy()


def example(options: tuple[str, ...] = ("left", "right"), recalled: bool = True) -> Example:
    view = picture(True)
    seen = RecalledView(view, np.ones((8, 8), np.float32), np.ones((8, 8), bool))
    asked = Question(
        Task.PERSPECTIVE, (view,), "Which side?", options, recalled=seen if recalled else None
    )
    return Example(asked, 0, view, "I look.", "", "pose", "left-left", 0, {})


class Asker:
    """Answers by the picture that it is given, or always alike."""

    def __init__(self, looks: bool) -> None:
        self.looks = looks

    def ask(self, examples, modes, first=0):
        assert list(modes) == [Mode.GIVEN]
        for place, one in enumerate(examples):
            left = bool(one.true_view[0, 0, 0]) if self.looks else True
            yield place, {Mode.GIVEN: said("left" if left else "right")}


def said(text: str, *views: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(
        text=text, imagined_views=views, option_probabilities=(0.9, 0.1), outcome=None, reply=""
    )


ANSWERS = {
    Mode.ANSWER: said("left"),
    Mode.IMAGINE: said("left", picture(True)),
    Mode.RECALL: said("left"),
    Mode.GIVEN: said("left"),
}


@pytest.mark.parametrize("looks", [True, False])
def test_every_picture_is_mirrored_in_its_turn(looks: bool) -> None:
    found = turned_answers(Asker(looks), [example()], {0: ANSWERS})
    assert found == {0: dict.fromkeys(LOOKING, looks)}


def test_each_mode_is_held_against_its_own_picture() -> None:
    """A drawing of the other side, rightly read, turns as well as the true view."""
    answers = {**ANSWERS, Mode.IMAGINE: said("right", picture(False))}
    assert turned_answers(Asker(True), [example()], {0: answers})[0][Mode.IMAGINE]
    answers = {**ANSWERS, Mode.IMAGINE: said("left", picture(False))}
    assert not turned_answers(Asker(True), [example()], {0: answers})[0][Mode.IMAGINE]


def test_what_has_no_sides_or_no_picture_is_left_out() -> None:
    others = [example(("closer", "further away")), example(recalled=False)]
    answers = {0: ANSWERS, 1: {m: a for m, a in ANSWERS.items() if m is not Mode.RECALL}}
    found = turned_answers(Asker(True), others, answers)
    assert found == {1: {Mode.IMAGINE: True, Mode.GIVEN: True}}
    unread = {Mode.GIVEN: said(""), Mode.IMAGINE: said("left")}
    assert turned_answers(Asker(True), [example()], {0: unread}) == {}


def test_the_summary_counts_them() -> None:
    one = replace(example(recalled=False), true_view=picture(True))
    answers = {Mode.GIVEN: said("left")}
    records = [
        record_of(k, one, answers, AskingStyle(), {Mode.GIVEN: k < 3} if k < 4 else None)
        for k in range(6)
    ]
    found = summary(records, [Mode.GIVEN], AskingStyle())["perspective"]["modes"]["given"]
    assert (found["reliance"]["k"], found["reliance"]["n"]) == (3, 4)
