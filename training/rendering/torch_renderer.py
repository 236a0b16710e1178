"""The same pictures in pure torch: many scenes, many views, one call, on CPU or GPU, without
triangles.

In: scenes packed into padded tensors, poses, a camera. Out: RGB, depth and instances as tensors,
shaded by the model of `shading`. Made for training on fresh scenes; `embree` draws single pictures
on the CPU faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ipt_training.rendering.mesh import CEILING_COLOUR
from ipt_training.rendering.shading import (
    CEILING_FACTOR,
    CONTACT_DEPTH,
    CONTACT_M,
    DIM_M,
    OUTSIDE,
    SKIRTING_FACTOR,
    SKIRTING_M,
    UPPER_DEPTH,
    UPPER_M,
    floor_look,
)
from ipt_training.rendering.torch_floor import FloorBatch, floor_colour, pack_floors
from ipt_training.rendering.torch_solids import apply, nearest, normals
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.mark import SUBPIXELS, FloorMark
from ipt_training.scenes.projection import pixel_rays
from ipt_training.scenes.scene import CEILING, FLOOR, NOTHING, SHAPES, WALL, Scene, SceneError
from ipt_training.scenes.solids import solids_of

#: Rays times solids looked at together; keeps a CPU in its cache and a GPU busy.
_WORK = {"cpu": 1 << 15, "cuda": 1 << 26}


@dataclass(frozen=True)
class SolidTable:
    """Solids of one shape. local_from_world: B x N x 3 x 3, scaled to extent 1. position: B x N x
    3. radius: B x N, of the ball around each; negative on padding. colour: B x N x 3. instance: B
    x N int32."""

    local_from_world: torch.Tensor
    position: torch.Tensor
    radius: torch.Tensor
    colour: torch.Tensor
    instance: torch.Tensor


@dataclass(frozen=True)
class SceneBatch:
    """B scenes as tensors on one device. tables: one per shape, in the order of SHAPES. lights: B
    x L x 4, direction and strength. ambient, wall_height: B."""

    tables: tuple[SolidTable, ...]
    floors: FloorBatch
    lights: torch.Tensor
    ambient: torch.Tensor
    wall_height: torch.Tensor

    def __len__(self) -> int:
        return len(self.ambient)


@dataclass(frozen=True)
class TorchViews:
    """rgb: B x V x H x W x 3 uint8. depth_m: B x V x H x W float32. instance: the same, int32. As
    in `View`.
    """

    rgb: torch.Tensor
    depth_m: torch.Tensor
    instance: torch.Tensor


def pack(scenes: Sequence[Scene], device: str | torch.device = "cpu") -> SceneBatch:
    """Tables of all scenes, padded to the largest."""
    if len(scenes) == 0:
        raise SceneError("pack: expected at least one scene")
    solids = [solids_of(s) for s in scenes]
    tables = []
    for kind in range(len(SHAPES)):
        rows = [np.flatnonzero(s.shape == kind) for s in solids]
        n = max(len(r) for r in rows)
        turn = np.zeros((len(scenes), n, 3, 3))
        position = np.zeros((len(scenes), n, 3))
        radius = np.full((len(scenes), n), -1.0)
        colour = np.zeros((len(scenes), n, 3))
        instance = np.full((len(scenes), n), NOTHING, np.int32)
        for b, (s, r) in enumerate(zip(solids, rows, strict=True)):
            turn[b, : len(r)] = s.rotation[r].transpose(0, 2, 1) / s.size[r][:, :, None]
            position[b, : len(r)] = s.position[r]
            radius[b, : len(r)] = 0.5 * np.linalg.norm(s.size[r], axis=1)
            colour[b, : len(r)] = s.colour[r]
            instance[b, : len(r)] = s.instance[r]
        local, where, ball, tint = (
            torch.tensor(a, dtype=torch.float32, device=device)
            for a in (turn, position, radius, colour)
        )
        tables.append(SolidTable(local, where, ball, tint, torch.tensor(instance, device=device)))
    lamps = max(len(s.lights) for s in scenes)
    lights = np.zeros((len(scenes), lamps, 4), np.float32)
    for b, scene in enumerate(scenes):
        for k, lamp in enumerate(scene.lights):
            lights[b, k] = (*lamp.direction, lamp.intensity)
    return SceneBatch(
        tuple(tables),
        pack_floors([floor_look(s) for s in scenes], device),
        torch.tensor(lights, device=device),
        torch.tensor([s.ambient for s in scenes], dtype=torch.float32, device=device),
        torch.tensor([s.wall_height_m for s in scenes], dtype=torch.float32, device=device),
    )


@torch.no_grad()
def render_batch(
    batch: SceneBatch,
    poses: torch.Tensor,
    camera: Camera,
    marks: Sequence[Sequence[FloorMark]] | None = None,
    antialias: bool = False,
) -> TorchViews:
    """V views of each scene. poses: B x V x 4 x 4, world from camera. marks: the painted X's of
    each scene.

    antialias: four more rays per pixel for the colour; depth and instance stay those of the
    pixel's centre.
    """
    if poses.ndim != 4 or poses.shape[0] != len(batch) or poses.shape[2:] != (4, 4):
        raise SceneError(
            f"poses: expected {len(batch)} x V x 4 x 4, a row of views per scene, got "
            f"{tuple(poses.shape)}"
        )
    if marks is not None and len(marks) != len(batch):
        raise SceneError(
            f"marks: expected one list for each of {len(batch)} scenes, got {len(marks)}"
        )
    device = batch.ambient.device
    views = poses.shape[1]
    flat = poses.to(device, torch.float32).reshape(-1, 4, 4)
    scene = torch.arange(len(batch), device=device).repeat_interleave(views)
    painted = (
        _mark_table(marks, device) if marks is not None and any(len(m) for m in marks) else None
    )
    rays = torch.tensor(pixel_rays(camera).reshape(-1, 3), device=device)
    shape = (len(batch), views, camera.height, camera.width)
    if not antialias:
        rgb, depth, instance = _draw(batch, scene, flat, rays, camera, painted, True)
    else:
        _, depth, instance = _draw(batch, scene, flat, rays, camera, painted, False)
        rgb = torch.zeros((len(flat), len(rays), 3), device=device)
        for du, dv in SUBPIXELS.tolist():
            shift = torch.tensor([du / camera.fx, dv / camera.fy, 0.0], device=device)
            rgb += _draw(batch, scene, flat, rays + shift, camera, painted, True)[0]
        rgb /= len(SUBPIXELS)
    return TorchViews(
        (rgb * 255).clamp(0, 255).add(0.5).to(torch.uint8).reshape(*shape, 3),
        depth.reshape(shape),
        instance.reshape(shape),
    )


def _mark_table(marks: Sequence[Sequence[FloorMark]], device: torch.device) -> torch.Tensor:
    """B x M x 8: x, y, yaw, size, bar, r, g, b; size 0 on padding."""
    table = np.zeros((len(marks), max(len(m) for m in marks), 8), np.float32)
    for b, row in enumerate(marks):
        for k, m in enumerate(row):
            table[b, k] = (m.x, m.y, m.yaw, m.size_m, m.bar_m, *(c / 255 for c in m.colour))
    return torch.tensor(table, device=device)


def _draw(
    batch: SceneBatch,
    scene: torch.Tensor,
    poses: torch.Tensor,
    rays: torch.Tensor,
    camera: Camera,
    marks: torch.Tensor | None,
    colour: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All views in portions that fit: rgb V x P x 3 float (empty without colour), depth and
    instance V x P.
    """
    work = _WORK.get(poses.device.type, _WORK["cpu"])
    portion = max(1, work // (4 * len(rays)))
    parts = [
        _portion(
            batch, scene[i : i + portion], poses[i : i + portion], rays, camera, marks, colour
        )
        for i in range(0, len(poses), portion)
    ]
    rgb, depth, instance = (torch.cat(p) for p in zip(*parts, strict=True))
    return rgb, depth, instance


def _portion(
    batch: SceneBatch,
    scene: torch.Tensor,
    poses: torch.Tensor,
    rays: torch.Tensor,
    camera: Camera,
    marks: torch.Tensor | None,
    colour: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    turn, eye = poses[:, :3, :3], poses[:, :3, 3]
    work = _WORK.get(poses.device.type, _WORK["cpu"])
    chunk = max(1, work // (len(poses) * len(rays)))
    depth = torch.full((len(poses), len(rays)), float("inf"), device=poses.device)
    kind = torch.full_like(depth, -1, dtype=torch.int64)
    row = torch.zeros_like(kind)
    visible = []
    for k, table in enumerate(batch.tables):
        seen = _in_sight(table, scene, turn, eye, camera)
        visible.append(seen)
        if seen.shape[1] == 0:
            continue
        local = table.local_from_world[scene[:, None], seen]
        offset = eye[:, None] - table.position[scene[:, None], seen]
        at = (local * offset[..., None, :]).sum(-1)
        # padding never hits: its frame shrinks everything to a point far from the unit shape
        at = torch.where(table.radius[scene[:, None], seen][..., None] < 0, 9.0, at)
        t, index = nearest(k, _product(local, turn[:, None]), at, rays, chunk)
        closer = t < depth
        depth = torch.where(closer, t, depth)
        kind = torch.where(closer, k, kind)
        row = torch.where(closer, index, row)
    ways = apply(turn, rays).transpose(1, 2)
    height = batch.wall_height[scene][:, None]
    dz, z0 = ways[..., 2], eye[:, 2:]
    flat_z = torch.where(dz.abs() < 1e-9, torch.full_like(dz, 1e-9), dz)
    below, above = -z0 / flat_z, (height - z0) / flat_z
    floor = (dz < 0) & (below < depth)
    ceiling = (dz > 0) & (above < depth)
    depth = torch.where(floor, below, torch.where(ceiling, above, depth))
    depth = torch.where(torch.isfinite(depth), depth, torch.zeros_like(depth))
    instance = torch.full_like(kind, NOTHING, dtype=torch.int32)
    base = torch.tensor(OUTSIDE, device=poses.device).expand(*kind.shape, 3)
    normal = torch.zeros_like(ways)
    point = eye[:, None] + depth[..., None] * ways
    for k, table in enumerate(batch.tables):
        if visible[k].shape[1] == 0:
            continue
        v, p = torch.nonzero(kind == k, as_tuple=True)
        index = visible[k][v, row[v, p]]
        s = scene[v]
        instance[v, p] = table.instance[s, index]
        if colour:
            base = base.clone() if k == 0 else base
            base[v, p] = table.colour[s, index]
            local = table.local_from_world[s, index]
            on = (local * (point[v, p] - table.position[s, index])[:, None]).sum(-1)
            n = normals(torch.full_like(index, k), on)
            normal[v, p] = torch.nn.functional.normalize((n[..., None] * local).sum(1), dim=-1)
    instance = torch.where(floor, FLOOR, torch.where(ceiling, CEILING, instance)).to(torch.int32)
    if not colour:
        return torch.empty(len(poses), 0, device=poses.device), depth, instance
    rgb = _shade(batch, scene, base, normal, point, ways, depth, instance, marks, camera)
    return rgb, depth, instance


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b for small matrices, in full precision whatever the settings (see `apply`)."""
    return (a[..., None] * b[..., None, :, :]).sum(-2)


def _in_sight(
    table: SolidTable,
    scene: torch.Tensor,
    turn: torch.Tensor,
    eye: torch.Tensor,
    camera: Camera,
) -> torch.Tensor:
    """Rows of the solids whose ball reaches into each view, padded with others: V x K int64."""
    centre = ((table.position[scene] - eye[:, None])[..., None] * turn[:, None]).sum(2)
    radius = table.radius[scene]
    x, y, z = centre.unbind(-1)
    # distance from the four side planes of the view
    sx = max(camera.cx, camera.width - camera.cx) / camera.fx
    sy = max(camera.cy, camera.height - camera.cy) / camera.fy
    inside = (x.abs() - sx * z <= radius * (1 + sx * sx) ** 0.5) & (
        y.abs() - sy * z <= radius * (1 + sy * sy) ** 0.5
    )
    inside &= (z > -radius) & (radius > 0)
    most = int(inside.sum(1).max()) if inside.shape[1] else 0
    return inside.to(torch.int8).argsort(stable=True, dim=1, descending=True)[:, :most]


def _shade(
    batch: SceneBatch,
    scene: torch.Tensor,
    base: torch.Tensor,
    normal: torch.Tensor,
    point: torch.Tensor,
    ways: torch.Tensor,
    depth: torch.Tensor,
    instance: torch.Tensor,
    marks: torch.Tensor | None,
    camera: Camera,
) -> torch.Tensor:
    """The model of `shading`, as `embree` applies it."""
    floor, ceiling = instance == FLOOR, instance == CEILING
    up = floor.to(depth.dtype) - ceiling.to(depth.dtype)
    flat = floor | ceiling
    normal = torch.where(flat[..., None], torch.stack([up * 0, up * 0, up], -1), normal)
    light = batch.ambient[scene][:, None] * (0.94 + 0.06 * normal[..., 2])
    lamps = batch.lights[scene]
    for k in range(lamps.shape[1]):
        toward = (normal * lamps[:, k, None, :3]).sum(-1)
        light = light + toward.clamp_min(0) * lamps[:, k, None, 3]
    light = light / (1 + (depth / DIM_M) ** 2)
    z = point[..., 2]
    height = batch.wall_height[scene][:, None]
    contact = (
        1
        - CONTACT_DEPTH * torch.exp(-z / CONTACT_M)
        - UPPER_DEPTH * torch.exp((z - height) / UPPER_M)
    )
    pixel = (depth / camera.fx).clamp_min(1e-4)
    board = ((SKIRTING_M - z) / pixel + 0.5).clamp(0, 1) * (
        (z < 2 * SKIRTING_M) & (instance == WALL)
    )
    contact = contact * (1 - (1 - SKIRTING_FACTOR) * board)
    contact = torch.where(ceiling, CEILING_FACTOR, torch.where(floor, 1.0, contact))
    nothing = instance == NOTHING
    light = torch.where(nothing, 1.0, light * contact)
    tint = torch.tensor(CEILING_COLOUR, device=base.device)
    base = torch.where(ceiling[..., None], tint, base)
    v, p = torch.nonzero(floor, as_tuple=True)
    way, t = ways[v, p], depth[v, p]
    stretch = way.norm(dim=-1) / (-way[:, 2]).clamp_min(1e-3)
    cover = t / camera.fx * stretch.clamp_max(25).sqrt()
    base[v, p] = floor_colour(batch.floors, scene[v], point[v, p, 0], point[v, p, 1], cover, marks)
    return base * light[..., None]
