"""Checkpoint folders: the released names and shapes, streaming, parts, and every way a file can
be wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_up import DATA, GOLDEN, OTHER
from safetensors.torch import load_file, save_file

from ipt_model.inference.context import Context
from ipt_model.network.config import BagelConfig, ConfigError
from ipt_model.network.model import BagelModel
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.checkpoint import is_drawing, load_codec, load_model, save_folder
from ipt_model.weights.tensors import CheckpointError, read_header

Q_PROJ = "language_model.model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def folder(tmp_path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, change, file: str = "ema.safetensors") -> None:
    tensors = load_file(folder / file)
    change(tensors)
    save_file(tensors, folder / file)


def shard(folder: Path, pieces: int) -> None:
    """Split ema.safetensors as large checkpoints are split."""
    tensors = load_file(folder / "ema.safetensors")
    (folder / "ema.safetensors").unlink()
    weight_map = {}
    for i in range(pieces):
        name = f"ema-{i + 1:05d}-of-{pieces:05d}.safetensors"
        part = dict(list(tensors.items())[i::pieces])
        save_file(part, folder / name)
        weight_map.update(dict.fromkeys(part, name))
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "ema.safetensors.index.json").write_text(json.dumps(index))


def test_every_released_name_and_shape():
    """1,223 tensors of the model and 244 of the VAE, without allocating one of them."""
    config = BagelConfig()
    with torch.device("meta"):
        model, codec = BagelModel(config), LatentCodec(config)
    expected = json.loads((DATA / "bagel_7b_keys.json").read_text())
    assert {n: list(t.shape) for n, t in model.state_dict().items()} == expected
    assert len(expected) == 1223
    assert sum(p.numel() for p in model.parameters()) == 14_607_260_128
    released = {n: list(shape) for n, (_, shape) in codec.released_parameters().items()}
    assert released == json.loads((DATA / "bagel_7b_ae_keys.json").read_text())
    assert len(released) == 244


def test_answering_half_of_the_released_model_takes_16_gb():
    with torch.device("meta"):
        model = BagelModel(BagelConfig(visual_gen=False))
    names = json.loads((DATA / "bagel_7b_keys.json").read_text())
    assert set(model.state_dict()) == {n for n in names if not is_drawing(n)}
    assert len(model.state_dict()) == 821
    assert 2 * sum(p.numel() for p in model.parameters()) < 16.2e9


def test_answer_part_writes_the_same_text_and_refuses_to_draw(golden_cases):
    cases, tensors = golden_cases
    case = cases["greedy"][0]
    model = load_model(GOLDEN, parts="answer")
    context = Context(model)
    for s in case["context"]:
        if s["type"] == "vit":
            context.add_vit(tensors[s["pixels"]])
        else:
            context.add_text(s["ids"])
    assert list(context.write(case["max_length"], case["end_token"]).ids[0]) == case["ids"]
    with pytest.raises(RuntimeError, match="parts='all'"):
        context.add_latents(tensors["img.A.latent"])


@pytest.mark.parametrize("pieces", [1, 3])
def test_shards_give_the_same_weights(folder, pieces):
    before = load_model(folder).state_dict()
    shard(folder, pieces)
    after = load_model(folder).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_loading_converts_to_the_wanted_type():
    model = load_model(GOLDEN, dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    expected = load_file(GOLDEN / "ema.safetensors")[Q_PROJ].bfloat16()
    assert torch.equal(model.state_dict()[Q_PROJ], expected)


def test_position_tables_are_recomputed(folder):
    def drop(tensors):
        del tensors["latent_pos_embed.pos_embed"], tensors["vit_pos_embed.pos_embed"]

    stored = load_file(folder / "ema.safetensors")
    rewrite(folder, drop)
    model = load_model(folder)
    for name in ("latent_pos_embed.pos_embed", "vit_pos_embed.pos_embed"):
        table = model.state_dict()[name]
        assert not model.get_parameter(name).requires_grad
        assert torch.allclose(table, stored[name], atol=2e-6, rtol=0)


def test_a_foreign_position_table_is_refused(folder):
    rewrite(folder, lambda t: t["vit_pos_embed.pos_embed"].neg_())
    with pytest.raises(CheckpointError, match=r"vit_pos_embed\.pos_embed should be the 2-D sine"):
        load_model(folder)


def test_stored_table_wins_over_a_stale_size(folder):
    config = json.loads((folder / "config.json").read_text())
    config["max_latent_size"] = 4
    (folder / "config.json").write_text(json.dumps(config))
    assert load_model(folder).config.max_latent_size == 8


def test_missing_tensor(folder):
    rewrite(folder, lambda t: t.pop(Q_PROJ))
    with pytest.raises(CheckpointError, match=f"1 tensors missing: {Q_PROJ}"):
        load_model(folder)


def test_unexpected_tensor(folder):
    rewrite(folder, lambda t: t.update(stray=torch.zeros(2)))
    with pytest.raises(CheckpointError, match="1 tensors unexpected: stray"):
        load_model(folder)


def test_wrong_shape(folder):
    rewrite(folder, lambda t: t.update({Q_PROJ: torch.zeros(64, 60)}))
    with pytest.raises(CheckpointError, match=rf"{Q_PROJ} has shape \[64, 60\], expected \[64, 6"):
        load_model(folder)


def test_integers_where_weights_belong(folder):
    rewrite(folder, lambda t: t.update({Q_PROJ: torch.zeros(64, 64, dtype=torch.int32)}))
    with pytest.raises(CheckpointError, match="expected floating point"):
        load_model(folder)


@pytest.mark.parametrize("kept", [0, 5, 900, -1, -5000])
def test_truncated_file(folder, kept):
    data = (folder / "ema.safetensors").read_bytes()
    (folder / "ema.safetensors").write_bytes(data[:kept])
    with pytest.raises(CheckpointError, match=r"truncated|not a safetensors file"):
        load_model(folder)


def test_truncated_file_names_the_tensor(folder):
    data = (folder / "ema.safetensors").read_bytes()
    last = max(read_header(folder / "ema.safetensors").values(), key=lambda e: e.end)
    (folder / "ema.safetensors").write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match=f"tensor {last.name} should end at byte {last.end}"):
        load_model(folder)


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04" + b"\0" * 200, b"\x80\x02}q\x00." * 40, b"<html>404</html>" * 9, b'{"a": 1}'],
    ids=["zip", "pickle", "web page", "json"],
)
def test_foreign_file(folder, content):
    (folder / "ema.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"ema\.safetensors: .*safetensors file"):
        load_model(folder)


def test_header_that_lies_about_a_size(folder):
    path = folder / "ema.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[Q_PROJ]["shape"] = [64, 65]
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data[8 + length :])
    with pytest.raises(CheckpointError, match=rf"{Q_PROJ} of shape \(64, 65\) F32 needs 16640"):
        load_model(folder)


def test_pickles_are_never_opened(folder):
    (folder / "ema.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="found neither"):
        load_model(folder)


def test_index_pointing_out_of_the_folder(folder):
    shard(folder, 2)
    index = json.loads((folder / "ema.safetensors.index.json").read_text())
    index["weight_map"][Q_PROJ] = "../other/ema.safetensors"
    (folder / "ema.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="no safetensors file of this folder"):
        load_model(folder)


def test_index_naming_a_tensor_its_shard_lacks(folder):
    shard(folder, 2)
    index = json.loads((folder / "ema.safetensors.index.json").read_text())
    one, two = sorted(set(index["weight_map"].values()))
    index["weight_map"][Q_PROJ] = two if index["weight_map"][Q_PROJ] == one else one
    (folder / "ema.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=f"the index places tensor {Q_PROJ} here"):
        load_model(folder)


def test_configuration_of_another_model(folder):
    (folder / "llm_config.json").write_text(json.dumps(OTHER["llm_config"]))
    (folder / "special_tokens.json").write_text(json.dumps(OTHER["special_tokens"]))
    with pytest.raises(CheckpointError, match="Do the configuration files fit"):
        load_model(folder)


def test_vae_file_is_checked_too(folder):
    rewrite(folder, lambda t: t.pop("decoder.conv_out.bias"), "ae.safetensors")
    with pytest.raises(CheckpointError, match=r"missing: decoder\.conv_out\.bias"):
        load_codec(folder, BagelConfig.from_folder(folder))


@pytest.mark.parametrize("tables", [True, False])
def test_saved_folder_reads_back(tmp_path, other_model, tables):
    codec = LatentCodec(other_model.config).eval()
    save_folder(tmp_path, other_model, codec, position_tables=tables)
    model = load_model(tmp_path)
    assert model.config.llm == other_model.config.llm
    assert model.config.vit == other_model.config.vit
    assert model.config.tokens == other_model.config.tokens
    for name, value in other_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    again = load_codec(tmp_path, model.config)
    pixels = torch.randint(0, 256, (24, 36, 3), dtype=torch.uint8)
    assert torch.equal(again.encode(pixels), codec.encode(pixels))


MEASURE = """
import resource, sys, torch
from ipt_model.weights.checkpoint import load_model
dtype = getattr(torch, sys.argv[2])
load_model(sys.argv[3], dtype=dtype)  # a tiny one: imports and allocator are warm
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = load_model(sys.argv[1], dtype=dtype)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((peak - before) * 1024, sum(p.numel() * p.element_size() for p in model.parameters()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_peak_memory_is_the_weights_and_one_buffer(tmp_path, dtype):
    """Loading to the CPU must hold the weights once, and beside them less than a fifth of one
    shard."""
    config = BagelConfig(
        llm_config={"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8,
                    "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 16000},
        vit_config=OTHER["vit_config"],
        vae_config=OTHER["vae_config"],
        special_tokens=OTHER["special_tokens"],
        max_latent_size=8,
        vit_max_num_patch_per_side=5,
    )  # fmt: skip
    with torch.device("meta"):
        model = BagelModel(config)
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    save_folder(tmp_path, model, position_tables=False)
    del model
    shard(tmp_path, 2)
    on_disk = max(p.stat().st_size for p in tmp_path.glob("*.safetensors"))
    assert on_disk > 150e6
    command = [sys.executable, "-c", MEASURE, str(tmp_path), dtype, str(GOLDEN)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, weights = map(int, done.stdout.split())
    assert grown - weights < 0.2 * on_disk, (grown, weights, on_disk)


def test_config_without_tokens_or_tokenizer(folder):
    (folder / "special_tokens.json").unlink()
    with pytest.raises(ConfigError, match=r"special_tokens\.json"):
        BagelConfig.from_folder(folder)


def test_special_ids_from_the_tokenizer(folder):
    (folder / "special_tokens.json").unlink()
    names = {"<|im_start|>": 7, "<|im_end|>": 8, "<|vision_start|>": 9, "<|vision_end|>": 10}
    added = [{"id": id, "content": name} for name, id in names.items()]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    tokens = BagelConfig.from_folder(folder).tokens
    assert (tokens.bos, tokens.eos, tokens.start_of_image, tokens.end_of_image) == (7, 8, 9, 10)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("llm_config", {"num_key_value_heads": 4}, "no multiple of num_key_value_heads"),
        ("llm_config", {"hidden_act": "gelu"}, "expected 'silu'"),
        ("vit_config", {"num_hidden_layers": 1}, "counts one unused layer"),
        ("vae_config", {"downsample": 16}, "downsample says 16"),
        ("special_tokens", {"bos": 300}, "outside the vocabulary of 300"),
    ],
)
def test_unusable_configuration(part, change, message):
    with pytest.raises(ConfigError, match=message):
        BagelConfig(**{**OTHER, part: {**OTHER[part], **change}})
