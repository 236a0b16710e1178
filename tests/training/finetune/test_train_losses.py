"""Losses against the golden numbers, and that grouping, padding and fillers change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import parts_of, small_settings

from ipt_model.network.packing import LatentSegment, TextSegment, VitSegment
from ipt_model.weights.checkpoint import load_model
from ipt_training.feed.auxiliary import auxiliary_targets
from ipt_training.feed.sequences import TrainingSequence
from ipt_training.finetune.losses import LossModule, TrainingBatch, make_batch, micro_batches

GOLDEN = Path(__file__).parents[2] / "data" / "bagel_tiny"


def golden_sequences() -> tuple[list[TrainingSequence], dict]:
    """The fixture's three samples as training sequences."""
    cases = json.loads((GOLDEN / "cases.json").read_text())["train"]
    tensors = load_file(GOLDEN / "cases.safetensors")
    out = []
    for sample in cases["samples"]:
        segments = []
        for s in sample["segments"]:
            if s["type"] == "text":
                segments.append(TextSegment(s["ids"], s["loss"]))
            elif s["type"] == "vit":
                segments.append(VitSegment(tensors[s["pixels"]]))
            elif s["loss"]:
                segments.append(LatentSegment(tensors[s["latent"]], tensors[s["noise"]], s["t"]))
            else:
                segments.append(LatentSegment(tensors[s["latent"]]))
        out.append(TrainingSequence(tuple(segments), 0, 0, 1, auxiliary_targets(None)))
    return out, cases


def test_the_loss_of_a_step_is_the_reference_s() -> None:
    sequences, cases = golden_sequences()
    module = LossModule(load_model(GOLDEN), auxiliary=False)
    batch = make_batch(sequences, module.model.config)
    sums, counts = module(batch).double(), batch.counts()
    ce, mse = (sums / counts.clamp(min=1))[:2].tolist()
    assert ce == pytest.approx(cases["ce_mean"], rel=1e-5)
    assert mse == pytest.approx(cases["mse_mean"], rel=1e-5)
    (sums[0] / counts[0] + sums[1] / counts[1]).backward()
    for name, expected in cases["gradients"].items():
        got = module.model.get_parameter(name).grad
        assert got.norm().item() == pytest.approx(expected["norm"], rel=1e-4, abs=3e-5), name


@pytest.mark.parametrize("tokens", [300, 1200, 100000])
def test_how_a_step_is_cut_into_batches_changes_nothing(data, vae, tmp_path, tokens) -> None:
    settings = small_settings(data, vae, batch={"tokens": tokens})
    start, steps = parts_of(settings, tmp_path)
    module = LossModule(start.model, auxiliary=True)
    torch.nn.init.normal_(start.model.llm2vae.weight, std=0.1)

    def means(batches: list[TrainingBatch]) -> torch.Tensor:
        sums = torch.stack([module(b).double() for b in batches]).sum(0)
        return sums / torch.stack([b.counts() for b in batches]).sum(0)

    batches = steps[0]
    alone = [
        make_batch([steps.maker.sequences(steps.source.show(n))[0]], start.config)
        for n in range(8)
    ]
    assert torch.allclose(means(batches), means(alone), rtol=2e-5)
    longest = max(b.packed.lengths[0] for b in alone)
    assert max(b.packed.rope.numel() for b in batches) <= max(tokens, longest)
    assert (len(batches) == 1) == (tokens == 100000)


def test_noise_draws_share_their_context_and_do_not_see_each_other(data, vae, tmp_path) -> None:
    """The loss over two draws is the mean of the losses with either draw alone."""
    settings = small_settings(
        data, vae, supervision="ipt", dropout={"text": 0.0, "vae": 0.0, "vit": 0.0}
    )
    start, steps = parts_of(settings, tmp_path)
    torch.nn.init.normal_(start.model.llm2vae.weight, std=0.1)
    module = LossModule(start.model, auxiliary=False)
    sequence = steps.maker.sequences(steps.source.show(0))[0]
    drawn = [
        k for k, s in enumerate(sequence.segments) if isinstance(s, LatentSegment) and s.t > 0
    ]

    def losses(leave_out: int | None) -> list[float]:
        segments = tuple(s for k, s in enumerate(sequence.segments) if k != leave_out)
        one = TrainingSequence(segments, 0, 0, sequence.read_until, sequence.targets)
        batch = make_batch([one], start.config)
        return (module(batch).double() / batch.counts().clamp(min=1)).tolist()

    both, first, second = losses(None), losses(drawn[1]), losses(drawn[0])
    assert both[1] == pytest.approx((first[1] + second[1]) / 2, rel=1e-5)
    assert both[0] == pytest.approx(first[0], rel=1e-5)  # the answer sees no draw


def test_fillers_count_nothing_and_touch_everything(data, vae, tmp_path) -> None:
    settings = small_settings(data, vae, loss={"auxiliary": 0.5})
    start, steps = parts_of(settings, tmp_path)
    module = LossModule(start.model, auxiliary=True)
    sequences = [steps.maker.sequences(steps.source.show(n))[0] for n in range(3)]
    plain = make_batch(sequences, start.config)
    filled = make_batch([*sequences, steps.maker.filler()], start.config, fillers=1)
    assert torch.equal(plain.counts(), filled.counts())
    assert torch.allclose(module(plain), module(filled), rtol=1e-5)
    alone = steps.filler()
    assert alone.counts().sum() == 0
    module(alone).sum().backward()
    missing = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing and all(
        p.grad.abs().sum() == 0 for p in module.parameters() if p.grad is not None
    )


def test_texts_may_weigh_by_the_root_of_their_length(data, vae, tmp_path) -> None:
    start, _ = parts_of(small_settings(data, vae), tmp_path)
    texts = [[5, 6, 7], [5], [5, 6, 7, 8, 9, 10, 11, 12]]
    sequences = [
        TrainingSequence(
            (TextSegment([9]), *(TextSegment(t, loss=True) for t in some)), 0, 0, 1,
            auxiliary_targets(None),
        )
        for some in (texts[:2], texts[2:])
    ]  # fmt: skip
    weights = make_batch(sequences, start.config, "sqrt").ce_weights
    assert weights.tolist() == pytest.approx([0.5] * 4 + [0.5**0.5] * 2 + [1 / 3] * 9)
    assert make_batch(sequences, start.config).ce_weights.tolist() == [1.0] * 15


def test_groups_are_of_similar_layout_and_bounded() -> None:
    def of(und: int, gen: int) -> TrainingSequence:
        return TrainingSequence((), und, gen, 0, auxiliary_targets(None))

    sequences = [of(100, 0), of(10, 16), of(90, 0), of(300, 0), of(12, 16), of(95, 0)]
    groups = micro_batches(sequences, 200)
    assert sorted(s.und for g in groups for s in g) == sorted(s.und for s in sequences)
    for group in groups:
        wide, high = max(s.und for s in group), max(s.gen for s in group)
        assert len(group) == 1 or len(group) * (wide + high) <= 200
    assert [s.und for s in groups[-1]] == [10, 12]
