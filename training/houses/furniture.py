"""How each category is built from primitives: a chair is a seat, a back and four legs.

In: a category, the RGB of its colour and a random generator for its proportions. Out: a `Model`:
primitives around an origin on the floor, front along x, and the footprint. Nothing here knows
where the thing will stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ipt_training.scenes.colours import LEAF, METAL, SOIL, WOOD, mix, shade
from ipt_training.scenes.scene import Primitive, SceneError

RGB = tuple[int, int, int]

#: Objects at least this high hide things from a robot's camera.
TALL_M = 1.2


@dataclass(frozen=True)
class Model:
    """Primitives in the object's frame, with the full length (x) and width (y) it covers, m."""

    primitives: tuple[Primitive, ...]
    footprint: tuple[float, float]

    @property
    def height_m(self) -> float:
        # the builders only tilt parts that are below the top of an upright one
        return max(p.position[2] + 0.5 * p.size[2] for p in self.primitives)


def _box(x: float, y: float, z: float, sx: float, sy: float, sz: float, colour: RGB) -> Primitive:
    return Primitive("box", (sx, sy, sz), (x, y, z), colour)


def _tube(x: float, y: float, z: float, d: float, h: float, colour: RGB) -> Primitive:
    return Primitive("cylinder", (d, d, h), (x, y, z), colour)


def _legs(lx: float, ly: float, height: float, thick: float, colour: RGB) -> list[Primitive]:
    a, b = 0.5 * (lx - thick), 0.5 * (ly - thick)
    return [
        _box(sx * a, sy * b, 0.5 * height, thick, thick, height, colour)
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]


def _cube(c: RGB, rng: np.random.Generator) -> Model:
    s = rng.uniform(0.5, 0.75)
    return Model((_box(0, 0, s / 2, s, s, s, c),), (s, s))


def _ball(c: RGB, rng: np.random.Generator) -> Model:
    d = rng.uniform(0.3, 0.5)
    return Model((Primitive("sphere", (d, d, d), (0, 0, d / 2), c),), (d, d))


def _big_ball(c: RGB, rng: np.random.Generator) -> Model:
    d = rng.uniform(0.55, 0.8)
    return Model((Primitive("sphere", (d, d, d), (0, 0, d / 2), c),), (d, d))


def _big_cone(c: RGB, rng: np.random.Generator) -> Model:
    d, h = rng.uniform(0.6, 0.8), rng.uniform(0.8, 1.05)
    return Model((Primitive("cone", (d, d, h), (0, 0, h / 2), c),), (d, d))


def _drum(c: RGB, rng: np.random.Generator) -> Model:
    d, h = rng.uniform(0.5, 0.65), rng.uniform(0.65, 0.9)
    return Model((_tube(0, 0, h / 2, d, h, c),), (d, d))


def _pillar(c: RGB, rng: np.random.Generator) -> Model:
    s, h = rng.uniform(0.38, 0.5), rng.uniform(1.7, 2.1)
    return Model((_box(0, 0, h / 2, s, s, h, c),), (s, s))


def _chair(c: RGB, rng: np.random.Generator) -> Model:
    w, seat, top = rng.uniform(0.46, 0.54), rng.uniform(0.43, 0.48), rng.uniform(0.9, 1.0)
    parts = _legs(w, w, seat - 0.06, 0.05, shade(c, 0.62))
    parts.append(_box(0, 0, seat - 0.03, w, w, 0.06, c))
    back = top - seat
    parts.append(_box(-w / 2 + 0.025, 0, seat + back / 2, 0.05, w, back, shade(c, 0.9)))
    return Model(tuple(parts), (w, w))


def _stool(c: RGB, rng: np.random.Generator) -> Model:
    d, h = rng.uniform(0.38, 0.44), rng.uniform(0.55, 0.72)
    parts = _legs(0.62 * d, 0.62 * d, h - 0.07, 0.045, METAL)
    parts.append(_tube(0, 0, h - 0.035, d, 0.07, c))
    return Model(tuple(parts), (d, d))


