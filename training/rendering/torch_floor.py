"""The floors of many scenes in torch: shadow map, patterns and painted marks, as
`shading.floor_colour` has them.

In: the floor looks of a batch and points on their floors. Out: unlit colours. The numbers are
those of `shading`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ipt_training.rendering.shading import OUTSIDE, SHADOW_CELL_M, FloorLook


@dataclass(frozen=True)
class FloorBatch:
    """Padded `FloorLook`s. shadow: B x H x W. size: B x 2, rows and columns in use. room: B x H' x
    W' int64, 255 outside. room_size: B x 2. origin: B x 2. colour: B x R x 3. pattern: B x R
    int64. pitch: B x R."""

    shadow: torch.Tensor
    size: torch.Tensor
    room: torch.Tensor
    room_size: torch.Tensor
    origin: torch.Tensor
    colour: torch.Tensor
    pattern: torch.Tensor
    pitch: torch.Tensor


def _padded(arrays: Sequence[np.ndarray], fill: float) -> np.ndarray:
    shape = tuple(max(a.shape[k] for a in arrays) for k in range(arrays[0].ndim))
    out = np.full((len(arrays), *shape), fill, arrays[0].dtype)
    for i, a in enumerate(arrays):
        out[i][tuple(slice(n) for n in a.shape)] = a
    return out


def pack_floors(looks: Sequence[FloorLook], device: str | torch.device) -> FloorBatch:
    """All floors, padded to the largest."""

    def tensor(a: object) -> torch.Tensor:
        return torch.tensor(np.asarray(a), device=device)

    return FloorBatch(
        tensor(_padded([x.shadow for x in looks], 1.0)),
        tensor([x.shadow.shape for x in looks]),
        tensor(_padded([x.room for x in looks], 255)).long(),
        tensor([x.room.shape for x in looks]),
        tensor(np.array([x.origin for x in looks], np.float32)),
        tensor(_padded([x.colour for x in looks], 0.0)),
        tensor(_padded([x.pattern for x in looks], 0)).long(),
        tensor(_padded([x.pitch_m for x in looks], 1.0)),
    )


def floor_colour(
    floors: FloorBatch,
    scene: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    cover: torch.Tensor,
    marks: torch.Tensor | None,
) -> torch.Tensor:
    """Unlit colours times shadow: N x 3. scene: N, which floor. x, y: N, world, m. cover: N, floor
    per pixel, m. marks: B x M x 8 as made by `torch_renderer`, or None."""
    u, v = x - floors.origin[scene, 0], y - floors.origin[scene, 1]
    rows, cols = floors.room_size[scene].unbind(1)
    col = (u * 10).long().clamp_min(0).minimum(cols - 1)
    row = (v * 10).long().clamp_min(0).minimum(rows - 1)
    room = floors.room[scene, row, col]
    known = room.clamp_max(floors.colour.shape[1] - 1)
    factor = _bilinear(floors, scene, u, v)
    factor = factor * _pattern(
        floors.pattern[scene, known], floors.pitch[scene, known], u, v, cover
    )
    colour = floors.colour[scene, known] * factor[:, None]
    if marks is not None:
        colour = _painted(colour, marks[scene], x, y)
    outside = torch.tensor(OUTSIDE, device=x.device)
    return torch.where((room == 255)[:, None], outside, colour)


def _painted(
    colour: torch.Tensor, marks: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    for m in range(marks.shape[1]):
        at_x, at_y, yaw, size, bar = marks[:, m, :5].unbind(1)
        c, s = torch.cos(yaw + torch.pi / 4), torch.sin(yaw + torch.pi / 4)
        dx, dy = x - at_x, y - at_y
        a, b = (c * dx + s * dy).abs(), (c * dy - s * dx).abs()
        on = (torch.minimum(a, b) <= bar / 2) & (torch.maximum(a, b) <= size / 2) & (size > 0)
        colour = torch.where(on[:, None], marks[:, m, 5:], colour)
    return colour


def _bilinear(
    floors: FloorBatch, scene: torch.Tensor, u: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    h, w = floors.size[scene].unbind(1)
    a = (u / SHADOW_CELL_M - 0.5).clamp_min(0).minimum(w - 1.001)
    b = (v / SHADOW_CELL_M - 0.5).clamp_min(0).minimum(h - 1.001)
    i, j = a.long(), b.long()
    a, b = a - i, b - j
    image = floors.shadow
    top = image[scene, j, i] * (1 - a) + image[scene, j, i + 1] * a
    low = image[scene, j + 1, i] * (1 - a) + image[scene, j + 1, i + 1] * a
    return top * (1 - b) + low * b


def _hash(i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
    h = (i * 73856093) ^ (j * 19349663)  # int32: wraps
    h = (h ^ (h >> 13)) * 1274126177
    return ((h >> 15) & 255).float() / 255


def _line(t: torch.Tensor, pitch: torch.Tensor, width: float, cover: torch.Tensor) -> torch.Tensor:
    size = cover.clamp_min(1e-4)
    away = (t - torch.round(t / pitch) * pitch).abs()
    overlap = (0.5 * (size + width) - away).clamp_min(0).minimum(size.clamp_max(width))
    return overlap / size


def _step(t: torch.Tensor, pitch: torch.Tensor, cover: torch.Tensor) -> torch.Tensor:
    away = (t - torch.round(t / pitch) * pitch).abs()
    return (2 * away / cover.clamp_min(1e-4)).clamp_max(1)


def _pattern(
    kind: torch.Tensor, pitch: torch.Tensor, u: torch.Tensor, v: torch.Tensor, cover: torch.Tensor
) -> torch.Tensor:
    fade = (1.6 - cover * (1.6 / pitch)).clamp(0, 1)
    i, j = torch.floor(u / pitch).int(), torch.floor(v / pitch).int()
    length = 7 * pitch
    along = u + _hash(j, j) * length
    board = torch.floor(along / length).int()
    planks = 1 + fade * (_hash(j, board) - 0.5) * 0.2
    planks = planks * (
        1 - 0.35 * torch.maximum(_line(v, pitch, 0.008, cover), _line(along, length, 0.008, cover))
    )
    soft = _step(u, pitch, cover) * _step(v, pitch, cover)
    checker = 1 + fade * 0.1 * (1 - 2 * ((i + j) & 1)) * soft
    joints = torch.maximum(_line(u, pitch, 0.016, cover), _line(v, pitch, 0.016, cover))
    tiles = (1 + fade * (_hash(i, j) - 0.5) * 0.08) * (1 - 0.3 * joints)
    return torch.where(
        kind == 1, tiles, torch.where(kind == 2, checker, torch.where(kind == 3, planks, 1.0))
    )
