"""The small U-Net of this comparison: trained on maps of training houses, as they are seen on a
drive and as they are. Kept in a file; equal settings give equal weights on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from ipt_model.question import Question, Task
from ipt_model.spatial.maps import UNKNOWN, OccupancyGrid, draw_map, recalled_map
from ipt_model.spatial.observed_map import ObservedMap
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.navigation.errands.episodes import CELL_M
from ipt_ros.navigation.masks import picture_of
from ipt_training.example import Example
from ipt_training.filling.fitting import Fitting, fit
from ipt_training.filling.network import FillingNetwork
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import clearance_m, occupancy
from ipt_training.scenes.scene import Scene

#: Places in each training house.
PLACES = 8
#: Far from the seeds that others learn from first.
FIRST_SEED = 300_000
CAMERA_M, PITCH_RAD, HEIGHT_M = 1.2, 0.25, 1.3
LENS = Camera.from_fov(128, 96, 1.57)


def network_at(
    path: Path, tell: Callable[[str], object], houses: int, shown: int
) -> FillingNetwork:
    """Read it, or train it and keep it. houses: to train in; shown: pictures of them in all."""
    network = FillingNetwork()
    if not path.exists():
        tell(f"training the small network on the maps of {houses} training houses")
        torch.set_num_threads(1)
        network = fit(_examples(houses), Fitting(examples=shown, seed=1))
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
    network.load_state_dict(torch.load(path, weights_only=True))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def _examples(houses: int) -> Iterator[Example]:
    for seed in range(FIRST_SEED, FIRST_SEED + houses):
        yield from _of_house(make_scene(seed, "house"), np.random.default_rng([seed, 0xF]))


def _of_house(scene: Scene, rng: np.random.Generator) -> Iterator[Example]:
    """What is known after a turn at one place and views of some others."""
    renderer, truth = Renderer(scene, threads=1), occupancy(scene, CELL_M)
    places = truth.centres()[clearance_m(truth) >= 0.3]
    pictures = PictureGeometry()
    for _ in range(PLACES):
        seen = ObservedMap(scene.bounds, CELL_M, HEIGHT_M)
        first = places[rng.integers(len(places))]
        near = places[np.hypot(*(places - first).T) < 4.0]
        stands = [first, *near[rng.integers(len(near), size=rng.integers(0, 5))]]
        for number, (x, y) in enumerate(stands):
            yaw = float(rng.uniform(-math.pi, math.pi))
            for turn in range(4 if number == 0 else int(rng.integers(1, 3))):
                pose = camera_pose(x, y, yaw + 0.5 * math.pi * turn, CAMERA_M, PITCH_RAD)
                seen.add(renderer.cast_views([pose], LENS).depth_m[0], LENS, pose)
                seen.add_footprint(x, y, 0.2)
        robot = (float(x), float(y), yaw + 0.5 * math.pi * turn)
        yield _example(seen.grid(), truth, robot, pictures, scene.seed)


def _example(
    seen: OccupancyGrid,
    truth: OccupancyGrid,
    robot: tuple[float, float, float],
    pictures: PictureGeometry,
    seed: int,
) -> Example:
    picture, view = picture_of(seen, robot, pictures)
    question = Question(
        Task.CLEARANCE,
        (picture,),
        "What does the whole map look like?",
        ("yes", "no"),
        recalled=recalled_map(picture, seen, view),
    )
    return Example(
        question=question,
        answer_index=0,
        true_view=draw_map(truth, view),
        think="",
        reasoning="",
        variant="",
        subcategory="",
        scene_seed=seed,
        facts={"unknown": int((seen.cells == UNKNOWN).sum())},
    )
