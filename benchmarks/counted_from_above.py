"""What the memory shows from above of things that are to be counted, and what that is worth:
`python benchmarks/counted_from_above.py`.

The same questions of test rooms after one turn on the spot (`turned_once.py`), their map recalled
in three ways: a thing counts as seen where a free line leads down to it from the ceiling, holes
filled from their edges; from the height of the cameras; and holes filled with floor, things going
on a little. Writes benchmarks/results/counted_from_above.json and the table in docs/memory.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from anchored_drawing import ask
from machine import commit, processor_name
from pages import put
from turned_once import questions
from what_works import rate

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Question, Task
from ipt_model.spatial.maps import MapView
from ipt_model.spatial.recalled import RecalledView
from ipt_model.spatial.views.from_above import standing
from ipt_model.spatial.views.targets import PinholeTarget, TopDownTarget
from ipt_model.weights import DEFAULT_MODEL
from ipt_model.weights.loading import load
from ipt_training.evaluation.metrics import share_of
from ipt_training.example import Example

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "counted_from_above.json"
PAGE = ROOT / "docs" / "memory.md"
VARIANT = "rotation+by colour"
MODES = (Mode.RECALL, Mode.IMAGINE)
#: A thing is on the map when so many raised pixels within so many of its middle are.
ENOUGH_PX, NEAR_PX = 3, 3.5


class FromTheCeiling(TopDownTarget):
    """Lines begin at the ceiling, and as much of them must be free as of those of views."""

    least_free = PinholeTarget.least_free

    def __init__(self, view: MapView, below_m: float, origin: np.ndarray, eyes_m: float) -> None:
        super().__init__(view, below_m, origin, max(eyes_m, below_m - float(origin[2])))


def edges(view: RecalledView) -> RecalledView:
    return replace(view, filling=None)


WAYS: dict[str, tuple[type[TopDownTarget], Callable[[RecalledView], RecalledView]]] = {
    "free from the ceiling, filled from the edges": (FromTheCeiling, edges),
    "free from the cameras' height, filled from the edges": (TopDownTarget, edges),
    "the same, floor in the holes": (TopDownTarget, lambda view: view),
}


def on_the_map(example: Example, view: RecalledView) -> int:
    """How many of the counted things the map shows."""
    v, u = np.nonzero(standing(view))
    places = example.facts["counted_map_px"]
    near = (np.hypot(u + 0.5 - x, v + 0.5 - y) < NEAR_PX for x, y in places)
    return sum(int(some.sum() >= ENOUGH_PX) for some in near)


def right(imaginer: Imaginer, pairs: list[tuple[Example, Question]], mode: Mode) -> dict[str, Any]:
    asked = [question for _, question in pairs]
    found = ask(imaginer, asked, mode, imaginer.style.flow.steps)
    return share_of([answer.text == pairs[k][0].answer for k, answer in found]).to_dict()


def measured(imaginer: Imaginer, number: int, seed: int) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, (target, change) in WAYS.items():
        with mock.patch("ipt_model.spatial.memory.TopDownTarget", target):
            pairs = questions(Task.COUNTING, VARIANT, number, seed)
        pairs = [
            (example, replace(q, recalled=change(q.recalled)))
            for example, q in pairs
            if q.recalled is not None
        ]
        shown = [on_the_map(e, q.recalled) for e, q in pairs if q.recalled is not None]
        there = [len(example.facts["counted_map_px"]) for example, _ in pairs]
        record[name] = {
            "share_seen": round(float(np.mean([q.share_seen for _, q in pairs])), 4),
            "things": {"shown": sum(shown), "of": sum(there)},
            "all_shown": share_of([a == b for a, b in zip(shown, there, strict=True)]).to_dict(),
            **{mode.value: right(imaginer, pairs, mode) for mode in MODES},
        }
        print(name, json.dumps(record[name]), flush=True)
    record["the true map"] = {Mode.GIVEN.value: right(imaginer, pairs, Mode.GIVEN)}
    return record


def table(ways: dict[str, Any]) -> str:
    rows = [
        "| map | things on it | `recall` | `imagine` |",
        "|---|--:|--:|--:|",
    ]
    for name, one in ways.items():
        if "things" not in one:
            rows.append(f"| {name} | 100 % | {rate(one['given'])} | |")
            continue
        things = one["things"]
        share = f"{100 * things['shown'] / things['of']:.0f} %"
        rows.append(f"| {name} | {share} | {rate(one['recall'])} | {rate(one['imagine'])} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--seed", type=int, default=83)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    given = parser.parse_args()
    loaded = load(given.model)
    ways = measured(Imaginer(loaded), given.number, given.seed)
    record = {
        "model": loaded.model_hash,
        "n": given.number,
        "seed": given.seed,
        "machine": processor_name(),
        "commit": commit(),
        "ways": ways,
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "counted from above", table(ways))


if __name__ == "__main__":
    main()
