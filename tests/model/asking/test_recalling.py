"""Asked with a recalled view: what was seen is kept to the pixel, and where enough was seen
nothing is drawn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import BOS, EOS, small_style, write_model

from ipt_model.asking.imaginer import Imaginer
from ipt_model.asking.seen_ground import EDGE_PX, SeenGround
from ipt_model.question import Mode, Outcome, Progress, Question, QuestionError, Task
from ipt_model.spatial.recalled import HOLE_RGB, RecalledView
from ipt_model.weights.asking_style import AskingStyle

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
ASKED = Question(
    Task.PERSPECTIVE, (PICTURE,), "Will it be left or right?", ("left", "right"), think="Looking."
)


def recalled(seen: np.ndarray, seed: int = 0) -> RecalledView:
    """Colours that change slowly, as a room's do."""
    height, width = seen.shape
    base = np.random.default_rng(seed).uniform(40, 200, 3)
    ramp = np.linspace(0, 50, width)[None, :, None] + np.linspace(-20, 20, height)[:, None, None]
    rgb = np.clip(base + ramp, 0, 255).astype(np.uint8)
    rgb[~seen] = HOLE_RGB
    return RecalledView(rgb, np.where(seen, 2.0, 0.0).astype(np.float32), seen)


def left_part(height: int, width: int, share: float) -> np.ndarray:
    seen = np.zeros((height, width), bool)
    seen[:, : round(share * width)] = True
    return seen


HALF = recalled(left_part(64, 64, 0.5))


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> Imaginer:
    folder = tmp_path_factory.mktemp("random")
    style = small_style(max_answer_tokens=8)
    return Imaginer.from_pretrained(write_model(folder, style=style), device="cpu")


def with_style(imaginer: Imaginer, style: AskingStyle) -> Imaginer:
    return Imaginer(dataclasses.replace(imaginer._open, style=style))


# -- what was seen stays
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(64, 64), (16, 48), (48, 32)]),
    st.floats(0.0, 1.0),
    st.booleans(),
)
def test_seen_pixels_are_pasted_exactly(
    seed: int, size: tuple[int, int], share: float, speckled: bool
) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.random(size) < share if speckled else left_part(*size, share)
    view = recalled(seen, seed)
    ground = SeenGround.of(view, *size)
    drawn = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    out = ground.paste(torch.from_numpy(drawn)).numpy()
    np.testing.assert_array_equal(out[seen], view.rgb[seen])
    if not seen.any():
        np.testing.assert_array_equal(out, drawn)


def test_far_from_what_was_seen_the_drawing_stays_as_it_is() -> None:
    ground = SeenGround.of(HALF, 64, 64)
    drawn = torch.full((64, 64, 3), 250, dtype=torch.uint8)
    out = ground.paste(drawn).numpy().astype(int)
    assert (out[:, 32 + EDGE_PX + 1 :] == 250).all()
    row = out[10, 31 : 32 + EDGE_PX + 1, 0]
    assert (np.diff(row) > 0).all(), "from the seen colour to the drawn one, step by step"
    assert np.diff(row).max() < 0.5 * (250 - row[0]), "and no seam"


@pytest.mark.parametrize("size", [(32, 32), (128, 96), (64, 64)])
def test_at_another_size_only_what_was_wholly_seen_is_seen(size: tuple[int, int]) -> None:
    hole = np.ones((64, 64), bool)
    hole[20:31, 20:31] = False
    ground = SeenGround.of(recalled(hole), *size)
    assert ground.rgb.shape == (*size, 3) and ground.seen.shape == size
    y, x = size[0] / 64, size[1] / 64
    assert not ground.seen[round(20 * y) : round(31 * y), round(20 * x) : round(31 * x)].any()
    assert 0.85 < ground.seen.mean() < 1 - 121 / 64**2 + 1e-9
    whole = SeenGround.of(recalled(np.ones((64, 64), bool)), *size)
    assert whole.seen.all()


def test_a_token_cell_is_held_if_most_of_it_was_seen() -> None:
    seen = np.zeros((32, 48), bool)
    seen[:, :16] = True
    seen[16:29, 16:32] = True
    seen[16, 16:19] = False  # 205 of 256 pixels: 80.1 % are left
    seen[0:13, 32:48] = True
    seen[0, 32:36] = False  # 204: 79.7 %
    ground = SeenGround.of(recalled(seen), 32, 48)
    assert ground.cells(16).tolist() == [
        True, False, False,
        True, True, False,
    ]  # fmt: skip
    unheld = ground.unheld(16)
    assert unheld.sum() == 204 and (unheld[:16, 32:] == seen[:16, 32:]).all()


