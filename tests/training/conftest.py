"""What tests of training share: viewpoints in scenes; one small dataset, VAE and trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import small_settings, write_small_dataset, write_small_vae

from ipt_training.commands.train import train
from ipt_training.scenes.camera import camera_pose
from ipt_training.scenes.grids import occupancy, passable
from ipt_training.scenes.scene import Scene


def viewpoints(scene: Scene, count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, scene.seed])
    grid = occupancy(scene, 0.1)
    spots = grid.centres()[passable(grid, 0.3)]
    chosen = spots[rng.integers(len(spots), size=count)]
    return [
        camera_pose(
            x, y, rng.uniform(-np.pi, np.pi), rng.uniform(0.3, 1.6), rng.uniform(-0.1, 0.5)
        )
        for x, y in chosen
    ]


@pytest.fixture(name="viewpoints")
def viewpoints_fixture():
    return viewpoints


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
