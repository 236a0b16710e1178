"""Drawing against other ways to complete what a robot has seen: `python benchmarks/other_ways.py`.

    python benchmarks/other_ways.py --train runs/data/memory --test runs/data/memory_test

Every question of the test rows with a memory is put to the shipped model with the asked view
completed in each of the ways, shown as if it were the true one. The small network is trained on
the rows that the model's last step was trained on, for --examples showings; --network keeps it
in a file. Writes benchmarks/results/other_ways.json and the table in docs/memory.md.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import commit, processor_name
from pages import put
from what_works import rate

from ipt_model.network.transforms import resize
from ipt_model.question import Mode
from ipt_model.weights.asking_style import seen_class
from ipt_model.weights.loading import load
from ipt_training.commands.evaluate import chosen_rows
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.evaluation.asking import BatchAsker
from ipt_training.evaluation.metrics import share_of
from ipt_training.evaluation.records import map_scores
from ipt_training.example import Example
from ipt_training.filling.fitting import Fitting, fit, holed_of
from ipt_training.filling.network import FillingNetwork
from ipt_training.houses.generator import make_scene
from ipt_training.progress import Watch
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "other_ways.json"
PAGE = ROOT / "docs" / "memory.md"
#: A metre is as far as so many radians, when the nearest view is looked for.
RAD_PER_M = 0.7
WAYS = {
    "marked": "what was seen, holes marked",
    "nearest": "the nearest view that was seen",
    "edges": "filled from the edges",
    "network": "filled by the small network",
    "drawn": "drawn by the model",
    "true": "the true view",
}


def nearest(example: Example) -> np.ndarray | None:
    """The remembered picture that was taken nearest to the asked view; None of maps."""
    facts = example.facts
    asked = facts.get("pose_after") or facts.get("pose_imagined")
    if asked is None or not facts["memory_poses"]:
        return None
    there = np.array(asked)

    def away(pose: np.ndarray) -> float:
        cosine = 0.5 * (np.trace(there[:3, :3].T @ pose[:3, :3]) - 1)
        moved = np.linalg.norm(there[:3, 3] - pose[:3, 3])
        return float(RAD_PER_M * moved + math.acos(np.clip(cosine, -1, 1)))

    pose = min((np.array(p) for p in facts["memory_poses"]), key=away)
    scene = make_scene(example.scene_seed, facts["level"], **facts["scene_request"])
    height, width = example.true_view.shape[:2]
    return Renderer(scene).render(pose, Camera.from_fov(width, height, facts["fov_rad"])).rgb


def completed(
    examples: Sequence[Example], asker: BatchAsker, network: FillingNetwork
) -> dict[str, list[np.ndarray | None]]:
    """By way, the picture of every example."""
    drawn = {
        place: answers[Mode.IMAGINE].imagined_views[0]
        for place, answers in asker.ask(examples, [Mode.IMAGINE])
    }
    holed = [holed_of(e) for e in examples]
    filled = [network.fill([one])[0] if one is not None else None for one in holed]
    recalled = [e.question.recalled for e in examples]
    return {
        "marked": [None if r is None else r.rgb for r in recalled],
        "nearest": [nearest(e) for e in examples],
        "edges": [None if r is None else r.filled for r in recalled],
        "network": filled,
        "drawn": [drawn[k] for k in range(len(examples))],
        "true": [e.true_view for e in examples],
    }


def measured(
    examples: Sequence[Example], pictures: Sequence[np.ndarray | None], asker: BatchAsker
) -> dict[str, Any]:
    """How often the model is right when it is shown these, and how near they are to the truth
    where nobody saw it."""
    places = [k for k, picture in enumerate(pictures) if picture is not None]
    if not places:
        return {}
    shown = [replace(examples[k], true_view=pictures[k]) for k in places]
    right = {
        places[k]: answers[Mode.GIVEN].text == shown[k].answer
        for k, answers in asker.ask(shown, [Mode.GIVEN])
    }
    errors, maps = [], []
    for k in places:
        truth, view = examples[k].true_view, examples[k].question.recalled
        picture = resize(pictures[k], truth.shape[1], truth.shape[0])
        unseen = ~view.seen_at(*truth.shape[:2])
        if unseen.any():
            errors.append(float(np.mean((picture[unseen].astype(float) - truth[unseen]) ** 2)))
        if (scores := map_scores(examples[k], pictures[k])) is not None:
            maps.append(scores.drawn)
    classes: dict[int, list[bool]] = {}
    for k, flag in right.items():
        classes.setdefault(seen_class(examples[k].question.share_seen), []).append(flag)
    return {
        "right": share_of(list(right.values())).to_dict(),
        "by_seen": {str(c): share_of(f).to_dict() for c, f in sorted(classes.items())},
        "unseen_psnr_db": round(10 * math.log10(255**2 / max(np.mean(errors), 1e-9)), 2),
        **{f"map_{name}": value for name, value in means(maps).items()},
    }


def means(scores: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Of completed maps, each (IoU, Brier); empty without any."""
    if not scores:
        return {}
    iou, brier = np.mean(scores, axis=0)
    return {"iou": round(float(iou), 4), "brier": round(float(brier), 4)}


