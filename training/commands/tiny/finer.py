"""From the first shipped model to the one whose reader has finer patches."""

from __future__ import annotations

from ipt_training.commands.tiny.making import PLAIN, ROBOT, TOWER, Making
from ipt_training.shell.stages import Stage


def finer(making: Making) -> list[Stage]:
    """64 tokens a picture for the reader instead of 16: a new tower, single pictures through it,
    all tasks, counts alone, all tasks."""
    looks, first = "finer_looks_tiny.yaml", "runs/finer_first"
    own, before = "runs/own_finer", "runs/finish/final"
    finer, memory = "runs/data/finer", "runs/data/finer_memory"
    return [
        *_examples(
            making, "finer", "path=4,perspective=4,clearance=2,counting=2", "21",
            "path=4,perspective=3,clearance=2,counting=1", "22",
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


def longer(making: Making) -> list[Stage]:
    """The same on other examples, twice, with views that the model itself draws of them."""
    return [
        *_round(
            making, "long", "runs/finer_more", 700, 600,
            "path=3,perspective=4,clearance=4,counting=2", "41",
            "path=3,perspective=3,clearance=3,counting=1", "42",
        ),
        *_round(
            making, "longer", "runs/finer_long", 500, 500,
            "path=4,perspective=4,clearance=3,counting=2", "51",
            "path=4,perspective=2,clearance=2,counting=2", "52",
        ),
    ]  # fmt: skip


def kinds(making: Making) -> list[Stage]:
    """The tower learns to tell things of one colour by their kind, the decoder to read it: paths
    among things of two colours alone, then all tasks again. Half of that and half of what was
    before keeps what both can do; all tasks once more from there."""
    before, settled = "runs/finer_longer/final", "runs/finer_kinds_tasks/final"
    mean, memory = "runs/kinds_mean", "runs/data/finer_kinds_memory"
    return [
        making.one(
            "kinds-tower", "tells a cube from a ball", "runs/kinds_vit/vit.json",
            TOWER, "--recipe", str(making.recipes / "finer_looks_tiny.yaml"),
            "--init", before, "--out", "runs/kinds_vit", "--pictures", "40000",
            "--steps", "1800", "--kinds", "10", "--hold", "20", "--seed", "3",
            *making.scale.vit, "--threads", str(making.processes), after=f"{before}/ipt.json",
        ),
        making.data(
            "kinds-data", "finer_kinds", "paths among things of two colours",
            "runs/data/finer_kinds", "--size", "64", "--tasks", "path", "--seed", "61",
            "--variants", "ego+alike,map+alike",
        ),
        making.learn("finer-kinds", "finer_kinds_tiny.yaml", "tells kinds", "runs/finer_kinds"),
        making.learn(
            "finer-kinds-tasks", "finer_kinds_tasks_tiny.yaml", "does the rest again as well",
            "runs/finer_kinds_tasks",
        ),
        making.one(
            "mean-of-kinds", "half of it and half of what was before", f"{mean}/ipt.json",
            "ipt_training.commands.mean", "--out", mean, "--rests-on-view", "--",
            f"{settled}=0.5", f"{before}=0.5",
            after=f"{settled}/ipt.json",
        ),
        making.data(
            "kinds-memory-data", "finer_kinds_memory", "the same with a memory", memory,
            "--size", "64", "--tasks", "path", "--seed", "62",
            "--variants", "ego+alike+memory,map+alike+memory",
        ),
        making.views(
            "kinds-recalled-views", "recalled views, not completed", before, memory,
            "runs/own_finer/kinds_recalled", "--mode", "recall",
        ),
        making.learn(
            "finer-settle", "finer_settle_tiny.yaml", "all tasks for longer", "runs/finer_settle"
        ),
    ]  # fmt: skip


def _round(
    making: Making, name: str, before: str, drawn: int, completed: int, *examples: str
) -> list[Stage]:
    """New examples, views that the run before draws of them (drawn) and completes, and a run."""
    key, own, model = f"finer_{name}", f"runs/own_finer/{name}", f"{before}/final"
    other, memory = f"runs/data/{key}", f"runs/data/{key}_memory"
    return [
        *_examples(making, f"finer-{name}", *examples),
        making.views(
            f"finer-{name}-recalled-views", "recalled views, not completed", model, memory,
            f"{own}_recalled", "--mode", "recall",
        ),
        making.views(
            f"finer-{name}-drawn-views", "the model draws views", model, other,
            f"{own}_drawn", "--count", str(drawn),
        ),
        making.views(
            f"finer-{name}-completed-views", "the model completes recalled views", model, memory,
            f"{own}_completed", "--count", str(completed),
        ),
        making.learn(
            f"finer-{name}", f"{key}_tiny.yaml", "the same on other examples", f"runs/{key}"
        ),
    ]  # fmt: skip


def _examples(
    making: Making, name: str, tasks: str, seed: str, remembered: str, other_seed: str
) -> list[Stage]:
    """Questions without a memory and with one. remembered: the tasks of these, by their share."""
    key = name.replace("-", "_")
    return [
        making.data(
            f"{name}-data", key, "examples for the finer tower", f"runs/data/{key}",
            "--size", "64", "--tasks", tasks, "--seed", seed, "--variants", PLAIN,
        ),
        making.data(
            f"{name}-memory-data", f"{key}_memory", "with a memory", f"runs/data/{key}_memory",
            "--size", "64", "--tasks", remembered, "--seed", other_seed,
            "--variants", f"map+arrow+memory,{ROBOT}",
        ),
    ]  # fmt: skip
