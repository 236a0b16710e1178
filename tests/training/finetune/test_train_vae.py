"""The VAE's training: it learns to copy pictures, and its latents have unit deviation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_runs import small_settings

from ipt_model.network.config import BagelConfig
from ipt_model.weights.checkpoint import load_codec
from ipt_training.commands.train_vae import main
from ipt_training.datasets.parquet import Dataset
from ipt_training.feed.latents import encode_pictures
from ipt_training.finetune.autoencoder import PictureSource, reconstruction_losses
from ipt_training.finetune.building import build

pytestmark = pytest.mark.slow(20)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("vae") / "vae"
    arguments = ["--data", str(data), "--out", str(out), "--steps", "40", "--crop", "16"]
    assert main([*arguments, "--batch", "16", "--rate", "0.004", "--threads", "1"]) == 0
    return out


def test_it_learns_to_copy(trained) -> None:
    facts = json.loads((trained / "vae.json").read_text())
    assert facts["psnr_db"] > 13 and facts["steps"] == 40  # grey alone would give 11
    assert not (trained / "ema.safetensors").exists()


def test_its_latents_have_mean_zero_and_deviation_one(trained, data) -> None:
    config = BagelConfig.from_folder(trained)
    codec = load_codec(trained, config)
    start = build(small_settings(data, trained))
    assert start.config.vae == config.vae  # training takes its scale and shift from the VAE
    pictures = PictureSource(Dataset(data), start.style, 1).pictures[:48]
    latents = torch.stack(encode_pictures(codec, pictures, start.style))
    assert abs(latents.mean()) < 0.1 and latents.std() == pytest.approx(1, abs=0.1)


def test_equal_seeds_give_equal_weights(data, tmp_path) -> None:
    weights = []
    for name in ("a", "b"):
        out = tmp_path / name
        main(["--data", str(data), "--out", str(out), "--steps", "2", "--crop", "16"])
        weights.append((out / "ae.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_losses_see_edges_and_offsets() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 8, 8)
    l1, edges = reconstruction_losses(x, x + 0.5)
    assert l1.item() == pytest.approx(0.5) and edges.item() == pytest.approx(0, abs=1e-6)
    assert reconstruction_losses(x, x) == (0, 0)
    assert reconstruction_losses(x, x.mean() * torch.ones_like(x))[1] > 0.1


def test_cut_outs_must_fit(data, vae) -> None:
    source = PictureSource(Dataset(data), build(small_settings(data, vae)).style, 0)
    batch = source.batch(3, 32)
    assert batch.shape == (3, 3, 32, 32) and -1 <= batch.min() < batch.max() <= 1
    with pytest.raises(ValueError, match="no cut-out of 65"):
        source.batch(1, 65)
