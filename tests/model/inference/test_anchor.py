"""Drawing only the rest: what is held ends up as it is, whatever else drawing is asked to do."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from made_up import latents, picture, relative_error
from torch import Tensor

from ipt_model.inference.anchor import Anchor, AnchoredSteps
from ipt_model.inference.flow import FlowSettings, draw
from ipt_model.inference.guided import GuidedContexts
from ipt_model.network.latents import to_tokens
from ipt_model.question import Cancelled

#: height, width in pixels of 16-pixel cells
SIZES = [(48, 64), (64, 32), (16, 128)]
SETTINGS = FlowSettings(points=6)


@pytest.fixture(scope="module")
def guided(golden_model):
    contexts = GuidedContexts(golden_model)
    contexts.add_picture(latents(golden_model.config, 2, 3, 1), picture(28, 42, 2))
    return contexts.add_text([1, 2, 3])


def drawn(guided: GuidedContexts, settings=SETTINGS, size=(48, 64), **options) -> Tensor:
    options.setdefault("generator", torch.Generator().manual_seed(0))
    contexts = guided.main, guided.cfg_text, guided.cfg_img
    return draw(guided.main.model, *contexts, *size, settings, **options)


def anchor_of(guided: GuidedContexts, rows: int, columns: int, every: int = 2) -> Anchor:
    """Every so many-th cell is known."""
    model = guided.main.model
    known = to_tokens(latents(model.config, rows, columns, 7), model.config.latent_patch_size)
    return Anchor(known, torch.arange(rows * columns) % every == 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("text_scale", [1.0, 4.0])
@pytest.mark.parametrize("cache", [{}, {"cache_every": 2, "cache_warmup": 2}])
def test_known_cells_end_up_as_they_are(guided, size, text_scale, cache) -> None:
    anchor = anchor_of(guided, size[0] // 16, size[1] // 16)
    settings = FlowSettings(points=9, text_scale=text_scale, **cache)
    out = drawn(guided, settings, size, anchor=anchor)[0]
    assert torch.equal(out[anchor.held], anchor.latents[anchor.held])
    assert torch.isfinite(out).all()
    free = drawn(guided, settings, size)[0]
    assert relative_error(out[~anchor.held], free[~anchor.held]) > 1e-3


def test_what_is_known_reaches_what_is_not(guided) -> None:
    """Else pasting would do."""
    anchor = anchor_of(guided, 3, 4)
    other = replace(anchor, latents=-anchor.latents)
    one, two = drawn(guided, anchor=anchor)[0], drawn(guided, anchor=other)[0]
    assert relative_error(one[~anchor.held], two[~anchor.held]) > 1e-3


def test_without_an_anchor_nothing_changes(guided) -> None:
    expected = _plain_euler(guided, SETTINGS)
    assert torch.equal(drawn(guided), expected)
    off = replace(SETTINGS, anchoring="off")
    assert torch.equal(drawn(guided, off, anchor=anchor_of(guided, 3, 4)), expected)


def _plain_euler(guided: GuidedContexts, settings: FlowSettings) -> Tensor:
    """Straight down the flow, with velocities taken from the drawing of each step alone."""
    estimates: list[Tensor] = []
    out = drawn(guided, settings, on_step=lambda i, n, x: estimates.append(x))
    x = torch.randn(12, 64, generator=torch.Generator().manual_seed(0))[None]
    times = settings.times()
    for i, straight in enumerate(estimates):
        # x + (t_i - s) v = straight - s v at the end of the step, and so v
        velocity = (x - straight) / times[i]
        x = x - velocity * (times[i] - times[i + 1])
    assert relative_error(x, out) < 1e-5
    return out


def test_the_first_of_several_is_the_one_drawn_alone(guided) -> None:
    anchor = anchor_of(guided, 3, 4)
    many = drawn(guided, count=3, anchor=anchor)
    assert relative_error(many[0], drawn(guided, anchor=anchor)[0]) < 1e-5
    assert not torch.allclose(many[0], many[1])
    own = [anchor, replace(anchor, latents=-anchor.latents, held=~anchor.held)]
    both = Anchor(torch.stack([a.latents for a in own]), torch.stack([a.held for a in own]))
    noise = torch.randn(2, 12, 64, generator=torch.Generator().manual_seed(4))
    together = drawn(guided, count=2, anchor=both, noise=noise)
    for k, alone in enumerate(own):
        one = drawn(guided, anchor=alone, noise=noise[k])[0]
        assert relative_error(together[k], one) < 1e-5
        assert torch.equal(together[k][alone.held], alone.latents[alone.held])


def test_same_seed_same_bytes(guided) -> None:
    anchor = anchor_of(guided, 3, 4)
    assert torch.equal(drawn(guided, anchor=anchor), drawn(guided, anchor=anchor))


def test_recorded_steps_draw_the_same(guided) -> None:
    settings = FlowSettings(points=12, interval=(0.6, 1.0), cache_every=2, cache_warmup=2)
    anchor = anchor_of(guided, 3, 4)
    recorded = drawn(guided, settings, anchor=anchor, record=True)
    assert torch.equal(recorded, drawn(guided, settings, anchor=anchor))


def test_previews_hold_too_and_end_in_the_picture(guided) -> None:
    anchor, estimates = anchor_of(guided, 3, 4), []
    final = drawn(guided, anchor=anchor, on_step=lambda i, n, x: estimates.append(x))
    assert torch.equal(estimates[-1], final)
    for estimate in estimates:
        assert torch.equal(estimate[0][anchor.held], anchor.latents[anchor.held])
    with pytest.raises(Cancelled, match="after step 2 of 5"):
        drawn(guided, anchor=anchor, on_step=lambda i, n, x: i < 2)


def test_every_step_renews_its_noise_with_noise() -> None:
    """Of the same strength, like none before it, and like nothing that the flow has in it."""
    noise = torch.randn(2, 16, 64, generator=torch.Generator().manual_seed(1))
    steps = AnchoredSteps(Anchor(noise, torch.zeros(16, dtype=torch.bool)), noise, 1.0)
    still = torch.zeros_like(noise)
    # at x = 0 and velocity 0 the step to time 1 is the new noise alone
    taken = [noise, *(steps.move(still, still, 0.5, 1.0)[0] for _ in range(25))]
    for k, one in enumerate(taken):
        for other in taken[:k]:
            for a, b in zip(one, other, strict=True):
                correlation = torch.corrcoef(torch.stack([a.ravel(), b.ravel()]))[0, 1]
                assert abs(float(correlation)) < 0.2
        assert float(one.std()) == pytest.approx(float(noise.std()), rel=1e-5)


def test_a_true_flow_is_followed_to_its_end() -> None:
    """With the velocity of a flow to one picture, the rest ends in that picture exactly."""
    generator = torch.Generator().manual_seed(2)
    truth, x = torch.randn(2, 1, 6, 64, generator=generator)
    held = torch.tensor([True, False, True, False, False, False])
    steps = AnchoredSteps(Anchor(truth[0], held), x, 0.85)
    times = FlowSettings(points=8).times().tolist()
    for now, then in pairwise(times):
        x, straight = steps.move(x, (x - truth) / now, now, then)
        torch.testing.assert_close(straight, truth)
    torch.testing.assert_close(x, truth)


def test_impossible_anchors(guided) -> None:
    anchor = anchor_of(guided, 3, 4)
    with pytest.raises(ValueError, match=r"anchor\.latents: expected \[1, 12, 64\]"):
        drawn(guided, anchor=replace(anchor, latents=anchor.latents[:5]))
    with pytest.raises(ValueError, match=r"anchor\.held: expected bool"):
        drawn(guided, anchor=replace(anchor, held=anchor.held.float()))
    with pytest.raises(ValueError, match="anchoring: expected off or ddnm"):
        FlowSettings(anchoring="blended")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="anchor_noise: expected 0 to 1"):
        FlowSettings(anchor_noise=1.5)
