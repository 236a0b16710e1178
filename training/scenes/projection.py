"""Between pixels and the world: project points, lift depth, measure how much of a picture an
object fills.

In: cameras, poses and views as in `camera`. Out: numpy arrays. No scene, no renderer.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ipt_training.scenes.camera import Camera


@lru_cache(maxsize=64)
def pixel_rays(camera: Camera, samples: int = 1) -> np.ndarray:
    """Ray directions in the optical frame with z = 1, so that distance along a ray = depth.
    Float32, read-only.

    samples = 1: H x W x 3 through the pixel centres; samples = s: (s*H) x (s*W) x 3, a regular
    grid in each pixel.
    """
    u = (np.arange(camera.width * samples, dtype=np.float64) + 0.5) / samples
    v = (np.arange(camera.height * samples, dtype=np.float64) + 0.5) / samples
    x = ((u - camera.cx) / camera.fx).astype(np.float32)
    y = ((v - camera.cy) / camera.fy).astype(np.float32)
    rays = np.ones((len(v), len(u), 3), np.float32)
    rays[..., 0] = x
    rays[..., 1] = y[:, None]
    rays.setflags(write=False)
    return rays


def project(
    points: np.ndarray, camera: Camera, world_from_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """... x 3 world points to (... x 2 pixels u, v; ... depths, m). Points behind the camera have
    depth <= 0, pixels NaN.
    """
    points = np.asarray(points, np.float64)
    local = (points - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
    depth = local[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = local[..., 0] / depth * camera.fx + camera.cx
        v = local[..., 1] / depth * camera.fy + camera.cy
    pixels = np.stack([u, v], axis=-1)
    pixels[depth <= 0] = np.nan
    return pixels, depth


def unproject(depth_m: np.ndarray, camera: Camera, world_from_camera: np.ndarray) -> np.ndarray:
    """H x W depth to H x W x 3 float32 world points; pixels without depth give the camera's
    position.
    """
    rays = pixel_rays(camera)
    rotation = world_from_camera[:3, :3].astype(np.float32)
    points = (rays * depth_m[..., None].astype(np.float32)) @ rotation.T
    return np.asarray(points + world_from_camera[:3, 3].astype(np.float32))


def image_shares(instance: np.ndarray, count: int) -> np.ndarray:
    """Share of the picture that each of `count` objects fills, 0 to 1; leading axes of a batch are
    kept.
    """
    flat = instance.reshape(*instance.shape[:-2], -1)
    seen = np.stack([(row_counts(r, count)) for r in flat.reshape(-1, flat.shape[-1])])
    return seen.reshape(*flat.shape[:-1], count) / flat.shape[-1]


def row_counts(ids: np.ndarray, count: int) -> np.ndarray:
    """Pixels per object in a flat list of instance ids; ids below zero are not counted."""
    return np.bincount(ids[ids >= 0], minlength=count)[:count]


def image_centres(instance: np.ndarray, count: int) -> np.ndarray:
    """Mean pixel (u, v) of each object's visible part: count x 2 float64, NaN when not seen."""
    rows, cols = np.nonzero(instance >= 0)
    ids = instance[rows, cols]
    n = np.bincount(ids, minlength=count)[:count].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        u = np.bincount(ids, cols + 0.5, minlength=count)[:count] / n
        v = np.bincount(ids, rows + 0.5, minlength=count)[:count] / n
    return np.stack([u, v], axis=-1)
