"""What `ipt-train-tiny` does, in order: every stage of the shipped model, from nothing.

Four parts: a model that draws and answers; its own drawings to answer from; memories to answer
from; maps to count on. A fifth goes on from there with a tower of finer patches, to the other
shipped model. Every stage is a command that can be given alone.
"""

from __future__ import annotations

from pathlib import Path

from ipt_training.commands.tiny.finer import finer, kinds, longer
from ipt_training.commands.tiny.making import (
    EVALUATE,
    MORE,
    PLAIN,
    REMEMBER,
    ROBOT,
    TOWER,
    Making,
    Scale,
)
from ipt_training.shell.stages import Stage


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
        *finer(making),
        *longer(making),
        *kinds(making),
        *_judging(making, "runs/finer_settle", "finer"),
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
