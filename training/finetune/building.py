"""The model, VAE, tokenizer and `ipt.json` that a recipe starts from, and the folder it ends in.

A fresh model has the architecture of a preset with the recipe's changes; anything else is a
checkpoint folder. What no loss can reach is frozen, so that neither memory nor time is spent on
it.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.asking_style import FILE_NAME, AskingStyle, InputEncodings, merged
from ipt_model.weights.checkpoint import (
    is_drawing,
    load_codec,
    load_model,
    model_entries,
    read_config,
    save_folder,
)
from ipt_model.weights.loading import check, find_folder, sizes_of_tables
from ipt_model.weights.presets import preset_folder
from ipt_model.wording.tokenizer import Tokenizer
from ipt_training.finetune.divergence import check_tensors
from ipt_training.finetune.tower import load_tower
from ipt_training.recipe.settings import ModelSettings, SettingsError, TrainingRecipe

PRESET = "preset:"


@dataclass(frozen=True)
class Start:
    """Everything training begins with; the codec is frozen and in evaluation mode."""

    model: BagelModel
    codec: LatentCodec
    tokenizer: Tokenizer
    style: AskingStyle

    @property
    def config(self) -> BagelConfig:
        return self.model.config


def build(
    settings: TrainingRecipe, device: torch.device | str = "cpu", weights: bool = True
) -> Start:
    """Load or make what the recipe's `model` section names, ready for its supervision.

    weights: False leaves the model without storage, for processes that receive their part of it
    from another. A model to be sharded stays in host memory.
    """
    wanted = settings.model
    home = "meta" if not weights else "cpu" if settings.run.shard else device
    if wanted.init.startswith(PRESET):
        folder = preset_folder(wanted.init.removeprefix(PRESET))
        config = preset_config(wanted, folder)
        if not wanted.vae:
            raise SettingsError(
                "model.vae: a fresh model needs a trained VAE, whose latents it learns to draw; "
                "give the folder that ipt-train-vae wrote"
            )
        with torch.random.fork_rng(devices=[]), torch.device("meta" if not weights else "cpu"):
            torch.manual_seed(settings.seed)
            with _architecture():
                model = BagelModel(config)
        if wanted.vit and weights:
            load_tower(Path(wanted.vit), model)
    else:
        folder = find_folder(wanted.init)
        if weights:
            model = with_tower(load_model(folder, home, getattr(torch, wanted.dtype)), wanted)
        else:
            with torch.device("meta"):
                read = read_config(folder, model_entries(folder))
                model = with_tower(BagelModel(read), wanted)
        if wanted.vit and weights:
            load_tower(Path(wanted.vit), model)
        config = model.config
    codec_folder = Path(wanted.vae) if wanted.vae else folder
    if wanted.vae:
        config.vae_config = BagelConfig.from_folder(codec_folder).vae_config
    codec = load_codec(codec_folder, config, device, torch.float32)
    codec.requires_grad_(False)
    style = trained_style(settings, folder, config)
    tokenizer = Tokenizer.load(folder)
    check(config, tokenizer, style, "all", str(folder))
    if settings.lora.rank:
        add_adapters(model, settings)
    elif settings.supervision in ("label", "text_cot"):
        for name, parameter in model.named_parameters():
            if is_drawing(name):
                parameter.requires_grad_(False)
    return Start(model.to(home), codec.eval(), tokenizer, style)  # type: ignore[arg-type]


def with_tower(model: BagelModel, wanted: ModelSettings) -> BagelModel:
    """The model with a tower of the shape that the recipe asks for, where its own has another.
    Convolutions beside a patch embedding that had none add nothing yet, so it sees what it saw.
    Any other tower has everything to learn: the recipe must name one that was trained."""
    before = model.config
    _only_the_tower(before, wanted)
    changes = {k: v for k, v in wanted.vit_config.items() if v != before.vit_config.get(k, 0)}
    side = wanted.config.get("vit_max_num_patch_per_side", before.vit_max_num_patch_per_side)
    resized = side != before.vit_max_num_patch_per_side
    if not changes and not resized:
        return model
    adds_detail = set(changes) == {"detail"} and not resized and not before.vit.detail
    if not adds_detail and not wanted.vit:
        raise SettingsError(
            f"model.vit_config: {', '.join(changes) or 'the position table'} changes the vision "
            "tower, and a new one sees nothing; give model.vit, the folder of a tower that "
            "ipt-train-vit made with the same entries"
        )
    config = copy.deepcopy(before)
    config.vit_config = {**config.vit_config, **changes}
    config.vit_max_num_patch_per_side = side
    weight = model.decoder.embed_tokens.weight
    device, dtype = weight.device, weight.dtype
    with _architecture(), torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        changed = BagelModel(config)
    changed.to(dtype=dtype)  # type: ignore[call-arg]
    shapes = {name: value.shape for name, value in changed.state_dict().items()}
    kept = {n: v for n, v in model.state_dict().items() if shapes.get(n) == v.shape}
    changed.load_state_dict(kept, strict=False)
    return changed.eval()


def _only_the_tower(config: BagelConfig, wanted: ModelSettings) -> None:
    """Refuses whatever else of a checkpoint's architecture a recipe would have otherwise."""
    asked = {
        f"config.{name}": (value, getattr(config, name, None))
        for name, value in wanted.config.items()
        if name != "vit_max_num_patch_per_side"
    }
    for part in ("llm_config", "vae_config"):
        own = getattr(config, part)
        asked |= {f"{part}.{k}": (v, own.get(k)) for k, v in getattr(wanted, part).items()}
    other = [name for name, (value, own) in asked.items() if value != own]
    if other:
        raise SettingsError(
            f"model.{other[0]}: {wanted.init} is a checkpoint, of which a recipe changes the "
            f"vision tower alone; expected {asked[other[0]][1]}, as it has it, or no entry"
        )


