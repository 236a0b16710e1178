"""A model of other dimensions against the plain implementation: nothing is true of the golden
sizes only."""

from __future__ import annotations

import pytest
import torch
from made_up import latents, picture, relative_error
from plain_bagel import PlainBagel

from ipt_model.inference.context import Context
from ipt_model.inference.flow import FlowSettings, draw
from ipt_model.inference.guided import GuidedContexts
from ipt_model.network.latents import to_grid


@pytest.fixture(scope="module")
def plain(other_model):
    return PlainBagel(other_model.config, other_model.state_dict())


@pytest.fixture(scope="module")
def segments(other_model):
    return [
        ("text", [5, 6, 7]),
        ("vae", latents(other_model.config, 3, 5, 1)),
        ("vit", picture(48, 80, 2)),
        ("text", [9, 8, 7, 6, 5]),
    ]


def read(model, segments) -> Context:
    context = Context(model, capacity=4)  # small: growing is part of the test
    for kind, value in segments:
        {"text": context.add_text, "vit": context.add_vit, "vae": context.add_latents}[kind](value)
    return context


def test_greedy_text_and_logits(other_model, plain, segments):
    written = read(other_model, segments).write(12, logits=True)
    ids = list(written.ids[0])
    assert ids == plain.greedy(segments, 12, other_model.config.tokens.eos)
    assert relative_error(written.logits[0], plain.logits(segments, ids)) < 5e-6


def test_drawing_with_three_branches(other_model, plain, segments):
    config = other_model.config
    height, width = 2 * config.latent_stride, 3 * config.latent_stride
    guided = GuidedContexts(other_model)
    guided.add_text([5, 6, 7]).add_picture(segments[1][1], segments[2][1]).add_text(segments[3][1])
    noise = torch.randn(6, config.latent_numbers, generator=torch.Generator().manual_seed(3))
    settings = FlowSettings(points=5, shift=2.0, text_scale=3.0, image_scale=1.5)
    got = draw(
        other_model,
        guided.main,
        guided.cfg_text,
        guided.cfg_img,
        height,
        width,
        settings,
        noise=noise,
    )[0]
    texts = [s for s in segments if s[0] == "text"]
    expected = plain.draw(segments, segments[:3], texts, noise, 3, 5, 2.0, 3.0, 1.5)
    assert relative_error(got, expected) < 1e-5


def test_a_drawn_picture_becomes_context(other_model, plain, segments):
    config = other_model.config
    drawn = torch.randn(6, config.latent_numbers, generator=torch.Generator().manual_seed(4))
    grid = to_grid(drawn, 2, 3, config.latent_patch_size)
    context = read(other_model, segments).add_latents(grid).add_vit(picture(32, 48, 5))
    longer = [*segments, ("vae", grid), ("vit", picture(32, 48, 5))]
    written = context.write(6, logits=True)
    got = plain.logits(longer, list(written.ids[0]))
    assert relative_error(written.logits[0], got) < 5e-6


def test_continuations_share_one_pass(other_model, plain, segments):
    bos = other_model.config.tokens.bos
    options = [[bos, 3], [bos, 3, 4, 5, 6], [bos, 250, 251]]
    context = read(other_model, segments)
    before = context.tokens
    for option, scores in zip(options, context.logits_after(options), strict=True):
        assert relative_error(scores[0], plain.logits(segments, option)) < 5e-6
    assert context.tokens == before


def test_repeated_context_equals_separate_ones(other_model, plain, segments):
    """Three continuations over one stored beginning, each with its own picture and text."""
    pictures = torch.stack([picture(32, 48, seed) for seed in (7, 8, 9)])
    grids = torch.stack([latents(other_model.config, 2, 3, seed) for seed in (7, 8, 9)])
    base = read(other_model, segments)
    many = base.repeat(3)
    many.add_latents(grids).add_vit(pictures).add_text([40, 41])
    assert many.store.batch == 3 and many.length < many.tokens  # the beginning is not in its store
    written = many.write(6, logits=True)
    bos = other_model.config.tokens.bos
    follow = many.logits_after([[bos, 3, 4], [bos, 5]])
    for i in range(3):
        whole = [*segments, ("vae", grids[i]), ("vit", pictures[i]), ("text", [40, 41])]
        ids = list(written.ids[i])
        assert ids == plain.greedy(whole, 6, other_model.config.tokens.eos)
        assert relative_error(written.logits[i], plain.logits(whole, ids)) < 5e-6
        assert relative_error(follow[0][i], plain.logits(whole, [bos, 3, 4])) < 5e-6
        assert relative_error(follow[1][i], plain.logits(whole, [bos, 5])) < 5e-6


def test_drawing_from_a_repeated_context(other_model, segments):
    """Each continuation draws its own picture, as it would alone."""
    config, stride = other_model.config, other_model.config.latent_stride
    pictures = [picture(32, 48, seed) for seed in (7, 8)]
    noise = torch.randn(2, 4, config.latent_numbers, generator=torch.Generator().manual_seed(5))
    settings = FlowSettings(points=4, text_scale=1.0)
    base = read(other_model, segments)
    many = base.repeat(2).add_vit(torch.stack(pictures))
    together = draw(
        other_model, many, None, None, 2 * stride, 2 * stride, settings, noise=noise, count=2
    )
    for i in range(2):
        alone = base.fork().add_vit(pictures[i])
        one = draw(
            other_model, alone, None, None, 2 * stride, 2 * stride, settings, noise=noise[i]
        )
        assert relative_error(together[i], one[0]) < 5e-6
