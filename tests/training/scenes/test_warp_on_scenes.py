"""The robot's warp on rendered scenes: what it calls known looks like the true view from there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ipt_model.spatial.geometry import warp_rgbd
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.grids import observed, occupancy


def test_known_pixels_match_the_true_view(viewpoints) -> None:
    camera = Camera.from_fov(128, 128, 1.4)
    shares, colours, depths = [], [], []
    for seed in range(12):
        scene = make_scene(seed, "house")
        renderer = Renderer(scene)
        for pose in viewpoints(scene, 3):
            target = pose.copy()
            target[:3, 3] += pose[:3, :3] @ np.array([0.2, 0.0, 0.4])
            if not renderer.sees(target[None, :3, 3], pose, slack_m=-0.3)[0]:
                continue  # through a wall
            view, true = renderer.render_many([pose, target], camera)
            out = warp_rgbd(view.rgb, view.depth_m, camera, pose, target)
            shares.append(out.seen.mean())
            error = np.abs(out.rgb.astype(int) - true.rgb).max(-1)[out.seen]
            colours.append((error < 30).mean())
            depths.append(np.median(np.abs(out.depth_m - true.depth_m)[out.seen]))
    assert len(shares) > 15
    assert np.mean(shares) > 0.75
    assert np.mean(colours) > 0.85
    assert np.median(depths) < 0.03


def test_a_second_view_only_adds_knowledge(viewpoints) -> None:
    camera = Camera.from_fov(64, 64, 1.4)
    scene = make_scene(9, "house")
    truth = occupancy(scene)
    poses = viewpoints(scene, 4)
    views = [
        (v.depth_m, camera, p)
        for v, p in zip(Renderer(scene).render_many(poses, camera), poses, strict=True)
    ]
    known = [(observed(truth, views[:k]).cells >= 0) for k in range(5)]
    assert not known[0].any()
    for fewer, more in pairwise(known):
        assert more[fewer].all() and more.sum() > fewer.sum()
