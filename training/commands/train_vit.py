"""`ipt-train-vit`: train the vision tower of a small model on pictures of training worlds.

    ipt-train-vit --out FOLDER [--pictures N] [--steps N] [--init CHECKPOINT]

Needs no dataset: views and maps are made on the fly, with the truth of every patch. Says at the
end how well the tower names what is in the patches of validation worlds, also in `vit.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict

import torch

from ipt_model.weights.checkpoint import load_model
from ipt_model.weights.loading import find_folder, pick_device
from ipt_training.finetune.patch_views import colours_of, draw_views, many_views, vocabulary
from ipt_training.finetune.tower import (
    Seeing,
    TowerReport,
    TowerSettings,
    judged,
    save_tower,
    take_tower,
    tower_of,
    train_tower,
)
from ipt_training.houses.furniture import categories
from ipt_training.progress import Watch
from ipt_training.scenes.splits import seeds_of
from ipt_training.shell.command import in_words, whole
from ipt_training.shell.parts import add_options, config_of, settings_of

#: Validation worlds that a trained tower is shown.
HELD_OUT = 64


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ipt-train-vit", description=__doc__)
    add_options(parser, TowerSettings())
    parser.add_argument("--workers", type=whole, default=os.cpu_count() or 1, help="that draw")
    parser.add_argument("--init", help="go on from the tower of this checkpoint")
    given = parser.parse_args(arguments)
    return in_words("ipt-train-vit", lambda: _train(given))


def _train(given: argparse.Namespace) -> int:
    settings = settings_of(given, TowerSettings())
    config, device = config_of(given), pick_device(given.device)
    torch.manual_seed(settings.seed)
    words, colours = vocabulary(settings.level), colours_of(settings.level)
    seeing = Seeing(config, len(words), len(colours), len(categories(settings.level)))
    if settings.hold and not given.init:
        raise ValueError("--hold: a fresh tower has nothing to stay near; give --init")
    if given.init:
        before = load_model(find_folder(given.init), dtype=torch.float32)
        try:
            take_tower(seeing, tower_of(before))
        except ValueError as error:
            hint = "give the --recipe that it was trained with"
            raise ValueError(f"--init: {error}; {hint}") from error
    size, patch = config.vit.side * config.vit.patch, config.vit.patch
    began = time.perf_counter()
    views = many_views(
        settings.pictures, settings.level, size, patch, max(1, given.workers), settings.seed
    )
    drawn = time.perf_counter() - began
    print(f"{len(views.pictures)} pictures in {drawn:.0f} s")
    moved = 0.0
    with Watch("tower", settings.steps) as watch:

        def on_step(report: TowerReport) -> None:
            nonlocal moved
            moved = report.moved
            said = (
                f"loss {report.loss:.3f}  named {100 * report.recall:.0f} %  "
                f"kinds {100 * report.kind:.0f} %  counted {100 * report.counted:.0f} %  "
                f"moved {report.moved:.3f}"
            )
            watch.tell(report.step, said)

        train_tower(seeing, views, settings, device, on_step)
    first = seeds_of("validation").start
    held = judged(seeing, draw_views(first, first + HELD_OUT, settings.level, size, patch))
    save_tower(given.out, seeing)
    facts = {
        **asdict(settings),
        "validation": {
            "loss": round(held.loss, 4),
            "recall": round(held.recall, 4),
            "precision": round(held.precision, 4),
            "counted": round(held.counted, 4),
            "kind": round(held.kind, 4),
        },
        **({"moved": round(moved, 4)} if settings.hold else {}),
        "parameters": sum(v.numel() for v in seeing.kept().values()),
        "seconds": {"drawing": round(drawn, 1), "all": round(time.perf_counter() - began, 1)},
    }
    (given.out / "vit.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(
        f"{given.out}: of the things in a patch {100 * held.recall:.1f} % are named, "
        f"{100 * held.precision:.1f} % of the named are there, {100 * held.kind:.1f} % of things "
        f"are told by their kind, {100 * held.counted:.1f} % of the colours on maps are counted "
        f"rightly; {facts['seconds']['all']} s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
