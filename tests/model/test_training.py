"""The training forward: batches, padding, dropped pictures, and the libraries that drive it."""

from __future__ import annotations

import warnings

import pytest
import torch
from made_up import GOLDEN, latents, picture, relative_error
from plain_bagel import PlainBagel

from ipt_model.inference.context import Context
from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.packing import (
    DroppedPicture,
    LatentSegment,
    PackingError,
    TextSegment,
    VitSegment,
    pack,
)
from ipt_model.weights.checkpoint import load_model


@pytest.fixture
def model():
    """A fresh copy of the golden model: these tests train it."""
    return load_model(GOLDEN)


def noise(config: BagelConfig, tokens: int, seed: int) -> torch.Tensor:
    return torch.randn(
        tokens, config.latent_numbers, generator=torch.Generator().manual_seed(seed)
    )


def interleaved(config: BagelConfig, seed: int = 0) -> list:
    """Reads, thinks, draws, looks at it, answers."""
    x = latents(config, 2, 3, seed)
    patch = config.vit.patch
    return [
        VitSegment(picture(2 * patch, 3 * patch, seed)),
        TextSegment([1, 2, 3]),
        TextSegment([4, 5], loss=True),
        LatentSegment(x, noise(config, 6, seed), 0.4),
        LatentSegment(x),
        VitSegment(picture(3 * patch, 2 * patch, seed + 1)),
        TextSegment([6, 7], loss=True),
    ]


def test_batching_changes_nothing(model):
    """Padded together, samples of different kinds give what each gives alone."""
    config = model.config
    samples = [
        interleaved(config),
        [TextSegment([9, 9]), TextSegment([1], loss=True)],
        [LatentSegment(latents(config, 1, 2, 5), noise(config, 2, 6), 0.7)],
        interleaved(config, 3)[1:4],
    ]
    together = model(pack(samples, config), hidden=True)
    alone = [model(pack([s], config), hidden=True) for s in samples]
    for name in ("ce", "mse", "last_hidden"):
        parts = torch.cat([a[name] for a in alone if name in a])
        assert relative_error(together[name].detach(), parts.detach()) < 2e-6, name


def test_finishing_only_tokens_with_a_loss_changes_no_gradient(model):
    config = model.config
    batch = pack([interleaved(config), interleaved(config, 5)[:3]], config)

    def gradients(hidden: bool) -> dict:
        model.zero_grad()
        out = model(batch, hidden=hidden)
        (out.ce.mean() + out.mse.mean()).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    few, all_ = gradients(False), gradients(True)
    assert few.keys() == all_.keys() and len(few) == 109
    largest = max(float(g.abs().max()) for g in all_.values())
    assert all((few[n] - all_[n]).abs().max() < 2e-6 * largest for n in few)


def test_hidden_states_match_the_plain_twin(other_model):
    """Clean samples, where training and inference must be the same computation."""
    config = other_model.config
    x, pixels = latents(config, 3, 2, 1), picture(32, 48, 2)
    sample = [LatentSegment(x), VitSegment(pixels), TextSegment([5, 6, 7])]
    got = other_model(pack([sample], config), hidden=True).last_hidden
    plain = PlainBagel(config, other_model.state_dict())
    expected = plain.run([("vae", x), ("vit", pixels), ("text", [5, 6, 7])], None, ())
    assert relative_error(got, expected) < 3e-6


@pytest.mark.parametrize("kinds", ["text", "vit", "drawing"])
def test_batches_of_one_kind(model, kinds):
    """Neither pictures to read nor pictures to draw need be there."""
    config = model.config
    sample = {
        "text": [TextSegment([1, 2], loss=True)],
        "vit": [VitSegment(picture(14, 28, 1)), TextSegment([1, 2], loss=True)],
        "drawing": [
            TextSegment([3]),
            LatentSegment(latents(config, 2, 2, 1), noise(config, 4, 2), 0.5),
        ],
    }[kinds]
    out = model(pack([sample], config))
    assert (out.ce is None) == (kinds == "drawing")
    assert (out.mse is None) == (kinds != "drawing")
    loss = out.mse if out.ce is None else out.ce
    loss.mean().backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0


def test_a_noised_picture_is_seen_by_nobody(model):
    config = model.config
    sample = interleaved(config)
    other = list(sample)
    other[3] = LatentSegment(sample[3].latents, noise(config, 6, 99), 0.9)
    a, b = (model(pack([s], config)) for s in (sample, other))
    assert torch.equal(a.ce, b.ce)
    assert not torch.allclose(a.mse, b.mse)


def test_drawing_depends_on_what_was_read_not_on_what_follows(model):
    config = model.config
    sample = interleaved(config)
    before = model(pack([sample], config)).mse
    assert relative_error(model(pack([sample[:4]], config)).mse, before) < 2e-6
    changed = [sample[0], TextSegment([1, 2, 4]), *sample[2:]]
    assert not torch.allclose(before, model(pack([changed], config)).mse)


def test_dropped_picture_keeps_its_rope_id():
    config = BagelConfig.from_folder(GOLDEN)
    text = TextSegment([1])
    with_picture = pack([[VitSegment(picture(14, 14, 1)), text]], config).rope_ids()
    without = pack([[DroppedPicture(), text]], config).rope_ids()
    assert without.tolist() == with_picture[3:].tolist() == [1, 2, 3]
    drawn = LatentSegment(latents(config, 1, 1, 1), noise(config, 1, 1), 0.5)
    clean = LatentSegment(drawn.latents)
    assert pack([[drawn, clean, text]], config).rope_ids().tolist() == [0] * 6 + [1, 2, 3]


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (VitSegment(torch.zeros(14, 15, 3, dtype=torch.uint8)), "multiples of 14"),
        (VitSegment(torch.zeros(14, 14, 3)), "uint8"),
        (LatentSegment(torch.zeros(16, 4, 4), torch.zeros(3, 64), 0.5), r"\(4, 64\)"),
        (LatentSegment(torch.zeros(16, 4, 4), torch.zeros(4, 64), 0.0), "if and only if t > 0"),
        (LatentSegment(torch.zeros(16, 4, 4), None, 0.5), "if and only if t > 0"),
    ],
)
def test_unpackable_segments(segment, message):
    config = BagelConfig.from_folder(GOLDEN)
    with pytest.raises(PackingError, match=f"sample 1, segment 1.*{message}"):
        pack([[TextSegment([1])], [TextSegment([1]), segment]], config)


