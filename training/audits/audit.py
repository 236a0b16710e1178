"""Is a dataset honest? Blind and one-number baselines, balance, duplicates and rejections, printed
and stored.

In: a folder that `ipt-dataset` wrote. Out: an `Audit`, as a table and as JSON beside the data. A
baseline passes when it stays within 3 points of chance (blind) or 8 points (one number of the
visible scene).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ipt_training.audits.baselines import BLIND, Item, one_number
from ipt_training.audits.numbers import memory_numbers, visible_numbers
from ipt_training.datasets.parquet import Dataset, write_file
from ipt_training.datasets.schema import RECORDED, Row, example_from_row
from ipt_training.example import Example
from ipt_training.scenes.splits import split_of

AUDIT_FILE = "audit.json"
BLIND_POINTS, SHORTCUT_POINTS = 3.0, 8.0
#: Examples per task, and per group of shortcuts, that are audited; more say little more.
MOST_PER_TASK = 2000
#: With fewer examples a baseline is shown and not judged.
MIN_JUDGED = 300
#: With fewer still there is nothing to fit a baseline on.
MIN_SHOWN = 20


@dataclass(frozen=True)
class Score:
    """One baseline on one group of questions; percentages. low, high: 95 % interval (Wilson)."""

    group: str
    baseline: str
    kind: str
    count: int
    accuracy: float
    low: float
    high: float
    chance: float

    @property
    def limit(self) -> float:
        return self.chance + (BLIND_POINTS if self.kind == "blind" else SHORTCUT_POINTS)

    @property
    def judged(self) -> bool:
        """Whether there are enough examples to tell a leak from luck."""
        return self.count >= MIN_JUDGED

    @property
    def passes(self) -> bool:
        return not self.judged or self.accuracy <= self.limit


@dataclass
class Audit:
    """All that an audit found. balance: {group: {what: {value: share}}}. problems: sentences."""

    rows: int
    scores: list[Score] = field(default_factory=list)
    balance: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    rejections: dict[str, dict[str, int]] = field(default_factory=dict)
    needs_matching: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def passes(self) -> bool:
        return not self.problems and all(score.passes for score in self.scores)

    def to_dict(self) -> dict[str, Any]:
        return {
            "passes": self.passes,
            "rows": self.rows,
            "limits_points": {"blind": BLIND_POINTS, "one number": SHORTCUT_POINTS},
            "scores": [{**asdict(score), "passes": score.passes} for score in self.scores],
            "balance": self.balance,
            "rejections": self.rejections,
            "counting_needs_matching": self.needs_matching,
            "problems": self.problems,
        }

    def write(self, folder: Path) -> Path:
        path = folder / AUDIT_FILE
        write_file(path, (json.dumps(self.to_dict(), indent=1) + "\n").encode())
        return path


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share, in percent."""
    z, p = 1.96, right / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return 100 * (middle - half), 100 * (middle + half)


def score_of(group: str, baseline: str, kind: str, right: np.ndarray, chance: float) -> Score:
    low, high = wilson(int(right.sum()), len(right))
    accuracy = 100 * float(right.mean())
    return Score(
        group,
        baseline,
        kind,
        len(right),
        round(accuracy, 2),
        round(low, 2),
        round(high, 2),
        chance,
    )


def run_audit(
    folder: Path,
    *,
    others: Iterable[Path] = (),
    most_per_task: int = MOST_PER_TASK,
    on_step: Callable[[str], None] | None = None,
) -> Audit:
    """Audit a folder. others: datasets of other splits; no picture or house may be in both."""
    tell = on_step or (lambda name: None)
    dataset = Dataset(folder)
    audit = Audit(rows=len(dataset), rejections=dataset.facts.get("rejections", {}))
    audit.balance = _balance(dataset)
    tell("duplicates")
    _check_splits(dataset, audit)
    _check_duplicates(dataset, [Dataset(path) for path in others], audit)
    tasks = np.array(dataset.column("task"), object)
    for task in sorted(set(tasks)):
        groups: dict[str, list[Item]] = defaultdict(list)
        matching = []
        finer = task in SHORTCUT_GROUPS
        for index in np.flatnonzero(tasks == task).tolist():
            full = len(groups[task]) >= most_per_task
            if full and not finer:
                break
            example = example_from_row(dataset[index])
            item = item_of(example, index)
            for name in (task, *shortcut_groups(example)):
                if len(groups[name]) < most_per_task:
                    groups[name].append(item)
            remembered = memory_numbers(example)
            if remembered and len(groups[f"{task}/memory"]) < most_per_task:
                groups[f"{task}/memory"].append(replace(item, numbers=remembered))
            if "needs_matching" in example.facts:
                matching.append(bool(example.facts["needs_matching"]))
        if matching:
            audit.needs_matching = round(float(np.mean(matching)), 3)
            if audit.needs_matching < 0.5:
                audit.problems.append(
                    f"counting: {audit.needs_matching:.0%} of the questions need an object seen "
                    "in one frame only and one seen in two; expected at least 50 %"
                )
        for group, items in groups.items():
            if len(items) < MIN_SHOWN:
                continue
            chance = 100 / len(items[0].options)
            if group == task:
                for name, baseline in BLIND.items():
                    tell(f"{task}: {name}")
                    audit.scores.append(score_of(group, name, "blind", baseline(items), chance))
            if group != task or not finer:
                tell(f"{group}: one number at a time")
                for name in items[0].numbers:
                    right = one_number(items, name)
                    audit.scores.append(score_of(group, name, "one number", right, chance))
    return audit


