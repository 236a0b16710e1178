"""Budgets: fewer steps, no drawing, no answer, and each within one step.

Time is this process's own processor time, so that a machine busy with other work changes nothing.
"""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_models import BOS, EOS, small_recipe, write_model

from ipt_model.costs import StageCosts
from ipt_model.flow import _Flow
from ipt_model.imaginer import Imaginer
from ipt_model.question import Cancelled, Mode, Outcome, Progress, Question, Task

IMAGE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
QUESTION = Question(Task.FREE, (IMAGE,), "Which way?", ("left", "right"), think="Looking.")
CHAIN = {
    BOS: "<answer>",
    "<answer>": "left",
    "left": "</answer>",
    "right": "</answer>",
    "</answer>": EOS,
}
#: More than any budget below allows, even on a machine that suddenly gets twenty times faster.
STEPS = 3000


@pytest.fixture(scope="module", autouse=True)
def own_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", time.process_time)
        yield


@pytest.fixture(scope="module")
def imaginer(own_time: None, tmp_path_factory: pytest.TempPathFactory) -> Imaginer:
    recipe = small_recipe(max_answer_tokens=8)
    recipe = dataclasses.replace(
        recipe, flow=dataclasses.replace(recipe.flow, points=STEPS + 1, min_steps=5)
    )
    folder = write_model(tmp_path_factory.mktemp("budget"), CHAIN, recipe)
    imaginer = Imaginer.from_pretrained(folder, device="cpu")
    imaginer.warm_up()
    return imaginer


def step_seconds(imaginer: Imaginer) -> tuple[float, float]:
    """Median and longest of 60 flow steps on this machine, now."""
    stamps: list[float] = []

    def on_progress(progress: Progress) -> bool:
        stamps.append(time.perf_counter())
        return len(stamps) < 65

    with pytest.raises(Cancelled):
        imaginer.ask(QUESTION, mode=Mode.IMAGINE, on_progress=on_progress)
    steps = np.diff(stamps[5:])
    return float(np.median(steps)), float(steps.max())


def test_a_tight_budget_takes_fewer_steps(imaginer: Imaginer) -> None:
    step, longest = step_seconds(imaginer)
    answer_s = imaginer.ask(QUESTION, mode=Mode.ANSWER).times.total_s
    budget = 5 * answer_s + 150 * step
    answer = imaginer.ask(QUESTION, budget_s=budget)
    assert answer.provenance.mode is Mode.IMAGINE
    assert 5 <= answer.provenance.flow_steps_done <= answer.provenance.flow_steps < STEPS
    assert answer.times.total_s < budget + 10 * longest + answer_s


def test_a_tighter_one_draws_nothing_or_admits_defeat(imaginer: Imaginer) -> None:
    times = [imaginer.ask(QUESTION, mode=Mode.ANSWER).times.total_s for _ in range(5)]
    imaginer.ask(QUESTION, mode=Mode.IMAGINE, flow_steps=2)
    budget = 3 * max(times)
    hopeless = dataclasses.replace(
        imaginer.recipe, flow=dataclasses.replace(imaginer.recipe.flow, min_steps=STEPS)
    )
    loaded = dataclasses.replace(imaginer._open, recipe=hopeless)
    picky = Imaginer(loaded)
    picky._costs = imaginer._costs
    answer = picky.ask(QUESTION, budget_s=budget)
    assert answer.provenance.mode is Mode.ANSWER and answer.imagined == ()
    refused = picky.ask(QUESTION, mode=Mode.IMAGINE, budget_s=budget)
    assert refused.outcome is Outcome.OUT_OF_BUDGET, "IMAGINE never turns into ANSWER"
    assert refused.times.total_s < budget


def test_no_time_at_all(imaginer: Imaginer) -> None:
    answer = imaginer.ask(QUESTION, budget_s=1e-6)
    assert (answer.outcome, answer.text) == (Outcome.OUT_OF_BUDGET, "")
    assert answer.option_probabilities == answer.imagined == ()
    assert answer.times.total_s < 0.5


def test_an_unmeasured_drawing_is_planned_anew(imaginer: Imaginer) -> None:
    """Without estimates all steps are planned; three steps show that they will not fit."""
    naive = Imaginer(imaginer._open)
    step, longest = step_seconds(imaginer)
    budget = 150 * step + 0.2
    answer = naive.ask(QUESTION, budget_s=budget, seed=4)
    done, planned = answer.provenance.flow_steps_done, answer.provenance.flow_steps
    assert 5 <= done <= planned < STEPS
    # Tail stages were never measured either, so they may come on top, once.
    assert answer.times.total_s < budget + 10 * longest + 0.5
    if done == planned:  # else it slowed down once more; the same as when asked for outright
        again = naive.ask(QUESTION, Mode.IMAGINE, seed=4, flow_steps=planned)
        np.testing.assert_array_equal(answer.imagined[0], again.imagined[0])


def test_a_drawing_that_falls_behind_ends_in_one_stride(
    imaginer: Imaginer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps become slow once the plan is made: nothing but a slower machine can do that."""
    velocity = _Flow.velocity
    steps = 0

    def slower(*args: object, **kwargs: object) -> object:
        nonlocal steps
        steps += 1
        until = time.process_time() + (0.05 if steps > 20 else 0.0)
        while time.process_time() < until:
            pass
        return velocity(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(_Flow, "velocity", slower)
    imaginer.ask(QUESTION, mode=Mode.IMAGINE, flow_steps=10)  # estimates of now
    steps = 0
    budget = 1.5
    answer = imaginer.ask(QUESTION, mode=Mode.IMAGINE, budget_s=budget, flow_steps=60)
    assert 20 < answer.provenance.flow_steps_done < answer.provenance.flow_steps == 60
    assert answer.imagined[0].std() > 0
    assert answer.times.total_s < budget + 0.5


def test_endless_writing_ends_with_the_budget(tmp_path: Path) -> None:
    recipe = small_recipe(max_answer_tokens=3000)
    endless = Imaginer.from_pretrained(
        write_model(tmp_path, {BOS: "on", "on": "on"}, recipe), device="cpu"
    )
    answer = endless.ask(QUESTION, mode=Mode.ANSWER, budget_s=0.3)
    assert answer.outcome is Outcome.OUT_OF_BUDGET
    assert answer.times.total_s < 1.0


def test_a_refusal_does_not_refuse_for_ever(imaginer: Imaginer) -> None:
    unlucky = Imaginer(imaginer._open)
    unlucky._costs.observe("context", 1, 30.0)  # as after one very slow answer
    outcomes = [unlucky.ask(QUESTION, Mode.ANSWER, budget_s=5.0).outcome for _ in range(80)]
    assert outcomes[0] is Outcome.OUT_OF_BUDGET
    assert outcomes[-1] is not Outcome.OUT_OF_BUDGET


def test_estimates() -> None:
    costs = StageCosts()
    assert costs.estimate("step", 16) == 0.0 and not costs.knows("step")
    costs.observe("step", 16, 1.0)
    assert costs.estimate("step", 32) == 2.0, "bigger: in proportion"
    assert costs.estimate("step", 8) == 1.0, "smaller: at least what was measured"
    costs.observe("step", 16, 3.0)
    assert costs.estimate("step", 16) == 3.0, "slower counts at once"
    costs.observe("step", 16, 1.0)
    assert 1.0 < costs.estimate("step", 16) < 3.0, "faster only in part"
    costs.doubt()
    assert costs.estimate("step", 16) == pytest.approx(0.9 * 2.4)
    costs.clear()
    assert not costs.knows("step")
