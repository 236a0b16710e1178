"""Convolutions beside the patch embedding of the small tower, with and without, at equal steps:
`python benchmarks/counting_tower.py --init CHECKPOINT`.

How many colours on maps of validation worlds are counted rightly, patch by patch, when the tower
of the checkpoint goes on learning to count. Same seeds, pictures and steps on one thread, with the
processor time that they took. Writes benchmarks/results/counting_tower.json; what `ipt-train-vit`
reached in longer runs was added by hand, as `longer`, and is lost when it is written anew.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from machine import commit, processor_name

from ipt_model.network.config import BagelConfig
from ipt_model.weights.checkpoint import load_model
from ipt_model.weights.loading import find_folder
from ipt_model.weights.presets import preset_folder
from ipt_training.finetune.patch_views import colours_of, draw_views, many_views, vocabulary
from ipt_training.finetune.tower import Seeing, TowerSettings, judged, train_tower
from ipt_training.scenes.splits import seeds_of

RESULTS = Path(__file__).parent / "results" / "counting_tower.json"
#: Validation worlds, three maps each.
HELD_OUT = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init", default="ipt-tiny")
    parser.add_argument("--detail", type=int, nargs="+", default=[0, 24])
    parser.add_argument("--pictures", type=int, default=16000)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    level = "room"
    before = load_model(find_folder(chosen.init), dtype=torch.float32)
    first = seeds_of("validation").start
    runs = []
    for seed in chosen.seeds:
        settings = TowerSettings(
            pictures=chosen.pictures, steps=chosen.steps, level=level, seed=seed
        )
        config = BagelConfig.from_folder(preset_folder("ipt_tiny"))
        size, patch = config.vit.side * config.vit.patch, config.vit.patch
        views = many_views(settings.pictures, level, size, patch, 1, seed)
        held_out = draw_views(first, first + HELD_OUT, level, size, patch)
        for detail in chosen.detail:
            config.vit_config["detail"] = detail
            torch.manual_seed(seed)
            seeing = Seeing(config, len(vocabulary(level)), len(colours_of(level)))
            if before.config.vit.detail in (0, detail):
                seeing.begin_with(before)
            began = time.process_time()
            train_tower(seeing, views, settings)
            spent = time.process_time() - began
            held = judged(seeing, held_out)
            runs.append(
                {
                    "detail": detail,
                    "seed": seed,
                    "parameters": sum(v.numel() for v in seeing.kept().values()),
                    "processor_s": round(spent, 1),
                    "counted": round(held.counted, 4),
                    "named": round(held.recall, 4),
                    "named_rightly": round(held.precision, 4),
                }
            )
            print(runs[-1], flush=True)
    facts = {
        "machine": processor_name(),
        "commit": commit(),
        "init": chosen.init,
        "pictures": chosen.pictures,
        "steps": chosen.steps,
        "validation_worlds": HELD_OUT,
        "runs": runs,
    }
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
