"""Asking in batches gives what `Imaginer.ask` gives one by one, in every mode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Outcome
from ipt_model.spatial.recalled import HOLE_RGB, RecalledView
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.loading import LoadedModel, load
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.evaluation.asking import MODES, BatchAsker, modes_of
from ipt_training.example import Example

pytestmark = pytest.mark.slow(25)


def compare(
    loaded: LoadedModel, data: Path, modes=MODES, flow_steps: int = 3, remember=None
) -> list[dict]:
    """Ask everything both ways; returns the batched answers. remember: gives each example its
    recalled view."""
    examples = [example_from_row(row) for row in Dataset(data)]
    if remember is not None:
        examples = [
            replace(e, question=replace(e.question, recalled=remember(number, e)))
            for number, e in enumerate(examples)
        ]
    asker = BatchAsker(loaded, batch=5, flow_steps=flow_steps, seed=11)
    found = dict(asker.ask(examples, modes))
    imaginer = Imaginer(loaded)
    for number, example in enumerate(examples):
        question = replace(example.question, true_view=example.true_view)
        assert set(found[number]) == set(modes_of(question, modes))
        for mode in found[number]:
            alone = imaginer.ask(question, mode, seed=11 + number, flow_steps=flow_steps)
            answer = found[number][mode]
            assert (answer.outcome, answer.text) == (alone.outcome, alone.text)
            assert (answer.reply, answer.think) == (alone.reply, alone.think)
            assert answer.option_probabilities == pytest.approx(
                alone.option_probabilities, abs=2e-4
            )
            assert answer.option_mass == pytest.approx(alone.option_mass, abs=2e-4)
            assert answer.provenance == alone.provenance
            for one, two in zip(answer.imagined_views, alone.imagined_views, strict=True):
                off = one.astype(int) - two.astype(int)
                assert np.abs(off).max() <= 1 and (off != 0).mean() < 0.01
    return [found[number] for number in range(len(examples))]


def test_batches_answer_as_single_questions_do(trained, data) -> None:
    loaded = load(trained, "cpu")
    replies = compare(loaded, data)
    outcomes = {r.outcome for own in replies for r in own.values()}
    assert Outcome.ANSWERED in outcomes  # not only failures were compared


def test_examples_with_and_without_memory_are_asked_together(trained, data) -> None:
    """Every third has no recalled view, the others one of which more or less was seen."""

    def remember(number: int, example: Example) -> RecalledView | None:
        if number % 3 == 0:
            return None
        seen = np.ones(example.true_view.shape[:2], bool)
        seen[:, : 20 * (number % 4)] = False
        rgb = example.true_view.copy()
        rgb[~seen] = HOLE_RGB
        return RecalledView(rgb, np.where(seen, 1.0, 0.0).astype(np.float32), seen)

    replies = compare(load(trained, "cpu"), data, flow_steps=2, remember=remember)
    for number, own in enumerate(replies):
        assert (Mode.RECALL in own) == (number % 3 != 0)
        shares = {answer.share_seen for answer in own.values()}
        assert len(shares) == 1 and (shares == {None}) == (number % 3 == 0)


def test_guided_drawing_and_split_encodings_agree_too(trained, data) -> None:
    loaded = load(trained, "cpu")
    style = loaded.style
    flow = replace(style.flow, text_scale=2.0, image_scale=1.5, renorm="text_channel")
    inputs = replace(style.inputs, answer=("vit",))
    prompt = replace(style.prompt, order="system_first")
    guided = replace(loaded, style=replace(style, flow=flow, inputs=inputs, prompt=prompt))
    compare(guided, data, modes=(Mode.ANSWER, Mode.IMAGINE), flow_steps=2)


def test_letters_and_temperatures_agree_too(trained, data) -> None:
    loaded = load(trained, "cpu")
    style: AskingStyle = loaded.style
    temperature = {example_from_row(Dataset(data)[0]).question.task: {Mode.ANSWER: 2.5}}
    letters = replace(
        style, prompt=replace(style.prompt, answer_style="letter"), temperature=temperature
    )
    compare(replace(loaded, style=letters), data, modes=(Mode.ANSWER,))


def test_a_model_that_says_nothing_useful_is_unparsable_both_ways(trained, data) -> None:
    loaded = load(trained, "cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight.normal_()
    short = replace(loaded.style, max_answer_tokens=6, max_think_tokens=6)
    replies = compare(replace(loaded, style=short), data, modes=(Mode.ANSWER, Mode.IMAGINE))
    assert all(r.outcome is Outcome.UNPARSABLE for own in replies for r in own.values())
