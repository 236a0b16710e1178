"""`ipt-train-vae`: train the VAE of a small model on the pictures of a dataset.

    ipt-train-vae --data DATASET --out FOLDER [--steps N] [--crop PX] [--minutes M]

Prints the reconstruction PSNR on validation pictures at the end and writes it into `vae.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ipt_model.network.vae import LatentCodec
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.loading import pick_device
from ipt_model.weights.presets import preset_folder
from ipt_training.datasets.parquet import Dataset
from ipt_training.finetune.autoencoder import (
    PictureSource,
    VaeReport,
    VaeSettings,
    latent_moments,
    reconstruction_psnr,
    save_autoencoder,
    train_autoencoder,
)
from ipt_training.progress import Watch
from ipt_training.shell.command import in_words
from ipt_training.shell.parts import add_options, config_of, settings_of


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ipt-train-vae", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="dataset folder")
    parser.add_argument("--validation", type=Path, help="dataset folder for the final PSNR")
    add_options(parser, VaeSettings())
    given = parser.parse_args(arguments)
    return in_words("ipt-train-vae", lambda: _train(given))


def _train(given: argparse.Namespace) -> int:
    settings = settings_of(given, VaeSettings())
    device = pick_device(given.device)
    config = config_of(given)
    style = AskingStyle.load(preset_folder(given.preset))
    torch.manual_seed(settings.seed)
    codec = LatentCodec(config)
    pictures = held_out = PictureSource(Dataset(given.data), style, settings.seed)
    if given.validation:
        held_out = PictureSource(Dataset(given.validation), style, 1, kept_rows=128)
    began = time.perf_counter()
    with Watch("VAE", settings.steps) as watch:

        def on_step(report: VaeReport) -> None:
            watch.tell(report.step, f"L1 {report.l1:.4f}  PSNR {report.psnr:.1f} dB")

        train_autoencoder(codec, pictures, settings, device, on_step)
    mean, deviation = latent_moments(codec, pictures)
    save_autoencoder(given.out, codec, config, mean, deviation)
    psnr = reconstruction_psnr(codec, held_out)
    facts = {
        **asdict(replace(settings)),
        "dataset": Dataset(given.data).digest(),
        "psnr_db": round(psnr, 2),
        "psnr_on": "validation" if given.validation else "training",
        "latent_mean": mean,
        "latent_deviation": deviation,
        "parameters": sum(p.numel() for p in codec.parameters()),
        "seconds": round(time.perf_counter() - began, 1),
    }
    (given.out / "vae.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"{given.out}: {psnr:.2f} dB on {facts['psnr_on']} pictures, {facts['seconds']} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
