"""Things of every category as a workshop has them: the same name, place and outline as in a
generated house, built of other shapes.

In: the RGB of the thing's colour, its footprint and height, and a random generator. Out:
primitives in the object's frame, inside the footprint and exactly as high. Nothing here knows
where the thing stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ipt_training.scenes.colours import shade
from ipt_training.scenes.scene import Primitive, SceneError

RGB = tuple[int, int, int]

#: Materials that furniture of a generated house never has.
STEEL: RGB = (168, 178, 184)
RUBBER: RGB = (46, 50, 58)
NEEDLES: RGB = (30, 86, 84)
#: Rounding of lengths must not let a part stick out of the footprint.
_ROUNDING_M = 0.002

_Parts = list[Primitive]
_Build = Callable[[RGB, float, float, float, np.random.Generator], _Parts]


def rebuilt(
    category: str,
    colour: RGB,
    footprint: tuple[float, float],
    height_m: float,
    rng: np.random.Generator,
) -> tuple[Primitive, ...]:
    """The parts of a thing of this category. footprint: full length (x) and width (y), m."""
    if category not in _BUILD:
        raise SceneError(f"category {category!r}: the workshop has {', '.join(_BUILD)}")
    length, width = (side - _ROUNDING_M for side in footprint)
    parts = _BUILD[category](colour, length, width, height_m, rng)
    return tuple(replace(p, size=_rounded(p.size), position=_rounded(p.position)) for p in parts)


def _rounded(v: tuple[float, float, float]) -> tuple[float, float, float]:
    return round(float(v[0]), 4), round(float(v[1]), 4), round(float(v[2]), 4)


def _box(x: float, y: float, z: float, sx: float, sy: float, sz: float, colour: RGB) -> Primitive:
    return Primitive("box", (sx, sy, sz), (x, y, z), colour)


def _tube(x: float, y: float, z: float, d: float, h: float, colour: RGB) -> Primitive:
    return Primitive("cylinder", (d, d, h), (x, y, z), colour)


def _log(x: float, z: float, d: float, length: float, colour: RGB) -> Primitive:
    """A cylinder that lies along y."""
    return Primitive("cylinder", (d, d, length), (x, 0.0, z), colour, (0.5 * math.pi, 0.0, 0.0))


def _drums(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A row of drums with steel hoops along the longer side."""
    along_y = b >= a
    short, long = (a, b) if along_y else (b, a)
    count = max(1, round(long / short))
    d = min(short, long / count)
    hoops = rng.uniform(0.12, 0.2), rng.uniform(0.7, 0.82)
    parts = []
    for k in range(count):
        at = (k - 0.5 * (count - 1)) * long / count
        x, y = (0.0, at) if along_y else (at, 0.0)
        parts.append(_tube(x, y, h / 2, 0.94 * d, h, c))
        parts += [_tube(x, y, share * h, d, 0.07, STEEL) for share in hoops]
    return parts


