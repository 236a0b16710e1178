"""The look of a scene: two far lamps and sky light, soft contact shadows, floor patterns, dimming
with distance.

One model for both renderers: this module holds its constants, the light of a normal, the floor's
shadow map and the pattern of each floor. It knows arrays, not rays.

A pixel is colour * light(normal) * contact(z) * dim(depth); on the floor the contact shadow comes
from the shadow map.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ipt_training.scenes.scene import Scene

SHADOW_CELL_M = 0.04
CONTACT_DEPTH, CONTACT_M = 0.32, 0.16  # objects and walls darken towards the floor
UPPER_DEPTH, UPPER_M = 0.14, 0.35  # walls and all darken towards the ceiling
DIM_M = 13.0  # light halves at this depth
SKIRTING_M = 0.09
SKIRTING_FACTOR = 0.78
CEILING_FACTOR = 1.3  # light that the floor throws back
OUTSIDE = (0.15, 0.155, 0.165)  # beyond the house, from above
WALL_TOP_FACTOR = 0.42  # from above, walls are a section and not lit from the room


def lambert(normals: np.ndarray, scene: Scene) -> np.ndarray:
    """Strength of light on surfaces: ... x 3 unit normals to ... float64. Sky light is weaker from
    below.
    """
    n = np.asarray(normals, np.float64)
    light = scene.ambient * (0.94 + 0.06 * n[..., 2])
    for lamp in scene.lights:
        light = light + lamp.intensity * np.maximum(0.0, n @ np.array(lamp.direction))
    return np.asarray(light)


def dim(depth: np.ndarray) -> np.ndarray:
    """Share of light left at a depth in m."""
    return np.asarray(1.0 / (1.0 + (depth * np.float32(1 / DIM_M)) ** 2))


def contact(z: np.ndarray, wall_height_m: float) -> np.ndarray:
    """Share of light left at a height above the floor, for everything but the floor."""
    low = np.float32(CONTACT_DEPTH) * np.exp(z * np.float32(-1 / CONTACT_M))
    high = np.float32(UPPER_DEPTH) * np.exp(
        (z - np.float32(wall_height_m)) * np.float32(1 / UPPER_M)
    )
    return np.asarray(1.0 - low - high)


def skirting(z: np.ndarray, pixel_m: np.ndarray) -> np.ndarray:
    """Share of light left on walls: darker on the board along the floor, its edge a pixel soft."""
    share = np.clip(
        (np.float32(SKIRTING_M) - z) / np.maximum(pixel_m, np.float32(1e-4)) + 0.5, 0, 1
    )
    return np.asarray(1 - np.float32(1 - SKIRTING_FACTOR) * share)


@dataclass(frozen=True)
class FloorLook:
    """What the floor needs per pixel.

    shadow: rows (y) x columns (x) float32, share of light left, cells of SHADOW_CELL_M from
    `origin`. room: the same grid idea at 0.1 m from the house's corner, uint8 index of the room,
    255 outside. colour: R x 3 float32, 0-1. pattern: R int, index into FLOOR_PATTERNS. pitch_m: R
    float32.
    """

    shadow: np.ndarray
    room: np.ndarray
    origin: tuple[float, float]
    colour: np.ndarray
    pattern: np.ndarray
    pitch_m: np.ndarray


def floor_look(scene: Scene) -> FloorLook:
    """Shadow map and patterns of a scene's floor."""
    from ipt_training.scenes.scene import FLOOR_PATTERNS

    x0, y0, x1, y1 = scene.bounds
    room = np.full((round((y1 - y0) * 10), round((x1 - x0) * 10)), 255, np.uint8)
    for i, r in enumerate(scene.rooms):
        rows = slice(round((r.y_min - y0) * 10), round((r.y_max - y0) * 10))
        cols = slice(round((r.x_min - x0) * 10), round((r.x_max - x0) * 10))
        room[rows, cols] = i
    return FloorLook(
        shadow_map(scene),
        room,
        (x0, y0),
        np.array([r.floor_colour for r in scene.rooms], np.float32) / np.float32(255),
        np.array([FLOOR_PATTERNS.index(r.floor_pattern) for r in scene.rooms]),
        np.array([r.pattern_m for r in scene.rooms], np.float32),
    )


def shadow_map(scene: Scene) -> np.ndarray:
    """Soft shadows on the floor: under and around things (from all sides), and away from the key
    light.
    """
    x0, y0, x1, y1 = scene.bounds
    scale = 1 / SHADOW_CELL_M
    h, w = int(np.ceil((y1 - y0) * scale)), int(np.ceil((x1 - x0) * scale))
    around = np.zeros((h, w), np.uint8)
    cast = np.zeros((h, w), np.uint8)
    key = scene.lights[0].direction
    slope = -np.array(key[:2]) / key[2]
    for thing in scene.objects:
        foot = (np.array(thing.corners(-0.02)) - (x0, y0)) * scale
        cv2.fillConvexPoly(around, _fixed(foot), 255, cv2.LINE_AA, _SHIFT)
        # far lamps would throw shadows of tall things through the room; a ceiling scatters them
        reach = slope * min(thing.height_m, 1.0) * 0.55 * scale
        hull = cv2.convexHull(np.concatenate([foot, foot + reach]).astype(np.float32))[:, 0]
        cv2.fillConvexPoly(cast, _fixed(hull), 255, cv2.LINE_AA, _SHIFT)
    for wall in scene.walls:
        for (cx, cy, cz), (sx, sy, sz) in wall.boxes():
            if cz - 0.5 * sz > 0.01:
                continue
            lo = ((cx - sx / 2 - x0) * scale, (cy - sy / 2 - y0) * scale)
            hi = ((cx + sx / 2 - x0) * scale, (cy + sy / 2 - y0) * scale)
            cv2.rectangle(around, _whole(lo), _whole(hi), 200, -1)
    near = cv2.GaussianBlur(around, (0, 0), 0.09 * scale)
    wide = cv2.GaussianBlur(cast, (0, 0), 0.14 * scale)
    dark = near.astype(np.float32) * np.float32(0.5 / 255) + wide.astype(np.float32) * np.float32(
        0.26 / 255
    )
    return np.asarray(1.0 - np.minimum(dark, np.float32(0.62)))


