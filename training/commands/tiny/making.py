"""Stages of one kind each, and how much each of them makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ipt_training.datasets.parquet import DATASET_FILE
from ipt_training.recipe.settings import TrainingRecipe
from ipt_training.shell.stages import Command, Stage

DATASET, TRAIN = "ipt_training.commands.dataset", "ipt_training.commands.train"
DRAW, EVALUATE = "ipt_training.commands.draw_own", "ipt_training.commands.evaluate"
TOWER = "ipt_training.commands.train_vit"
#: Processes that draw own views. The views depend on it, so it is not the number of cores.
DRAWING = 2
#: Examples as the first ones, at the size of the model.
MORE = ("--size", "64", "--tasks", "perspective=3,path=2,counting=1,clearance=2")
#: Counts are by colour: a map of this size does not tell kinds apart.
PLAIN = (
    "marker,pose,marker+anchored,pose+anchored,ego,map,map+arrow,rotation+by colour,"
    "corners+by colour,one view,two views,one view+told radius,two views+told radius"
)
#: How the robot asks, with a memory.
ROBOT = (
    "pose+anchored+memory,ego+memory,map+memory,rotation+by colour+memory,"
    "corners+by colour+memory,one view+memory,two views+memory,one view+told radius+memory,"
    "two views+told radius+memory"
)
#: What is learned with a memory: as the robot asks and as without one; paths most, for they are
#: learned slowest.
REMEMBER = (
    "--size", "64", "--tasks", "path=4,perspective=3,clearance=2,counting=1",
    "--variants", f"{PLAIN},map+arrow+memory,{ROBOT}",
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How much is made. folder: what all outputs are relative to; released: the shipped folder.
    counts: examples of each dataset. vae, vit, ask: arguments added to the commands. learn:
    entries of every recipe that are replaced."""

    folder: Path
    released: str
    counts: Mapping[str, int]
    vae: tuple[str, ...] = ()
    vit: tuple[str, ...] = ()
    learn: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()


SCALES = {
    "full": Scale(
        folder=Path(),
        released="ipt_model/weights/ipt_tiny",
        counts={
            "data": 20000,
            "validation": 2000,
            "test": 8000,
            "long": 40000,
            "own": 8000,
            "memory": 40000,
            "drawn": 7000,
            "counting": 12000,
            "finer": 12288,
            "finer_memory": 2048,
            "finer_counting": 9000,
            "finer_long": 12288,
            "finer_long_memory": 6144,
            "finer_longer": 8192,
            "finer_longer_memory": 7168,
            "finer_kinds": 5120,
            "finer_kinds_memory": 3072,
            "memory_validation": 1200,
            "memory_test": 4000,
        },
        vae=("--precision", "bfloat16"),
    ),
    "small": Scale(
        folder=Path("runs/small"),
        released="released",
        counts={
            "data": 24,
            "validation": 8,
            "test": 8,
            "long": 16,
            "own": 16,
            "memory": 32,
            "drawn": 24,
            "counting": 16,
            "finer": 16,
            "finer_memory": 32,
            "finer_counting": 16,
            "finer_long": 16,
            "finer_long_memory": 32,
            "finer_longer": 16,
            "finer_longer_memory": 32,
            "finer_kinds": 16,
            "finer_kinds_memory": 32,
            "memory_validation": 16,
            "memory_test": 16,
        },
        vae=("--steps", "2", "--crop", "16", "--batch", "4"),
        vit=("--pictures", "16", "--steps", "2"),
        learn=("examples=16", "batch.examples=8", "run.validate=0"),
        ask=("--per-task", "2", "--no-latency"),
    ),
}


class Making:
    """Stages of one kind each. recipes: as seen from the work folder, or absolute."""

    def __init__(self, scale: Scale, recipes: Path, processes: int) -> None:
        self.scale, self.recipes, self.processes = scale, recipes, processes

    def data(self, name: str, key: str, what: str, out: str, *more: str) -> Stage:
        arguments = ("--count", str(self.scale.counts[key]), *more, "--out", out)
        command = Command(DATASET, (*arguments, "--workers", str(self.processes)))
        proof = f"{out}/{DATASET_FILE}"
        return Stage(name, what, (proof,), (command,), as_asked=partial(_planned, command, proof))

    def learn(self, name: str, recipe: str, what: str, out: str) -> Stage:
        changes = tuple(f"--override={change}" for change in self.scale.learn)
        command = Command(
            TRAIN, (str(self.recipes / recipe), "--out", out, *changes), self.processes
        )
        proof = f"{out}/final/ipt.json"
        return Stage(name, what, (proof,), (command,), as_asked=partial(_trained, command, proof))

    def views(self, name: str, what: str, model: str, data: str, out: str, *more: str) -> Stage:
        """Own or recalled views, by as many processes at once as there are parts."""
        parts = range(DRAWING)
        return Stage(
            name,
            what,
            tuple(f"{out}/own-{part:03d}.npz" for part in parts),
            tuple(
                Command(
                    DRAW,
                    (
                        "--model", model, "--data", data, "--out", out,
                        "--part", f"{part}/{DRAWING}", *more,
                    ),
                )
                for part in parts
            ),
        )  # fmt: skip

    def one(
        self, name: str, what: str, output: str, module: str, *arguments: str, after: str = ""
    ) -> Stage:
        return Stage(name, what, (output,), (Command(module, arguments),), after)


def _planned(command: Command, proof: str, folder: Path) -> bool:
    """Whether the dataset there was made from the plan that the command asks for."""
    from ipt_training.commands.dataset import parser, plan_of

    made = json.loads((folder / proof).read_text(encoding="utf-8"))
    wanted = plan_of(parser().parse_args(command.arguments))
    return bool(made.get("plan_digest") == wanted.digest())


def _trained(command: Command, proof: str, folder: Path) -> bool:
    """Whether the run there was of the recipe as it is now."""
    made = json.loads((folder / proof).read_text(encoding="utf-8"))
    recipe, _, _, *changes = command.arguments
    wanted = TrainingRecipe.load(folder / recipe, [c.removeprefix("--override=") for c in changes])
    return bool(made.get("training", {}).get("settings") == wanted.digest())
