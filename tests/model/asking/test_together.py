"""Questions answered in step, as an evaluation asks them, have the answers that each has alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_models import BOS, EOS, small_style, write_model

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Outcome, Question, QuestionError, Task

RNG = np.random.default_rng(3)
MODES = (Mode.ANSWER, Mode.IMAGINE, Mode.GIVEN)
DEFAULT = "Visualizing the scene from the new perspective."
#: Own pictures, views and options; texts of one length.
QUESTIONS = [
    Question(
        Task.PERSPECTIVE,
        (RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8),),
        f"Is it to the {side} of {colour} box?",
        options,
        true_view=RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8),
    )
    for side, colour, options in (
        ("left", "red", ("left", "right")),
        ("right", "blue", ("yes", "no")),
        ("left", "green", ("right", "left")),
    )
]


def together(
    imaginer: Imaginer, questions: Sequence[Question], modes: Sequence[Mode] = MODES
) -> None:
    """Ask both ways and compare."""
    asked = [imaginer.prepare(question) for question in questions]
    seeds = [20 + k for k in range(len(asked))]
    found = imaginer.ask_together(asked, modes, seeds, flow_steps=3)
    for question, seed, answers in zip(questions, seeds, found, strict=True):
        for mode in modes:
            alone = imaginer.ask(question, mode, seed=seed, flow_steps=3)
            answer = answers[mode]
            assert (answer.outcome, answer.text) == (alone.outcome, alone.text)
            assert (answer.think, answer.reply) == (alone.think, alone.reply)
            assert answer.provenance == alone.provenance
            pairs = zip(answer.imagined_views, alone.imagined_views, strict=True)
            # The batch sums in another order; a value at an integer's edge may fall either way.
            assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in pairs)
            for name in ("option_probabilities", "option_mass"):
                expected = getattr(alone, name)
                assert getattr(answer, name) == (expected and pytest.approx(expected, abs=2e-4))


def test_a_model_of_random_weights(tmp_path: Path) -> None:
    style = small_style(max_answer_tokens=6, max_think_tokens=6)
    imaginer = Imaginer.from_pretrained(write_model(tmp_path, style=style), "cpu")
    together(imaginer, QUESTIONS)
    together(imaginer, [dataclasses.replace(q, options=()) for q in QUESTIONS])


def test_answers_that_rest_on_the_view(tmp_path: Path) -> None:
    """They do not change with the input pictures."""
    style = small_style(max_answer_tokens=6, max_think_tokens=6, rests_on_view=(Task.PERSPECTIVE,))
    imaginer = Imaginer.from_pretrained(write_model(tmp_path, style=style), "cpu")
    together(imaginer, QUESTIONS)
    one = QUESTIONS[0]
    other = dataclasses.replace(one, images=QUESTIONS[1].images)
    given = [imaginer.ask(q, Mode.GIVEN).option_probabilities for q in (one, other)]
    assert given[0] == pytest.approx(given[1], abs=1e-6)
    at_once = [imaginer.ask(q, Mode.ANSWER).option_mass for q in (one, other)]
    assert at_once[0] != pytest.approx(at_once[1], rel=1e-6)


def test_replies_that_reason_first(tmp_path: Path) -> None:
    says = {"<answer>": {"left": 2.0, "right": 1.0}, "left": "</answer>", "</answer>": EOS}
    chain = {BOS: "<think>", "<think>": "Use", "Use": "</think>", "</think>": "<answer>", **says}
    imaginer = Imaginer.from_pretrained(write_model(tmp_path, chain), "cpu")
    together(imaginer, QUESTIONS)
    assert imaginer.ask(QUESTIONS[0], Mode.ANSWER).outcome is Outcome.ANSWERED
    assert imaginer.ask(QUESTIONS[1], Mode.ANSWER).outcome is Outcome.UNPARSABLE


def test_a_thought_of_its_own_is_kept(tmp_path: Path) -> None:
    """Also when the caller of another question in step has written the thought."""
    chain = {BOS: "<think>", "<think>": "Use", "Use": "</think>", "</think>": "<image_start>"}
    model = write_model(tmp_path, {**chain, "<image_start>": EOS})
    imaginer = Imaginer.from_pretrained(model, "cpu")
    told = dataclasses.replace(QUESTIONS[1], think=DEFAULT)
    together(imaginer, [QUESTIONS[0], told, QUESTIONS[2]], [Mode.IMAGINE])
    asked = [imaginer.prepare(q) for q in (QUESTIONS[0], told)]
    own, its = imaginer.ask_together(asked, [Mode.IMAGINE], [1, 2], flow_steps=2)
    assert (own[Mode.IMAGINE].think, its[Mode.IMAGINE].think) == ("Use", DEFAULT)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    imaginer = Imaginer.from_pretrained(write_model(tmp_path, {BOS: EOS}), "cpu")
    some = [imaginer.prepare(question) for question in QUESTIONS[:2]]
    with pytest.raises(QuestionError, match="one seed for each of 2 questions"):
        imaginer.ask_together(some, [Mode.ANSWER], [1])
    with pytest.raises(QuestionError, match="modes answer, imagine, given"):
        imaginer.ask_together(some, [Mode.AUTO], [1, 2])
    longer = imaginer.prepare(dataclasses.replace(QUESTIONS[0], text="Where is it now, and why?"))
    with pytest.raises(QuestionError, match="one layout"):
        imaginer.ask_together([some[0], longer], [Mode.ANSWER], [1, 2])
    blind = imaginer.prepare(dataclasses.replace(QUESTIONS[0], true_view=None))
    with pytest.raises(QuestionError, match="true_view"):
        imaginer.ask_together([blind], [Mode.GIVEN], [1])
