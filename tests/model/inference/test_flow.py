"""Drawing: what it costs per step, how it stops, batches and seeds, and the price of skipping
steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from made_up import GOLDEN, latents, picture, relative_error
from torch.profiler import ProfilerActivity, profile

from ipt_model.inference.context import Context
from ipt_model.inference.flow import FlowSettings, draw
from ipt_model.inference.guided import GuidedContexts
from ipt_model.question import Cancelled
from ipt_model.weights.checkpoint import load_model

SETTINGS = FlowSettings(points=6)
#: A slice that happens to be the whole is recorded under another name.
VIEWS = ("aten::slice", "aten::as_strided", "aten::alias")
#: Operations that make the host wait for the device.
WAITING = ("aten::item", "aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero")


@pytest.fixture(scope="module")
def guided(golden_model):
    contexts = GuidedContexts(golden_model)
    contexts.add_picture(latents(golden_model.config, 2, 3, 1), picture(28, 42, 2))
    return contexts.add_text([1, 2, 3])


def drawn(guided: GuidedContexts, settings=SETTINGS, **options) -> torch.Tensor:
    options.setdefault("generator", torch.Generator().manual_seed(0))
    return draw(
        guided.main.model,
        guided.main,
        guided.cfg_text,
        guided.cfg_img,
        48,
        64,
        settings,
        **options,
    )


def operations(guided: GuidedContexts, points: int) -> Counter:
    """How often each operation runs while drawing."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        drawn(guided, replace(SETTINGS, points=points), on_step=lambda *_: None)
    return Counter({e.key: e.count for e in record.key_averages()})


def test_the_loop_never_waits_for_the_device(guided):
    short, long = operations(guided, 3), operations(guided, 9)
    assert long["aten::linear"] > short["aten::linear"]  # the profiler does see the loop
    for name in WAITING:
        assert long[name] == short[name], name


