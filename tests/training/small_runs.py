"""A dataset, a VAE and recipes so small that a training run takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.checkpoint import save_folder
from ipt_model.weights.presets import preset_folder
from ipt_training.datasets.generate import write_dataset
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.feed.latents import store_for
from ipt_training.feed.sequences import SequenceMaker
from ipt_training.feed.sources import RowSource
from ipt_training.finetune.building import Start, build
from ipt_training.finetune.steps import StepMaker
from ipt_training.recipe.settings import TrainingRecipe

SMALL_MODEL: dict[str, Any] = {
    "llm_config": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "vit_config": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
}


def write_small_dataset(folder: Path, count: int = 24, split: str = "train", **plan: Any) -> Path:
    """Examples at 64 px, of all tasks unless the plan says otherwise."""
    write_dataset(DatasetPlan(count, size_px=64, split=split, **plan), folder)
    return folder


def write_small_vae(folder: Path) -> Path:
    """An untrained VAE of the preset's architecture, narrower, with its configuration."""
    config = BagelConfig.from_folder(preset_folder("ipt_tiny"))
    config.vae_config.update(ch_mult=[1, 1, 1, 1], scale_factor=2.0, shift_factor=0.1)
    torch.manual_seed(0)
    save_folder(folder, BagelModel(config), LatentCodec(config))
    (folder / "ema.safetensors").unlink()
    return folder


def small_settings(train: Path, vae: Path, **changes: Any) -> TrainingRecipe:
    """A recipe of a few steps; `changes` replace whole entries or parts of sections."""
    recipe: dict[str, Any] = {
        "name": "small",
        "supervision": "mixed",
        "examples": 24,
        "model": {"vae": str(vae), **SMALL_MODEL},
        "data": {"train": str(train), "workers": 0},
        "batch": {"examples": 8, "tokens": 4096},
        "dropout": {"text": 0.0, "vae": 0.2, "vit": 0.2},
        "loss": {"auxiliary": 0.5},
        "flow": {"draws": 2},
        "optimiser": {"rate": 2e-3, "eps": 1e-8, "warmup": 2, "average": 0.9},
        "run": {"save": 0, "log": 1},
    }
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(recipe.get(name), dict)
        recipe[name] = {**recipe[name], **value} if both else value
    return TrainingRecipe.from_dict(recipe)


def rows_of(settings: TrainingRecipe, start: Start, out: Path) -> RowSource:
    """The run's source, with all latents made."""
    dataset = Dataset(settings.data.train)
    store = store_for(dataset, start.codec, start.style, out)
    store.make(dataset, start.codec, start.style)
    return RowSource(dataset, settings.supervision, start.style.prompt, settings.seed, store)


def parts_of(settings: TrainingRecipe, out: Path) -> tuple[Start, StepMaker]:
    """Model and steps of a run."""
    start = build(settings)
    source = rows_of(settings, start, out)
    maker = SequenceMaker(settings, start.config, start.style, start.tokenizer)
    return start, StepMaker(settings, start.config, source, maker)
