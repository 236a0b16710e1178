"""Triangles for the solids of a scene, with everything about a triangle's look in tables indexed
by its number.

In: a `Scene`. Out: `Mesh`: vertices, triangles, and per triangle its instance, colour and light.
Lambert light of far lamps does not depend on the camera, so it is computed here once per corner
and a pixel only looks it up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ipt_training.rendering.shading import OUTSIDE, lambert
from ipt_training.scenes.scene import CEILING, FLOOR, NOTHING, Scene
from ipt_training.scenes.solids import Solids, solids_of

#: Sides of round shapes, up to each diameter in m; spheres have half as many rings. Outlines are
#: within 1 mm.
SIDES = ((0.12, 16), (0.5, 32), (math.inf, 48))
CEILING_COLOUR = (0.93, 0.925, 0.91)


@dataclass(frozen=True)
class UnitMesh:
    """A shape of extent 1. vertices: V x 3. triangles: T x 3. normals: T x 3 x 3, at the corners.
    face: T int, smooth side or cap or one of six; two triangles of one face show no edge between
    them."""

    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    face: np.ndarray


@dataclass(frozen=True)
class Mesh:
    """vertices: V x 3 float32, world, m. triangles: T x 3 int32. The tables have one more row, the
    last, for rays that hit nothing. instance: int32. surface: int32, equal inside one smooth face.
    colour: x 3 float32, unlit, 0-1. light: x 3 float32, at the corners. curved: bool, light
    differs between corners."""

    vertices: np.ndarray
    triangles: np.ndarray
    instance: np.ndarray
    surface: np.ndarray
    colour: np.ndarray
    light: np.ndarray
    curved: np.ndarray


def _outward(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Turn triangles of a convex shape around the origin so that they face outwards."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * (a + b + c)).sum(1) < 0
    turned = triangles.copy()
    turned[inward] = turned[inward][:, ::-1]
    return turned


def _flat(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    n = np.cross(b - a, c - a)
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    return np.repeat(n[:, None], 3, axis=1)


def _box() -> UnitMesh:
    v = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    quads = [[0, 1, 3, 2], [4, 5, 7, 6], [0, 1, 5, 4], [2, 3, 7, 6], [0, 2, 6, 4], [1, 3, 7, 5]]
    t = _outward(v, np.array([tri for a, b, c, d in quads for tri in ((a, b, c), (a, c, d))]))
    return UnitMesh(v, t, _flat(v, t), np.repeat(np.arange(6), 2))


def _circle(sides: int) -> np.ndarray:
    """Corners of the polygon with the same area as the circle of diameter 1: edges lie half
    inside, half outside.
    """
    a = (np.arange(sides) + 0.5) * 2 * math.pi / sides
    r = 0.5 * math.sqrt(2 * math.pi / sides / math.sin(2 * math.pi / sides))
    return np.stack([r * np.cos(a), r * np.sin(a)], axis=1)


def _cylinder(n: int) -> UnitMesh:
    ring = _circle(n)
    v = np.concatenate(
        [
            np.c_[ring, np.full(n, -0.5)],
            np.c_[ring, np.full(n, 0.5)],
            [[0, 0, -0.5], [0, 0, 0.5]],
        ]
    )
    i = np.arange(n)
    j = (i + 1) % n
    side = np.concatenate([np.c_[i, j, j + n], np.c_[i, j + n, i + n]])
    caps = np.concatenate(
        [np.c_[j, i, np.full(n, 2 * n)], np.c_[i + n, j + n, np.full(n, 2 * n + 1)]]
    )
    t = _outward(v, np.concatenate([side, caps]))
    normals = _flat(v, t)
    radial = v[t[: 2 * n]] * (1, 1, 0)
    normals[: 2 * n] = radial / np.linalg.norm(radial, axis=2, keepdims=True)
    return UnitMesh(v, t, normals, np.repeat([0, 1, 2], [2 * n, n, n]))


def _cone(n: int) -> UnitMesh:
    ring = _circle(n)
    v = np.concatenate([np.c_[ring, np.full(n, -0.5)], [[0, 0, -0.5], [0, 0, 0.5]]])
    i = np.arange(n)
    j = (i + 1) % n
    t = _outward(v, np.concatenate([np.c_[i, j, np.full(n, n + 1)], np.c_[j, i, np.full(n, n)]]))
    normals = _flat(v, t)
    # of a cone of diameter and height 1; stretched later by the inverse of the size
    middle = (ring + np.roll(ring, -1, axis=0)) * 0.5
    for corner in range(3):
        ids = t[:n, corner]
        radial = np.where((ids < n)[:, None], v[np.minimum(ids, n - 1), :2], middle)
        unit = radial / np.linalg.norm(radial, axis=1, keepdims=True)
        normals[:n, corner] = np.c_[unit, np.full(n, 0.5)]
    normals[:n] /= np.linalg.norm(normals[:n], axis=2, keepdims=True)
    return UnitMesh(v, t, normals, np.repeat([0, 1], [n, n]))


def _sphere(around: int) -> UnitMesh:
    rings = around // 2
    polar = np.arange(1, rings) * math.pi / rings
    azimuth = np.arange(around) * 2 * math.pi / around
    p, a = np.meshgrid(polar, azimuth, indexing="ij")
    v = np.stack([np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)], axis=-1).reshape(-1, 3)
    v = np.concatenate([v, [[0, 0, 1], [0, 0, -1]]])
    top, bottom = len(v) - 2, len(v) - 1
    tris = []
    for r in range(rings - 2):
        for c in range(around):
            d = (c + 1) % around
            q = (r * around + c, r * around + d, (r + 1) * around + d, (r + 1) * around + c)
            tris += [(q[0], q[1], q[2]), (q[0], q[2], q[3])]
    last = (rings - 2) * around
    for c in range(around):
        d = (c + 1) % around
        tris += [(top, c, d), (bottom, last + c, last + d)]
    t = _outward(v, np.array(tris))
    # same mean outline as the round sphere: corners a little outside, middles a little inside
    step = math.pi / rings
    radius = 0.5 * (1 + step * step / 12)
    return UnitMesh(radius * v, t, v[t], np.zeros(len(t), np.int64))


@cache
def unit_mesh(shape: int, sides: int) -> UnitMesh:
    """shape: index into SHAPES."""
    return _box() if shape == 0 else (_cylinder, _cone, _sphere)[shape - 1](sides)


def mesh_of(scene: Scene) -> Mesh:
    """All triangles: solids first, then two of the floor, then two of the ceiling."""
    solids = solids_of(scene)
    finer = np.array([limit for limit, _ in SIDES[:-1]])
    detail = np.searchsorted(finer, solids.size[:, 0]) * (solids.shape > 0)
    vertices, triangles, instance, surface, colour, normals, curved = [], [], [], [], [], [], []
    at = 0
    for kind, level in sorted(set(zip(solids.shape.tolist(), detail.tolist(), strict=True))):
        rows = np.flatnonzero((solids.shape == kind) & (detail == level))
        unit = unit_mesh(kind, SIDES[level][1])
        v, t, n = _instances(solids, rows, unit)
        nv, nt = len(unit.vertices), len(unit.triangles)
        vertices.append(v)
        triangles.append(t + at)
        at += len(rows) * nv
        instance.append(np.repeat(solids.instance[rows], nt))
        surface.append((rows[:, None] * 8 + unit.face).reshape(-1))
        colour.append(np.repeat(solids.colour[rows], nt, axis=0))
        normals.append(n)
        curved.append(np.tile((np.ptp(unit.normals, axis=1) > 1e-9).any(1), len(rows)))
    x0, y0, x1, y1 = scene.bounds
    for z, what, tint in (
        (0.0, FLOOR, (1.0, 1.0, 1.0)),
        (scene.wall_height_m, CEILING, CEILING_COLOUR),
    ):
        vertices.append(np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]))
        triangles.append(np.array([[0, 1, 2], [0, 2, 3]]) + at)
        at += 4
        instance.append(np.full(2, what))
        surface.append(np.full(2, 8 * len(solids) - what))
        colour.append(np.array([tint, tint], np.float32))
        normals.append(np.tile(np.array([0.0, 0.0, 1.0 if what == FLOOR else -1.0]), (2, 3, 1)))
        curved.append(np.zeros(2, bool))
    light = lambert(np.concatenate(normals), scene)
    return Mesh(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        np.append(np.concatenate(instance), NOTHING).astype(np.int32),
        np.append(np.concatenate(surface), -1).astype(np.int32),
        np.concatenate([*colour, [OUTSIDE]]).astype(np.float32),
        np.concatenate([light, np.ones((1, 3))]).astype(np.float32),
        np.append(np.concatenate(curved), False),
    )


def _instances(
    solids: Solids, rows: np.ndarray, unit: UnitMesh
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and corner normals of all solids of one shape."""
    size, turn = solids.size[rows], solids.rotation[rows]
    v = unit.vertices[None] * size[:, None]
    v = v @ turn.transpose(0, 2, 1) + solids.position[rows][:, None]
    offsets = np.arange(len(rows)) * len(unit.vertices)
    t = unit.triangles[None] + offsets[:, None, None]
    n = unit.normals.reshape(1, -1, 3) / size[:, None]
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    n = n @ turn.transpose(0, 2, 1)
    return v.reshape(-1, 3), t.reshape(-1, 3), n.reshape(-1, 3, 3)