def test_host_work_per_step_does_not_depend_on_the_context(golden_model):
    def per_step(text: int) -> Counter:
        contexts = GuidedContexts(golden_model).add_text(list(range(text)))
        long, short = operations(contexts, 7), operations(contexts, 4)
        return Counter({k: n for k, n in (long - short).items() if k not in VIEWS})

    assert per_step(3) == per_step(300)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_no_synchronisation_on_a_gpu(golden_model):
    model = type(golden_model)(golden_model.config).cuda().eval()
    contexts = GuidedContexts(model).add_text([1, 2, 3])
    drawn(contexts)  # first calls may set up libraries

    def watch(step: int, *_: object) -> None:
        torch.cuda.set_sync_debug_mode("error" if step < SETTINGS.steps else "default")

    try:
        drawn(contexts, on_step=watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_same_seed_same_bytes(guided):
    assert torch.equal(drawn(guided), drawn(guided))
    other = drawn(guided, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(drawn(guided), other)


def test_several_views_at_once(guided):
    """Each is what it would be alone, and the first is the one drawn alone from the same seed."""
    many = drawn(guided, count=3)
    assert many.shape[0] == 3
    assert relative_error(many[0], drawn(guided)[0]) < 1e-5
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(12, 64, generator=generator) for _ in range(3)]
    for i in range(3):
        assert relative_error(many[i], drawn(guided, noise=noise[i])[0]) < 1e-5
    assert not torch.allclose(many[0], many[1])


@pytest.mark.parametrize("renorm", ["global", "channel", "text_channel"])
def test_shrinking_does_not_mix_views(guided, renorm):
    settings = replace(SETTINGS, renorm=renorm, image_scale=1.5)
    generator = torch.Generator().manual_seed(5)
    noise = torch.stack([torch.randn(12, 64, generator=generator) * s for s in (1.0, 3.0)])
    together = drawn(guided, settings, noise=noise, count=2)
    for i in range(2):
        alone = drawn(guided, settings, noise=noise[i])[0]
        assert relative_error(together[i], alone) < 2e-5


def test_contexts_are_left_as_they_were(guided):
    contexts = guided.main, guided.cfg_text, guided.cfg_img
    before = [c.write(4, logits=True).logits[0] for c in contexts]
    drawn(guided, count=2)
    after = [c.write(4, logits=True).logits[0] for c in contexts]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("stop_after", [1, 3])
def test_cancel_takes_one_step(guided, stop_after):
    steps = []

    def on_step(step: int, total: int, estimate: torch.Tensor) -> bool:
        steps.append(step)
        assert total == SETTINGS.steps and estimate.shape == (1, 12, 64)
        return step < stop_after

    with pytest.raises(Cancelled, match=f"after step {stop_after} of 5"):
        drawn(guided, on_step=on_step)
    assert steps == list(range(1, stop_after + 1))


def test_estimates_end_in_the_picture(guided):
    estimates = []
    final = drawn(guided, on_step=lambda i, n, x: estimates.append(x))
    assert torch.equal(estimates[-1], final)
    errors = [relative_error(e, final) for e in estimates]
    assert errors[-2] < errors[0]


@pytest.mark.parametrize("cache", [{}, {"cache_every": 2, "cache_warmup": 2}])
def test_recorded_steps_draw_the_same(guided, cache):
    """Guided and plain steps are recorded apart, and past velocities are not written over."""
    settings = FlowSettings(points=12, interval=(0.6, 1.0), **cache)
    assert len(set(settings.guided())) == 2
    assert torch.equal(drawn(guided, settings, record=True), drawn(guided, settings))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_replayed_graphs_draw_the_same(golden_model):
    model = type(golden_model)(golden_model.config).cuda().eval()
    torch.nn.init.normal_(model.llm2vae.weight, std=0.5)
    contexts = GuidedContexts(model).add_text([1, 2, 3])
    settings = FlowSettings(points=12, interval=(0.6, 1.0), cache_every=2, cache_warmup=2)
    assert relative_error(drawn(contexts, settings, record=True), drawn(contexts, settings)) < 1e-5


def test_nothing_is_extrapolated_across_the_end_of_guidance(guided, golden_model):
    """Where guidance ends the velocity jumps: the model must run there whatever the cache says."""
    settings = FlowSettings(points=13, interval=(0.8, 1.0), cache_every=4, cache_warmup=1)
    first_plain = settings.guided().index(False)
    assert not settings.computed()[first_plain]
    batches = []
    layer = golden_model.language_model.model.layers[0]
    hook = layer.register_forward_pre_hook(lambda _, args: batches.append(args[2].shape[0]))
    drawn(guided, settings)
    hook.remove()
    plain = [i for i, b in enumerate(batches) if b == 1]
    assert len(plain) >= settings.cache_order + 1 and plain[0] > 0


def test_schedule():
    settings = FlowSettings(points=5, shift=3.0, interval=(0.5, 0.95))
    times = settings.times().tolist()
    assert times == pytest.approx([1.0, 0.9, 0.75, 0.5, 0.0])
    assert settings.guided() == [False, True, True, False]  # above low, up to high
    assert replace(settings, text_scale=1.0).guided() == [False] * 4
    assert replace(settings, interval=(0.0, 1.0)).guided() == [True] * 4


def test_guidance_bound_is_exclusive_below_in_float32():
    """0.6 is no float32: the bound is compared as one, or the step at 0.6 would be guided."""
    times = FlowSettings(points=6, shift=1.0).times()
    assert times.tolist()[2] != 0.6 and times[2] == torch.tensor(0.6)
    assert (
        FlowSettings(points=6, shift=1.0, interval=(0.6, 1.0)).guided()
        == [True, True] + [False] * 3
    )


def test_skipped_steps_run_no_model(guided, golden_model):
    settings = FlowSettings(points=21, cache_every=3, cache_warmup=5)
    ran = []
    layer = golden_model.language_model.model.layers[0]
    hook = layer.register_forward_pre_hook(lambda *_: ran.append(1))
    drawn(guided, settings)
    hook.remove()
    assert len(ran) == sum(settings.computed()) == 10


def test_skipping_steps_is_close_and_a_higher_order_closer(guided):
    full = FlowSettings(points=41)
    exact = drawn(guided, full)

    def error(**cache) -> float:
        difference = drawn(guided, replace(full, **cache)) - exact
        return float(difference.norm() / exact.norm())

    assert error(cache_every=1) == 0
    reuse, linear = error(cache_every=2, cache_order=0), error(cache_every=2, cache_order=1)
    assert 0 < linear < reuse < 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points": 1}, "at least 2 times"),
        ({"shift": 0.0}, "positive"),
        ({"renorm": "none"}, "text_channel"),
        ({"cache_every": 0}, "cache_every >= 1"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        FlowSettings(**settings)


def test_impossible_requests(golden_model, guided):
    main = Context(golden_model)
    with pytest.raises(ValueError, match="multiples of 16, got 40 x 64"):
        draw(golden_model, main, main, main, 40, 64, SETTINGS)
    with pytest.raises(ValueError, match="8 x 8 positions"):
        draw(golden_model, main, main, main, 144, 64, SETTINGS)
    with pytest.raises(ValueError, match="needs a cfg_text"):
        draw(golden_model, main, None, None, 48, 64, SETTINGS)
    with pytest.raises(ValueError, match="noise: expected"):
        drawn(guided, noise=torch.zeros(5, 64))
    with pytest.raises(ValueError, match="batch 1 or 3"):
        draw(golden_model, main.repeat(2), main, main, 48, 64, SETTINGS, count=3)


def test_half_precision_draws_and_answers_nearly_the_same(golden_model, guided):
    model = load_model(GOLDEN, dtype=torch.bfloat16)
    half = GuidedContexts(model)
    half.add_picture(latents(model.config, 2, 3, 1), picture(28, 42, 2)).add_text([1, 2, 3])
    settings = FlowSettings(points=6, text_scale=1.5, image_scale=1.0)
    got, exact = drawn(half, settings), drawn(guided, settings)
    assert got.dtype == torch.float32
    assert 0 < float((got - exact).norm() / exact.norm()) < 0.05
    scores = half.main.write(3, logits=True).logits[0]
    assert scores.dtype == torch.bfloat16
    assert relative_error(scores[0].float(), guided.main.write(3, logits=True).logits[0][0]) < 0.05


def test_guidance_off_needs_one_context(golden_model):
    main = Context(golden_model).add_text([1])
    settings = FlowSettings(points=3, text_scale=1.0)
    assert draw(golden_model, main, None, None, 16, 16, settings).shape == (1, 1, 64)
