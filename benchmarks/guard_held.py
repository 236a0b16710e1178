"""The guard's consistency where a drawing was free, though it was held to the rest of what was
seen: `python benchmarks/guard_held.py`.

Questions of test rooms with what a robot recalls: views after one turn on the spot, and the
surroundings from above, which a count is read from. Scored are true pictures (as rendered, and
shrunk to 16 px as a small model draws), wrong ones, and what the shipped model drew, each only in
the pixels that the drawing was not held to. Writes benchmarks/results/guard_held.json and the
tables in docs/guard.md.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from anchored_drawing import SIZE_PX, ask, examples
from machine import commit
from pages import put
from turned_once import questions

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Question, Task
from ipt_model.weights import DEFAULT_MODEL
from ipt_model.weights.loading import load
from ipt_ros.answering.guard import view_consistency
from ipt_training.evaluation.metrics import share_of
from ipt_training.example import Example

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "guard_held.json"
PAGE = ROOT / "docs" / "guard.md"
LIMITS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.6)
TRUE = ("the true one", "the true one, as a small model draws")
#: As far apart as two questions surely are.
ANOTHER = 37


def blurred(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)


def views(number: int, seed: int) -> list[tuple[Example, Question]]:
    return questions(Task.PERSPECTIVE, "pose+anchored", number, seed)


def from_above(number: int, seed: int) -> list[tuple[Example, Question]]:
    """Counts by colour, each with what was seen of the square that it asks for."""
    return [
        (example, replace(example.question, true_view=example.true_view))
        for example in examples(Task.COUNTING, "corners+by colour+memory", number, seed)
    ]


#: By the mark of the table on the page.
ASKED = {"held": views, "held from above": from_above}


def scored(
    pairs: Sequence[tuple[Example, Question]], imaginer: Imaginer, seed: int
) -> tuple[dict[str, list[float]], int]:
    """Consistencies by kind of picture, and in how many questions too little was free."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = defaultdict(list)
    unmeasured = 0
    asked = [question for _, question in pairs]
    for place, answer in ask(imaginer, asked, Mode.IMAGINE, imaginer.style.flow.steps):
        recalled, true = asked[place].recalled, asked[place].true_view
        assert recalled is not None and true is not None and answer.unheld is not None
        free = cv2.resize(answer.unheld.astype(np.uint8), recalled.seen.shape[::-1]) > 0
        judged = replace(recalled, seen=recalled.seen & free)
        other = asked[(place + ANOTHER) % len(asked)].true_view
        assert other is not None
        right = "right" if answer.text == pairs[place][0].answer else "wrong"
        pictures = {
            TRUE[0]: true,
            TRUE[1]: blurred(true),
            "another question's": other,
            "mirrored": np.ascontiguousarray(true[:, ::-1]),
            "one plain colour": np.full_like(true, true.mean((0, 1)).astype(np.uint8)),
            "noise": rng.integers(0, 256, true.shape, dtype=np.uint8),
            f"drawn by {DEFAULT_MODEL}, answer {right}": answer.raw_views[0],
        }
        values = {name: view_consistency(p, judged)[1] for name, p in pictures.items()}
        if np.isnan(values[TRUE[0]]):
            unmeasured += 1
            continue
        for name, value in values.items():
            found[name].append(value)
    return found, unmeasured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=91)
    given = parser.parse_args()
    loaded = load(DEFAULT_MODEL)
    record: dict[str, Any] = {
        "commit": commit(),
        "model": loaded.model_hash,
        "seed": given.seed,
        "questions": given.number,
        "asked": {},
    }
    for mark, pairs in ASKED.items():
        found, unmeasured = scored(pairs(given.number, given.seed), Imaginer(loaded), given.seed)
        record["asked"][mark] = one = {
            "too little free to score": unmeasured,
            "passes": {
                name: {str(t): share_of([v >= t for v in values]).to_dict() for t in LIMITS}
                for name, values in found.items()
            },
        }
        put(PAGE, mark, table(one))
        print(table(one))
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def table(record: dict[str, Any]) -> str:
    rows = [
        "| picture | n | " + " | ".join(f"passes {t}" for t in LIMITS) + " |",
        "|---|--:|" + "--:|" * len(LIMITS),
    ]
    for name, at in record["passes"].items():
        cells = " | ".join(f"{100 * at[str(t)]['share']:.1f} %" for t in LIMITS)
        rows.append(f"| {name} | {at[str(LIMITS[0])]['n']} | {cells} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