# -- mode imagine
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_an_imagined_view_holds_what_was_seen(random: Imaginer, share: float) -> None:
    view = recalled(left_part(64, 64, share))
    question = dataclasses.replace(ASKED, recalled=view)
    answer = random.ask(question, Mode.IMAGINE, seed=2)
    np.testing.assert_array_equal(answer.imagined_views[0][view.seen], view.rgb[view.seen])
    assert answer.raw_views[0].shape == (64, 64, 3)
    assert answer.unheld is not None and answer.unheld.any() == (share == 0.1)
    assert not np.array_equal(answer.raw_views[0][view.seen], view.rgb[view.seen])
    assert answer.share_seen == view.share_seen
    assert answer.provenance.flow_steps_done == 6
    again = random.ask(question, Mode.IMAGINE, seed=2)
    np.testing.assert_array_equal(answer.imagined_views[0], again.imagined_views[0])


def test_the_drawing_itself_keeps_to_what_was_seen(random: Imaginer) -> None:
    """Before anything is pasted: its held cells come from the recalled picture's latents."""
    question = dataclasses.replace(ASKED, recalled=HALF)
    free = with_style(
        random,
        dataclasses.replace(
            random.style, flow=dataclasses.replace(random.style.flow, anchoring="off")
        ),
    )
    codec = random._open.codec
    assert codec is not None
    through = codec.decode(codec.encode(HALF.filled))
    expected = ((through * 0.5 + 0.5).clamp(0, 1) * 255).movedim(0, -1).numpy()

    def off(imaginer: Imaginer) -> float:
        raw = imaginer.ask(question, Mode.IMAGINE, seed=2).raw_views[0].astype(float)
        return float(np.abs(raw - expected)[:, :24].mean())

    answer = free.ask(question, Mode.IMAGINE, seed=2)
    np.testing.assert_array_equal(answer.unheld, HALF.seen)  # type: ignore[arg-type]
    assert off(random) < 0.3 * off(free)


def test_nothing_recalled_changes_nothing(random: Imaginer) -> None:
    """A view of which nothing was seen is drawn as one that nobody remembers."""
    plain = random.ask(ASKED, Mode.IMAGINE, seed=3)
    assert plain.raw_views[0] is plain.imagined_views[0]
    assert plain.share_seen is None and plain.unheld is None
    blind = dataclasses.replace(ASKED, recalled=recalled(np.zeros((64, 64), bool)))
    answer = random.ask(blind, Mode.IMAGINE, seed=3)
    np.testing.assert_array_equal(answer.imagined_views[0], plain.imagined_views[0])
    assert answer.option_mass == plain.option_mass and answer.share_seen == 0.0


def test_several_imaginations_all_hold_it(random: Imaginer) -> None:
    question = dataclasses.replace(ASKED, recalled=HALF)
    answer = random.ask(question, Mode.IMAGINE, k=3)
    assert len(answer.imagined_views) == len(answer.raw_views) == 3
    for picture in answer.imagined_views:
        np.testing.assert_array_equal(picture[HALF.seen], HALF.rgb[HALF.seen])
    assert not np.array_equal(answer.imagined_views[0], answer.imagined_views[1])


def test_it_is_drawn_at_the_recalled_views_own_size(random: Imaginer) -> None:
    wide = recalled(left_part(32, 64, 0.5))
    question = dataclasses.replace(ASKED, recalled=wide)
    answer = random.ask(question, Mode.IMAGINE)
    assert answer.imagined_views[0].shape == (32, 64, 3)
    np.testing.assert_array_equal(answer.imagined_views[0][wide.seen], wide.rgb[wide.seen])
    chosen = dataclasses.replace(question, view_size=(16, 32))
    assert random.ask(chosen, Mode.IMAGINE).imagined_views[0].shape == (16, 32, 3)
    bare = dataclasses.replace(question, images=())
    assert random.ask(bare, Mode.IMAGINE).imagined_views[0].shape == (32, 64, 3)


def test_previews_show_what_was_seen(random: Imaginer) -> None:
    shown: list[np.ndarray] = []

    def hear(progress: Progress) -> bool:
        if progress.preview is not None:
            shown.append(progress.preview)
        return True

    question = dataclasses.replace(ASKED, recalled=HALF)
    random.ask(question, Mode.IMAGINE, on_progress=hear, flow_steps=12)
    assert len(shown) > 2
    for picture in shown:
        np.testing.assert_array_equal(picture[HALF.seen], HALF.rgb[HALF.seen])


