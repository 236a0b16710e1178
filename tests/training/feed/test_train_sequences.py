"""Segments of a showing: order, losses, chance, and sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from small_runs import rows_of, small_settings

from ipt_model.network.packing import DroppedPicture, LatentSegment, TextSegment, VitSegment, pack
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.feed.sequences import TURNABLE, SequenceMaker
from ipt_training.finetune.building import build
from ipt_training.finetune.steps import StepMaker


def kinds(segments) -> str:
    """One letter a segment: V ViT, C clean and N noised latents, t text, T text with loss, - left
    out."""
    out = ""
    for s in segments:
        if isinstance(s, LatentSegment):
            out += "C" if s.noise is None else "N"
        elif isinstance(s, TextSegment):
            out += "T" if s.loss else "t"
        else:
            out += "V" if isinstance(s, VitSegment) else "-"
    return out


def maker_and_showing(data: Path, vae: Path, supervision: str, number: int = 0, **changes):
    settings = small_settings(data, vae, supervision=supervision, **changes)
    start = build(settings)
    source = rows_of(settings, start, vae)
    maker = SequenceMaker(settings, start.config, start.style, start.tokenizer)
    return maker, source.show(number), start


NO_DROPOUT = {"text": 0.0, "vae": 0.0, "vit": 0.0}


@pytest.mark.parametrize(
    ("supervision", "each_input", "rest"),
    [
        ("label", "V", "tT"),
        ("label_vae", "CV", "tT"),
        ("text_cot", "V", "tT"),
        ("ipt", "CV", "tTNNCVT"),
        ("ipt_wrong", "CV", "tTNNCVT"),
        ("given", "CV", "tTCVT"),
    ],
)
def test_layouts_are_the_published_ones(data, vae, supervision, each_input, rest) -> None:
    maker, showing, start = maker_and_showing(data, vae, supervision, dropout=NO_DROPOUT)
    sequence = maker.sequences(showing)[0]
    inputs = len(showing.sample.inputs)
    assert kinds(sequence.segments) == each_input * inputs + rest
    read = start.tokenizer.decode(
        [i for s in sequence.segments if isinstance(s, TextSegment) and s.loss for i in s.ids]
    )
    example = showing.sample.example
    assert read.endswith(f"<answer>{example.answer}</answer>")
    assert ("<image_start>" in read) == (supervision in ("ipt", "ipt_wrong", "given"))
    if supervision == "text_cot":
        assert example.reasoning in read


def test_mixed_draws_every_other_epoch(data, vae) -> None:
    settings = small_settings(data, vae, dropout=NO_DROPOUT)
    start = build(settings)
    source = rows_of(settings, start, vae)
    maker = SequenceMaker(settings, start.config, start.style, start.tokenizer)
    n = source.rows_per_epoch
    drew = [{}, {}]
    for number in range(2 * n):
        showing = source.show(number)
        key = showing.sample.example.scene_seed, showing.sample.example.question.text
        drew[number // n][key] = "N" in kinds(maker.sequences(showing)[0].segments)
    assert set(drew[0]) == set(drew[1]) and len(drew[0]) == n
    assert all(drew[0][key] != drew[1][key] for key in drew[0])


def test_sizes_and_the_place_read_by_the_head_are_those_of_the_packer(data, vae) -> None:
    maker, showing, start = maker_and_showing(data, vae, "ipt")
    sequence = maker.sequences(showing)[0]
    packed = pack([sequence.segments], start.config)
    assert packed.lengths == (sequence.und + sequence.gen,)
    assert packed.und_ids.shape[1] == sequence.und
    prompt_end = packed.position[0][packed.und_ids.shape[1] :]  # latents are never last
    ids = packed.concatenate(packed.und_ids[..., None].float(), torch.zeros(1, len(prompt_end), 1))
    assert int(ids[sequence.read_until - 1, 0]) == start.tokenizer.special.eos
    assert int(ids[sequence.read_until, 0]) == start.tokenizer.special.bos


def test_chance_comes_from_the_number_alone(data, vae) -> None:
    maker, showing, _ = maker_and_showing(data, vae, "ipt")
    one, two = maker.sequences(showing)[0], maker.sequences(showing)[0]
    other = maker.sequences(replace(showing, number=showing.number + 1))[0]

    def noises(sequence):
        return [s for s in sequence.segments if isinstance(s, LatentSegment) and s.t > 0]

    for a, b in zip(noises(one), noises(two), strict=True):
        assert a.t == b.t and torch.equal(a.noise, b.noise)
    assert noises(one)[0].t != noises(one)[1].t
    assert noises(one)[0].t != noises(other)[0].t


def test_times_are_logistic_normal_and_shifted(data, vae) -> None:
    def times(shift: float) -> np.ndarray:
        maker, _, _ = maker_and_showing(data, vae, "ipt", flow={"shift": shift})
        return np.array([maker._time(share) for share in (np.arange(4000) + 0.5) / 4000])

    plain, shifted = times(1.0), times(3.0)
    logit = np.log(plain / (1 - plain))
    assert abs(logit.mean()) < 0.06 and abs(logit.std() - 1) < 0.05
    assert np.allclose(shifted, 3 * plain / (1 + 2 * plain))


def test_draws_of_a_showing_spread_over_all_times(data, vae) -> None:
    """One in each quarter of the reference's distribution, anywhere in it."""
    maker, showing, _ = maker_and_showing(data, vae, "ipt", flow={"draws": 4})
    times = np.array(
        [
            [s.t for s in maker.sequences(replace(showing, number=n))[0].segments if is_noised(s)]
            for n in range(200)
        ]
    )
    share = np.vectorize(NormalDist().cdf)(np.log(times / (1 - times)))
    assert (np.floor(share * 4) == np.arange(4)).all()
    assert abs(share.mean() - 0.5) < 0.02 and (share * 4 % 1).std() > 0.25


