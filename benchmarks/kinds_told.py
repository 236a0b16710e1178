"""Whether a model tells things by their kind: `python benchmarks/kinds_told.py DATA MODEL ...`.

Path questions name four things, "the blue cube" among them. Where another of the four has the
right one's colour only the kind decides. DATA: a dataset without a memory. Every model reads the
true views of the same questions. Writes benchmarks/results/kinds_told.json and the table in
docs/training.md.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from machine import commit, processor_name
from pages import put
from what_works import rate

from ipt_model.question import Mode, Task
from ipt_model.weights.loading import load
from ipt_training.commands.evaluate import chosen_rows
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.public import any_example
from ipt_training.evaluation.asking import BatchAsker
from ipt_training.evaluation.metrics import share_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "kinds_told.json"
PAGE = ROOT / "docs" / "training.md"
#: Questions read at once.
BLOCK = 64


def parts(name: str) -> tuple[str, str]:
    """Colour and kind of "blue cube"."""
    colour, _, kind = name.partition(" ")
    return colour, kind


def asked(model: str, dataset: Dataset, rows: list[int]) -> dict[str, Any]:
    loaded = load(model)
    asker = BatchAsker(loaded)
    right: dict[bool, list[bool]] = {True: [], False: []}
    taken_for: Counter[str] = Counter()
    for first in range(0, len(rows), BLOCK):
        examples = [any_example(dataset[row]) for row in rows[first : first + BLOCK]]
        for place, answers in asker.ask(examples, (Mode.GIVEN,), first):
            example, said = examples[place], answers[Mode.GIVEN].text
            colour, kind = parts(example.answer)
            alike = [o for o in example.question.options if parts(o)[0] == colour]
            right[len(alike) > 1].append(said == example.answer)
            if said in alike and said != example.answer:
                taken_for[" and ".join(sorted((kind, parts(said)[1])))] += 1
    return {
        "hash": loaded.model_hash,
        "another of its colour": share_of(right[True]).to_dict(),
        "colour decides": share_of(right[False]).to_dict(),
        "all": share_of(right[True] + right[False]).to_dict(),
        "taken for another kind": dict(taken_for.most_common()),
    }


def table(record: dict[str, Any]) -> str:
    groups = ("another of its colour", "colour decides", "all")
    lines = ["| model | " + " | ".join(groups) + " |", "|---" + "|---" * len(groups) + "|"]
    for name, one in record["models"].items():
        cells = [f"{rate(one[group])} of {one[group]['n']}" for group in groups]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    parser.add_argument("--number", type=int, default=2000, help="most questions")
    given = parser.parse_args()
    dataset = Dataset(given.data)
    rows = chosen_rows(dataset, given.number, (Task.PATH.value,))
    models = dict(one.split("=", 1) for one in given.models)
    record = {
        "data": dataset.digest(),
        "split": dataset.facts.get("plan", {}).get("split"),
        "machine": processor_name(),
        "commit": commit(),
        "models": {name: asked(model, dataset, rows) for name, model in models.items()},
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "kinds told", table(record))


if __name__ == "__main__":
    main()
