"""What a robot's memory is worth to the shipped model after one turn on the spot:
`python benchmarks/turned_once.py`.

Questions of test rooms, each with what the robot recalls of the asked view or map when it has
turned once where it stands: `answer` looks at the input pictures alone, `recall` at the recalled
view with its holes filled, `imagine` draws the rest, `given` sees the true view. Perspective is
asked as a robot asks it, with the recalled view among the pictures. Counts are over the four
pictures of the turn. Writes benchmarks/results/turned_once.json and the tables in docs/memory.md
and in the model's card.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from anchored_drawing import (
    CAMERA_PX,
    SIZE_PX,
    ask,
    examples,
    recalled,
    scene_of,
    turn,
    turned_on_path,
)
from by_share_seen import head, row
from machine import commit, processor_name
from pages import put
from what_works import rate

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Question, Task
from ipt_model.spatial.recalled import RecalledView
from ipt_model.weights import DEFAULT_MODEL
from ipt_model.weights.loading import load
from ipt_training.evaluation.metrics import share_of
from ipt_training.evaluation.records import judge_picture
from ipt_training.example import Example
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.tasks.seen.remembered import memory_of, recall_map

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "turned_once.json"
PAGE = ROOT / "docs" / "memory.md"
CARD = ROOT / "ipt_model" / "weights" / DEFAULT_MODEL.replace("-", "_") / "README.md"
MARK = "turned once"
SECTION = f"""
## After one turn on the spot

Right answers in percent, with 95 % intervals, to questions of test rooms with what a robot recalls
of the asked view or map when it has turned once where it stands
(`python benchmarks/turned_once.py`).

<!-- {MARK}: begin -->
<!-- {MARK}: end -->
"""
ASKED = (
    (Task.PERSPECTIVE, "pose+anchored"),
    (Task.PATH, "ego"),
    (Task.PATH, "map"),
    (Task.COUNTING, "rotation+by colour"),
)
#: Shares seen between which questions are told apart.
EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
MODES = (Mode.ANSWER, Mode.IMAGINE, Mode.RECALL, Mode.GIVEN)


def remembering(example: Example) -> RecalledView:
    """After a turn at the place from which the question is asked; the present view is the
    newest."""
    facts = example.facts
    if example.question.task is Task.COUNTING:
        return recalled_from_above(example, [np.array(pose) for pose in facts["poses"]])
    if example.question.task is Task.PATH:
        return recalled(example, turned_on_path(example)[::-1], np.array(facts["pose_imagined"]))
    here = np.array(facts["pose_before"])
    x, y, height = (float(v) for v in here[:3, 3])
    poses = turn(x, y, math.atan2(here[1, 2], here[0, 2]), height, facts["pitch_rad"])
    return recalled(example, poses[::-1], np.array(facts["pose_after"]))


def recalled_from_above(example: Example, poses: Sequence[np.ndarray]) -> RecalledView:
    """What a robot has seen of the asked map when its camera was at these poses."""
    facts = example.facts
    scene = scene_of(example)
    camera = Camera.from_fov(CAMERA_PX, CAMERA_PX, facts["fov_rad"])
    memory = memory_of(Renderer(scene), poses, camera)
    return recall_map(memory, tuple(facts["map_square_m"]), SIZE_PX, scene.wall_height_m)


def questions(task: Task, variant: str, number: int, seed: int) -> list[tuple[Example, Question]]:
    found = []
    for example in examples(task, variant, number, seed):
        view, images = remembering(example), example.question.images
        if variant.endswith("+anchored"):
            images = (*images[:-1], view.rgb)
        question = replace(
            example.question, images=images, recalled=view, true_view=example.true_view
        )
        found.append((example, question))
    return found


def measured(
    imaginer: Imaginer, task: Task, variant: str, number: int, seed: int
) -> dict[str, Any]:
    pairs = questions(task, variant, number, seed)
    asked = [question for _, question in pairs]
    found: dict[str, Any] = {
        "n": number,
        "share_seen": round(float(np.mean([q.share_seen for q in asked])), 4),
    }
    shares = np.array([q.share_seen for q in asked])
    places = [
        np.flatnonzero((low <= shares) & ((shares < high) | (high == 1.0)))
        for low, high in pairwise(EDGES)
    ]
    for mode in MODES:
        right = [False] * number
        in_place: list[bool] = []
        for place, answer in ask(imaginer, asked, mode, imaginer.style.flow.steps):
            example = pairs[place][0]
            right[place] = answer.text == example.answer
            if mode is Mode.IMAGINE and answer.imagined_views:
                in_place += judge_picture(example, answer.imagined_views[0]).present
        if in_place:
            found["in place"] = share_of(in_place).to_dict()
        found[mode.value] = share_of(right).to_dict()
        found[f"{mode.value} by share"] = [
            share_of([right[k] for k in some]).to_dict() if len(some) else None for some in places
        ]
    return found


def table(record: dict[str, Any]) -> str:
    rows = head([mode.value for mode in MODES])
    for name, one in record["asked"].items():
        for k, (low, high) in enumerate(pairwise(EDGES)):
            rates = [one[f"{mode.value} by share"][k] for mode in MODES]
            if rates[0] is not None:
                rows.append(row(name, f"{100 * low:.0f} to {100 * high:.0f} %", rates))
        mean = f"*all*, {100 * one['share_seen']:.0f} % on average"
        rows.append(row(name, mean, [one[mode.value] for mode in MODES]))
    placed = [
        f"of {name} in {rate(one['in place'])} % (n = {one['in place']['n']:,})"
        for name, one in record["asked"].items()
        if "in place" in one
    ]
    rows += ["", f"Drawings have the asked things in their places: {'; '.join(placed)}."]
    return "\n".join(rows)


def publish(record: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    card = CARD.read_text(encoding="utf-8")
    if f"<!-- {MARK}: begin -->" not in card:  # a new release wrote it anew
        CARD.write_text(card + SECTION, encoding="utf-8")
    for page in (PAGE, CARD):
        put(page, MARK, table(record))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=1000, help="questions of each kind")
    parser.add_argument("--seed", type=int, default=83)
    given = parser.parse_args()
    loaded = load(DEFAULT_MODEL)
    imaginer = Imaginer(loaded)
    record: dict[str, Any] = {
        "model": loaded.model_hash,
        "seed": given.seed,
        "machine": processor_name(),
        "commit": commit(),
        "asked": {},
    }
    for task, variant in ASKED:
        name = f"{task.value}, {variant}"
        record["asked"][name] = measured(imaginer, task, variant, given.number, given.seed)
        print(name, json.dumps(record["asked"][name]), flush=True)
    publish(record)


if __name__ == "__main__":
    main()