def is_noised(segment: object) -> bool:
    return isinstance(segment, LatentSegment) and segment.noise is not None


def test_conditions_are_dropped_as_often_as_asked(data, vae) -> None:
    """The clean copies of the drawn view and question texts only; noised copies never."""
    maker, showing, _ = maker_and_showing(
        data, vae, "ipt", dropout={"text": 0.25, "vae": 0.5, "vit": 0.3}
    )
    inputs = len(showing.sample.inputs)
    dropped = {"text": 0, "vae": 0, "vit": 0}
    n = 400
    for number in range(n):
        segments = maker.sequences(replace(showing, number=number))[0].segments
        found = kinds(segments)
        assert found.startswith("CV" * inputs) and "NN" in found and found.count("T") == 2
        dropped["text"] += "t" not in found
        after = found[found.index("NN") + 2 :]
        dropped["vae"] += after[0] == "-"
        dropped["vit"] += after[1] == "-"
        assert after.count("-") == sum(isinstance(s, DroppedPicture) for s in segments)
    assert dropped["text"] / n == pytest.approx(0.25, abs=0.08)
    assert dropped["vae"] / n == pytest.approx(0.5, abs=0.08)
    assert dropped["vit"] / n == pytest.approx(0.3, abs=0.08)


def test_an_answer_that_rests_on_the_view_has_nothing_else_to_look_at(data, vae) -> None:
    maker, showing, start = maker_and_showing(
        data, vae, "ipt", dropout={**NO_DROPOUT, "inputs": 0.4}
    )
    inputs = len(showing.sample.inputs)
    times = 0
    for number in range(300):
        sequences = maker.sequences(replace(showing, number=number))
        assert all(one.showing == number for one in sequences)
        if len(sequences) == 1:
            assert kinds(sequences[0].segments) == "CV" * inputs + "tTNNCVT"
            continue
        drawing, reading = sequences
        assert kinds(drawing.segments) == "CV" * inputs + "tTNN"
        assert kinds(reading.segments) == "ttCVT"
        # the same words, asked once for a picture and once about it
        texts = [s for s in drawing.segments if isinstance(s, TextSegment)]
        again = [s for s in reading.segments if isinstance(s, TextSegment)]
        assert [s.ids for s in texts] == [s.ids for s in again[:2]]
        assert np.isfinite(drawing.targets).any() and np.isnan(reading.targets).all()
        for one in sequences:
            packed = pack([one.segments], start.config)
            assert packed.lengths == (one.und + one.gen,)
        times += 1
    assert times / 300 == pytest.approx(0.4, abs=0.08)


