"""What the commands that train one part of a small model before the rest share: the options for a
part's settings, for the model's architecture, and for where to compute.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch

from ipt_model.network.config import BagelConfig
from ipt_model.weights.presets import preset_folder
from ipt_training.finetune.building import preset_config
from ipt_training.folder_lock import check_folder
from ipt_training.recipe.settings import ModelSettings, TrainingRecipe
from ipt_training.shell.command import whole

T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser, defaults: Any) -> None:
    """An option for every field of the dataclass `defaults`, and those that all parts have."""
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--preset", default="ipt_tiny")
    parser.add_argument("--recipe", type=Path, help="take the model section of this recipe")
    parser.add_argument("--override", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=whole, default=0)
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)


def settings_of(given: argparse.Namespace, defaults: T) -> T:
    """The part's settings as asked for; also looks at --out and sets the number of threads."""
    check_folder(given.out)
    if given.threads:
        torch.set_num_threads(given.threads)
    return type(defaults)(**{name: getattr(given, name) for name in asdict(defaults)})  # type: ignore[call-overload]


def config_of(given: argparse.Namespace) -> BagelConfig:
    """The architecture: the preset's with the changes of a recipe, whose data does not matter."""
    model = ModelSettings()
    if given.recipe:
        changes = ["data.train=unused", "data.fresh={}", *given.override]
        model = TrainingRecipe.load(given.recipe, changes).model
    return preset_config(model, preset_folder(given.preset))
