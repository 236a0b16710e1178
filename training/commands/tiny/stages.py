"""What `ipt-train-tiny` does, in order: every stage of the shipped model, from nothing.

Four parts: a model that draws and answers; its own drawings to answer from; memories to answer
from; maps to count on. A fifth goes on from there with a tower of finer patches, to the other
shipped model. Every stage is a command that can be given alone.
"""

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


def stages(scale: Scale, recipes: Path, processes: int) -> list[Stage]:
    """Everything from nothing to the released folder, in order."""
    making = Making(scale, recipes, processes)
    return [
        *_drawing_and_answering(making),
        *_from_own_drawings(making),
        *_from_memories(making),
        *_counting(making),
        *_judging_data(making),
        *_judging(making, "runs/finish"),
        *_finer(making),
        *_judging(making, "runs/finer_more", "finer"),
    ]


def _drawing_and_answering(making: Making) -> list[Stage]:
    data, learn, one = making.data, making.learn, making.one
    threads = ("--threads", str(making.processes))
    return [
        data("data", "data", "examples of all tasks", "dataset_out", "--size", "128"),
        data(
            "validation-data", "validation", "examples in validation houses",
            "runs/data/validation", "--size", "64", "--split", "validation", "--variants", PLAIN,
        ),
        data(
            "test-data", "test", "examples in test houses",
            "runs/data/test", "--size", "64", "--split", "test", "--variants", PLAIN,
        ),
        one(
            "vae", "copies pictures through few numbers", "runs/vae/vae.json",
            "ipt_training.commands.train_vae", "--data", "dataset_out",
            "--validation", "runs/data/validation", "--out", "runs/vae", *making.scale.vae,
            *threads,
        ),
        one(
            "tower", "sees which things are in a patch", "runs/vit/vit.json", TOWER,
            "--out", "runs/vit", *making.scale.vit, *threads,
        ),
        learn("base", "base_tiny.yaml", "finds what a sentence names", "runs/base"),
        learn("mixed", "tiny_mixed.yaml", "draws unseen views and answers", "runs/mixed"),
        data(
            "long-data", "long", "other examples, fewer that count",
            "runs/data/train", *MORE, "--seed", "1",
        ),
        learn("long", "ship_tiny.yaml", "the same for longer", "runs/long"),
    ]  # fmt: skip


def _from_own_drawings(making: Making) -> list[Stage]:
    own = "runs/data/own"
    return [
        making.data("own-data", "own", "examples to draw for itself", own, *MORE, "--seed", "2"),
        making.views(
            "own-views", "the model draws their views", "runs/long/final", own, "runs/own"
        ),
        making.learn("own", "own_tiny.yaml", "answers from its own drawings", "runs/tiny"),
    ]


def _from_memories(making: Making) -> list[Stage]:
    """What is recalled, and what is drawn where nothing is, to be answered from."""
    model, memory, drawn = "runs/tiny/final", "runs/data/memory", "runs/data/memory_drawn"
    own = "runs/own_memory"
    recall = ("--mode", "recall")
    return [
        making.data("memory-data", "memory", "with a memory", memory, *REMEMBER, "--seed", "11"),
        making.data(
            "drawn-data", "drawn", "to draw with a memory", drawn, *REMEMBER, "--seed", "3"
        ),
        making.data(
            "counting-data", "counting", "counts by colour", "runs/data/counting",
            "--size", "64", "--tasks", "counting", "--seed", "12",
            "--variants", "rotation+by colour,corners+by colour",
        ),
        making.views("drawn-views", "the model completes recalled views", model, drawn, own),
        making.views(
            "recalled-views", "recalled views, not completed", model, memory, f"{own}/recalled",
            *recall, "--count", str(making.scale.counts["memory"]),
        ),
        making.views(
            "recalled-drawn-views", "the same of those", model, drawn, f"{own}/recalled_drawn",
            *recall,
        ),
        making.learn("memory", "memory_tiny.yaml", "answers from memories", "runs/memory"),
        making.learn(
            "memory-more", "memory_more_tiny.yaml", "reads more views", "runs/memory_more"
        ),
        making.one(
            "mean", "three quarters of it and one of what it was before", "runs/mean/ipt.json",
            "ipt_training.commands.mean", "--out", "runs/mean", "--rests-on-view", "--",
            "runs/memory_more/final=0.75", f"{model}=0.25",
            after="runs/memory_more/final/ipt.json",
        ),
    ]  # fmt: skip


def _counting(making: Making) -> list[Stage]:
    """A tower that counts, counts alone and counts among all else; from the mean of both, all
    tasks once more."""
    counts, settle, mixed = "counts_tiny.yaml", "runs/settle", "runs/counts_mixed"
    return [
        making.one(
            "counting-tower", "sees how many things are in a patch", "runs/counting_vit/vit.json",
            TOWER, "--recipe", str(making.recipes / counts), "--init", "runs/mean",
            "--out", "runs/counting_vit", "--pictures", "30000", "--steps", "2200",
            "--batch", "128", *making.scale.vit, "--threads", str(making.processes),
            after="runs/mean/ipt.json",
        ),
        making.learn("counts", counts, "counts on maps", "runs/counts"),
        making.learn("settle", "settle_tiny.yaml", "does the rest again as well", settle),
        making.learn(
            "counts-mixed", "counts_mixed_tiny.yaml", "counts while it does the rest", mixed
        ),
        making.one(
            "mean-of-counting", "half of each", "runs/counting_mean/ipt.json",
            "ipt_training.commands.mean", "--out", "runs/counting_mean", "--rests-on-view", "--",
            f"{settle}/final=0.5", f"{mixed}/final=0.5",
            after=f"{mixed}/final/ipt.json",
        ),
        making.learn("finish", "finish_tiny.yaml", "all tasks for longer", "runs/finish"),
    ]  # fmt: skip


