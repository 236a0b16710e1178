"""Viewpoints for tests: places where a robot fits, random directions, heights and pitches of the
real range.
"""

from __future__ import annotations

import numpy as np
import pytest

from ipt_training.scenes import Scene, camera_pose, occupancy
from ipt_training.scenes.grids import passable


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
