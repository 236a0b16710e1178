"""Can the questions of a dataset be answered at all?
`python -m ipt_training.audits.well_posed TRAIN TEST --out well_posed.json`

In: two datasets of the same kind, of train houses and of test houses. Out: per task two levels,
found by a small network of its own (`reader`), as a table and as JSON.

*readable*: it sees the true view and what is asked, as words. Below 95 % the picture that a model
is to imagine does not hold the answer, however well it is drawn.
*inferable*: it sees the inputs alone. That much can be had from them, at least: a better network
may get more, so it is a floor of what is possible and the mark to beat, no ceiling.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ipt_model.question import Task
from ipt_training.audits.audit import wilson
from ipt_training.audits.reader import Case, Training, read, shuffled
from ipt_training.datasets.parquet import Dataset, write_file
from ipt_training.datasets.schema import example_from_row
from ipt_training.example import Example
from ipt_training.scenes.colours import COLOURS

READABLE_PERCENT = 95.0
AUDITS = ("readable", "inferable")


class WellPosedError(ValueError):
    """Two datasets that cannot be set against each other; the message says why."""


@dataclass(frozen=True)
class Level:
    """How well the questions of one group were answered, in percent; low, high: 95 % interval of
    the mean over seeds (Wilson, with the number of test questions). parts: accuracy and number of
    questions by what was asked.
    """

    audit: str
    group: str
    train: int
    test: int
    seeds: tuple[int, ...]
    per_seed: tuple[float, ...]
    accuracy: float
    low: float
    high: float
    chance: float
    parts: dict[str, tuple[float, int]]

    @property
    def passes(self) -> bool:
        return self.audit != "readable" or self.accuracy >= READABLE_PERCENT


def case_of(example: Example, audit: str) -> Case:
    """The question as bare facts, with the true view or with the inputs."""
    if audit not in AUDITS:
        raise WellPosedError(f"audit: expected one of {', '.join(AUDITS)}, got {audit!r}")
    question, facts, task = example.question, example.facts, example.question.task
    inputs = audit == "inferable"
    pictures: tuple[np.ndarray, ...] = question.images if inputs else (example.true_view,)
    asked: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    turned, mirrored = False, ""
    if task is Task.PERSPECTIVE:
        far = example.subcategory in ("closer", "further")
        asked = ("distance" if far else "side", facts["object"])
        numbers = tuple(facts["motion"])
        if not inputs:
            # closer than now can be told by somebody who sees now
            now = question.images[0] if far else np.zeros_like(example.true_view)
            pictures, numbers = (example.true_view, now), ()
            mirrored = "same" if far else "swap"
    elif task is Task.PATH:
        asked, mirrored = (example.subcategory,), "" if inputs else "same"
    elif task is Task.COUNTING:
        asked, turned = (facts["category"],), not inputs
    else:
        numbers, turned = (10 * (facts["robot_radius_m"] - 0.2),), not inputs
    return Case(
        pictures=pictures,
        asked=asked,
        numbers=numbers,
        options=question.options,
        answer_index=example.answer_index,
        turned=turned,
        things=task is Task.PATH,
        colours=COLOURS,
        mirrored=mirrored,
    )


def part_of(example: Example) -> str:
    """What results are broken down by."""
    task = example.question.task
    if task is Task.PERSPECTIVE:
        return "distance" if example.subcategory in ("closer", "further") else "side"
    return example.variant


def cases_of(
    dataset: Dataset, audits: Sequence[str], most: int
) -> dict[str, dict[str, list[tuple[Case, str]]]]:
    """{task: {audit: cases with their parts}}, at most so many of each task, in order."""
    found: dict[str, dict[str, list[tuple[Case, str]]]] = defaultdict(lambda: defaultdict(list))
    for number, task in enumerate(dataset.column("task")):
        if len(found[task][audits[0]]) < most:
            example = example_from_row(dataset[number])
            for audit in audits:
                found[task][audit].append((case_of(example, audit), part_of(example)))
    return found


def level_of(
    audit: str,
    group: str,
    train: Sequence[tuple[Case, str]],
    test: Sequence[tuple[Case, str]],
    seeds: Sequence[int],
    training: Training,
    on_step: Callable[[str], None] | None = None,
) -> Level:
    """Train and ask one network a seed."""
    tell = on_step or (lambda text: None)
    right = []
    for seed in seeds:
        name = f"{group}, {audit}, seed {seed}"

        def told(epoch: int, loss: float, name: str = name) -> None:
            tell(f"{name}: epoch {epoch + 1} of {training.epochs}, loss {loss:.3f}")

        right.append(read([c for c, _ in train], [c for c, _ in test], seed, training, told))
    table = np.stack(right)
    share = float(table.mean())
    low, high = wilson(round(share * len(test)), len(test))
    which = np.array([part for _, part in test])
    return Level(
        audit=audit,
        group=group,
        train=len(train),
        test=len(test),
        seeds=tuple(seeds),
        per_seed=tuple(round(100 * float(r.mean()), 2) for r in table),
        accuracy=round(100 * share, 2),
        low=round(low, 2),
        high=round(high, 2),
        chance=round(100 * float(np.mean([1 / len(c.options) for c, _ in test])), 2),
        parts={
            str(part): (
                round(100 * float(table[:, which == part].mean()), 2),
                int((which == part).sum()),
            )
            for part in sorted(set(which))
        },
    )


def run_well_posed(
    train: Dataset,
    test: Dataset,
    *,
    audits: Sequence[str] = AUDITS,
    seeds: Sequence[int] = (0, 1, 2),
    training: Training | None = None,
    most: int = 100_000,
    by_chance: bool = False,
    on_step: Callable[[str], None] | None = None,
) -> list[Level]:
    """All tasks of two datasets. by_chance: train on answers drawn by chance, which a sound audit
    must fail.
    """
    common = set(train.column("scene_seed")) & set(test.column("scene_seed"))
    if common:
        raise WellPosedError(
            f"{len(common)} houses of {test.path} are also in {train.path}: expected houses that "
            "were not trained on"
        )
    learned, asked = cases_of(train, audits, most), cases_of(test, audits, most)
    if set(learned) != set(asked):
        raise WellPosedError(
            f"{train.path} has the tasks {', '.join(sorted(learned))}, {test.path} has "
            f"{', '.join(sorted(asked))}: expected the same"
        )
    levels = []
    for task, sides in learned.items():
        for audit, known in sides.items():
            if by_chance:
                drawn = shuffled([c for c, _ in known], 0)
                known = [(c, part) for c, (_, part) in zip(drawn, known, strict=True)]
            levels.append(
                level_of(
                    audit, task, known, asked[task][audit], seeds, training or Training(), on_step
                )
            )
    return levels


def markdown(levels: Sequence[dict[str, Any]]) -> str:
    """The table of the documentation."""
    lines = [
        "| questions | audit | trained on | n | seeds | right | 95 % | chance | |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for level in levels:
        parts = ", ".join(f"{name} {share:.1f} %" for name, (share, _) in level["parts"].items())
        lines.append(
            f"| {level['group']} | {level['audit']} | {level['train']} | {level['test']} | "
            f"{len(level['seeds'])} | {level['accuracy']:.1f} % | {level['low']:.1f}-"
            f"{level['high']:.1f} | {level['chance']:.0f} % | {parts} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ipt_training.audits.well_posed",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("train", type=Path, help="dataset of train houses")
    parser.add_argument("test", type=Path, help="dataset of test houses")
    parser.add_argument("--audits", nargs="+", choices=AUDITS, default=list(AUDITS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=Training.epochs)
    parser.add_argument("--most", type=int, default=100_000, help="examples a task and dataset")
    parser.add_argument("--out", type=Path, help="JSON of the levels")
    given = parser.parse_args(arguments)
    try:
        levels = run_well_posed(
            Dataset(given.train),
            Dataset(given.test),
            audits=given.audits,
            seeds=given.seeds,
            training=Training(epochs=given.epochs),
            most=given.most,
            on_step=lambda text: print(text, file=sys.stderr, flush=True),
        )
    except (OSError, ValueError) as error:
        print(f"well_posed: {error}", file=sys.stderr)
        return 2
    found = [{**asdict(level), "passes": level.passes} for level in levels]
    if given.out is not None:
        write_file(given.out, (json.dumps(found, indent=1) + "\n").encode())
    print(markdown(found), end="")
    return 0 if all(level.passes for level in levels) else 1


if __name__ == "__main__":
    raise SystemExit(main())