def _twisted(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """Three slabs on each other, each turned against the one below."""
    side, parts = min(a, b) / math.sqrt(2), []
    turn = rng.uniform(0, math.pi / 2)
    for k in range(3):
        tint = STEEL if k == 1 else shade(c, 1.0 - 0.12 * k)
        slab = _box(0, 0, (k + 0.5) * h / 3, side, side, h / 3, tint)
        parts.append(replace(slab, rpy=(0.0, 0.0, round(turn + k * math.pi / 6, 4))))
    return parts


def _column(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A round column between a foot and a cap of steel."""
    d, foot = min(a, b), rng.uniform(0.1, 0.18)
    return [
        _box(0, 0, foot / 2, a, b, foot, STEEL),
        _tube(0, 0, h / 2, rng.uniform(0.6, 0.75) * d, h - 0.02, c),
        _box(0, 0, h - 0.06, 0.94 * a, 0.94 * b, 0.12, RUBBER),
    ]


def _buoy(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A ball on a rubber foot with a belt around it."""
    foot = rng.uniform(0.06, 0.09)
    d = min(0.94 * min(a, b), h - foot)
    middle = h - d / 2
    return [
        _tube(0, 0, foot / 2, 0.8 * min(a, b), foot, RUBBER),
        _tube(0, 0, middle / 2, 0.25 * d, middle, STEEL),
        Primitive("sphere", (d, d, d), (0, 0, middle), c),
        _tube(0, 0, middle, min(a, b), 0.14 * d, STEEL),
    ]


def _hourglass(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """Two cones that meet with their tips, the upper one upside down."""
    d = min(a, b)
    low = rng.uniform(0.52, 0.6) * h
    high = h - low + 0.1 * h
    upper = Primitive("cone", (0.8 * d, 0.8 * d, high), (0, 0, h - high / 2), c)
    return [
        Primitive("cone", (d, d, low), (0, 0, low / 2), shade(c, 0.85)),
        replace(upper, rpy=(round(math.pi, 4), 0.0, 0.0)),
        _tube(0, 0, low - 0.04, 0.3 * d, 0.06, STEEL),
    ]


def _swivel(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A round seat on a column, with two posts and a bar for a back."""
    d, seat = min(a, b), rng.uniform(0.46, 0.52) * h
    x = -0.5 * a + 0.03
    return [
        _tube(0, 0, 0.03, 0.8 * d, 0.06, RUBBER),
        _tube(0, 0, seat / 2, 0.12, seat, STEEL),
        _tube(0, 0, seat, 0.94 * d, 0.12, c),
        *(_tube(x, s * 0.3 * b, (seat + h) / 2, 0.05, h - seat, STEEL) for s in (-1, 1)),
        _box(x, 0, h - 0.11, 0.06, b, 0.22, c),
    ]


def _funnel(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A stool on a cone."""
    d, top = min(a, b), rng.uniform(0.1, 0.14)
    return [
        Primitive("cone", (0.9 * d, 0.9 * d, h - 0.02), (0, 0, (h - 0.02) / 2), STEEL),
        _box(0, 0, h - top / 2, 0.9 * a, 0.9 * b, top, c),
    ]


def _bench(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A thick top on two drums."""
    top, d = rng.uniform(0.12, 0.16), 0.62 * min(a, b)
    at = 0.5 * (max(a, b) - d) - 0.04
    places = [(0.0, s * at) if b >= a else (s * at, 0.0) for s in (-1, 1)]
    return [
        *(_tube(x, y, (h - top) / 2, d, h - top, RUBBER) for x, y in places),
        _box(0, 0, h - top / 2, a, b, top, c),
        _box(0, 0, h - top - 0.03, 0.9 * a, 0.9 * b, 0.06, STEEL),
    ]


def _rack(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """Round posts, three boards, canisters on them; no back."""
    d = 0.06
    parts = [
        _tube(s * 0.5 * (a - d), t * 0.5 * (b - d), h / 2, d, h, STEEL)
        for s in (-1, 1)
        for t in (-1, 1)
    ]
    gap = (h - 0.14) / 3
    for k in range(4):
        parts.append(_box(0, 0, 0.07 + k * gap, a, b, 0.1, c))
        if k == 3:
            break
        size = min(0.8 * a, 0.6 * gap)
        for s in (-1, 1):
            y = s * rng.uniform(0.16, 0.3) * b
            tint = RUBBER if rng.random() < 0.5 else shade(c, 0.7)
            parts.append(_tube(0, y, 0.12 + k * gap + 0.3 * gap, size, 0.6 * gap, tint))
    return parts


def _logs(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A seat of two logs and a back of a third, held by discs at the ends."""
    d = min(0.5 * a, 0.6 * h)
    back = rng.uniform(0.3, 0.36) * a
    return [
        _log(0.5 * a - d / 2, d / 2 + 0.04, d, 0.98 * b, c),
        _log(-0.5 * a + d / 2, d / 2 + 0.04, d, 0.98 * b, shade(c, 0.85)),
        _log(-0.5 * a + back / 2, h - back / 2, back, b, c),
        *(
            _box(-0.5 * a + back / 2, s * 0.35 * b, h / 2, 0.08, 0.1, 0.9 * h, STEEL)
            for s in (-1, 1)
        ),
    ]


def _cot(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A slab on balls, with a roll on posts at its head."""
    low, thick = rng.uniform(0.2, 0.26), rng.uniform(0.1, 0.14)
    roll = min(0.28, 0.3 * h)
    head = -0.5 * a + roll / 2
    balls = [
        Primitive("sphere", (low, low, low), (s * 0.38 * a, t * 0.35 * b, low / 2), RUBBER)
        for s in (-1, 1)
        for t in (-1, 1)
    ]
    posts = [
        _tube(head, t * 0.36 * b, (h - roll / 2) / 2, 0.08, h - roll / 2, STEEL) for t in (-1, 1)
    ]
    return [
        *balls,
        *posts,
        _box(0, 0, low + thick / 2, a, b, thick, c),
        _log(head, h - roll / 2, roll, b, c),
    ]


def _lantern(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A ball of light on a square mast."""
    d = min(a, b)
    foot = rng.uniform(0.1, 0.2)
    return [
        _box(0, 0, foot / 2, 0.9 * a, 0.9 * b, foot, RUBBER),
        _box(0, 0, (h - d / 2) / 2, 0.09, 0.09, h - d / 2, STEEL),
        Primitive("sphere", (d, d, d), (0, 0, h - d / 2), c),
    ]


def _fir(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A small fir of three cones in a square tub."""
    d = min(a, b)
    tub = rng.uniform(0.3, 0.4) * h
    crown = h - tub
    parts = [
        _box(0, 0, tub / 2, 0.85 * a, 0.85 * b, tub, c),
        _box(0, 0, tub - 0.03, 0.9 * a, 0.9 * b, 0.06, STEEL),
    ]
    for k, share in enumerate((0.95, 0.75, 0.5)):
        foot = tub + k * crown / 4
        tint = shade(NEEDLES, 1.0 + 0.15 * k)
        size = (share * d, share * d, h - foot if k == 2 else crown / 2)
        parts.append(Primitive("cone", size, (0, 0, foot + size[2] / 2), tint))
    return parts


def _hopper(c: RGB, a: float, b: float, h: float, rng: np.random.Generator) -> _Parts:
    """A square box between four posts, with a lid."""
    post = 0.05
    inset = rng.uniform(0.03, 0.05)
    corners = [
        _box(s * 0.5 * (a - post), t * 0.5 * (b - post), h / 2, post, post, h, STEEL)
        for s in (-1, 1)
        for t in (-1, 1)
    ]
    body = _box(0, 0, 0.52 * h, a - 2 * inset, b - 2 * inset, 0.76 * h, c)
    return [*corners, body, _box(0, 0, 0.93 * h, 0.96 * a, 0.96 * b, 0.06 * h, RUBBER)]


_BUILD: dict[str, _Build] = {
    "cube": _drums,
    "ball": _buoy,
    "cone": _hourglass,
    "cylinder": _twisted,
    "pillar": _column,
    "chair": _swivel,
    "stool": _funnel,
    "table": _bench,
    "shelf": _rack,
    "cabinet": _drums,
    "fridge": _column,
    "sofa": _logs,
    "bed": _cot,
    "lamp": _lantern,
    "plant": _fir,
    "bin": _hopper,
    "crate": _twisted,
}
