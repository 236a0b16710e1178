"""Group norms in the small VAE, with and without, at equal steps: `python benchmarks/vae_norms.py
--data DATASET --validation DATASET`.

Why the small VAE leaves the norms out that the released one has. Each kind is trained with the
same seed, crops and steps on one thread; the PSNR is that of whole validation pictures. Writes
benchmarks/results/vae_norms.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from ipt_model.network.config import BagelConfig
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.presets import preset_folder
from ipt_training.datasets.parquet import Dataset
from ipt_training.finetune.autoencoder import (
    PictureSource,
    VaeSettings,
    reconstruction_psnr,
    train_autoencoder,
)

RESULTS = Path(__file__).parent / "results" / "vae_norms.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--groups", type=int, nargs="+", default=[16, 4, 1, 0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    folder = preset_folder("ipt_tiny")
    style = AskingStyle.load(folder)
    data, validation = Dataset(chosen.data), Dataset(chosen.validation)
    held_out = PictureSource(validation, style, 1, kept_rows=128)
    runs = []
    for groups in chosen.groups:
        for seed in chosen.seeds:
            config = BagelConfig.from_folder(folder)
            config.vae_config["norm_groups"] = groups
            torch.manual_seed(seed)
            codec = LatentCodec(config)
            pictures = PictureSource(data, style, seed, kept_rows=512)
            began = time.perf_counter()
            train_autoencoder(codec, pictures, VaeSettings(steps=chosen.steps, seed=seed))
            seconds = time.perf_counter() - began
            runs.append(
                {
                    "norm_groups": groups,
                    "seed": seed,
                    "validation_psnr_db": round(reconstruction_psnr(codec, held_out), 2),
                    "seconds": round(seconds, 1),
                }
            )
            print(runs[-1], flush=True)
    record = {
        "steps": chosen.steps,
        "channels": [config.vae.ch * m for m in config.vae.ch_mult],
        "data": data.digest(),
        "validation": validation.digest(),
        "runs": runs,
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
