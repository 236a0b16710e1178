"""The words around a question, checked against the layout that training uses."""

import json

import numpy as np
import pytest

from ipt_model.question import Question, Task
from ipt_model.wording import prompts
from ipt_model.wording.prompts import (
    Picture,
    PromptStyle,
    prompt_parts,
    question_text,
    think_sentence,
)

IMAGE = np.zeros((8, 8, 3), np.uint8)


def ask(task: Task = Task.PERSPECTIVE, text: str = "Where?", *options: str) -> Question:
    return Question(task, (IMAGE, IMAGE), text, options)


def test_training_order_is_pictures_then_one_text() -> None:
    question = ask(Task.PERSPECTIVE, "Will it be closer?", "closer", "further")
    parts = prompt_parts(question, PromptStyle(), draws=True)
    assert parts[:2] == (Picture(0), Picture(1)) and len(parts) == 3
    text = parts[2]
    assert isinstance(text, str) and text.startswith("\n")
    assert text.endswith("Will it be closer?\n(A) closer\n(B) further")
    for tag in ("<think>", "</think>", "<image_start>", "</image_end>", "<answer>", "</answer>"):
        assert tag in text


def test_the_answer_only_prompt_asks_for_no_drawing() -> None:
    text = prompt_parts(ask(), PromptStyle(), draws=False)[-1]
    assert isinstance(text, str) and "<answer>" in text and "<image_start>" not in text
    label_only = PromptStyle(answer_mode_prompt="think")
    assert "<image_start>" in str(prompt_parts(ask(), label_only, draws=False)[-1])


def test_evaluation_order_keeps_the_system_prompt_in_front() -> None:
    parts = prompt_parts(ask(), PromptStyle(order="system_first"), draws=True)
    assert [type(p) for p in parts] == [str, Picture, Picture, str]
    bare = PromptStyle(order="system_first", system_think="")
    assert prompt_parts(ask(), bare, draws=True) == (Picture(0), Picture(1), "Where?")


def test_a_checkpoint_can_bring_its_own_words() -> None:
    style = PromptStyle(system_think="Draw {x}.", image_end_in_prompt="<image_end>")
    assert style.system(draws=True) == "Draw {x}."
    assert "<image_end>" in PromptStyle(image_end_in_prompt="<image_end>").system(draws=True)
    assert PromptStyle.from_dict(json.loads(json.dumps(style.to_dict()))) == style


def test_words_are_listed_in_an_order_of_their_own() -> None:
    one = ask(Task.COUNTING, "How many?", "10 chairs", "2 chairs", "none")
    two = ask(Task.COUNTING, "How many?", "none", "10 chairs", "2 chairs")
    assert question_text(one, "word") == question_text(two, "word")
    assert question_text(one, "word") == "How many?\n2 chairs\n10 chairs\nnone"
    assert question_text(one, "letter") != question_text(two, "letter")
    assert prompts.option_names(one, "letter") == ("A", "B", "C")
    assert prompts.option_names(one, "word") == one.options


def test_targets_are_those_of_the_style() -> None:
    assert prompts.think_text("x.") == "<think>x.</think><image_start>"
    assert prompts.answer_text("A", drawn=True) == "<image_end><answer>A</answer>"
    assert prompts.answer_text("A", drawn=False) == "<answer>A</answer>"


def test_think_sentences() -> None:
    assert "on my left" in think_sentence(ask(Task.PATH, "What is on your left at M1?"))
    both = think_sentence(ask(Task.PATH, "Is it left or right?"))
    assert "left" not in both and "right" not in both
    assert all(think_sentence(ask(task)) for task in Task)
    injected = Question(Task.FREE, (IMAGE,), "Where?", think="Mine.")
    assert think_sentence(injected) == "Mine."


@pytest.mark.parametrize(
    ("entry", "message"),
    [({"order": "last"}, "order"), ({"answer_style": 3}, "answer_style"), ({"styl": 1}, "styl")],
)
def test_wrong_entries_are_named(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PromptStyle.from_dict(entry)