def preset_config(wanted: ModelSettings, folder: Path) -> BagelConfig:
    """A preset's configuration with the recipe's entries in place of its own."""
    config = BagelConfig.from_folder(folder)
    with _architecture():
        return _changed_config(config, wanted)


@contextlib.contextmanager
def _architecture() -> Iterator[None]:
    """Numbers that fit no architecture end up in all kinds of errors, deep in the layers."""
    try:
        yield
    except Exception as error:
        raise SettingsError(
            f"model: no architecture can be built from it: {type(error).__name__}: {error}"
        ) from error


def _changed_config(config: BagelConfig, wanted: ModelSettings) -> BagelConfig:
    parts = {name: getattr(config, name) for name in ("llm_config", "vit_config", "vae_config")}
    changed = {name: {**part, **getattr(wanted, name)} for name, part in parts.items()}
    others = {
        name: getattr(config, name)
        for name in (
            "special_tokens",
            "latent_patch_size",
            "max_latent_size",
            "vit_max_num_patch_per_side",
            "connector_act",
        )
    }
    return BagelConfig(**{**others, **changed, **wanted.config})


def trained_style(settings: TrainingRecipe, folder: Path, config: BagelConfig) -> AskingStyle:
    """`ipt.json` of the model to be: that of `init`, the recipe's changes, and what follows from
    the supervision: which encodings its inputs have and which prompt it knows."""
    style = AskingStyle.load(folder)
    if not (folder / FILE_NAME).is_file():
        style = dataclasses.replace(style, image_sizes=sizes_of_tables(config))
    if settings.model.style:
        try:
            style = AskingStyle.from_dict(merged(style.to_dict(), settings.model.style))
        except (AttributeError, TypeError, ValueError) as error:
            raise SettingsError(f"model.style: {error}") from error
    inputs = style.inputs
    if settings.supervision in ("label", "text_cot"):
        inputs = InputEncodings(answer=("vit",), imagine=("vit",), given=("vit",))
    prompt, most = style.prompt, style.max_answer_tokens
    if settings.supervision == "text_cot":
        # knows the thinking prompt alone, and thinks as it answers
        prompt = dataclasses.replace(prompt, answer_mode_prompt="think")
        most += style.max_think_tokens
    return dataclasses.replace(
        style,
        model_id=settings.name.replace("_", "-"),
        inputs=inputs,
        prompt=prompt,
        max_answer_tokens=most,
        temperature={},
    )


# -- adapters
def add_adapters(model: BagelModel, settings: TrainingRecipe) -> None:
    """Freeze the model and put LoRA on the decoder's linear layers, in place."""
    from peft import LoraConfig, inject_adapter_in_model

    lora = settings.lora
    suffixes = ("", "_moe_gen") if lora.drawing else ("",)
    names = "|".join(f"{t}{s}" for t in lora.targets for s in suffixes)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=rf"language_model\.model\.layers\.\d+\..*\.({names})",
        bias="none",
    )
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:
        raise SettingsError(f"lora.targets: {error}") from error
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            parameter.data = parameter.data.float()


@torch.no_grad()
def merged_weights(model: BagelModel) -> dict[str, Tensor]:
    """The model's tensors under their own names, adapters added in."""
    from peft.tuners.lora import LoraLayer

    layers: dict[str, Any] = {
        name: m for name, m in model.named_modules() if isinstance(m, LoraLayer)
    }
    out = {}
    for name, value in model.state_dict().items():
        if "lora_" in name:
            continue
        owner, _, rest = name.partition(".base_layer")
        if rest == ".weight" and owner in layers:
            value = value + layers[owner].get_delta_weight("default").to(value.dtype)
        out[owner + rest if rest else name] = value
    return out


def export(
    folder: Path,
    start: Start,
    weights: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a folder that `Imaginer.from_pretrained` and the public code load: these weights of
    the model with its position tables, VAE, tokenizer and `ipt.json` with `facts` on the training
    and on that of what it began from. It replaces the folder as a whole."""
    with torch.device("meta"):
        plain = BagelModel(start.config)
    plain.load_state_dict({k: v.detach().to(dtype=dtype) for k, v in weights.items()}, assign=True)
    codec = start.codec if dtype is None else copy.deepcopy(start.codec).to(dtype)
    check_tensors(plain.state_dict(), folder)
    before = start.style.training
    training = {**facts, "began_from": dict(before)} if before else dict(facts)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    save_folder(temporary, plain, codec)
    start.tokenizer.save(temporary)
    dataclasses.replace(start.style, training=training).save(temporary)
    # what has the name is whole, also after a kill
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