# -- mode recall
def test_recall_shows_the_filled_view_as_the_true_one_is_shown(random: Imaginer) -> None:
    with pytest.raises(QuestionError, match="from what was seen of the asked view"):
        random.ask(ASKED, Mode.RECALL)
    answer = random.ask(dataclasses.replace(ASKED, recalled=HALF), Mode.RECALL)
    given = random.ask(dataclasses.replace(ASKED, true_view=HALF.filled), Mode.GIVEN)
    assert answer.option_probabilities == given.option_probabilities
    assert (answer.text, answer.reply, answer.think) == (given.text, given.reply, "Looking.")
    assert answer.imagined_views == answer.raw_views == () and answer.share_seen == 0.5
    assert answer.provenance.flow_steps == 0 and answer.provenance.mode is Mode.RECALL


def test_questions_in_step_have_the_answers_of_each_alone(random: Imaginer) -> None:
    views = [recalled(left_part(64, 64, share), k) for k, share in enumerate((0.5, 0.8, 0.3))]
    questions = [dataclasses.replace(ASKED, recalled=view) for view in views]
    modes = [Mode.ANSWER, Mode.RECALL, Mode.IMAGINE]
    prepared = [random.prepare(question) for question in questions]
    assert len({one.layout(modes) for one in prepared}) == 1
    found = random.ask_together(prepared, modes, [4, 5, 6])
    for question, seed, answers in zip(questions, (4, 5, 6), found, strict=True):
        for mode in modes:
            alone, answer = random.ask(question, mode, seed=seed), answers[mode]
            assert answer.text == alone.text and answer.share_seen == alone.share_seen
            assert answer.option_mass == pytest.approx(alone.option_mass, abs=2e-4)
            for name in ("imagined_views", "raw_views"):
                pairs = zip(getattr(answer, name), getattr(alone, name), strict=True)
                assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in pairs)


def test_questions_that_are_drawn_differently_are_not_asked_in_step(random: Imaginer) -> None:
    nothing = recalled(np.zeros((64, 64), bool))
    layouts = {
        random.prepare(dataclasses.replace(ASKED, recalled=view)).layout([Mode.IMAGINE])
        for view in (None, nothing, HALF)
    }
    assert len(layouts) == 3


# -- auto
def test_auto_reads_from_memory_where_enough_was_seen(random: Imaginer) -> None:
    style = dataclasses.replace(
        random.style, auto=(Mode.IMAGINE, Mode.ANSWER), recall_above={Task.PERSPECTIVE: 0.6}
    )
    imaginer = with_style(random, style)
    much, little = (recalled(left_part(64, 64, share)) for share in (0.75, 0.5))

    def mode(question: Question, of: Imaginer = imaginer) -> Mode:
        return of.ask(question).provenance.mode

    assert mode(dataclasses.replace(ASKED, recalled=much)) is Mode.RECALL
    assert mode(dataclasses.replace(ASKED, recalled=little)) is Mode.IMAGINE
    assert mode(ASKED) is Mode.IMAGINE
    other = dataclasses.replace(ASKED, task=Task.PATH, recalled=much)
    assert mode(other) is Mode.IMAGINE, "never where nothing was calibrated"
    off = with_style(random, dataclasses.replace(style, recall_above={}))
    assert mode(dataclasses.replace(ASKED, recalled=much), off) is Mode.IMAGINE


def test_probabilities_are_calibrated_by_how_much_was_seen(tmp_path: Path) -> None:
    says = {"<answer>": {"left": 2.0, "right": 1.0}, "left": "</answer>", "right": "</answer>"}
    chain = {BOS: "<image_end>", "<image_end>": "<answer>", **says, "</answer>": EOS}
    style = small_style(
        temperature={Task.PERSPECTIVE: {Mode.RECALL: 2.0}},
        temperature_by_seen={Task.PERSPECTIVE: {Mode.RECALL: (None, None, 1.0, 0.5)}},
    )
    imaginer = Imaginer.from_pretrained(write_model(tmp_path, chain, style), device="cpu")
    for share, temperature in ((0.1, 2.0), (0.5, 1.0), (0.9, 0.5)):
        question = dataclasses.replace(ASKED, recalled=recalled(left_part(64, 64, share)))
        answer = imaginer.ask(question, Mode.RECALL)
        assert answer.outcome is Outcome.ANSWERED
        odds = answer.option_probabilities[0] / answer.option_probabilities[1]
        assert np.log(odds) == pytest.approx(1 / temperature, abs=1e-4)


# -- what cannot be asked
def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(QuestionError, match=r"recalled\.seen: expected bool 64 x 64"):
        dataclasses.replace(ASKED, recalled=dataclasses.replace(HALF, seen=HALF.seen[:32]))
    with pytest.raises(QuestionError, match="got uint8"):
        dataclasses.replace(
            ASKED, recalled=dataclasses.replace(HALF, seen=HALF.seen.astype(np.uint8))
        )
