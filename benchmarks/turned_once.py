"""What a robot's memory is worth to the shipped model after one turn on the spot:
`python benchmarks/turned_once.py`.

Questions of test rooms, each with what the robot recalls of the asked view when it has turned once
where it stands: `answer` looks at the input pictures alone, `recall` at the recalled view with its
holes filled, `imagine` draws the rest, `given` sees the true view. Perspective is asked as a robot
asks it, with the recalled view among the pictures. Writes benchmarks/results/turned_once.json and
the table in docs/memory.md.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from anchored_drawing import CAMERA_PX, PITCH_RAD, SIZE_PX, TURNS, ask
from machine import commit, processor_name
from pages import put

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Question, Task
from ipt_model.spatial.memory import SpatialMemory
from ipt_model.spatial.recalled import RecalledView
from ipt_model.weights.loading import load
from ipt_training.datasets.generate import make_example
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.evaluation.metrics import share_of
from ipt_training.example import Example
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.tasks.sampling import Rejections

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "turned_once.json"
PAGE = ROOT / "docs" / "memory.md"
ASKED = ((Task.PERSPECTIVE, "pose+anchored"), (Task.PATH, "ego"))
#: Shares seen between which questions are told apart.
EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
MODES = (Mode.ANSWER, Mode.IMAGINE, Mode.RECALL, Mode.GIVEN)


def recalled(example: Example) -> RecalledView:
    """After a turn at the place from which the question is asked."""
    facts = example.facts
    scene = make_scene(example.scene_seed, facts["level"], **facts["scene_request"])
    camera = Camera.from_fov(CAMERA_PX, CAMERA_PX, facts["fov_rad"])
    drawn = Camera.from_fov(SIZE_PX, SIZE_PX, facts["fov_rad"])
    if example.question.task is Task.PERSPECTIVE:
        here, asked = np.array(facts["pose_before"]), np.array(facts["pose_after"])
        x, y = here[:2, 3]
        heading, height = math.atan2(here[1, 2], here[0, 2]), float(here[2, 3])
        pitch = facts["pitch_rad"]
    else:
        (x, y), (to_x, to_y) = facts["start_m"], facts["end_m"]
        heading, height = math.atan2(to_y - y, to_x - x), facts["camera_height_m"]
        pitch, asked = PITCH_RAD, np.array(facts["pose_imagined"])
    poses = [
        camera_pose(x, y, heading + math.tau * k / TURNS, height, pitch) for k in range(TURNS)
    ]
    memory = SpatialMemory()
    # one after the other; the present view is the newest
    for k, pose in enumerate(poses[::-1]):
        view = Renderer(scene).render(pose, camera)
        memory.add(view.rgb, view.depth_m, camera, pose, stamp_ns=k * 10**9)
    return memory.recall(asked, drawn, (SIZE_PX, SIZE_PX))


def questions(task: Task, variant: str, number: int, seed: int) -> list[tuple[Example, Question]]:
    plan = DatasetPlan(
        number,
        size_px=SIZE_PX,
        tasks=((task.value, 1.0),),
        variants=(variant,),
        split="test",
        seed=seed,
    )
    slots, rejections = plan.slots(), Rejections()
    found = []
    for index in range(number):
        example = make_example(plan, slots, index, rejections)
        view = recalled(example)
        images = example.question.images
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
        for place, answer in ask(imaginer, asked, mode, imaginer.style.flow.steps):
            right[place] = answer.text == pairs[place][0].answer
        found[mode.value] = share_of(right).to_dict()
        found[f"{mode.value} by share"] = [
            share_of([right[k] for k in some]).to_dict() if len(some) else None for some in places
        ]
    return found


def table(record: dict[str, Any]) -> str:
    rows = [
        "| question | seen of the asked view | n | "
        + " | ".join(f"`{m.value}`" for m in MODES)
        + " |",
        "|---|---|--:|" + "--:|" * len(MODES),
    ]
    for name, one in record["asked"].items():
        for k, (low, high) in enumerate(pairwise(EDGES)):
            rates = [one[f"{mode.value} by share"][k] for mode in MODES]
            if rates[0] is not None:
                rows.append(_row(name, f"{100 * low:.0f} to {100 * high:.0f} %", rates))
        mean = f"*all*, {100 * one['share_seen']:.0f} % on average"
        rows.append(_row(name, mean, [one[mode.value] for mode in MODES]))
    return "\n".join(rows)


def _row(name: str, seen: str, rates: list[dict[str, Any]]) -> str:
    cells = (f"{100 * r['share']:.1f} ({100 * r['low']:.1f}-{100 * r['high']:.1f})" for r in rates)
    return f"| {name} | {seen} | {rates[0]['n']} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=1000, help="questions of each kind")
    parser.add_argument("--seed", type=int, default=83)
    given = parser.parse_args()
    loaded = load("ipt-tiny")
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
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "turned once", table(record))


if __name__ == "__main__":
    main()