def _table(c: RGB, rng: np.random.Generator) -> Model:
    w, d, h = rng.uniform(0.75, 0.95), rng.uniform(1.1, 1.7), rng.uniform(0.71, 0.77)
    parts = _legs(w - 0.06, d - 0.06, h - 0.05, 0.07, shade(c, 0.7))
    parts.append(_box(0, 0, h - 0.025, w, d, 0.05, c))
    return Model(tuple(parts), (w, d))


def _shelf(c: RGB, rng: np.random.Generator) -> Model:
    depth, width, h = rng.uniform(0.32, 0.4), rng.uniform(0.8, 1.3), rng.uniform(1.6, 2.05)
    t, boards = 0.04, 5
    side = shade(c, 0.85)
    parts = [_box(0, s * (width - t) / 2, h / 2, depth, t, h, side) for s in (-1, 1)]
    parts.append(_box(-depth / 2 + 0.01, 0, h / 2, 0.02, width - 2 * t, h, shade(c, 0.55)))
    inner = width - 2 * t
    levels = [t / 2 + (h - t) * i / (boards - 1) for i in range(boards)]
    parts += [_box(0.01, 0, z, depth - 0.02, inner, t, c) for z in levels]
    spines = ((178, 166, 140), (96, 116, 130), (140, 140, 146), (92, 110, 92))
    for z, gap in zip(levels[:-1], np.diff(levels), strict=True):
        length, height = inner * rng.uniform(0.25, 0.7), (float(gap) - t) * rng.uniform(0.55, 0.85)
        y = rng.uniform(-1, 1) * (inner - length) / 2
        books = spines[int(rng.integers(len(spines)))]
        parts.append(_box(0, y, z + t / 2 + height / 2, 0.6 * depth, length, height, books))
    return Model(tuple(parts), (depth, width))


def _cabinet(c: RGB, rng: np.random.Generator) -> Model:
    depth, width, h = rng.uniform(0.45, 0.55), rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.1)
    parts = [_box(-0.01, 0, h / 2, depth - 0.02, width, h, shade(c, 0.85))]
    front, gap = depth / 2 - 0.01, 0.03
    for s in (-1, 1):
        parts.append(_box(front, s * width / 4, h / 2, 0.02, width / 2 - 2 * gap, h - 2 * gap, c))
    knobs = [
        Primitive("sphere", (0.05, 0.05, 0.05), (front + 0.01, s * 0.07, 0.55 * h), METAL)
        for s in (-1, 1)
    ]
    return Model(tuple(parts + knobs), (depth + 0.05, width))


def _fridge(c: RGB, rng: np.random.Generator) -> Model:
    depth, width, h = rng.uniform(0.6, 0.68), rng.uniform(0.6, 0.7), rng.uniform(1.65, 1.9)
    split = 0.62 * h
    parts = [_box(-0.02, 0, h / 2, depth - 0.04, width, h, shade(c, 0.7))]
    front = depth / 2 - 0.02
    parts.append(_box(front, 0, split / 2, 0.04, width - 0.02, split - 0.03, c))
    parts.append(_box(front, 0, (split + h) / 2, 0.04, width - 0.02, h - split - 0.03, c))
    for z, length in ((0.72 * split, 0.4), (split + 0.5 * (h - split), 0.3)):
        parts.append(_box(front + 0.035, 0.36 * width, z, 0.03, 0.03, length, METAL))
    return Model(tuple(parts), (depth + 0.06, width))


def _sofa(c: RGB, rng: np.random.Generator) -> Model:
    depth, width, seat = rng.uniform(0.8, 0.92), rng.uniform(1.5, 2.1), rng.uniform(0.4, 0.45)
    arm, back = 0.18, 0.2
    parts = [_box(0, 0, 0.04 + 0.11, depth - 0.02, width - 0.04, 0.22, shade(c, 0.7))]
    parts += [
        _box(0.0, s * (width - arm) / 2, 0.32, depth, arm, 0.6, shade(c, 0.88)) for s in (-1, 1)
    ]
    inner = width - 2 * arm
    parts.append(_box(-(depth - back) / 2, 0, 0.48, back, inner, 0.72, shade(c, 0.88)))
    for s in (-1, 1):
        z = 0.26 + (seat - 0.26) / 2
        parts.append(
            _box(back / 2, s * inner / 4, z, depth - back, inner / 2 - 0.02, seat - 0.26, c)
        )
    return Model(tuple(parts), (depth, width))