def test_checkpointing_gives_the_same_gradients(model):
    batch = pack([interleaved(model.config)], model.config)

    def gradients():
        model.zero_grad()
        out = model(batch)
        (out.ce.mean() + out.mse.mean()).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    model.train()
    plain = gradients()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the name changed in newer versions
        model.gradient_checkpointing_enable()
    layers = model.language_model.model.layers
    calls = []
    hook = layers[0].register_forward_pre_hook(lambda *_: calls.append(1))
    again = gradients()
    hook.remove()
    assert len(calls) == 2  # once forward, once more in the backward pass
    assert plain.keys() == again.keys()
    assert all(torch.allclose(plain[n], again[n], atol=1e-6) for n in plain)


def test_autocast_runs_and_stays_close(model):
    """Float32 weights under bfloat16 autocast, the usual recipe on one GPU."""
    batch = pack([interleaved(model.config)], model.config)
    exact = model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(batch)
    (out.ce.mean() + out.mse.mean()).backward()
    assert out.ce.dtype == out.mse.dtype == torch.float32
    assert relative_error(out.ce.detach(), exact.ce.detach()) < 0.05


def test_lora_trains_and_merges(model):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    batch = pack([interleaved(model.config)], model.config)
    targets = ["q_proj", "v_proj", "q_proj_moe_gen", "down_proj"]
    lora = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=targets))
    trained = [n for n, p in lora.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in n for n in trained)
    optimizer = torch.optim.AdamW((p for p in lora.parameters() if p.requires_grad), lr=1e-2)
    losses = []
    for _ in range(4):
        out = lora(batch)
        loss = out.ce.mean() + out.mse.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    adapted = Context(lora.get_base_model()).add_text([1, 2]).write(4, logits=True)
    with torch.no_grad():
        before = lora(batch).ce
    merged = lora.merge_and_unload()
    assert isinstance(merged, BagelModel)
    assert set(merged.state_dict()) == set(load_model(GOLDEN).state_dict())
    assert relative_error(merged(batch).ce.detach(), before) < 1e-5
    written = Context(merged).add_text([1, 2]).write(4, logits=True)
    assert relative_error(written.logits[0], adapted.logits[0]) < 1e-5


def test_accelerate_drives_a_step(model):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    batch = pack([interleaved(model.config)], model.config).to(accelerator.device)
    before = model.language_model.lm_head.weight.detach().clone()
    accelerator.backward(wrapped(batch).ce.mean())
    optimizer.step()
    assert not torch.equal(before, model.language_model.lm_head.weight)


def test_accelerate_keeps_weights_away_from_the_device(model):
    """Every weight is used inside its own module's call, or offloading could not bring it in
    time."""
    accelerate = pytest.importorskip("accelerate")
    batch = pack([interleaved(model.config)], model.config)
    with torch.no_grad():
        before = model(batch)
        accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
        assert model.llm2vae.weight.is_meta
        after = model(batch)
    assert torch.equal(before.ce, after.ce) and torch.equal(before.mse, after.mse)


def test_save_and_load_as_transformers_does(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = BagelModel.from_pretrained(tmp_path)
    assert again.config.llm == model.config.llm and again.config.vit == model.config.vit
    assert again.config.tokens == model.config.tokens
    assert not again.latent_pos_embed.pos_embed.requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    half = BagelModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    batch = pack([interleaved(model.config)], model.config)
    assert torch.equal(again(batch).ce, model(batch).ce)
    placed = BagelModel.from_pretrained(tmp_path, device_map={"": "cpu"})
    assert torch.equal(placed(batch).ce, model(batch).ce)
    assert torch.isfinite(half(batch).ce).all()


def test_untrained_model_starts_as_the_recipe_says():
    model = BagelModel(BagelConfig.from_folder(GOLDEN))
    assert model.llm2vae.weight.abs().max() == 0
    out = model(pack([interleaved(model.config)], model.config))
    uniform = torch.log(torch.tensor(float(model.config.llm.vocab)))
    assert abs(out.ce.mean().item() - uniform.item()) < 0.2
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    assert len(trainable) == 109


def test_chosen_tokens_are_read_without_finishing_the_rest(model):
    """Their outputs are those of the whole pass, and the losses stay."""
    samples = [interleaved(model.config), interleaved(model.config, 3)[:4]]
    batch = pack(samples, model.config)
    slots = torch.tensor([7, 3, 7 + batch.und_ids.shape[1]])
    whole, some = model(batch, hidden=True), model(batch, read=slots)
    width = batch.und_ids.shape[1]
    places = batch.position[:, :width].flatten()[slots]
    assert relative_error(some.read.detach(), whole.last_hidden[places].detach()) < 2e-6
    assert relative_error(some.ce.detach(), whole.ce.detach()) < 2e-6
    assert relative_error(some.mse.detach(), whole.mse.detach()) < 2e-6
    texts = pack([[TextSegment([1, 2, 3])]], model.config)
    assert model(texts, read=torch.tensor([2])).read.shape == (1, model.config.llm.hidden)
