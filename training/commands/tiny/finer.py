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
    """The same on other examples, with views that the model itself draws of them."""
    own, before = "runs/own_finer", "runs/finer_more/final"
    other, memory = "runs/data/finer_long", "runs/data/finer_long_memory"
    return [
        *_examples(
            making, "finer-long", "path=3,perspective=4,clearance=4,counting=2", "41",
            "path=3,perspective=3,clearance=3,counting=1", "42",
        ),
        making.views(
            "finer-long-recalled-views", "recalled views, not completed", before, memory,
            f"{own}/long_recalled", "--mode", "recall",
        ),
        making.views(
            "finer-long-drawn-views", "the model draws views", before, other,
            f"{own}/long_drawn", "--count", "700",
        ),
        making.views(
            "finer-long-completed-views", "the model completes recalled views", before, memory,
            f"{own}/long_completed", "--count", "600",
        ),
        making.learn(
            "finer-long", "finer_long_tiny.yaml", "the same for longer", "runs/finer_long"
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