def test_a_question_is_always_told_to_an_answer_that_rests_on_the_view(data, vae) -> None:
    maker, showing, _ = maker_and_showing(
        data, vae, "given", dropout={"text": 0.9, "inputs": 0.99}
    )
    found = [maker.sequences(replace(showing, number=n)) for n in range(50)]
    alone = [one for one in found if kinds(one[0].segments)[0] != "C"]
    assert len(alone) > 40
    assert all(len(one) == 1 and kinds(one[0].segments).startswith("tt") for one in alone)


def test_a_reading_is_one_view_and_the_answer_that_rests_on_it(data, vae) -> None:
    """The same at every showing of that number; much less than a showing."""
    maker, _, start = maker_and_showing(data, vae, "mixed", dropout=NO_DROPOUT)
    source = rows_of(maker.settings, start, vae)
    for k in range(3):
        one, again = (maker.reading_exercise(source.reading(0, k), k) for _ in range(2))
        assert kinds(one.segments) == "ttCVT" and np.isnan(one.targets).all()
        assert [s.ids for s in one.segments if isinstance(s, TextSegment)] == [
            s.ids for s in again.segments if isinstance(s, TextSegment)
        ]
        assert one.showing == 0 and pack([one.segments], start.config).ce_positions is not None
        assert torch.equal(one.segments[2].latents, source.latents[source._place(0)[0]][-1])
    maker, _, _ = maker_and_showing(data, vae, "mixed", loss={"auxiliary": 0.0, "reads": 2})
    steps = StepMaker(maker.settings, start.config, source, maker)
    alone = StepMaker(
        replace(maker.settings, loss=replace(maker.settings.loss, reads=0)),
        start.config,
        source,
        maker,
    )
    samples = [sum(len(b.packed.lengths) for b in made[0]) for made in (steps, alone)]
    assert samples[0] - samples[1] == 2 * maker.settings.batch.examples


def test_readings_of_maps_are_turned_and_no_others(data, vae) -> None:
    """Turned and mirrored whole, through the ViT alone, each of the seven ways; the same at every
    showing of that number."""
    loss = {"auxiliary": 0.0, "reads": 1, "turned": 0.5}
    maker, _, start = maker_and_showing(data, vae, "mixed", dropout=NO_DROPOUT, loss=loss)
    source = rows_of(maker.settings, start, vae)
    shares: dict[bool, list[bool]] = {True: [], False: []}
    ways = set()
    for number in range(60):
        showing = source.reading(number, 0)
        view = showing.sample.target[1]
        for k in range(6):
            one, again = (maker.reading_exercise(showing, k) for _ in range(2))
            turned = kinds(one.segments) == "tt-VT"
            assert turned or kinds(one.segments) == "ttCVT"
            pixels = one.segments[3].pixels
            assert np.array_equal(pixels, again.segments[3].pixels)
            plain = maker._vit(view).pixels
            assert np.array_equal(np.sort(pixels, axis=None), np.sort(plain, axis=None))
            shares[showing.sample.example.question.task in TURNABLE].append(turned)
            if turned:
                way = next(w for w in WAYS if np.array_equal(WAYS[w](plain), pixels))
                ways.add(way)
    assert not any(shares[False]) and len(shares[False]) > 30
    assert np.mean(shares[True]) == pytest.approx(0.5, abs=0.15)
    assert ways == set(WAYS)