#: Tasks whose one-number shortcuts are looked for in finer groups: other questions, other numbers.
SHORTCUT_GROUPS = ("perspective",)


def shortcut_groups(example: Example) -> list[str]:
    """The finer groups of an example."""
    task = example.question.task.value
    if task not in SHORTCUT_GROUPS:
        return []
    posed = "distance" if example.subcategory in ("closer", "further") else "side"
    return [f"{task}/{example.variant.partition('+')[0]}/{posed}"]


def item_of(example: Example, index: int) -> Item:
    """What baselines may see. The picture is one of the inputs by turns; never the map with the
    path.
    """
    images = example.question.images
    usable = images[:-1] if example.question.task.value == "clearance" else images
    return Item(
        text=example.question.text,
        options=example.question.options,
        answer_index=example.answer_index,
        image=usable[index % len(usable)],
        numbers=visible_numbers(example),
    )


def _balance(dataset: Dataset) -> dict[str, dict[str, dict[str, float]]]:
    """Shares of answers, sub-categories and answer positions per task."""
    columns = {
        "sub-category": dataset.column("subcategory"),
        "variant": dataset.column("variant"),
        "answer position": [str(p) for p in dataset.column("answer_index")],
        "answer": [
            options[place]
            for options, place in zip(
                dataset.column("options"), dataset.column("answer_index"), strict=True
            )
        ],
    }
    tasks = dataset.column("task")
    out: dict[str, dict[str, dict[str, float]]] = {}
    for task in sorted(set(tasks)):
        rows = [i for i, t in enumerate(tasks) if t == task]
        out[task] = {}
        for name, values in columns.items():
            counts = Counter(values[i] for i in rows)
            top = counts.most_common(12)
            out[task][name] = {v: round(n / len(rows), 4) for v, n in sorted(top)}
    return out


def _check_splits(dataset: Dataset, audit: Audit) -> None:
    seeds, splits, levels = (dataset.column(n) for n in ("scene_seed", "split", "level"))
    for seed, split, level in zip(seeds, splits, levels, strict=True):
        if level != RECORDED and split_of(int(seed)) != split:
            audit.problems.append(f"scene {seed} belongs to {split_of(int(seed))}, not to {split}")
            return


def _check_duplicates(dataset: Dataset, others: list[Dataset], audit: Audit) -> None:
    """No question twice in a dataset, no picture in two of them."""
    asked = Counter(_digest(row, with_text=True) for row in dataset)
    twice = sum(n - 1 for n in asked.values())
    if twice:
        audit.problems.append(f"{twice} questions occur more than once")
    if others:
        seen = {_digest(row, with_text=False) for row in dataset}
        for other in others:
            shared = sum(_digest(row, with_text=False) in seen for row in other)
            if shared:
                audit.problems.append(f"{shared} first pictures are also in {other.path}")
            houses = _homes(dataset) & _homes(other)
            if houses:
                audit.problems.append(f"{len(houses)} houses or places are also in {other.path}")


def _homes(dataset: Dataset) -> set[str]:
    """Where the rows are at home: rendered houses, or places of a recording."""
    return {example_from_row(row).home for row in dataset}


def _digest(row: Row, *, with_text: bool) -> bytes:
    digest = hashlib.sha256(row.images[0])
    if with_text:
        for text in row.instructions:
            digest.update(text.encode())
        for image in row.inputs[1:]:
            digest.update(image)
    return digest.digest()


def render(audit: Audit) -> Any:
    """The audit as a rich table."""
    from rich.console import Group
    from rich.table import Table

    table = Table(title=f"Audit of {audit.rows} examples", title_justify="left")
    for name in ("questions", "baseline", "n", "accuracy", "95 %", "chance", "limit", ""):
        table.add_column(name, justify="left" if name in ("questions", "baseline") else "right")
    for s in audit.scores:
        table.add_row(
            s.group,
            s.baseline,
            str(s.count),
            f"{s.accuracy:.1f}",
            f"{s.low:.1f}-{s.high:.1f}",
            f"{s.chance:.0f}",
            f"{s.limit:.0f}",
            ("[green]ok[/]" if s.passes else "[bold red]leaks[/]") if s.judged else "few",
        )
    refused = Table(title="Refused per example made", title_justify="left")
    for name in ("task", "filter", "refused", "per example"):
        refused.add_column(name, justify="right" if "re" in name[:2] or "per" in name else "left")
    for task, reasons in audit.rejections.items():
        made = max(reasons.get("made", 0), 1)
        for reason, number in sorted(reasons.items(), key=lambda kv: -kv[1]):
            if reason != "made":
                refused.add_row(task, reason, str(number), f"{number / made:.2f}")
    lines = [f"[bold red]{p}[/]" for p in audit.problems]
    verdict = "[bold green]passes[/]" if audit.passes else "[bold red]does not pass[/]"
    return Group(table, refused, *lines, f"The dataset {verdict}.")