_SHIFT = 6


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _whole(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def floor_colour(
    look: FloorLook, x: np.ndarray, y: np.ndarray, footprint_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unlit floor colour times shadow at N points (float32): (N x 3 float32, N uint8 room, 255
    outside).

    footprint_m: N, the stretch of floor that one pixel covers; patterns finer than that fade to
    their mean.
    """
    u, v = x - np.float32(look.origin[0]), y - np.float32(look.origin[1])
    h, w = look.room.shape
    col = np.clip((u * np.float32(10)).astype(np.int32), 0, w - 1)
    row = np.clip((v * np.float32(10)).astype(np.int32), 0, h - 1)
    room = look.room[row, col]
    known = np.minimum(room, len(look.colour) - 1)
    factor = _bilinear(look.shadow, u, v)
    for r in range(len(look.colour)):
        kind = int(look.pattern[r])
        if kind == 0:
            continue
        here = np.flatnonzero(room == r) if len(look.colour) > 1 else slice(None)
        factor[here] *= _pattern(kind, float(look.pitch_m[r]), u[here], v[here], footprint_m[here])
    return look.colour[known] * factor[:, None], room


def _bilinear(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    h, w = image.shape
    a = np.clip(u * np.float32(1 / SHADOW_CELL_M) - np.float32(0.5), 0, w - 1.001)
    b = np.clip(v * np.float32(1 / SHADOW_CELL_M) - np.float32(0.5), 0, h - 1.001)
    i, j = a.astype(np.int32), b.astype(np.int32)
    a -= i
    b -= j
    flat = image.ravel()
    at = j * w + i
    top = flat[at] * (1 - a) + flat[at + 1] * a
    at += w
    low = flat[at] * (1 - a) + flat[at + 1] * a
    return np.asarray(top * (1 - b) + low * b)


def _hash(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """A repeatable number in 0..1 per integer cell."""
    h = (i * np.int32(73856093)) ^ (j * np.int32(19349663))
    h = (h ^ (h >> np.int32(13))) * np.int32(1274126177)
    return ((h >> np.int32(15)) & np.int32(255)).astype(np.float32) * np.float32(1 / 255)


def _line(t: np.ndarray, pitch: float, width: float, footprint: np.ndarray) -> np.ndarray:
    """How much of a pixel is covered by lines of `width` every `pitch` metres: box filter of the
    pixel's size.
    """
    size = np.maximum(footprint, np.float32(1e-4))
    half = np.float32(0.5) * (size + np.float32(width))
    away = np.abs(t - np.round(t * np.float32(1 / pitch)) * np.float32(pitch))
    overlap = np.minimum(np.maximum(half - away, 0), np.minimum(size, np.float32(width)))
    return np.asarray(overlap / size)


def _step(t: np.ndarray, pitch: float, footprint: np.ndarray) -> np.ndarray:
    """0 on the borders between fields of `pitch` metres, 1 half a pixel away: no stairs."""
    away = np.abs(t - np.round(t * np.float32(1 / pitch)) * np.float32(pitch))
    return np.asarray(np.minimum(2 * away / np.maximum(footprint, np.float32(1e-4)), 1))


def _pattern(
    kind: int, pitch: float, u: np.ndarray, v: np.ndarray, footprint: np.ndarray
) -> np.ndarray:
    """Factor on the floor's colour: 1 tiles with joints, 2 checker, 3 planks along x, 4 stripes
    along y.
    """
    fade = np.clip(np.float32(1.6) - footprint * np.float32(1.6 / pitch), 0, 1)
    if kind == 3:
        row = np.floor(v * np.float32(1 / pitch)).astype(np.int32)
        shift = _hash(row, row)
        length = 7 * pitch
        along = u + shift * np.float32(length)
        board = np.floor(along * np.float32(1 / length)).astype(np.int32)
        tint = 1 + fade * (_hash(row, board) - np.float32(0.5)) * np.float32(0.2)
        joints = np.maximum(
            _line(v, pitch, 0.008, footprint), _line(along, length, 0.008, footprint)
        )
        return np.asarray(tint * (1 - np.float32(0.35) * joints))
    i = np.floor(u * np.float32(1 / pitch)).astype(np.int32)
    if kind == 4:
        soft = _step(u, pitch, footprint)
        return np.asarray(1 + fade * np.float32(0.3) * (1 - 2 * (i & 1)) * soft)
    j = np.floor(v * np.float32(1 / pitch)).astype(np.int32)
    if kind == 2:
        soft = _step(u, pitch, footprint) * _step(v, pitch, footprint)
        return np.asarray(1 + fade * np.float32(0.1) * (1 - 2 * ((i + j) & 1)) * soft)
    tint = 1 + fade * (_hash(i, j) - np.float32(0.5)) * np.float32(0.08)
    joints = np.maximum(_line(u, pitch, 0.016, footprint), _line(v, pitch, 0.016, footprint))
    return np.asarray(tint * (1 - np.float32(0.3) * joints))
