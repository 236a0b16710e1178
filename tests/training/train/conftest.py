"""One small dataset and VAE for all training tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import write_small_dataset, write_small_vae


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data") / "train")


@pytest.fixture(scope="session")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_vae(tmp_path_factory.mktemp("vae"))
