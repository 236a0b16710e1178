"""Contexts: sharing without interference, growing without reading twice, writing and scoring."""

from __future__ import annotations

import pytest
import torch
from made_up import latents, picture, relative_error

from ipt_model.inference.context import Context
from ipt_model.inference.guided import GuidedContexts
from ipt_model.network import attention


def answer(context: Context) -> torch.Tensor:
    """What the context makes the model say: its fingerprint."""
    return context.write(5, logits=True).logits[0]


@pytest.fixture
def base(golden_model):
    return Context(golden_model).add_text([1, 2, 3]).add_vit(picture(28, 42, 1))


def test_forks_go_their_own_ways(golden_model, base):
    """Two forks write over each other's slots unless one of them moves away."""
    left, right = base.fork(), base.fork()
    left.add_text([4, 5])
    right.add_text([6, 7, 8])
    for fork, text in ((left, [4, 5]), (right, [6, 7, 8])):
        alone = Context(golden_model).add_text([1, 2, 3]).add_vit(picture(28, 42, 1))
        assert torch.equal(answer(fork), answer(alone.add_text(text)))
    assert torch.equal(answer(base), answer(base.fork()))


def test_a_fork_costs_nothing_until_it_must(base):
    left = base.fork()
    assert left.store is base.store
    left.add_text([4, 5])
    assert left.store is base.store  # the first to go on needs no copy
    right = base.fork().add_text([6])
    assert right.store is not base.store  # the second does: left still needs its slots
    del left
    assert base.fork().add_text([6]).store is base.store  # left is gone, its slots are free


def test_what_a_fork_reads_does_not_change_the_parent(base):
    before = answer(base)
    fork = base.fork().add_latents(latents(base.model.config, 3, 4, 1)).add_text([9])
    fork.write(6, logits=True)
    assert torch.equal(answer(base), before)


@pytest.mark.parametrize("capacity", [1, 7, 4096])
def test_capacity_changes_nothing(golden_model, base, capacity):
    context = Context(golden_model, capacity=capacity)
    context.add_text([1, 2, 3]).add_vit(picture(28, 42, 1))
    assert torch.equal(answer(context), answer(base))


def test_nothing_is_read_twice(golden_model, base):
    """Tokens through the first layer: those of the new segment, not of the context."""
    seen: list[int] = []
    layer = golden_model.language_model.model.layers[0]
    hook = layer.register_forward_pre_hook(
        lambda _, args: seen.append(sum(x.shape[1] for x in args[1:3] if x is not None))
    )
    base.add_text([5, 6])
    base.add_latents(latents(golden_model.config, 2, 2, 1))
    base.write(3, end_token=-1, logits=True)
    base.logits_after([[500, 1], [500]])
    hook.remove()
    assert seen == [4, 6, 1, 1, 1, 3]


def test_writing_can_be_begun_and_stopped(base):
    free = base.write(8, end_token=-1, logits=True).ids[0]
    begun = base.write(8, end_token=-1, begin=free[1:4], logits=True)
    assert begun.ids[0] == free
    assert begun.logits[0].shape[0] == 8
    stopped = base.write(8, end_token=-1, on_word=lambda n: n < 3)
    assert stopped.ids[0] == free[:3] and stopped.finished == (False,)


def test_end_token_ends_and_is_not_in_the_text(base):
    free = base.write(8, end_token=-1, logits=True).ids[0]
    end = free[4]
    written = base.write(8, end_token=end, logits=True)
    assert written.ids[0] == free[: free.index(end, 1)]
    assert written.finished == (True,)
    assert len(written.logits[0]) == len(written.ids[0])
    assert int(written.logits[0][-1].argmax()) == end


def test_entries_of_a_batch_end_each_in_its_time(golden_model):
    """A batch writes in step; each entry's text is what it would write alone."""
    pictures = torch.stack([picture(28, 28, i) for i in range(4)])
    many = Context(golden_model, batch=4).add_vit(pictures).add_text([3, 1])
    alone = [Context(golden_model).add_vit(p).add_text([3, 1]) for p in pictures]
    free = [c.write(9, end_token=-1, logits=True).ids[0] for c in alone]
    end = free[0][3]
    written = many.write(9, end_token=end, logits=True)
    for i, context in enumerate(alone):
        one = context.write(9, end_token=end, logits=True)
        assert written.ids[i] == one.ids[0]
        assert written.finished[i] == one.finished[0]
        assert relative_error(written.logits[i], one.logits[0]) < 5e-6


def test_scores_of_continuations_are_those_of_writing_them(base):
    written = base.write(5, end_token=-1, logits=True)
    ids = written.ids[0]
    whole, start = base.logits_after([ids, ids[:2]])
    assert relative_error(whole[0], written.logits[0]) < 5e-6
    assert relative_error(start[0], written.logits[0][:2]) < 5e-6
    with pytest.raises(ValueError, match="at least one id"):
        base.logits_after([[500], []])


def test_guided_contexts_follow_the_reference(golden_model):
    """main has all, cfg_text what came before the last text, cfg_img texts alone; prefixes are
    shared."""
    a, b = latents(golden_model.config, 2, 3, 1), picture(28, 42, 1)
    guided = GuidedContexts(golden_model).add_text([1]).add_picture(a, b).add_text([2, 3])
    guided.add_thinking([4])
    expected = {
        "main": lambda c: c.add_text([1]).add_pictures([(a, b)]).add_text([2, 3]).add_text([4]),
        "cfg_text": lambda c: c.add_text([1]).add_pictures([(a, b)]),
        "cfg_img": lambda c: c.add_text([1]).add_text([2, 3]),
    }
    for name, read in expected.items():
        context, alone = getattr(guided, name), read(Context(golden_model))
        assert context.tokens == alone.tokens and context.rope == alone.rope, name
        assert torch.equal(answer(context.fork()), answer(alone)), name
    assert guided.cfg_text.store is guided.main.store
    guided.add_picture(a, None)
    assert guided.cfg_text.tokens == guided.main.tokens


