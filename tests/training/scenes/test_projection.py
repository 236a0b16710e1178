"""Pixels and points: projecting undoes unprojecting, frames follow REP-103."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.projection import (
    image_centres,
    image_shares,
    pixel_rays,
    project,
    unproject,
)

angles = st.floats(-3.1, 3.1)


@settings(max_examples=50)
@given(angles, st.floats(-0.6, 0.6), st.floats(0.3, 1.6), st.integers(0, 10**6))
def test_project_undoes_unproject(yaw: float, pitch: float, height: float, seed: int) -> None:
    camera = Camera(40, 30, 33.0, 35.0, 21.0, 14.5)
    pose = camera_pose(1.0, -2.0, yaw, height, pitch)
    depth = np.random.default_rng(seed).uniform(0.3, 9.0, (30, 40)).astype(np.float32)
    pixels, back = project(unproject(depth, camera, pose), camera, pose)
    v, u = np.mgrid[:30, :40] + 0.5
    np.testing.assert_allclose(pixels, np.stack([u, v], -1), atol=2e-3)
    np.testing.assert_allclose(back, depth, rtol=1e-4, atol=1e-4)


def test_left_is_left_and_down_is_down() -> None:
    camera = Camera.from_fov(64, 64, 1.4)
    pose = camera_pose(0, 0, 0.0, 1.0)  # looks along x; y is to its left
    pixels, depth = project(
        np.array([[2.0, 0.5, 1.0], [2.0, 0.0, 0.2], [-1.0, 0, 1]]), camera, pose
    )
    assert pixels[0, 0] < 32 and pixels[1, 1] > 32
    np.testing.assert_allclose(depth, [2.0, 2.0, -1.0], atol=1e-12)
    assert np.isnan(pixels[2]).all()
    down = camera_pose(0, 0, 0.0, 1.0, 0.3)
    assert project(np.array([2.0, 0.0, 1.0]), camera, down)[0][1] < 32


def test_finer_rays_surround_the_pixel_centres() -> None:
    camera = Camera.from_fov(8, 6, 1.2)
    fine = pixel_rays(camera, 2).reshape(6, 2, 8, 2, 3).mean((1, 3))
    np.testing.assert_allclose(fine, pixel_rays(camera), atol=1e-6)


def test_shares_and_centres_ignore_walls() -> None:
    instance = np.full((2, 4), -2, np.int32)
    instance[0, :2] = 1
    np.testing.assert_allclose(image_shares(instance, 3), [0, 0.25, 0])
    centres = image_centres(instance, 3)
    np.testing.assert_allclose(centres[1], (1.0, 0.5))
    assert np.isnan(centres[[0, 2]]).all()
    both = image_shares(np.stack([instance, instance * 0]), 3)
    np.testing.assert_allclose(both, [[0, 0.25, 0], [1, 0, 0]])