def _bed(c: RGB, rng: np.random.Generator) -> Model:
    length, width = rng.uniform(1.95, 2.1), rng.uniform(1.0, 1.5)
    parts = [_box(0.03, 0, 0.17, length - 0.06, width, 0.26, WOOD)]
    parts.append(_box(0.03, 0, 0.39, length - 0.1, width - 0.04, 0.18, c))
    parts.append(_box(-length / 2 + 0.03, 0, 0.5, 0.06, width, 1.0, shade(WOOD, 0.8)))
    pillow = mix(c, (240, 240, 236), 0.85)
    parts.append(_box(-length / 2 + 0.32, 0, 0.53, 0.36, 0.62 * width, 0.1, pillow))
    return Model(tuple(parts), (length, width))


def _lamp(c: RGB, rng: np.random.Generator) -> Model:
    h, d = rng.uniform(1.45, 1.75), rng.uniform(0.4, 0.5)
    return Model(
        (
            _tube(0, 0, 0.025, 0.34, 0.05, METAL),
            _tube(0, 0, 0.05 + (h - 0.3) / 2, 0.05, h - 0.3, METAL),
            _tube(0, 0, h - 0.17, d, 0.34, c),
        ),
        (d, d),
    )


def _plant(c: RGB, rng: np.random.Generator) -> Model:
    """Green leaves in a pot of the named colour, with blossoms of that colour."""
    pot, tall = rng.uniform(0.36, 0.44), rng.uniform(0.85, 1.25)
    h = 0.42
    parts = [_tube(0, 0, h / 2, pot, h, c), _tube(0, 0, h + 0.005, 0.86 * pot, 0.01, SOIL)]
    crown = tall - h
    parts.append(_tube(0, 0, h + crown / 3, 0.05, crown * 2 / 3, shade(WOOD, 0.7)))
    r = 0.3 * crown
    spots = [(0.0, 0.0, tall - r)]
    turn = rng.uniform(0, 2 * math.pi)
    for i in range(3):
        a = turn + i * 2 * math.pi / 3
        spots.append((0.11 * math.cos(a), 0.11 * math.sin(a), h + crown * 0.48))
    for i, (x, y, z) in enumerate(spots):
        d = 2 * r * (1.0 if i == 0 else 0.85)
        parts.append(Primitive("sphere", (d, d, d), (x, y, z), shade(LEAF, 1.0 + 0.08 * i)))
    for i in range(5):
        a = turn + 0.5 + i * 2 * math.pi / 5
        e = 0.55 * (i % 2)
        x, y = 0.95 * r * math.cos(a) * math.cos(e), 0.95 * r * math.sin(a) * math.cos(e)
        parts.append(
            Primitive("sphere", (0.1, 0.1, 0.1), (x, y, tall - r + 0.9 * r * math.sin(e)), c)
        )
    wide = max(pot, 2 * (0.11 + 0.85 * r), 2 * r + 0.06)
    return Model(tuple(parts), (wide, wide))


def _bin(c: RGB, rng: np.random.Generator) -> Model:
    d, h = rng.uniform(0.34, 0.42), rng.uniform(0.55, 0.7)
    return Model(
        (
            _tube(0, 0, (h - 0.08) / 2, 0.9 * d, h - 0.08, c),
            _tube(0, 0, h - 0.055, d, 0.05, shade(c, 0.6)),
            _tube(0, 0, h - 0.015, 0.7 * d, 0.03, shade(c, 0.8)),
        ),
        (d, d),
    )


