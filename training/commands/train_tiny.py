"""`ipt-train-tiny`: the shipped small model from nothing, stage after stage.

    ipt-train-tiny                      everything that is not done yet; hours on two cores
    ipt-train-tiny --list               the stages, and which are done
    ipt-train-tiny --only evaluation    one stage, done or not; --from: and all after it
    ipt-train-tiny --scale small        few examples and steps: minutes; the model knows nothing

Every stage is a command that can be given alone: --dry-run prints them. Exit codes: 0 done, 1 a
stage failed, 2 the request cannot be fulfilled, 128 + n stopped by signal n (130 is Ctrl-C).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ipt_training.datasets.parquet import DATASET_FILE
from ipt_training.recipe.settings import SettingsError, TrainingRecipe
from ipt_training.shell.stages import Command, Stage, StageError, Stopped, run, stop_heard

DATASET, TRAIN = "ipt_training.commands.dataset", "ipt_training.commands.train"
RECIPES = Path("config/training")
#: Processes that draw own views. The views depend on it, so it is not the number of cores.
DRAWING = 2
#: Examples with a memory: how the robot asks, and what the weights have learned to be asked.
MEMORY = (
    "pose+anchored+memory,ego+memory,map+memory,rotation+memory,corners+memory,"
    "one view+memory,two views+memory"
)
#: Every process computes with one thread: there is one on each core.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


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
            "memory_validation": 600,
            "memory_test": 3000,
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
            "memory_validation": 8,
            "memory_test": 8,
        },
        vae=("--steps", "2", "--crop", "16", "--batch", "4"),
        vit=("--pictures", "16", "--steps", "2"),
        learn=("examples=16", "batch.examples=8", "run.validate=0"),
        ask=("--per-task", "2", "--no-latency"),
    ),
}


def stages(scale: Scale, recipes: Path, processes: int) -> list[Stage]:
    """Everything from nothing to the released folder, in order. recipes: as seen from the work
    folder, or absolute."""

    def data(name: str, key: str, what: str, out: str, *more: str) -> Stage:
        arguments = ("--count", str(scale.counts[key]), *more, "--out", out)
        command = Command(DATASET, (*arguments, "--workers", str(processes)))
        proof = f"{out}/{DATASET_FILE}"
        return Stage(name, what, (proof,), (command,), as_asked=partial(_planned, command, proof))

    def learn(name: str, recipe: str, what: str, out: str) -> Stage:
        changes = tuple(f"--override={change}" for change in scale.learn)
        command = Command(TRAIN, (str(recipes / recipe), "--out", out, *changes), processes)
        proof = f"{out}/final/ipt.json"
        return Stage(name, what, (proof,), (command,), as_asked=partial(_trained, command, proof))

    def one(
        name: str, what: str, output: str, module: str, *arguments: str, after: str = ""
    ) -> Stage:
        return Stage(name, what, (output,), (Command(module, arguments),), after)

    threads = ("--threads", str(processes))
    more_data = ("--size", "64", "--tasks", "perspective=3,path=2,counting=1,clearance=2")
    model = "runs/tiny/final"
    calibrated, tested = "runs/tiny/validation/evaluation.json", "runs/tiny/test/evaluation.json"
    remembered = "runs/tiny/memory_test/evaluation.json"
    recalibrated = "runs/tiny/memory_validation/evaluation.json"
    return [
        data("data", "data", "examples of all tasks", "dataset_out", "--size", "128"),
        data(
            "validation-data", "validation", "examples in validation houses",
            "runs/data/validation", "--size", "64", "--split", "validation",
        ),
        data(
            "test-data", "test", "examples in test houses",
            "runs/data/test", "--size", "64", "--split", "test",
        ),
        one(
            "vae", "copies pictures through few numbers", "runs/vae/vae.json",
            "ipt_training.commands.train_vae", "--data", "dataset_out",
            "--validation", "runs/data/validation", "--out", "runs/vae", *scale.vae, *threads,
        ),
        one(
            "tower", "sees which things are in a patch", "runs/vit/vit.json",
            "ipt_training.commands.train_vit", "--out", "runs/vit", *scale.vit, *threads,
        ),
        learn("base", "base_tiny.yaml", "finds what a sentence names", "runs/base"),
        learn("mixed", "tiny_mixed.yaml", "draws unseen views and answers", "runs/mixed"),
        data(
            "long-data", "long", "other examples, fewer that count",
            "runs/data/train", *more_data, "--seed", "1",
        ),
        learn("long", "ship_tiny.yaml", "the same for longer", "runs/long"),
        data(
            "own-data", "own", "examples to draw for itself",
            "runs/data/own", *more_data, "--seed", "2",
        ),
        Stage(
            "own-views",
            "the model draws their views",
            tuple(f"runs/own/own-{part:03d}.npz" for part in range(DRAWING)),
            tuple(
                Command(
                    "ipt_training.commands.draw_own",
                    (
                        "--model", "runs/long/final", "--data", "runs/data/own",
                        "--out", "runs/own", "--part", f"{part}/{DRAWING}",
                    ),
                )
                for part in range(DRAWING)
            ),
        ),
        learn("own", "own_tiny.yaml", "answers from its own drawings", "runs/tiny"),
        data(
            "memory-validation-data", "memory_validation", "with a memory, in validation houses",
            "runs/data/memory_validation", "--size", "64", "--split", "validation",
            "--variants", MEMORY,
        ),
        data(
            "memory-test-data", "memory_test", "with a memory, in test houses",
            "runs/data/memory_test", "--size", "64", "--split", "test", "--variants", MEMORY,
        ),
        one(
            "calibration", "how sure it may be, from validation houses", calibrated,
            "ipt_training.commands.evaluate", "--model", model, "--data", "runs/data/validation",
            "--calibrate", "--out", "runs/tiny/validation", *scale.ask,
            after=f"{model}/ema.safetensors",
        ),
        one(
            "memory-calibration", "how sure it may be with a memory", recalibrated,
            "ipt_training.commands.evaluate", "--model", model,
            "--data", "runs/data/memory_validation", "--calibrate-memory", "--no-latency",
            "--out", "runs/tiny/memory_validation", *scale.ask, after=calibrated,
        ),
        one(
            "evaluation", "how often it is right, in test houses", tested,
            "ipt_training.commands.evaluate", "--model", model, "--data", "runs/data/test",
            "--out", "runs/tiny/test", *scale.ask, after=recalibrated,
        ),
        one(
            "memory-evaluation", "the same with a memory, by how much was seen", remembered,
            "ipt_training.commands.evaluate", "--model", model, "--data", "runs/data/memory_test",
            "--no-latency", "--out", "runs/tiny/memory_test", *scale.ask, after=recalibrated,
        ),
        one(
            "release", "the folder that ships, and its card", f"{scale.released}/README.md",
            "ipt_training.commands.release", "--run", model, "--evaluation", tested,
            "--memory", remembered, "--out", scale.released, after=remembered,
        ),
    ]  # fmt: skip


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


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="ipt-train-tiny", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("--scale", choices=sorted(SCALES), default="full")
    p.add_argument(
        "--folder", type=Path, help="where all is written (default: here; small: runs/small)"
    )
    p.add_argument("--recipes", type=Path, default=RECIPES, help=f"default: {RECIPES}")
    p.add_argument(
        "--processes", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores"
    )
    which = p.add_mutually_exclusive_group()
    which.add_argument("--from", dest="first", metavar="STAGE", help="it and all after it")
    which.add_argument("--only", metavar="STAGE")
    look = p.add_mutually_exclusive_group()
    look.add_argument("--list", action="store_true", help="the stages, and which are done")
    look.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    console = Console()
    scale = SCALES[given.scale]
    folder = given.folder or scale.folder
    try:
        if given.processes < 1:
            raise ValueError(f"--processes: expected 1 or more, got {given.processes}")
        if not given.recipes.is_dir():
            raise FileNotFoundError(
                f"--recipes: no folder {given.recipes} in {Path.cwd()}; run it in the "
                "repository's folder, or name the one that holds base_tiny.yaml"
            )
        recipes = Path(os.path.relpath(given.recipes, folder))
        everything = stages(scale, recipes, given.processes)
        if given.list:
            console.print(_listed(everything, folder))
            return 0
        asked = _asked_for(everything, given.first, given.only)
        if given.dry_run:
            for stage in everything:
                if stage in asked if asked else not stage.done(folder):
                    for command in stage.commands:
                        console.print(str(command), markup=False, highlight=False, soft_wrap=True)
            return 0
        return _work(everything, asked, folder, console)
    except (OSError, SettingsError, ValueError) as error:
        print(f"ipt-train-tiny: {error}", file=sys.stderr)
        return 2


def _asked_for(everything: list[Stage], first: str | None, only: str | None) -> list[Stage]:
    """The stages that are named, to be done in any case; none where all that lack are meant."""
    if (wanted := first or only) is None:
        return []
    names = [stage.name for stage in everything]
    if wanted not in names:
        raise ValueError(f"no stage {wanted!r}; expected one of {', '.join(names)}")
    place = names.index(wanted)
    return everything[place : place + 1] if only else everything[place:]


def _work(everything: list[Stage], asked: list[Stage], folder: Path, console: Console) -> int:
    """Run what is asked for, or what is not done, with a headline each."""
    began = time.monotonic()
    stage = everything[0]
    with stop_heard():
        try:
            for number, stage in enumerate(everything, 1):
                place = f"{number}/{len(everything)}"
                if asked and stage not in asked:
                    continue
                if not asked and stage.done(folder):
                    console.print(f"[dim]{place} {stage.name}: done[/]", highlight=False)
                    continue
                console.rule(f"{place} [bold]{stage.name}[/]: {stage.what}", align="left")
                started = time.monotonic()
                run(stage, folder, ENVIRONMENT)
                console.print(f"{stage.name}: {_time(started)}", highlight=False)
        except StageError as error:
            print(
                f"ipt-train-tiny: {error}\nIts reason stands above. Mend it and give the same "
                "command: finished stages are kept.",
                file=sys.stderr,
            )
            return 1
        except Stopped as stopped:
            print(
                f"ipt-train-tiny: {stage.name}: stopped by {stopped}. Finished stages, shards of "
                "datasets and checkpoints are kept: the same command goes on from here.",
                file=sys.stderr,
            )
            return 128 + stopped.number
    console.print(f"done in {_time(began)}", highlight=False)
    return 0


def _listed(everything: list[Stage], folder: Path) -> Table:
    table = Table("", "stage", "what", box=None)
    table.add_column("done when there is", overflow="fold")
    for stage in everything:
        state = "[green]done[/]" if stage.done(folder) else "to do"
        table.add_row(state, stage.name, stage.what, str(folder / stage.outputs[-1]))
    return table


def _time(began: float) -> str:
    seconds = round(time.monotonic() - began)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


if __name__ == "__main__":
    sys.exit(main())