def _finer(making: Making) -> list[Stage]:
    """64 tokens a picture for the reader instead of 16: a new tower, single pictures through it,
    all tasks, counts alone, all tasks."""
    looks, first = "finer_looks_tiny.yaml", "runs/finer_first"
    own, before = "runs/own_finer", "runs/finish/final"
    finer, memory = "runs/data/finer", "runs/data/finer_memory"
    return [
        making.data(
            "finer-data", "finer", "examples for the finer tower", finer, "--size", "64",
            "--tasks", "path=4,perspective=4,clearance=2,counting=2", "--seed", "21",
            "--variants", PLAIN,
        ),
        making.data(
            "finer-memory-data", "finer_memory", "with a memory", memory, "--size", "64",
            "--tasks", "path=4,perspective=3,clearance=2,counting=1", "--seed", "22",
            "--variants", f"map+arrow+memory,{ROBOT}",
        ),
        making.data(
            "finer-counting-data", "finer_counting", "counts by colour",
            "runs/data/finer_counting", "--size", "64", "--tasks", "counting", "--seed", "31",
            "--variants", "rotation+by colour,corners+by colour",
        ),
        making.one(
            "finer-tower", "sees in patches of 8 pixels", "runs/finer_vit/vit.json",
            TOWER, "--recipe", str(making.recipes / looks), "--out", "runs/finer_vit",
            "--pictures", "60000", "--steps", "6000", *making.scale.vit,
            "--threads", str(making.processes),
        ),
        making.learn("finer-looks", looks, "finds things through it", "runs/finer_looks"),
        making.views(
            "finer-recalled-views", "recalled views, not completed", before, memory,
            f"{own}/recalled", "--mode", "recall",
        ),
        making.learn("finer-first", "finer_first_tiny.yaml", "all tasks through it", first),
        making.views(
            "finer-drawn-views", "the model draws views", f"{first}/final", finer, f"{own}/drawn",
            "--count", "1100",
        ),
        making.views(
            "finer-completed-views", "the model completes recalled views", f"{first}/final",
            memory, f"{own}/completed", "--count", "600",
        ),
        making.learn(
            "finer-counts", "finer_counts_tiny.yaml", "counts on maps", "runs/finer_counts"
        ),
        making.learn("finer", "finer_tiny.yaml", "all tasks, counts among them", "runs/finer"),
        making.learn("finer-more", "finer_more_tiny.yaml", "the same", "runs/finer_more"),
    ]  # fmt: skip


def _judging_data(making: Making) -> list[Stage]:
    return [
        making.data(
            "memory-validation-data", "memory_validation", "with a memory, in validation houses",
            "runs/data/memory_validation", "--size", "64", "--split", "validation",
            "--variants", ROBOT,
        ),
        making.data(
            "memory-test-data", "memory_test", "with a memory, in test houses",
            "runs/data/memory_test", "--size", "64", "--split", "test", "--variants", ROBOT,
        ),
    ]  # fmt: skip


def _judging(making: Making, run: str, which: str = "") -> list[Stage]:
    """which: of the shipped models, beside the first."""
    one, ask = making.one, making.scale.ask
    model, released = f"{run}/final", making.scale.released + (which and f"_{which}")
    calibrated, tested = f"{run}/validation/evaluation.json", f"{run}/test/evaluation.json"
    remembered = f"{run}/memory_test/evaluation.json"
    recalibrated = f"{run}/memory_validation/evaluation.json"
    prefix, name = which and f"{which}-", "ipt-tiny" + (which and f"-{which}")
    return [
        one(
            f"{prefix}calibration", "how sure it may be, from validation houses", calibrated,
            EVALUATE, "--model", model, "--data", "runs/data/validation",
            "--calibrate", "--out", f"{run}/validation", *ask, after=f"{model}/ema.safetensors",
        ),
        one(
            f"{prefix}memory-calibration", "how sure it may be with a memory", recalibrated,
            EVALUATE, "--model", model, "--data", "runs/data/memory_validation",
            "--calibrate-memory", "--no-latency", "--out", f"{run}/memory_validation", *ask,
            after=calibrated,
        ),
        one(
            f"{prefix}evaluation", "how often it is right, in test houses", tested,
            EVALUATE, "--model", model, "--data", "runs/data/test",
            "--out", f"{run}/test", *ask, after=recalibrated,
        ),
        one(
            f"{prefix}memory-evaluation", "the same with a memory, by how much was seen",
            remembered, EVALUATE, "--model", model, "--data", "runs/data/memory_test",
            "--no-latency", "--out", f"{run}/memory_test", *ask, after=recalibrated,
        ),
        one(
            f"{prefix}release", "the folder that ships, and its card", f"{released}/README.md",
            "ipt_training.commands.release", "--run", model, "--evaluation", tested,
            "--memory", remembered, "--out", released, "--name", name, after=remembered,
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