#: The seven ways in which a square differs from itself.
WAYS = {
    (quarters, mirrored): (
        lambda x, q=quarters, m=mirrored: np.rot90(x, q)[:, ::-1] if m else np.rot90(x, q)
    )
    for quarters in range(4)
    for mirrored in (False, True)
    if quarters or mirrored
}


def test_nothing_is_kept_from_an_answer_where_nothing_is_drawn(data, vae) -> None:
    maker, showing, _ = maker_and_showing(data, vae, "label", dropout={"inputs": 0.99})
    (one,) = maker.sequences(showing)
    assert kinds(one.segments).startswith("V" * len(showing.sample.inputs))


def test_letter_exercises_are_answered_by_the_line_of_the_word(data, vae) -> None:
    maker, _, start = maker_and_showing(data, vae, "label")
    for number in range(20):
        prompt, target = maker.letter_exercise(number, ("left", "right", "yes", "no")).segments
        text = start.tokenizer.decode(prompt.ids)
        word, letter = text.split()[3].strip("."), start.tokenizer.decode(target.ids)[8]
        assert f"({letter}) {word}" in text.splitlines() and target.loss and not prompt.loss


def test_the_head_is_told_of_positions_and_counts(data, vae) -> None:
    """Whatever the facts say is in the sequence, in the columns of its task."""
    seen = set()
    settings = small_settings(data, vae)
    start = build(settings)
    source = rows_of(settings, start, vae)
    maker = SequenceMaker(settings, start.config, start.style, start.tokenizer)
    for number in range(source.rows_per_epoch):
        showing = source.show(number)
        example = showing.sample.example
        targets = maker.sequences(showing)[0].targets
        known = np.flatnonzero(~np.isnan(targets)).tolist()
        seen.add(example.question.task.value)
        if example.question.task.value == "perspective":
            assert known == list(range(5))
            x, z = targets[2:4] * 3.0
            after = example.facts["object_after_m"]
            assert (x, z) == pytest.approx((after[0], after[2]), abs=1e-5)
        elif example.question.task.value == "counting":
            assert known == list(range(5, 10))
            assert targets[9] * 2 == example.facts["count"]
        else:
            assert known and min(known) >= 10
    assert {"perspective", "counting"} <= seen


def test_a_look_is_one_picture_one_question_and_no_answer(data, vae) -> None:
    """Through the ViT alone; read at its last token; the same at every showing of that number."""
    found = []
    for number in range(8):
        maker, showing, start = maker_and_showing(data, vae, "mixed", number)
        one, again = (maker.look_exercise(showing, 0) for _ in range(2))
        if one is None:
            continue
        found.append(one)
        assert kinds(one.segments) == "Vt" and one.gen == 0 and one.read_until == one.und
        assert np.array_equal(one.targets, again.targets, equal_nan=True)
        assert np.isfinite(one.targets).any()
        packed = pack([one.segments], start.config)
        assert packed.lengths == (one.und,) and packed.ce_positions is None
    assert len(found) >= 4
    whole = maker.sequences(showing)[0]
    assert found[-1].und < 0.5 * (whole.und + whole.gen)


def test_thoughts_in_words_fit_into_what_the_small_model_may_write(data, vae) -> None:
    """A thought that is cut off never gets to its answer: every reply would be unparsable."""
    start = build(small_settings(data, vae))
    lengths = [
        len(start.tokenizer.encode(example_from_row(row).reasoning)) for row in Dataset(data)
    ]
    assert 20 < max(lengths) <= start.style.max_think_tokens - 20
    words = build(small_settings(data, vae, supervision="text_cot"))
    # asked for an answer, it thinks first, in the same reply
    assert max(lengths) + 20 <= words.style.max_answer_tokens
    assert start.style.max_answer_tokens < 40
