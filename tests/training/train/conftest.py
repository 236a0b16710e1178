"""One small dataset, VAE and trained model for all training tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import small_settings, write_small_dataset, write_small_vae

from ipt_training.train import train


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data") / "train")


@pytest.fixture(scope="session")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_vae(tmp_path_factory.mktemp("vae"))


@pytest.fixture(scope="session")
def trained(data, vae, tmp_path_factory) -> Path:
    """A model that has learned how replies look, if not what is true."""
    settings = small_settings(
        data,
        vae,
        examples=60 * 8,
        optimiser={"rate": 5e-3, "warmup": 5, "average": 0.5},
        flow={"draws": 1},
        loss={"auxiliary": 0.0},
    )
    out = tmp_path_factory.mktemp("trained")
    assert train(settings, out).finished
    return out / "final"