def _crate(c: RGB, rng: np.random.Generator) -> Model:
    s, h = rng.uniform(0.48, 0.62), rng.uniform(0.42, 0.56)
    inset, slat = 0.03, 0.08
    parts = [_box(0, 0, h / 2, s - 2 * inset, s - 2 * inset, h - 0.02, shade(c, 0.55))]
    a = (s - 0.07) / 2
    parts += [
        _box(u * a, v * a, h / 2, 0.07, 0.07, h, shade(c, 0.8)) for u in (-1, 1) for v in (-1, 1)
    ]
    for z in (slat / 2 + 0.01, h / 2, h - slat / 2 - 0.01):
        for u in (-1, 1):
            parts.append(_box(u * (s / 2 - 0.015), 0, z, 0.02, s - 0.14, slat, c))
            parts.append(_box(0, u * (s / 2 - 0.015), z, s - 0.14, 0.02, slat, c))
    return Model(tuple(parts), (s, s))


def _cone(c: RGB, rng: np.random.Generator) -> Model:
    """A traffic cone: square foot, coloured cone with a pale band."""
    s, h = rng.uniform(0.4, 0.48), rng.uniform(0.62, 0.8)
    foot, d = 0.05, 0.78 * s
    tip = h - foot
    pale = mix(c, (250, 250, 250), 0.8) if sum(c) < 640 else (120, 120, 124)
    z0, z1 = 0.42, 0.6
    d0 = d * (1 - z0) * 1.04  # a short wide ring around the cone
    return Model(
        (
            _box(0, 0, foot / 2, s, s, foot, shade(c, 0.55)),
            Primitive("cone", (d, d, tip), (0, 0, foot + tip / 2), c),
            _tube(0, 0, foot + tip * (z0 + z1) / 2 - 0.02, d0, tip * (z1 - z0) * 0.6, pale),
        ),
        (s, s),
    )


Placement = Literal["wall", "free", "corner"]


@dataclass(frozen=True)
class Category:
    """How to build it, where it stands, and how often it is drawn (relative weight)."""

    build: Callable[[RGB, np.random.Generator], Model]
    placement: Placement
    weight: float


ROOM_CATEGORIES: dict[str, Category] = {
    "cube": Category(_cube, "free", 1.0),
    "ball": Category(_big_ball, "free", 1.0),
    "cone": Category(_big_cone, "free", 1.0),
    "cylinder": Category(_drum, "free", 1.0),
    "pillar": Category(_pillar, "free", 0.9),
}
HOUSE_CATEGORIES: dict[str, Category] = {
    "chair": Category(_chair, "free", 1.4),
    "stool": Category(_stool, "free", 0.8),
    "table": Category(_table, "free", 1.0),
    "shelf": Category(_shelf, "wall", 1.2),
    "cabinet": Category(_cabinet, "wall", 0.9),
    "fridge": Category(_fridge, "wall", 0.6),
    "sofa": Category(_sofa, "wall", 0.9),
    "bed": Category(_bed, "wall", 0.5),
    "lamp": Category(_lamp, "corner", 0.9),
    "plant": Category(_plant, "corner", 1.0),
    "bin": Category(_bin, "corner", 0.9),
    "crate": Category(_crate, "free", 0.9),
    "ball": Category(_ball, "free", 0.9),
    "cone": Category(_cone, "free", 0.8),
}


def categories(level: str) -> dict[str, Category]:
    """The catalogue of a level."""
    if level not in ("room", "house"):
        raise SceneError(f"level {level!r}: expected 'room' or 'house'")
    return ROOM_CATEGORIES if level == "room" else HOUSE_CATEGORIES


def build(level: str, category: str, colour: RGB, rng: np.random.Generator) -> Model:
    """Build one thing; lengths are rounded to 0.1 mm, so that all machines give equal scenes."""
    catalogue = categories(level)
    if category not in catalogue:
        raise SceneError(f"category {category!r}: {level} has {', '.join(catalogue)}")
    model = catalogue[category].build(colour, rng)
    rounded = tuple(
        replace(p, size=_rounded(*p.size), position=_rounded(*p.position))
        for p in model.primitives
    )
    # a millimetre more than the parts: rounding must not let them stick out
    length, width = (round(float(v) + 0.001, 3) for v in model.footprint)
    return Model(rounded, (length, width))


def _rounded(x: float, y: float, z: float) -> tuple[float, float, float]:
    return round(float(x), 4), round(float(y), 4), round(float(z), 4)
