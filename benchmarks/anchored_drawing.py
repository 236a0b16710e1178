"""What holding a drawing to what was seen is worth: `python benchmarks/anchored_drawing.py`.

Questions of test houses to the shipped model. Of the asked view the robot has seen what one
earlier picture shows of it (perspective), or what it saw when it turned once on the spot where the
path begins (path): RGB-D pictures of the renderer, recalled from the spatial memory. Rows: the
ways to draw the rest, and not to draw but to fill it from its edges. Writes
benchmarks/results/anchored_drawing.json and the table in docs/memory.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from anchoring_schemes import SCHEMES, drawer
from machine import processor_name
from pages import put

import ipt_model.asking.drawing
import ipt_model.asking.seen_ground
from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Answer, Mode, Question, Task
from ipt_model.spatial.recalled import RecalledView
from ipt_model.weights.loading import LoadedModel, load
from ipt_training.datasets.generate import make_example
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.evaluation.metrics import share_of
from ipt_training.example import Example
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.scene import Scene
from ipt_training.tasks.recast import paint
from ipt_training.tasks.sampling import Rejections
from ipt_training.tasks.seen.remembered import memory_of, recall_view

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "anchored_drawing.json"
PAGE = ROOT / "docs" / "memory.md"

SIZE_PX, BATCH = 64, 32
#: A quarter of the pixels of the robot's camera, which memory_of doubles to each side: it looks
#: closer than the model draws.
CAMERA_PX = 128
STEPS = (5, 10, 25)
#: How much of the noise the package's own way renews at each step.
RENEWED = (0.0, 0.85, 1.0)
#: The ways are compared with cells held of which so much was seen, the best way with others too.
HELD_SHARE = 0.95
HELD_SHARES = (0.8, 0.5, 0.3)
HELD_STEPS = 10
#: What is asked, the variant of the task, and what was seen.
ASKED = (
    (Task.PERSPECTIVE, "pose", "one view"),
    (Task.PATH, "ego", "turned once on the spot"),
)
TURNS, PITCH_RAD = 4, math.radians(8)


def scene_of(example: Example) -> Scene:
    """The scene that was asked about, its things in the colours that the question gave them."""
    facts = example.facts
    scene = make_scene(example.scene_seed, facts["level"], **facts["scene_request"])
    return paint(scene, [(int(index), colour) for index, colour in facts.get("colours", ())])


def recalled(example: Example, poses: Sequence[np.ndarray], asked: np.ndarray) -> RecalledView:
    """What a robot has seen of a view when its camera was at these poses, one after another."""
    facts = example.facts
    camera, drawn = (Camera.from_fov(px, px, facts["fov_rad"]) for px in (CAMERA_PX, SIZE_PX))
    return recall_view(memory_of(Renderer(scene_of(example)), poses, camera), asked, drawn)


def turned_on_path(example: Example) -> list[np.ndarray]:
    """A turn to the left on the spot where the path of the question begins."""
    facts = example.facts
    (x, y), (to_x, to_y) = facts["start_m"], facts["end_m"]
    heading = math.atan2(to_y - y, to_x - x)
    return turn(x, y, heading, facts["camera_height_m"], PITCH_RAD)


def turn(x: float, y: float, heading: float, height: float, pitch: float) -> list[np.ndarray]:
    return [camera_pose(x, y, heading + math.tau * k / TURNS, height, pitch) for k in range(TURNS)]


def remembering(example: Example) -> RecalledView:
    """What the robot has seen of the view that the example asks about."""
    facts = example.facts
    if example.question.task is Task.PERSPECTIVE:
        return recalled(example, [np.array(facts["pose_before"])], np.array(facts["pose_after"]))
    return recalled(example, turned_on_path(example), np.array(facts["pose_imagined"]))


def examples(task: Task, variant: str, number: int, seed: int) -> Iterator[Example]:
    """Of test houses."""
    plan = DatasetPlan(
        number,
        size_px=SIZE_PX,
        tasks=((task.value, 1.0),),
        variants=(variant,),
        split="test",
        seed=seed,
    )
    slots, rejections = plan.slots(), Rejections()
    for index in range(number):
        yield make_example(plan, slots, index, rejections)


def questions(task: Task, variant: str, number: int, seed: int) -> list[tuple[Example, Question]]:
    """Examples, each with its question as a robot with memory would ask it."""
    return [
        (example, replace(example.question, recalled=remembering(example)))
        for example in examples(task, variant, number, seed)
    ]


def ask(
    imaginer: Imaginer, asked: Sequence[Question], mode: Mode, steps: int
) -> Iterator[tuple[int, Answer]]:
    """(place, answer), those of one layout at once; place k is drawn from the noise of seed k."""
    groups: dict[Any, list[int]] = {}
    prepared = [imaginer.prepare(question) for question in asked]
    for place, one in enumerate(prepared):
        groups.setdefault(one.layout([mode]), []).append(place)
    for members in groups.values():
        for first in range(0, len(members), BATCH):
            places = members[first : first + BATCH]
            found = imaginer.ask_together([prepared[p] for p in places], [mode], places, steps)
            yield from ((p, answers[mode]) for p, answers in zip(places, found, strict=True))


def measured(
    examples: Sequence[tuple[Example, Question]], answers: dict[int, Answer]
) -> dict[str, Any]:
    """Right answers, PSNR over what nobody saw, and how wrong the raw drawing is where it was."""
    right, off = [], []
    unseen: dict[str, list[float]] = {"soft": [], "hard": []}
    for place, (example, question) in enumerate(examples):
        answer, view = answers[place], question.recalled
        assert view is not None
        right.append(answer.text == example.answer)
        picture = answer.imagined_views[0] if answer.imagined_views else view.filled
        raw = answer.raw_views[0] if answer.raw_views else view.filled
        if not view.seen.all():
            for seam, one in (("soft", picture), ("hard", raw)):
                gap = (one.astype(float) - example.true_view)[~view.seen]
                unseen[seam].append(10 * math.log10(255**2 / max(float((gap**2).mean()), 0.1)))
        if answer.raw_views and view.seen.any():
            off.append(float(np.abs(raw.astype(float) - view.rgb)[view.seen].mean()))
    soft, hard = unseen["soft"], unseen["hard"]
    return {
        "right": share_of(right).to_dict(),
        "holes_psnr_db": round(float(np.mean(soft)), 2),
        "holes_psnr_half_db": round(1.96 * float(np.std(soft)) / math.sqrt(len(soft)), 2),
        "holes_psnr_hard_seam_db": round(float(np.mean(hard)), 2),
        "seen_error_levels": round(float(np.mean(off)), 1) if off else None,
    }


def drawing_with(loaded: LoadedModel, **flow: Any) -> Imaginer:
    """The model with other settings of its flow."""
    style = loaded.style
    return Imaginer(replace(loaded, style=replace(style, flow=replace(style.flow, **flow))))


def ways(loaded: LoadedModel, examples: Sequence[tuple[Example, Question]]) -> list[dict]:
    """Every way at every number of steps. runs: of the model, for one picture."""
    asked = [question for _, question in examples]
    imaginer = Imaginer(loaded)
    bare = [replace(question, recalled=None) for question in asked]
    found = [
        {"way": "answered at once", "steps": 0, "runs": 0}
        | plain(examples, dict(ask(imaginer, bare, Mode.ANSWER, 1))),
        {"way": "filled from the edges", "steps": 0, "runs": 0}
        | measured(examples, dict(ask(imaginer, asked, Mode.RECALL, 1))),
    ]
    own = {"free, pasted": {"anchoring": "off"}} | {
        f"ddnm {renewed:g}": {"anchoring": "ddnm", "anchor_noise": renewed} for renewed in RENEWED
    }

    def add(way: str, steps: int, runs: int, who: Imaginer) -> None:
        answers = dict(ask(who, asked, Mode.IMAGINE, steps))
        found.append({"way": way, "steps": steps, "runs": runs} | measured(examples, answers))
        print(json.dumps(found[-1]), flush=True)

    with patch.object(ipt_model.asking.seen_ground, "HELD_SHARE", HELD_SHARE):
        for steps in STEPS:
            for way, flow in own.items():
                add(way, steps, steps, drawing_with(loaded, **flow))
            for way, (move, runs) in SCHEMES.items():
                with patch.object(ipt_model.asking.drawing, "draw", drawer(move)):
                    # the last step of a scheme with two runs has nothing to look at again
                    add(way, steps, runs * steps - (runs - 1), imaginer)
    return found


def held_rows(loaded: LoadedModel, examples: Sequence[tuple[Example, Question]]) -> list[dict]:
    """The way of the shipped weights, with ever more cells held."""
    asked, imaginer, found = [question for _, question in examples], Imaginer(loaded), []
    for share in HELD_SHARES:
        with patch.object(ipt_model.asking.seen_ground, "HELD_SHARE", share):
            answers = dict(ask(imaginer, asked, Mode.IMAGINE, HELD_STEPS))
        row = {"way": f"held from {100 * share:.0f} % on", "steps": HELD_STEPS, "runs": HELD_STEPS}
        found.append(row | measured(examples, answers))
        print(json.dumps(found[-1]), flush=True)
    return found


def plain(
    examples: Sequence[tuple[Example, Question]], answers: dict[int, Answer]
) -> dict[str, Any]:
    right = [answers[k].text == example.answer for k, (example, _) in enumerate(examples)]
    return {"right": share_of(right).to_dict()}


def table(result: dict[str, Any]) -> str:
    """As the page has it: a line for each way and number of steps, tasks side by side."""
    tasks = result["tasks"]
    said = [
        f"{name}: {part['memory']}, {100 * part['share_seen']:.0f} % of the asked view seen, "
        f"n = {part['n']}"
        for name, part in tasks.items()
    ]
    columns = [f"{name}: {what}" for name in tasks for what in ("right, %", "unseen, dB", "raw")]
    lines = [
        f"{'; '.join(said)} (test houses, seed {result['seed']}).",
        "",
        "| way | model runs | " + " | ".join(columns) + " |",
        "|---|--:|" + "--:|" * len(columns),
    ]
    # `held from` has ddnm as the weights have it
    for rows in zip(*(part["rows"] for part in tasks.values()), strict=True):
        cells = [str(rows[0]["way"]), str(rows[0]["runs"] or "none")]
        for row in rows:
            right = row["right"]
            share, low, high = (100 * right[k] for k in ("share", "low", "high"))
            cells.append(f"{share:.1f} ({low:.1f}–{high:.1f})")
            psnr, off = row.get("holes_psnr_db"), row.get("seen_error_levels")
            cells.append("" if psnr is None else f"{psnr:.2f} ± {row['holes_psnr_half_db']:.2f}")
            cells.append("" if off is None else f"{off:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=400, help="questions of each kind")
    parser.add_argument("--seed", type=int, default=80)
    parser.add_argument("--model", default="ipt-tiny")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only write the table anew")
    given = parser.parse_args()
    if given.table:
        put(PAGE, "anchored", table(json.loads(given.out.read_text(encoding="utf-8"))))
        return
    torch.set_num_threads(1)
    loaded = load(given.model, "cpu")
    parts: dict[str, Any] = {}
    for task, variant, memory in ASKED:
        examples = questions(task, variant, given.number, given.seed)
        shares = [question.recalled.share_seen for _, question in examples]  # type: ignore[union-attr]
        parts[task.value] = {
            "variant": variant,
            "memory": memory,
            "n": given.number,
            "share_seen": round(float(np.mean(shares)), 3),
            "rows": ways(loaded, examples) + held_rows(loaded, examples),
        }
    result = {
        "model": loaded.model_hash,
        "seed": given.seed,
        "size_px": SIZE_PX,
        "camera_px": CAMERA_PX,
        "machine": processor_name(),
        "tasks": parts,
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.out == RESULTS:
        put(PAGE, "anchored", table(result))


if __name__ == "__main__":
    main()
