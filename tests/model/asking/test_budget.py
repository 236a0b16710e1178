"""Budgets: fewer steps, no drawing, no answer; and what is learned from how long things took.

Time is a clock of the tests' own, which only the stages move, by as much as a test says. So
nothing here depends on the machine, and a budget that is overrun by a hair is seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_models import BOS, EOS, small_style, write_model

import ipt_model.asking.turn
from ipt_model.asking.costs import OLD_S, PATIENCE, WINDOW, StageCosts
from ipt_model.asking.imaginer import Imaginer
from ipt_model.asking.turn import Turn
from ipt_model.inference.flow import _Flow
from ipt_model.question import Answer, Mode, Outcome, Question, Task
from ipt_model.spatial.recalled import RecalledView
from ipt_model.weights.loading import LoadedModel

IMAGE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
QUESTION = Question(Task.FREE, (IMAGE,), "Which way?", ("left", "right"), think="Looking.")
FREE = dataclasses.replace(QUESTION, options=())


def view_of(picture: np.ndarray) -> RecalledView:
    """All of it seen."""
    size = picture.shape[:2]
    return RecalledView(picture, np.ones(size, np.float32), np.ones(size, bool))


SEEN = view_of(np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8))
REMEMBERED = dataclasses.replace(QUESTION, recalled=SEEN)
CHAIN = {
    BOS: "<answer>",
    "<answer>": "left",
    "left": "</answer>",
    "right": "</answer>",
    "</answer>": EOS,
}
STEPS, LEAST = 60, 5


@dataclasses.dataclass
class Machine:
    """A machine on which every stage takes as long as is set here, in seconds."""

    read_s: float = 0.2
    step_s: float = 0.1
    look_s: float = 0.1
    show_s: float = 0.15
    score_s: float = 0.05
    word_s: float = 0.01
    time_s: float = 100.0
    steps: int = 0

    def now(self) -> float:
        return self.time_s

    def takes(self, seconds: str, function: object) -> object:
        def slowly(*args: object, **kwargs: object) -> object:
            self.time_s += getattr(self, seconds)
            self.steps += seconds == "step_s"
            return function(*args, **kwargs)  # type: ignore[operator]

        return slowly


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, seconds in (
            (Turn, "read", "read_s"),
            (_Flow, "velocity", "step_s"),
            (Turn, "show_view", "show_s"),
            (Turn, "look", "look_s"),
            (ipt_model.asking.turn, "score_options", "score_s"),
            (Turn, "_keep_writing", "word_s"),
        ):
            patch.setattr(owner, name, machine.takes(seconds, getattr(owner, name)))
        yield machine


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    style = small_style(max_answer_tokens=8)
    flow = dataclasses.replace(style.flow, points=STEPS + 1, min_steps=LEAST)
    folder = write_model(
        tmp_path_factory.mktemp("budget"), CHAIN, dataclasses.replace(style, flow=flow)
    )
    return Imaginer.from_pretrained(folder, device="cpu")._open


@pytest.fixture
def imaginer(loaded: LoadedModel, machine: Machine) -> Imaginer:
    imaginer = Imaginer(loaded, machine.now)
    imaginer.warm_up()
    return imaginer


def outcomes(answers: list[Answer]) -> list[bool]:
    return [a.outcome is Outcome.ANSWERED for a in answers]


# -- one answer
def test_a_tight_budget_takes_fewer_steps(imaginer: Imaginer) -> None:
    free = imaginer.ask(QUESTION, Mode.IMAGINE)
    assert free.provenance.flow_steps == STEPS
    steps = []
    for budget in (6.0, 4.0, 2.0, 1.2):
        answer = imaginer.ask(QUESTION, budget_s=budget)
        assert answer.provenance.mode is Mode.IMAGINE
        assert answer.provenance.flow_steps_done == answer.provenance.flow_steps
        assert 0.8 * budget - 0.2 < answer.times.total_s <= budget
        steps.append(answer.provenance.flow_steps)
    assert STEPS > steps[0] > steps[1] > steps[2] > steps[3] >= LEAST


def test_a_tighter_one_draws_nothing_or_admits_defeat(
    imaginer: Imaginer, machine: Machine
) -> None:
    machine.steps = 0
    answer = imaginer.ask(QUESTION, budget_s=0.6)
    assert answer.provenance.mode is Mode.ANSWER and answer.imagined_views == ()
    assert answer.times.total_s < 0.6
    refused = imaginer.ask(QUESTION, mode=Mode.IMAGINE, budget_s=0.6)
    assert refused.outcome is Outcome.OUT_OF_BUDGET, "IMAGINE never turns into ANSWER"
    assert refused.times.total_s == 0 and machine.steps == 0


def test_no_time_at_all(imaginer: Imaginer) -> None:
    answer = imaginer.ask(QUESTION, budget_s=1e-6)
    assert (answer.outcome, answer.text) == (Outcome.OUT_OF_BUDGET, "")
    assert answer.option_probabilities == answer.imagined_views == ()
    assert answer.times.total_s == 0


def test_an_unmeasured_drawing_is_planned_anew(loaded: LoadedModel, machine: Machine) -> None:
    """Without estimates all steps are planned; three steps show that they will not fit."""
    machine.look_s = machine.score_s = 0.0  # never measured either
    naive = Imaginer(loaded, machine.now)
    answer = naive.ask(QUESTION, budget_s=3.55, seed=4)
    planned = answer.provenance.flow_steps
    assert machine.steps == 3 + planned, "begun again from the first step"
    assert answer.provenance.flow_steps_done == planned == 30, "what 0.2 and 3 x 0.1 s leave"
    assert answer.times.total_s <= 3.55
    again = naive.ask(QUESTION, Mode.IMAGINE, seed=4, flow_steps=planned)
    np.testing.assert_array_equal(answer.imagined_views[0], again.imagined_views[0])


def slow_after_twenty(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flow step after the twentieth takes 0.12 s more."""
    velocity = _Flow.velocity
    machine.steps = 0

    def slower(*args: object, **kwargs: object) -> object:
        machine.time_s += 0.12 if machine.steps > 20 else 0.0
        return velocity(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(_Flow, "velocity", slower)


def test_a_drawing_that_falls_behind_ends_in_one_stride(
    imaginer: Imaginer, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps become slow once the plan is made: nothing but a slower machine can do that."""
    slow_after_twenty(machine, monkeypatch)
    answer = imaginer.ask(QUESTION, mode=Mode.IMAGINE, budget_s=5.2, flow_steps=40)
    assert 20 < answer.provenance.flow_steps_done < answer.provenance.flow_steps == 40
    assert answer.imagined_views[0].std() > 0
    assert answer.times.total_s <= 5.2


# -- answers from what was seen
def test_recalling_is_refused_where_it_does_not_fit(imaginer: Imaginer, machine: Machine) -> None:
    """What showing takes is known from the warm-up alone: 0.2 s to read, 0.15 s to show, 0.12 s to
    answer, a tenth more to be sure."""
    imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=LEAST)
    refused = imaginer.ask(REMEMBERED, Mode.RECALL, budget_s=0.5)
    assert refused.outcome is Outcome.OUT_OF_BUDGET and refused.times.total_s == 0
    answer = imaginer.ask(REMEMBERED, Mode.RECALL, budget_s=0.54)
    assert answer.outcome is Outcome.ANSWERED
    assert answer.times.total_s == pytest.approx(0.47)


def test_what_showing_takes_is_learned_with_its_size(imaginer: Imaginer, machine: Machine) -> None:
    machine.show_s = 3.0
    for _ in range(WINDOW):
        imaginer.ask(REMEMBERED, Mode.RECALL)
    assert imaginer.ask(REMEMBERED, Mode.RECALL, budget_s=3.0).outcome is Outcome.OUT_OF_BUDGET
    given = dataclasses.replace(QUESTION, true_view=SEEN.rgb)
    assert imaginer.ask(given, Mode.GIVEN, budget_s=3.0).outcome is Outcome.OUT_OF_BUDGET
    small = dataclasses.replace(REMEMBERED, recalled=view_of(np.full((16, 16, 3), 90, np.uint8)))
    machine.show_s = 0.1
    imaginer.ask(small, Mode.RECALL)
    assert imaginer.ask(small, Mode.RECALL, budget_s=1.0).outcome is Outcome.ANSWERED


def test_auto_recalls_then_answers_at_once_when_time_is_short(
    loaded: LoadedModel, machine: Machine
) -> None:
    style = dataclasses.replace(loaded.style, recall_above={QUESTION.task: 0.5})
    imaginer = Imaginer(dataclasses.replace(loaded, style=style), machine.now)
    imaginer.warm_up()
    imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=LEAST)
    machine.steps = 0
    for budget, mode in ((None, Mode.RECALL), (0.6, Mode.RECALL), (0.5, Mode.ANSWER)):
        answer = imaginer.ask(REMEMBERED, budget_s=budget)
        assert (answer.outcome, answer.provenance.mode) == (Outcome.ANSWERED, mode)
        assert budget is None or answer.times.total_s <= budget
    assert machine.steps == 0


def test_a_budget_holds_with_what_was_seen_in_the_drawing(
    imaginer: Imaginer, machine: Machine
) -> None:
    for budget in (4.0, 2.0, 1.2):
        answer = imaginer.ask(REMEMBERED, Mode.IMAGINE, budget_s=budget)
        assert answer.outcome is Outcome.ANSWERED
        assert 0.8 * budget - 0.2 < answer.times.total_s <= budget
        np.testing.assert_array_equal(answer.imagined_views[0], SEEN.rgb)


def test_a_stride_keeps_to_what_was_seen(
    imaginer: Imaginer, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_after_twenty(machine, monkeypatch)
    seen = SEEN.seen.copy()
    seen[:, 40:] = False
    half = dataclasses.replace(REMEMBERED, recalled=dataclasses.replace(SEEN, seen=seen))
    answer = imaginer.ask(half, mode=Mode.IMAGINE, budget_s=5.2, flow_steps=40)
    assert 20 < answer.provenance.flow_steps_done < 40 and answer.times.total_s <= 5.2
    np.testing.assert_array_equal(answer.imagined_views[0][seen], SEEN.rgb[seen])


def test_endless_writing_ends_with_the_budget(tmp_path: Path, machine: Machine) -> None:
    style = small_style(max_answer_tokens=500)
    folder = write_model(tmp_path, {BOS: "on", "on": "on"}, style)
    endless = Imaginer(Imaginer.from_pretrained(folder, device="cpu")._open, machine.now)
    answer = endless.ask(QUESTION, mode=Mode.ANSWER, budget_s=0.5)
    assert answer.outcome is Outcome.OUT_OF_BUDGET
    assert answer.times.total_s == pytest.approx(0.5, abs=2 * machine.word_s)


# -- what is learned
def test_one_slow_free_answer_refuses_nobody(imaginer: Imaginer, machine: Machine) -> None:
    """Neither goals with options, whose answers are scored, nor other free ones."""
    machine.word_s = 5.0
    assert imaginer.ask(FREE, Mode.ANSWER).times.total_s > 10.0
    machine.word_s = 0.01
    for question in [QUESTION] * 23 + [FREE] * 23:
        answer = imaginer.ask(question, Mode.ANSWER, budget_s=3.0)
        assert answer.outcome is Outcome.ANSWERED and answer.times.total_s < 1.0


@pytest.mark.parametrize("slow", ["read_s", "score_s", "step_s", "look_s"])
def test_one_slow_stage_refuses_nobody(imaginer: Imaginer, machine: Machine, slow: str) -> None:
    usual = getattr(machine, slow)
    for _ in range(2):
        imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=20)
    setattr(machine, slow, 30.0)
    imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=20)
    setattr(machine, slow, usual)
    answer = imaginer.ask(QUESTION, Mode.IMAGINE, budget_s=4.0)
    assert answer.outcome is Outcome.ANSWERED and answer.provenance.flow_steps > 20


def test_auto_never_wastes_a_budget(imaginer: Imaginer, machine: Machine) -> None:
    """A drawing does not fit, again and again; that is no reason to believe that it would."""
    machine.step_s = 1.0
    imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=LEAST)
    imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=LEAST)
    imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=LEAST)
    machine.steps = 0
    for _ in range(200):
        answer = imaginer.ask(QUESTION, budget_s=3.0)
        assert answer.outcome is Outcome.ANSWERED and answer.times.total_s <= 3.0
        assert answer.provenance.mode is Mode.ANSWER
    assert machine.steps == 0


def test_a_drawing_that_proved_too_slow_is_not_begun_again_each_time(
    imaginer: Imaginer, machine: Machine
) -> None:
    """Measured when the machine was quick; what was found while drawing is not forgotten."""
    machine.step_s = 2.0
    machine.steps = 0
    answers = [imaginer.ask(QUESTION, budget_s=9.0) for _ in range(20)]
    assert all(outcomes(answers)) and machine.steps <= 3 * 3


def test_a_machine_that_was_slow_for_a_while_is_asked_again(
    imaginer: Imaginer, machine: Machine
) -> None:
    machine.read_s = 30.0
    for _ in range(WINDOW):
        imaginer.ask(QUESTION, Mode.ANSWER)
    machine.read_s = 0.2
    answers = [imaginer.ask(QUESTION, Mode.ANSWER, budget_s=3.0) for _ in range(12)]
    assert outcomes(answers) == [False] * (PATIENCE - 1) + [True] * (12 - PATIENCE + 1)


def test_after_long_silence_the_fastest_time_is_believed(
    imaginer: Imaginer, machine: Machine
) -> None:
    """AUTO answers all the time and so never retries a drawing for being refused."""
    machine.step_s = 10.0
    for _ in range(WINDOW):
        imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=LEAST)
    machine.step_s = 0.1
    assert imaginer.ask(QUESTION, budget_s=4.0).provenance.mode is Mode.ANSWER
    machine.time_s += OLD_S + 1
    assert imaginer.ask(QUESTION, budget_s=4.0).provenance.mode is Mode.IMAGINE


def test_hopeless_goals_are_tried_ever_more_seldom(imaginer: Imaginer, machine: Machine) -> None:
    machine.read_s = 2.0
    for _ in range(WINDOW):
        imaginer.ask(QUESTION, Mode.ANSWER)
    answers = [imaginer.ask(QUESTION, Mode.ANSWER, budget_s=1.0) for _ in range(100)]
    tried = [i + 1 for i, a in enumerate(answers) if a.times.total_s > 0]
    assert tried == [PATIENCE, 3 * PATIENCE, 7 * PATIENCE]
    assert not any(a.outcome is Outcome.ANSWERED for a in answers if a.times.total_s == 0)


def test_estimates() -> None:
    time_s = 0.0
    costs = StageCosts(lambda: time_s)
    assert costs.estimate("step", 16) == 0.0
    costs.observe("step", 16, 1.0)
    assert costs.estimate("step", 32) == 2.0, "bigger: in proportion"
    assert costs.estimate("step", 8) == 1.0, "smaller: at least what was measured"
    costs.observe("step", 16, 30.0)
    assert costs.estimate("step", 16) == 1.0, "of two nobody knows which is the rule"
    costs.observe("step", 16, 3.0)
    assert costs.estimate("step", 16) == 3.0, "the median"
    for _ in range(WINDOW):
        costs.observe("step", 16, 5.0)
    assert costs.estimate("step", 16) == 5.0, "the old ones are gone"
    costs.exceeded("step", 16, 4.0)
    assert costs.estimate("step", 16) == 5.0, "at least 4 is no news"
    for _ in range(WINDOW):
        costs.exceeded("step", 16, 7.0)
    assert costs.estimate("step", 16) == 7.0
    time_s = OLD_S + 1
    assert costs.estimate("step", 16) == 1.0, "after long silence the fastest"
    costs.observe("step", 16, 2.0, anew=True)
    assert costs.estimate("step", 16) == 2.0
    costs.clear()
    assert costs.estimate("step", 16) == 0.0
