"""The torch renderer against Embree: the same instances, depths and colours, and against closed
formulas.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.rendering.torch_renderer import pack, render_batch
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.mark import FloorMark
from ipt_training.scenes.projection import unproject
from ipt_training.scenes.scene import Primitive, SceneError
from ipt_training.scenes.solids import rotation_from_rpy

CAMERA = Camera.from_fov(64, 64, 1.4)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize(("level", "scenes"), [("room", 60), ("house", 12)])
def test_agrees_with_embree(level: str, scenes: int, viewpoints) -> None:
    worlds = [make_scene(500 + i, level) for i in range(scenes)]
    poses = np.stack([np.stack(viewpoints(s, 3)) for s in worlds])
    marks = [[FloorMark(*p[0, :2, 3])] for p in poses]
    ours = render_batch(pack(worlds), torch.from_numpy(poses), CAMERA, marks, antialias=True)
    same = total = 0
    colours = []
    for b, scene in enumerate(worlds):
        views = Renderer(scene).render_many(list(poses[b]), CAMERA, marks[b])
        for v, view in enumerate(views):
            equal = view.instance == ours.instance[b, v].numpy()
            same += int(equal.sum())
            total += equal.size
            depth = np.abs(view.depth_m - ours.depth_m[b, v].numpy())[equal]
            assert np.quantile(depth, 0.99) < 0.01
            colours.append(np.abs(view.rgb.astype(int) - ours.rgb[b, v].numpy()))
    assert same / total >= 0.999
    assert np.mean(colours) < 0.5
    assert np.quantile(colours, 0.99) <= 8


def test_padding_of_smaller_scenes_draws_nothing(viewpoints) -> None:
    """A scene looks the same alone and beside a much larger one."""
    small, large = make_scene(3, "room", objects=2), make_scene(3, "house", rooms=4)
    pose = torch.from_numpy(np.stack(viewpoints(small, 2)))
    alone = render_batch(pack([small]), pose[None], CAMERA)
    beside = render_batch(pack([large, small]), torch.stack([pose, pose]), CAMERA)
    torch.testing.assert_close(beside.instance[1], alone.instance[0], rtol=0, atol=0)
    torch.testing.assert_close(beside.depth_m[1], alone.depth_m[0])
    assert (beside.rgb[1].int() - alone.rgb[0].int()).abs().max() <= 1


@pytest.mark.parametrize("shape", ["box", "cylinder", "cone", "sphere"])
def test_tilted_solids_meet_rays_where_formulas_say(shape: str) -> None:
    """A turned solid floating in a room: each hit, taken back to its own frame, lies on the unit
    shape.
    """
    base = make_scene(4, "room", objects=1)
    x0, y0, x1, y1 = base.rooms[0].interior
    size = (0.8, 0.8, 0.8) if shape == "sphere" else (0.6, 0.6, 1.1)
    part = Primitive(shape, size, (0.0, 0.0, 1.2), (30, 90, 200), (0.5, -0.7, 0.3))
    middle = (0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.0)
    thing = replace(base.objects[0], position=middle, yaw=0.0, primitives=(part,))
    scene = replace(base, objects=(thing,))
    pose = camera_pose(middle[0] - 1.5, middle[1], 0.0, 1.2)
    views = render_batch(pack([scene]), torch.from_numpy(pose)[None, None], CAMERA)
    depth, instance = views.depth_m[0, 0].numpy(), views.instance[0, 0].numpy()
    assert (instance == 0).sum() > 100
    points = unproject(depth, CAMERA, pose)[instance == 0] - np.array([*middle[:2], 1.2])
    x, y, z = (points @ rotation_from_rpy(*part.rpy) / size).T
    r = np.hypot(x, y)
    surface = {
        "box": np.maximum.reduce([abs(x), abs(y), abs(z)]) - 0.5,
        "sphere": np.sqrt(x * x + y * y + z * z) - 0.5,
        "cylinder": np.maximum(r, abs(z)) - 0.5,
        "cone": np.maximum(r - 0.5 * (0.5 - z), -0.5 - z),
    }[shape]
    assert np.abs(surface).max() < 1e-3
    embree = Renderer(scene).render(pose, CAMERA)
    assert (embree.instance == instance).mean() > 0.998  # one solid of 48 sides fills the picture


def test_light_of_a_sphere_follows_its_normal() -> None:
    base = make_scene(4, "room", objects=1)
    x0, y0, x1, y1 = base.rooms[0].interior
    ball = Primitive("sphere", (0.8, 0.8, 0.8), (0.0, 0.0, 1.2), (200, 200, 200))
    middle = (0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.0)
    scene = replace(
        base, objects=(replace(base.objects[0], position=middle, yaw=0.0, primitives=(ball,)),)
    )
    key = scene.lights[0].direction
    yaw = math.atan2(-key[1], -key[0])
    x, y = middle[0] - 1.5 * math.cos(yaw), middle[1] - 1.5 * math.sin(yaw)
    pose = camera_pose(x, y, yaw, 1.2)
    rgb = render_batch(pack([scene]), torch.from_numpy(pose)[None, None], CAMERA).rgb[0, 0]
    assert rgb[24, 32, 0] > rgb[40, 32, 0] + 20  # lit from above and from behind the camera


def test_mixed_precision_around_it_changes_nothing(viewpoints) -> None:
    scene = make_scene(3, "house")
    poses = torch.from_numpy(np.stack(viewpoints(scene, 2)))[None]
    plain = render_batch(pack([scene]), poses, CAMERA)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = render_batch(pack([scene]), poses, CAMERA)
    assert torch.equal(plain.rgb, mixed.rgb)
    assert torch.equal(plain.instance, mixed.instance)
    assert torch.equal(plain.depth_m, mixed.depth_m)


def test_bad_requests() -> None:
    batch = pack([make_scene(1), make_scene(2)])
    with pytest.raises(SceneError, match="2 x V x 4 x 4"):
        render_batch(batch, torch.eye(4), CAMERA)
    with pytest.raises(SceneError, match="one list for each of 2"):
        render_batch(batch, torch.eye(4).expand(2, 1, 4, 4), CAMERA, [[]])
    with pytest.raises(SceneError, match="at least one scene"):
        pack([])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_draws_what_the_cpu_draws(viewpoints) -> None:
    worlds = [make_scene(700 + i, "house") for i in range(8)]
    poses = torch.from_numpy(np.stack([np.stack(viewpoints(s, 3)) for s in worlds]))
    cpu = render_batch(pack(worlds), poses, CAMERA)
    gpu = render_batch(pack(worlds, "cuda"), poses, CAMERA)
    assert (gpu.instance.cpu() == cpu.instance).float().mean() > 0.9995
    assert (gpu.rgb.cpu().int() - cpu.rgb.int()).abs().float().mean() < 0.5
