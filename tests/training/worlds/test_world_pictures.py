"""What a camera sees in an exported world is what it sees in ours: a reader that knows the files
alone, against our renderer, from where the robot stands.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from world_reader import WorldView

from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import occupancy, passable
from ipt_training.scenes.scene import CEILING, FLOOR, WALL
from ipt_training.worlds.folder import key_of, write_worlds
from ipt_training.worlds.robot import RobotBuild
from ipt_training.worlds.world import object_models

pytest.importorskip("open3d")
POSES = 50
ROBOT = RobotBuild()


def poses_in(scene):
    rng = np.random.default_rng(scene.seed)
    grid = occupancy(scene)
    spots = grid.centres()[passable(grid, ROBOT.radius + 0.05)]
    return [
        (*spots[rng.integers(len(spots))], rng.uniform(-math.pi, math.pi)) for _ in range(POSES)
    ]


@pytest.mark.slow(30)
@pytest.mark.parametrize(("level", "seed"), [("room", 850_001), ("house", 850_001)])
def test_depth_is_equal_within_a_centimetre(level, seed, tmp_path):
    """Everywhere but where a pixel's neighbours lie at another depth: there a ray may pass an edge
    on either side, because round things have corners in every picture of triangles.
    """
    scene = make_scene(seed, level)
    ((path, _),) = write_worlds([key_of(level, seed)], tmp_path)
    view = WorldView(path, tmp_path / "robot.sdf")
    camera = Camera.from_fov(ROBOT.width, ROBOT.height_px, ROBOT.horizontal_fov)
    names = np.array([*object_models(scene), "ceiling", "wall", "floor"])  # the last by -1 to -3
    assert (FLOOR, WALL, CEILING) == (-1, -2, -3)
    renderer = Renderer(scene)
    apart = other = total = 0
    for x, y, yaw in poses_in(scene):
        mounted = (
            x + ROBOT.camera_x * math.cos(yaw), y + ROBOT.camera_x * math.sin(yaw), yaw,
            ROBOT.camera_z, ROBOT.camera_pitch,
        )  # fmt: skip
        ours = renderer.render(camera_pose(*mounted), camera)
        depth, models = view.look(x, y, yaw)
        assert (ours.depth_m > 0).all() and np.isfinite(depth).all()  # closed on all sides
        far = np.abs(depth - ours.depth_m) > 0.01
        spread = ndimage.maximum_filter(ours.depth_m, 3) - ndimage.minimum_filter(ours.depth_m, 3)
        assert not (far & (spread < 0.01)).any()
        apart += int(far.sum())
        what = np.where(np.isin(models, ("walls", "fixtures")), "wall", models)
        wrong = what != names[ours.instance]
        edge = ndimage.maximum_filter(ours.instance, 3) != ndimage.minimum_filter(ours.instance, 3)
        assert not (wrong & ~edge).any()
        other += int(wrong.sum())
        total += depth.size
    assert apart < 5e-4 * total and other < 5e-4 * total
    print(
        f"{level}: {apart} of {total} pixels differ by more than 1 cm, {other} show another thing"
    )


def test_the_comparison_finds_a_thing_that_is_moved(tmp_path):
    scene = make_scene(850_001)
    ((path, _),) = write_worlds([key_of("room", 850_001)], tmp_path)
    view = WorldView(path, tmp_path / "robot.sdf")
    x, y, yaw = poses_in(scene)[0]
    before, _ = view.look(x, y, yaw)
    thing = scene.objects[0]
    at = " ".join(repr(v) for v in thing.position[:2])
    text = path.read_text()
    assert at in text
    path.write_text(text.replace(at, f"{thing.position[0] + 0.05} {thing.position[1]}", 1))
    moved = WorldView(path, tmp_path / "robot.sdf")
    looks = [(view.look(*p)[0], moved.look(*p)[0]) for p in poses_in(scene)[:8]]
    assert any((np.abs(a - b) > 0.01).any() for a, b in looks)
    assert np.array_equal(before, view.look(x, y, yaw)[0])
