"""Is CLEAR believed less where the model's own drawing shows something in the way?

    python benchmarks/own_picture.py --validation DIR --memory DIR --plain DIR

Every path question of the rows is answered after drawing. The drawn map gives the path a risk, as
trace_path reads it. The limit above which CLEAR is withheld is chosen on the validation rows: the
one that takes away the largest share of wrong CLEARs less the share of right ones. The test rows
are then judged with it. Confidence alone, withholding as many, is what it is compared with.
Writes benchmarks/results/own_picture.json and the table in docs/guard.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import commit, processor_name
from pages import put
from what_works import rate

from ipt_model.question import Mode
from ipt_model.spatial.maps import MapView, read_map
from ipt_model.weights.loading import load
from ipt_model.wording.phrasing import YES_NO_OPTIONS
from ipt_ros.answering.path_risk import sweep
from ipt_training.commands.evaluate import chosen_rows
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.evaluation.asking import BatchAsker
from ipt_training.evaluation.metrics import share_of
from ipt_training.evaluation.records import grids_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "own_picture.json"
PAGE = ROOT / "docs" / "guard.md"
LIMITS = np.round(np.arange(0.3, 0.96, 0.05), 2)
#: Of the node: below it an answer is withheld anyway.
MIN_CONFIDENCE = 0.6


@dataclass(frozen=True)
class Said:
    """blocked: what the model said of it. risk: of the drawn map, the largest along the path."""

    blocked: float
    risk: float
    true: bool

    @property
    def confidence(self) -> float:
        return max(self.blocked, 1 - self.blocked)


def said(examples: Sequence[Any], asker: BatchAsker) -> list[Said]:
    """Of the path questions; those that the node would withhold for their confidence left out."""
    found = []
    for place, answers in asker.ask(examples, [Mode.IMAGINE]):
        example, answer = examples[place], answers[Mode.IMAGINE]
        _, seen = grids_of(example.facts)
        x_min, y_min, side_m = example.facts["map_view"]
        drawn = answer.imagined_views[0]
        swept = sweep(
            seen, np.array(example.facts["path_m"]), float(example.facts["robot_radius_m"])
        )
        cells = read_map(drawn, MapView(x_min, y_min, side_m, drawn.shape[0]), seen)
        no = list(example.question.options).index(YES_NO_OPTIONS[1])
        found.append(
            Said(
                float(answer.option_probabilities[no]),
                float(np.nanmax(swept.risk(cells).poses, initial=0.0)),
                example.answer == YES_NO_OPTIONS[1],
            )
        )
    return [one for one in found if one.confidence >= MIN_CONFIDENCE]


def chosen(rows: Sequence[Said]) -> float:
    clear = [one for one in rows if one.blocked <= 0.5]

    def gain(limit: float) -> float:
        wrong = [one.risk > limit for one in clear if one.true]
        right = [one.risk > limit for one in clear if not one.true]
        return float(np.mean(wrong) - np.mean(right))

    return float(max(LIMITS, key=gain))


def measured(rows: Sequence[Said], limit: float) -> dict[str, Any]:
    clear = sorted((one for one in rows if one.blocked <= 0.5), key=lambda one: one.blocked)
    kept = [one for one in clear if one.risk <= limit]
    withheld = [one for one in clear if one.risk > limit]

    def right(some: Sequence[Said]) -> dict[str, Any]:
        return share_of([not one.true for one in some]).to_dict()

    return {
        "answered": len(rows),
        "clear": right(clear),
        "kept": right(kept),
        "withheld": right(withheld),
        "as_many_by_confidence": right(clear[: len(kept)]),
        "blocked": share_of([one.true for one in rows if one.blocked > 0.5]).to_dict(),
    }


def table(result: dict[str, Any]) -> str:
    lines = [
        "| paths | CLEAR said | truly clear, % | withheld | truly clear of the rest, % | "
        "as many by confidence, % | truly clear of the withheld, % |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, one in result["tests"].items():
        cells = [name, str(one["clear"]["n"]), rate(one["clear"]), str(one["withheld"]["n"])]
        cells += [rate(one[key]) for key in ("kept", "as_many_by_confidence", "withheld")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def paths(folder: Path, most: int) -> list[Any]:
    rows = Dataset(folder)
    return [example_from_row(rows[row]) for row in chosen_rows(rows, most, ("clearance",))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--memory", type=Path, required=True, help="test rows with a memory")
    parser.add_argument("--plain", type=Path, required=True, help="test rows without one")
    parser.add_argument("--model", default="ipt-tiny")
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    asker = BatchAsker(load(given.model, "cpu"))
    limit = chosen(said(paths(given.validation, given.most), asker))
    tests = {"with a memory": given.memory, "without one": given.plain}
    result = {
        "what": "CLEAR after drawing, by what the model's own drawing shows on the path",
        "command": "python benchmarks/own_picture.py",
        "commit": commit(),
        "processor": processor_name(),
        "model": asker.loaded.model_hash,
        "validation": Dataset(given.validation).digest(),
        "limit": limit,
        "tests": {
            name: {
                "rows": Dataset(folder).digest(),
                **measured(said(paths(folder, given.most), asker), limit),
            }
            for name, folder in tests.items()
        },
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(limit)
    print(table(result))
    put(PAGE, "own picture", table(result))


if __name__ == "__main__":
    main()