def table(tasks: Mapping[str, Any]) -> str:
    names = {t: f"{t}, n = {found['n']:,}" for t, found in tasks.items()}
    head = "| the asked view | " + " | ".join(f"{name}: right, %" for name in names.values())
    lines = [
        f"{head} | " + " | ".join(f"{t}: unseen, dB" for t in names) + " | map: IoU |",
        "|---|" + "--:|" * (2 * len(names) + 1),
    ]
    for way, words in WAYS.items():
        cells, decibels, iou = [], [], ""
        for found in tasks.values():
            one = found["ways"].get(way)
            if not one:
                cells.append("")
                decibels.append("")
                continue
            cells.append(rate(one["right"]))
            decibels.append("" if way == "true" else f"{one['unseen_psnr_db']:.1f}")
            iou = f"{one['map_iou']:.3f}" if "map_iou" in one and way != "true" else iou
        lines.append("| " + " | ".join([words, *cells, *decibels, iou]) + " |")
    return "\n".join(lines)


def fitted(path: Path | None, train: Dataset, settings: Fitting) -> tuple[FillingNetwork, float]:
    """The small network and the processor time of its training, from the file where it is."""
    made_of = {"train": train.digest(), "settings": asdict(settings)}
    if path is not None and path.exists():
        kept = torch.load(path, weights_only=True)
        if kept["made_of"] != made_of:
            raise SystemExit(f"{path}: of other rows or settings; expected {made_of}")
        network = FillingNetwork()
        network.load_state_dict(kept["weights"])
        return network.eval(), kept["processor_s"]
    began = time.process_time()
    with Watch("the small network", settings.examples // settings.batch) as watch:
        network = fit(
            (example_from_row(row) for row in train), settings, lambda k, _: watch.tell(k + 1)
        )
    took = time.process_time() - began
    if path is not None:
        torch.save(
            {"weights": network.state_dict(), "made_of": made_of, "processor_s": took}, path
        )
    return network, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--model", default="ipt-tiny")
    parser.add_argument("--examples", type=int, default=Fitting().examples)
    parser.add_argument("--variants", default="", help="comma-separated, default all")
    parser.add_argument("--per-task", type=int, default=1000)
    parser.add_argument("--network", type=Path, help="file: trained once, then taken from there")
    parser.add_argument("--fit-only", action="store_true", help="trains the network and ends")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.fit_only and given.network is None:
        parser.error("--fit-only: expected --network to say where it is kept")
    torch.set_num_threads(1)
    train, settings = Dataset(given.train), Fitting(examples=given.examples)
    network, fitted_s = fitted(given.network, train, settings)
    if given.fit_only:
        return
    asker = BatchAsker(load(given.model, "cpu"))
    test = Dataset(given.test)
    variants = tuple(filter(None, given.variants.split(",")))
    tasks: dict[str, Any] = {}
    for task in dict.fromkeys(test.column("task")):
        rows = chosen_rows(test, given.per_task, (task,), variants)
        examples = [example_from_row(test[row]) for row in rows]
        examples = [e for e in examples if e.question.recalled is not None]
        pictures = completed(examples, asker, network)
        ways = {way: measured(examples, own, asker) for way, own in pictures.items()}
        tasks[task] = {"n": len(examples), "ways": ways}
        scores = [map_scores(e, e.true_view) for e in examples]
        if inpainted := means([one.inpainted for one in scores if one is not None]):
            tasks[task]["inpainted_cells"] = inpainted
        print(task, {way: found.get("right", {}).get("share") for way, found in ways.items()})
    result = {
        "what": "answers of the shipped model when the asked view is completed in several ways",
        "command": f"python benchmarks/other_ways.py --examples {settings.examples}",
        "commit": commit(),
        "processor": processor_name(),
        "model": asker.loaded.model_hash,
        "train": train.digest(),
        "test": test.digest(),
        "network": {
            "weights": sum(p.numel() for p in network.parameters()),
            "examples": settings.examples,
            "processor_s": round(fitted_s),
        },
        "tasks": tasks,
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "other ways", table(tasks))


if __name__ == "__main__":
    main()
