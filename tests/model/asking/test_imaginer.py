"""Every mode of asking, on small checkpoints that go through real loading and real stages."""

import dataclasses
import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_models import BOS, EOS, small_style, write_model

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import (
    Answer,
    Cancelled,
    Mode,
    Outcome,
    Progress,
    Question,
    QuestionError,
    Task,
)
from ipt_model.weights.asking_style import InputEncodings
from ipt_model.wording.prompts import PromptStyle

RNG = np.random.default_rng(0)
IMAGES = tuple(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
ASKED = Question(Task.PERSPECTIVE, IMAGES, "Will it be on your left or right?", ("left", "right"))
INTRODUCED = dataclasses.replace(ASKED, think="Looking.")
#: Answers without and after a drawing begin differently, so each is a model of its own.
SAYS_LEFT = {"<answer>": {"left": 2.0, "right": 1.0}, "left": "</answer>", "right": "</answer>"}
ANSWERS = {BOS: "<answer>", **SAYS_LEFT, "</answer>": EOS}
ANSWERS_DRAWING = {BOS: "<image_end>", "<image_end>": "<answer>", **SAYS_LEFT, "</answer>": EOS}


def load(folder: Path, *args: object, **kwargs: object) -> Imaginer:
    return Imaginer.from_pretrained(write_model(folder, *args, **kwargs), device="cpu")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Imaginer:
    return load(tmp_path_factory.mktemp("answers"), ANSWERS)


@pytest.fixture(scope="module")
def draws(tmp_path_factory: pytest.TempPathFactory) -> Imaginer:
    return load(tmp_path_factory.mktemp("draws"), ANSWERS_DRAWING)


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> Imaginer:
    return load(tmp_path_factory.mktemp("random"), style=small_style(max_answer_tokens=8))


def left_against_right() -> tuple[float, float]:
    """What the chains above say: everything else scores 0, in a vocabulary of 1408."""
    left, right, others = math.exp(2), math.exp(1), 1406
    return left / (left + right), (left + right) / (left + right + others)


# -- modes


def test_answer_mode_reads_its_probabilities_from_the_logits(answers: Imaginer) -> None:
    answer = answers.ask(ASKED, mode=Mode.ANSWER)
    probability, mass = left_against_right()
    assert (answer.outcome, answer.text) == (Outcome.ANSWERED, "left")
    assert answer.reply == "<answer>left</answer>" and answer.think == ""
    assert answer.option_probabilities == pytest.approx((probability, 1 - probability), abs=1e-5)
    assert answer.option_mass == pytest.approx(mass, rel=1e-4)
    assert answer.imagined_views == answer.probabilities_by_view == ()
    assert answer.provenance.flow_steps == 0 and answer.provenance.mode is Mode.ANSWER


def test_imagine_mode_draws_looks_and_answers(draws: Imaginer) -> None:
    answer = draws.ask(INTRODUCED, mode=Mode.IMAGINE, seed=3)
    assert (answer.outcome, answer.text, answer.think) == (Outcome.ANSWERED, "left", "Looking.")
    assert answer.reply == "<image_end><answer>left</answer>"
    (view,) = answer.imagined_views
    assert view.shape == (64, 64, 3) and view.dtype == np.uint8 and view.std() > 0
    assert answer.provenance.flow_steps == answer.provenance.flow_steps_done == 6
    assert answer.provenance.seed == 3 and answer.provenance.model_id == "test"
    assert answer.probabilities_by_view == (answer.option_probabilities,)


def test_times_add_up(draws: Imaginer) -> None:
    shares = []
    for _ in range(5):  # another process may take the machine between two stages, not every time
        times = draws.ask(INTRODUCED, mode=Mode.IMAGINE).times
        stages = (times.preprocess_s, times.context_s, times.imagine_s, times.answer_s)
        assert min(stages) > 0
        shares.append(sum(stages) / times.total_s)
    assert 0.8 < max(shares) <= 1


def test_given_mode_needs_and_reads_the_true_view(draws: Imaginer) -> None:
    with pytest.raises(QuestionError, match="true_view"):
        draws.ask(ASKED, mode=Mode.GIVEN)
    answer = draws.ask(dataclasses.replace(ASKED, true_view=IMAGES[1]), mode=Mode.GIVEN)
    assert answer.text == "left" and answer.imagined_views == ()
    assert answer.think == "Visualizing the scene from the new perspective."


def test_what_is_given_and_what_is_drawn_reach_the_answer(random: Imaginer) -> None:
    masses = []
    for view in IMAGES:
        given = dataclasses.replace(ASKED, true_view=view)
        masses.append(random.ask(given, mode=Mode.GIVEN).option_mass)
    for seed in (0, 1):
        masses.append(random.ask(INTRODUCED, mode=Mode.IMAGINE, seed=seed).option_mass)
    assert len(set(masses)) == 4


def test_auto_takes_the_checkpoints_first_choice(draws: Imaginer, tmp_path: Path) -> None:
    assert draws.ask(INTRODUCED).provenance.mode is Mode.IMAGINE
    cautious = load(tmp_path, ANSWERS, small_style(auto=(Mode.ANSWER, Mode.IMAGINE)))
    assert cautious.ask(ASKED).provenance.mode is Mode.ANSWER


def test_auto_knows_for_which_tasks_drawing_pays(tmp_path: Path) -> None:
    order = {Task.PERSPECTIVE: (Mode.ANSWER, Mode.IMAGINE)}
    imaginer = load(tmp_path, ANSWERS_DRAWING, small_style(auto_by_task=order))
    for task, mode in ((Task.PERSPECTIVE, Mode.ANSWER), (Task.PATH, Mode.IMAGINE)):
        asked = dataclasses.replace(INTRODUCED, task=task)
        assert imaginer.ask(asked).provenance.mode is mode


def test_a_question_without_pictures(answers: Imaginer) -> None:
    bare = Question(Task.FREE, (), "Which way?", ("left", "right"))
    assert answers.ask(bare).provenance.mode is Mode.ANSWER
    with pytest.raises(QuestionError, match="view_size"):
        answers.ask(bare, mode=Mode.IMAGINE)
    sized = dataclasses.replace(bare, view_size=(30, 64), think="Looking.")
    assert answers.ask(sized, mode=Mode.IMAGINE).imagined_views[0].shape == (32, 64, 3)


def test_only_the_answering_half_is_loaded(tmp_path: Path) -> None:
    style = small_style(inputs=InputEncodings(answer=("vit",)))
    folder = write_model(tmp_path, ANSWERS, style)
    half = Imaginer.from_pretrained(folder, device="cpu", parts="answer")
    whole = Imaginer.from_pretrained(folder, device="cpu")
    answer = half.ask(ASKED)
    assert answer.provenance.mode is Mode.ANSWER
    expected = whole.ask(ASKED, mode=Mode.ANSWER)
    assert answer.option_probabilities == expected.option_probabilities
    given = dataclasses.replace(ASKED, true_view=IMAGES[1])
    assert half.ask(given, mode=Mode.GIVEN).outcome is Outcome.ANSWERED
    with pytest.raises(QuestionError, match="parts='answer'"):
        half.ask(ASKED, mode=Mode.IMAGINE)


# -- what the model says


def test_the_models_own_thinking_is_kept_when_it_opens_a_picture(tmp_path: Path) -> None:
    chain = {BOS: "<think>", "<think>": "Use", "Use": "</think>", "</think>": "<image_start>"}
    imaginer = load(tmp_path, {**chain, "<image_start>": EOS})
    answer = imaginer.ask(ASKED, mode=Mode.IMAGINE)
    assert answer.think == "Use" and len(answer.imagined_views) == 1
    assert answer.reply.startswith("<think>Use</think><image_start>")


def test_thinking_that_opens_no_picture_is_replaced_and_reported(tmp_path: Path) -> None:
    imaginer = load(tmp_path, {BOS: "<answer>", **SAYS_LEFT, "</answer>": EOS})
    answer = imaginer.ask(ASKED, mode=Mode.IMAGINE)
    assert answer.think == "Visualizing the scene from the new perspective."
    assert answer.reply == "<answer>left</answer>" * 2, "the raw text, then the answer"


def test_a_model_that_will_not_answer_is_unparsable(tmp_path: Path) -> None:
    chain = {BOS: "<think>", "<think>": "Use", "Use": "</think>", "</think>": "<image_start>"}
    imaginer = load(tmp_path, {**chain, "<image_start>": EOS})
    answer = imaginer.ask(ASKED, mode=Mode.ANSWER)
    assert (answer.outcome, answer.text) == (Outcome.UNPARSABLE, "")
    assert answer.reply == "<think>Use</think><image_start>"
    assert answer.option_probabilities == () and answer.confidence == 0
    assert answer.option_mass is not None and answer.option_mass < 1e-3


def test_reasoning_before_the_answer_is_read_and_scored_in_place(tmp_path: Path) -> None:
    chain = {BOS: "<think>", "<think>": "Use", "Use": "</think>", "</think>": "<answer>"}
    answer = load(tmp_path, {**chain, **ANSWERS, BOS: "<think>"}).ask(ASKED, mode=Mode.ANSWER)
    assert answer.reply == "<think>Use</think><answer>left</answer>"
    assert answer.text == "left"
    assert answer.option_probabilities[0] == pytest.approx(left_against_right()[0], abs=1e-5)


def test_a_free_question_is_answered_in_the_models_words(answers: Imaginer) -> None:
    answer = answers.ask(dataclasses.replace(ASKED, options=()), mode=Mode.ANSWER)
    assert (answer.text, answer.option_probabilities) == ("left", ())
    assert answer.option_mass is None


def test_letters_name_the_options_in_the_callers_order(tmp_path: Path) -> None:
    chain = {BOS: "<answer>", "<answer>": {"A": 1.0, "B": 2.0}, "A": "</answer>", "B": "</answer>"}
    style = small_style(prompt=PromptStyle(answer_style="letter"))
    imaginer = load(tmp_path, {**chain, "</answer>": EOS}, style)
    answer = imaginer.ask(ASKED, mode=Mode.ANSWER)
    assert (answer.text, answer.reply) == ("right", "<answer>B</answer>")
    assert answer.option_probabilities[1] == pytest.approx(left_against_right()[0], abs=1e-5)


def test_calibration_softens_the_probabilities(tmp_path: Path) -> None:
    warm = load(tmp_path, ANSWERS, small_style(temperature={Task.PERSPECTIVE: {Mode.ANSWER: 2.0}}))
    share = 1 / (1 + math.exp(-0.5))
    assert warm.ask(ASKED, mode=Mode.ANSWER).confidence == pytest.approx(share, abs=1e-5)
    other = dataclasses.replace(ASKED, task=Task.PATH)
    expected = left_against_right()[0]
    assert warm.ask(other, mode=Mode.ANSWER).confidence == pytest.approx(expected, abs=1e-5)


def test_the_order_of_options_does_not_matter_for_words(answers: Imaginer) -> None:
    options = ("left", "right", "behind the red ball")
    one = answers.ask(dataclasses.replace(ASKED, options=options), mode=Mode.ANSWER)
    two = answers.ask(dataclasses.replace(ASKED, options=options[::-1]), mode=Mode.ANSWER)
    assert one.text == two.text
    assert one.option_probabilities == pytest.approx(two.option_probabilities[::-1], abs=1e-6)
    assert sum(one.option_probabilities) == pytest.approx(1)


# -- several imagined views, and the same again


def test_k_imagined_views_are_those_of_k_questions(draws: Imaginer, random: Imaginer) -> None:
    for imaginer in (draws, random):
        together = imaginer.ask(INTRODUCED, mode=Mode.IMAGINE, seed=5, k=3)
        apart = [imaginer.ask(INTRODUCED, mode=Mode.IMAGINE, seed=5 + i) for i in range(3)]
        assert len(together.imagined_views) == len(together.probabilities_by_view) == 3
        for one, three in zip(apart, together.imagined_views, strict=True):
            # The batch sums in another order; a value at an integer's edge may fall to either
            # side.
            assert np.abs(one.imagined_views[0].astype(int) - three).max() <= 1
        assert len({view.tobytes() for view in together.imagined_views}) == 3
        mean = np.mean([a.option_mass for a in apart])
        assert together.option_mass == pytest.approx(mean, rel=1e-3)
    drawn = draws.ask(INTRODUCED, mode=Mode.IMAGINE, k=3)
    mean = np.mean(drawn.probabilities_by_view, axis=0)
    assert drawn.option_probabilities == pytest.approx(tuple(mean), abs=1e-12)


def test_same_seed_same_bytes(random: Imaginer) -> None:
    def ask(seed: int) -> Answer:
        return random.ask(INTRODUCED, mode=Mode.IMAGINE, seed=seed)

    one, again, other = ask(7), ask(7), ask(8)
    np.testing.assert_array_equal(one.imagined_views[0], again.imagined_views[0])
    assert (one.option_mass, one.reply) == (again.option_mass, again.reply)
    assert (one.imagined_views[0] != other.imagined_views[0]).any()


# -- progress, cancelling, waiting


def listen(imaginer: Imaginer, stop_at: int = 10**9, **ask: object) -> tuple[list[Progress], bool]:
    heard: list[Progress] = []

    def on_progress(progress: Progress) -> bool:
        heard.append(progress)
        return len(heard) < stop_at

    try:
        imaginer.ask(INTRODUCED, mode=Mode.IMAGINE, on_progress=on_progress, **ask)  # type: ignore[arg-type]
    except Cancelled:
        return heard, True
    return heard, False


def test_progress_tells_every_stage_step_and_previews(draws: Imaginer) -> None:
    heard, cancelled = listen(draws, flow_steps=20)
    assert not cancelled
    stages = list(dict.fromkeys(p.stage for p in heard))
    assert stages == ["preprocess", "context", "think", "imagine", "look", "answer"]
    assert sum(p.stage == "imagine" for p in heard) == 22, "the start, 20 steps, the end"
    fractions = [p.fraction for p in heard]
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1
    previews = [p.preview for p in heard if p.preview is not None]
    assert len(previews) == 5 and all(p.shape == (64, 64, 3) for p in previews)
    heard, _ = listen(draws, flow_steps=20, budget_s=60.0)
    assert sum(p.preview is not None for p in heard) == 5, "time enough for previews"


def test_every_report_is_a_chance_to_cancel(
    draws: Imaginer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipt_model.inference.flow import _Flow

    steps = 0
    velocity = _Flow.velocity

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal steps
        steps += 1
        return velocity(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(_Flow, "velocity", counted)
    heard, _ = listen(draws)
    for stop_at in range(1, len(heard) + 1):
        steps = 0
        told, cancelled = listen(draws, stop_at)
        assert cancelled and len(told) == stop_at
        finished = sum(p.stage == "imagine" for p in told) - 1
        assert steps == min(max(0, finished), 6), "no step begins after the refusal"
    assert draws.ask(INTRODUCED, mode=Mode.IMAGINE).outcome is Outcome.ANSWERED, "still usable"


def test_long_writing_can_be_cancelled(tmp_path: Path) -> None:
    style = small_style(max_answer_tokens=1000)
    endless = load(tmp_path, {BOS: "on", "on": "on"}, style)
    words = 0

    def on_progress(progress: Progress) -> bool:
        nonlocal words
        words += progress.stage == "answer"
        return words < 10

    with pytest.raises(Cancelled):
        endless.ask(ASKED, mode=Mode.ANSWER, on_progress=on_progress)
    assert words == 10


def test_one_question_at_a_time(draws: Imaginer) -> None:
    inside, waiting, release = threading.Event(), threading.Event(), threading.Event()
    results: list[Answer] = []

    def slow(progress: Progress) -> bool:
        if progress.stage == "imagine":
            inside.set()
            release.wait(10)
        return True

    def first() -> None:
        results.append(draws.ask(INTRODUCED, mode=Mode.IMAGINE, on_progress=slow))

    def wait(progress: Progress) -> bool:
        if progress.stage == "queued":
            waiting.set()
        return True

    def second() -> None:
        results.append(draws.ask(INTRODUCED, mode=Mode.IMAGINE, on_progress=wait))

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    with pytest.raises(Cancelled):  # a third in the queue may give up
        draws.ask(INTRODUCED, on_progress=lambda p: p.stage != "queued")
    assert waiting.wait(10)
    began = time.perf_counter()
    time.sleep(0.1)
    held_s = time.perf_counter() - began
    release.set()
    for thread in threads:
        thread.join(20)
    assert results[0].times.queue_s < results[1].times.queue_s
    assert results[1].times.queue_s >= held_s
    np.testing.assert_array_equal(results[0].imagined_views[0], results[1].imagined_views[0])


def test_a_closed_imaginer_says_so(tmp_path: Path) -> None:
    imaginer = load(tmp_path, ANSWERS)
    imaginer.close()
    with pytest.raises(RuntimeError, match="closed"):
        imaginer.ask(ASKED)
    with pytest.raises(RuntimeError, match="closed"):
        imaginer.warm_up()


# -- odd questions


@pytest.mark.parametrize("shape", [(1, 1, 3), (10, 5000, 3), (480, 640, 3)])
def test_odd_picture_sizes_are_answered_and_drawn(
    draws: Imaginer, shape: tuple[int, int, int]
) -> None:
    question = dataclasses.replace(INTRODUCED, images=(np.full(shape, 9, np.uint8),))
    answer = draws.ask(question, mode=Mode.IMAGINE)
    height, width, _ = answer.imagined_views[0].shape
    assert height % 16 == width % 16 == 0 and max(height, width) <= 64
    assert answer.text == "left"


def test_a_gray_picture_is_refused() -> None:
    with pytest.raises(QuestionError, match=r"images\[0\].*\(64, 64\)"):
        Question(Task.FREE, (np.zeros((64, 64), np.uint8),), "Where?")


def test_a_text_beyond_the_models_reach_is_refused(answers: Imaginer) -> None:
    long = dataclasses.replace(ASKED, text="left " * 5000)
    with pytest.raises(QuestionError, match=r"text: the question has \d+ tokens.*at most"):
        answers.ask(long)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"k": 0}, "k:"), ({"budget_s": 0.0}, "budget_s"), ({"flow_steps": 0}, "flow_steps")],
)
def test_impossible_wishes_are_refused(
    answers: Imaginer, wrong: dict[str, float], message: str
) -> None:
    with pytest.raises(QuestionError, match=message):
        answers.ask(ASKED, **wrong)  # type: ignore[arg-type]
