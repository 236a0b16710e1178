"""Flat things on walls: frames around doorways, windows in outer walls, pictures. They give walls
something to see.

In: a wall with its openings. Out: `Fixture`s, at most 2.5 cm thick, so that furniture 3 cm off the
wall clears them.
"""

from __future__ import annotations

import numpy as np

from ipt_training.scenes.scene import Fixture, Primitive, Room, Wall

RGB = tuple[int, int, int]
FRAME: RGB = (238, 236, 230)
PANES: tuple[RGB, ...] = ((188, 210, 226), (204, 218, 226), (176, 198, 214))
CANVASES: tuple[RGB, ...] = ((112, 122, 108), (150, 132, 112), (104, 116, 134), (160, 156, 148))
PICTURE_FRAME: RGB = (70, 58, 48)
_TRIM_M = 0.09
_CLEAR_M = 0.3  # between a fixture and the next or a doorway


def fixtures_of(rng: np.random.Generator, wall: Wall, room: Room) -> list[Fixture]:
    """Door frames always; at most two windows or pictures on the solid stretches of a wall,
    sometimes none.
    """
    out = [_door_frame(wall, room, o.start_m, o.end_m, o.height_m) for o in wall.openings]
    length = (wall.x_max - wall.x_min) if wall.along_x else (wall.y_max - wall.y_min)
    stretches = solid_stretches(wall, length)
    for _ in range(2):
        if rng.random() < 0.45:
            continue
        window = not wall.openings and rng.random() < 0.6
        width = float(rng.uniform(1.0, 1.7) if window else rng.uniform(0.5, 1.0))
        low = 0.95 if window else float(rng.uniform(1.25, 1.4))
        high = 2.05 if window else low + float(rng.uniform(0.4, 0.65))
        room_for = [(a, b) for a, b in stretches if b - a >= width + 2 * _CLEAR_M]
        if not room_for:
            continue
        a, b = room_for[int(rng.integers(len(room_for)))]
        at = float(rng.uniform(a + _CLEAR_M + width / 2, b - _CLEAR_M - width / 2))
        stretches.remove((a, b))
        stretches += [(a, at - width / 2), (at + width / 2, b)]
        parts = _window if window else _picture
        colours = PANES if window else CANVASES
        colour = colours[int(rng.integers(len(colours)))]
        panels = parts(at, width, low, high, colour)
        kind = "window" if window else "picture"
        out.append(Fixture(kind, wall.room, tuple(on_wall(wall, room, *p) for p in panels)))
    return out


def solid_stretches(wall: Wall, length: float) -> list[tuple[float, float]]:
    stretches, at = [], 0.1
    for hole in sorted(wall.openings, key=lambda o: o.start_m):
        stretches.append((at, hole.start_m - _TRIM_M))
        at = hole.end_m + _TRIM_M
    stretches.append((at, length - 0.1))
    return stretches


_Panel = tuple[float, float, float, float, float, RGB]  # along from, to; z from, to; depth; colour


def _window(at: float, width: float, low: float, high: float, pane: RGB) -> list[_Panel]:
    a, b, t = at - width / 2, at + width / 2, 0.06
    return [
        (a, b, low, high, 0.01, pane),
        (a, a + t, low, high, 0.022, FRAME),
        (b - t, b, low, high, 0.022, FRAME),
        (a + t, b - t, low, low + t, 0.022, FRAME),
        (a + t, b - t, high - t, high, 0.022, FRAME),
        (at - 0.02, at + 0.02, low + t, high - t, 0.018, FRAME),
    ]


def _picture(at: float, width: float, low: float, high: float, canvas: RGB) -> list[_Panel]:
    a, b, t = at - width / 2, at + width / 2, 0.045
    light: RGB = (226, 222, 212)
    return [
        (a, b, low, high, 0.014, PICTURE_FRAME),
        (a + t, b - t, low + t, high - t, 0.018, light),
        (a + 2.4 * t, b - 2.4 * t, low + 2.4 * t, high - 2.4 * t, 0.022, canvas),
    ]


def _door_frame(wall: Wall, room: Room, start: float, end: float, height: float) -> Fixture:
    t, d = _TRIM_M, 0.02
    panels: list[_Panel] = [
        (start - t, start, 0.0, height + t, d, FRAME),
        (end, end + t, 0.0, height + t, d, FRAME),
        (start, end, height, height + t, d, FRAME),
    ]
    return Fixture("door frame", wall.room, tuple(on_wall(wall, room, *p) for p in panels))


def on_wall(
    wall: Wall, room: Room, a: float, b: float, z0: float, z1: float, depth: float, colour: RGB
) -> Primitive:
    """A box on the face of the wall that looks into its room."""
    start = wall.x_min if wall.along_x else wall.y_min
    along, up = start + 0.5 * (a + b), 0.5 * (z0 + z1)
    x0, y0, x1, y1 = room.interior
    if wall.along_x:
        low_side = wall.y_min < 0.5 * (room.y_min + room.y_max)
        across = y0 + depth / 2 if low_side else y1 - depth / 2
        position, size = (along, across, up), (b - a, depth, z1 - z0)
    else:
        low_side = wall.x_min < 0.5 * (room.x_min + room.x_max)
        across = x0 + depth / 2 if low_side else x1 - depth / 2
        position, size = (across, along, up), (depth, b - a, z1 - z0)
    px, py, pz = (round(v, 4) for v in position)
    sx, sy, sz = (round(v, 4) for v in size)
    return Primitive("box", (sx, sy, sz), (px, py, pz), colour)
