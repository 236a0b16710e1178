"""Small checkpoint folders for tests: one that says what it is told to, one of random weights.

A speaking model has its decoder silenced (no attention, no MLP), so every word follows from the
word before alone, with exactly the scores that were asked for. All code around it is the real one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.checkpoint import save_folder
from ipt_model.weights.presets import preset_folder
from ipt_model.wording.tokenizer import Tokenizer

#: Per word, the scores of the words that may follow; a plain word is certain to follow.
Chain = Mapping[str, str | Mapping[str, float]]
BOS, EOS = "<bos>", "<eos>"


def small_config(**llm: int) -> BagelConfig:
    """The shipped preset with two narrow layers."""
    config = BagelConfig.from_folder(preset_folder("ipt_tiny"))
    config.llm_config.update(
        {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, **llm}
    )
    config.vit_config.update({"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2})
    config.vae_config["ch_mult"] = [1, 1, 1, 1]
    return config


def write_model(
    folder: Path, chain: Chain | None = None, style: AskingStyle | None = None, seed: int = 0
) -> Path:
    """Write a checkpoint folder: a chain makes a speaking model, none a random one."""
    config, preset = small_config(), preset_folder("ipt_tiny")
    torch.manual_seed(seed)
    model, codec = BagelModel(config), LatentCodec(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "norm" not in name:
                parameter.normal_(std=0.3 / math.sqrt(parameter.shape[-1]))
        torch.nn.init.normal_(model.llm2vae.weight, std=0.3)
    if chain is not None:
        _silence(model)
        _teach(model, Tokenizer.load(preset), chain)
    save_folder(folder, model, codec)
    (style or small_style()).save(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((preset / name).read_bytes())
    return folder


def small_style(**changes: object) -> AskingStyle:
    """The preset's, with guidance on, so that all three contexts are used."""
    style = AskingStyle.load(preset_folder("ipt_tiny"))
    flow = replace(style.flow, points=7, text_scale=2.0, image_scale=1.5, renorm="channel")
    return replace(style, model_id="test", flow=flow, **changes)  # type: ignore[arg-type]


def _silence(model: BagelModel) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".o_proj" in name or ".down_proj" in name:
                parameter.zero_()


def _teach(model: BagelModel, tokenizer: Tokenizer, chain: Chain) -> None:
    """Give every word of the chain its own direction and the head the scores of what follows."""
    known = {BOS: tokenizer.special.bos, EOS: tokenizer.special.eos}

    def id_of(word: str) -> int:
        ids = [known[word]] if word in known else tokenizer.encode(word)
        assert len(ids) == 1, f"{word!r} is {len(ids)} tokens"
        return ids[0]

    words = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        words.zero_()
        head.zero_()
        for direction, (word, following) in enumerate(chain.items()):
            words[id_of(word), direction] = 1.0
            scores = {following: 30.0} if isinstance(following, str) else following
            # The final norm turns a unit vector of n numbers into one of length sqrt(n).
            for after, score in scores.items():
                head[id_of(after), direction] = score / math.sqrt(words.shape[1])
