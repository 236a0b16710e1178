"""What training writes can be loaded by the public code: names, tables and tokenizer files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from ipt_model.network.config import BagelConfig
from ipt_model.network.embeddings import sincos_table
from ipt_model.network.model import BagelModel
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.checkpoint import save_folder
from ipt_model.weights.loading import load
from ipt_model.weights.presets import preset_folder
from ipt_model.wording.tokenizer import CONTROLS, Tokenizer
from ipt_training.finetune.building import build, export, merged_weights
from ipt_training.recipe.settings import TrainingRecipe

PARITY = Path(__file__).parents[4] / "shared" / "parity"
#: As many layers as the released model has, each of them tiny.
DEEP = {
    "llm_config": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 28,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
    "vit_config": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 27},
}
TEXTS = [
    "How many chairs are in this area?\nA) 2 B) 3",
    "<think>Let me look.</think><image_start>",
    "<image_end><answer>B</answer>",
    "Übung ½ 123 don't  stop\n\n x",
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The end of a run that began from a folder in the released layout: 28 layers, a tokenizer in
    Qwen2's two oldest files."""
    folder = tmp_path_factory.mktemp("deep")
    config = BagelConfig.from_folder(preset_folder("ipt_tiny"))
    config.llm_config.update(DEEP["llm_config"], vocab_size=512)
    config.vit_config.update(DEEP["vit_config"])
    config.vae_config.update(ch_mult=[1, 2, 4, 4], num_res_blocks=2, norm_groups=8)
    tokenizer = qwen_like(folder)
    config.special_tokens = dict(vars(tokenizer.special).items())
    torch.manual_seed(0)
    save_folder(folder, BagelModel(config), LatentCodec(config))
    AskingStyle.load(preset_folder("ipt_tiny")).save(folder)
    recipe = {
        "name": "deep",
        "supervision": "ipt",
        "examples": 1,
        "model": {"init": str(folder)},
        "data": {"train": "unused"},
    }
    start = build(TrainingRecipe.from_dict(recipe))
    out = folder / "final"
    export(out, start, merged_weights(start.model), {"step": 1})
    return out


def qwen_like(folder: Path) -> Tokenizer:
    """Write a small byte-level vocabulary as `vocab.json` and `merges.txt`."""
    import tokenizers
    from tokenizers import models, trainers

    from ipt_model.wording.tokenizer import _QWEN_SPLIT, _byte_level

    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = _byte_level(_QWEN_SPLIT)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(TEXTS * 4, trainer)
    backend.model.save(str(folder))
    return Tokenizer.load(folder)


def names_of(path: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def test_all_names_of_the_released_layout_are_written(exported: Path) -> None:
    model, vae = (names_of(exported / f"{stem}.safetensors") for stem in ("ema", "ae"))
    assert (len(model), len(vae)) == (1223, 244)
    if PARITY.is_dir():
        for found, name in ((model, "bagel_7b_keys"), (vae, "bagel_7b_ae_keys")):
            released = json.loads((PARITY / f"{name}.json").read_text())
            assert set(found) == set(released)


def test_position_tables_are_in_it(exported: Path) -> None:
    with safe_open(exported / "ema.safetensors", "pt") as file:
        for name in ("latent_pos_embed.pos_embed", "vit_pos_embed.pos_embed"):
            table = file.get_tensor(name).float()
            assert torch.allclose(table, sincos_table(round(len(table) ** 0.5), 16), atol=1e-2)
    assert load(exported, "cpu").model.config.llm.layers == 28


def test_the_tokenizers_files_are_those_of_qwen2s_class(exported: Path, tmp_path: Path) -> None:
    from transformers import Qwen2Tokenizer

    own = Tokenizer.load(exported)
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    whole = Qwen2Tokenizer.from_pretrained(exported)
    old = Qwen2Tokenizer(
        json.loads((tmp_path / "vocab.json").read_text()),
        [tuple(line.split()) for line in (tmp_path / "merges.txt").read_text().splitlines()[1:]],
    )
    for text in TEXTS:
        assert whole.encode(text, add_special_tokens=False) == own.encode(text)
        assert old.encode(text, add_special_tokens=False) == own.encode(text)
    ids = json.loads((tmp_path / "added_tokens.json").read_text())
    assert [ids[c] for c in CONTROLS] == [*vars(own.special).values()]
    assert [whole.convert_tokens_to_ids(c) for c in CONTROLS] == [ids[c] for c in CONTROLS]
    # our own reading of the older files is the same vocabulary
    again = Tokenizer.load(tmp_path)
    assert all(again.encode(text) == own.encode(text) for text in TEXTS)
    assert np.array_equal([*vars(again.special).values()], [*vars(own.special).values()])
