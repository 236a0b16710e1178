"""The commands of training as they are installed: each imports its module when it is called.

Where what training needs was not installed, a command says so in one line. Inference alone needs
none of it.
"""

from __future__ import annotations

import sys
from importlib import import_module

#: Exit status where a package is missing.
MISSING = 1


def run(module: str) -> int:
    """`main` of a module."""
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if not name or name.startswith("ipt_"):
            raise
        said = f"{name} is not installed, and training needs it"
        print(f"{said}: pip install '.[train]' in the source folder", file=sys.stderr)
        return MISSING
    return int(main() or 0)


def dataset() -> int:
    return run("ipt_training.commands.dataset")


def train() -> int:
    return run("ipt_training.commands.train")


def train_tiny() -> int:
    return run("ipt_training.commands.tiny.command")


def train_vae() -> int:
    return run("ipt_training.commands.train_vae")


def train_vit() -> int:
    return run("ipt_training.commands.train_vit")


def bag() -> int:
    return run("ipt_training.commands.bag")


def convert() -> int:
    return run("ipt_training.commands.convert")


def draw_own() -> int:
    return run("ipt_training.commands.draw_own")


def evaluate() -> int:
    return run("ipt_training.commands.evaluate")


def study() -> int:
    return run("ipt_training.commands.study")


def release() -> int:
    return run("ipt_training.commands.release")


def mean() -> int:
    return run("ipt_training.commands.mean")


def world() -> int:
    return run("ipt_training.commands.world")