def test_pictures_of_one_size_are_looked_at_together(golden_model):
    few = [picture(28, 42, seed) for seed in range(3)]
    together = Context(golden_model).add_pictures([(None, one) for one in few])
    alone = Context(golden_model)
    for one in few:
        alone.add_vit(one)
    assert relative_error(answer(together), answer(alone)) < 5e-6


@pytest.mark.parametrize("after", ["nothing", "a text", "a shared beginning"])
def test_pictures_that_share_a_pass_are_read_as_one_after_the_other(
    golden_model, monkeypatch, after
):
    a, b = latents(golden_model.config, 2, 3, 1), picture(28, 42, 1)
    c, d = latents(golden_model.config, 4, 2, 2), picture(42, 28, 2)
    pictures = [(a, b), (None, d), (c, None)]

    def begun():
        context = Context(golden_model)
        if after != "nothing":
            context.add_text([1, 2, 3])
        return context.repeat(2) if after == "a shared beginning" else context

    together = begun().add_pictures(pictures)
    alone = begun().add_latents(a).add_vit(b).add_vit(d).add_latents(c)
    assert (together.tokens, together.rope) == (alone.tokens, alone.rope)
    for one, other in zip(
        together.add_text([5]).write(5, logits=True).logits,
        alone.add_text([5]).write(5, logits=True).logits,
        strict=True,
    ):
        assert relative_error(one, other) < 5e-6
    # what is too large for one pass is read as before, to the last bit
    monkeypatch.setattr("ipt_model.inference.context.TOGETHER", 1)
    apart = begun().add_pictures(pictures).add_text([5])
    assert torch.equal(
        answer(apart),
        answer(begun().add_latents(a).add_vit(b).add_vit(d).add_latents(c).add_text([5])),
    )


def test_repeating_stores_the_beginning_once(base):
    many = base.repeat(8, capacity=16)
    many.add_text([1, 2])
    assert many.prefix.store is base.store
    assert many.store.capacity == 16 and many.tokens == base.tokens + 4
    with pytest.raises(ValueError, match="batch 1"):
        many.repeat(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.add_vit(torch.zeros(28, 30, 3, dtype=torch.uint8)), "multiples of 14"),
        (lambda c: c.add_vit(torch.zeros(28, 28, 3)), "uint8"),
        (lambda c: c.add_vit(picture(14 * 7, 14, 0)), "6 x 6 positions"),
        (lambda c: c.add_latents(torch.zeros(16, 3, 4)), "multiples of 2"),
        (lambda c: c.add_latents(torch.zeros(3, 16, 4, 4)), "expected latents"),
        (lambda c: c.add_text(torch.zeros(2, 3, dtype=torch.long)), "1 entries"),
    ],
)
def test_unreadable_inputs(base, call, message):
    with pytest.raises(ValueError, match=message):
        call(base.fork())


@pytest.mark.parametrize("hidden", [False, True])
def test_training_on_a_cpu_attends_as_torch_does(hidden, monkeypatch):
    """Plain products, taken for short sequences with gradients, equal torch's kernel; so do the
    gradients."""
    torch.manual_seed(0)
    inputs = [torch.randn(2, heads, 9, 8, requires_grad=True) for heads in (6, 3, 3)]
    mask = torch.ones(2, 1, 9, 9, dtype=torch.bool).tril() if hidden else None

    def attend():
        seen = attention.full(*inputs) if mask is None else attention.masked(*inputs, mask)
        return seen, torch.autograd.grad(seen.square().sum(), inputs)

    with monkeypatch.context() as patch:
        patch.setattr(attention.F, "scaled_dot_product_attention", None)
        plain, gradients = attend()
    monkeypatch.setattr(attention, "SHORT", 0)
    kernel, expected = attend()
    for ours, theirs in zip((plain, *gradients), (kernel, *expected), strict=True):
        assert relative_error(ours, theirs) < 2e-6


def test_parts_equal_one_store():
    """Attention over a shared and an own store, in chunks, is attention over both joined."""
    torch.manual_seed(0)
    q = torch.randn(3, 6, 5, 8)
    shared = torch.randn(1, 2, 7, 8), torch.randn(1, 2, 7, 8)
    own = torch.randn(3, 2, 5, 8), torch.randn(3, 2, 5, 8)
    k, v = (torch.cat([s.expand(3, -1, -1, -1), o], 2) for s, o in zip(shared, own, strict=True))
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    mask = torch.cat([torch.ones(5, 7, dtype=torch.bool), causal], 1)
    got = attention.over_parts(q, [shared, own], causal)
    assert relative_error(got, attention.masked(q, k, v, mask)) < 2e-6
    assert relative_error(attention.over_parts(q, [shared, own]), attention.full(q, k, v)) < 2e-6
    least, attention.SCORES_AT_ONCE = attention.SCORES_AT_ONCE, 1
    try:
        assert torch.allclose(attention.over_parts(q, [shared, own], causal), got, atol=1e-6)
    finally:
        attention.SCORES_AT_ONCE = least
