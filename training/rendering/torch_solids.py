"""Rays against boxes, cylinders, cones and spheres in torch, exact (no triangles), for many views
at once.

In: solids in one table per shape, padded, and camera rays. Out: distance and row of the nearest
solid per ray, and the normals there. Every shape is met in its own frame, where it has extent 1
around the origin. Knows no scene, no colour.
"""

from __future__ import annotations

import torch

_FAR = float("inf")
_TINY = 1e-12


def apply(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """... x 3 x 3 matrices on P x 3 vectors: ... x 3 x P. Not a matmul, so that neither TF32 nor
    autocast of a training run rounds the rays.
    """
    x, y, z = vectors.unbind(1)
    a, b, c = (matrices[..., k, None] for k in range(3))
    return torch.addcmul(torch.addcmul(a * x, b, y), c, z)


def nearest(
    shape: int, local_from_camera: torch.Tensor, eye: torch.Tensor, rays: torch.Tensor, chunk: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest hit in front, per ray.

    shape: index into SHAPES. local_from_camera: B x N x 3 x 3. eye: B x N x 3, the camera in each
    solid's frame. rays: P x 3 directions in the camera's frame. chunk: solids at a time. Returns
    distance B x P in lengths of the ray (inf for none) and the row of the solid B x P int64.
    """
    batch, count = eye.shape[:2]
    best = torch.full((batch, len(rays)), _FAR, device=eye.device)
    row = torch.zeros((batch, len(rays)), dtype=torch.int64, device=eye.device)
    meet = (_box, _cylinder, _cone, _sphere)[shape]
    for start in range(0, count, chunk):
        turn = local_from_camera[:, start : start + chunk]
        way = apply(turn, rays)
        at = eye[:, start : start + chunk, :, None]
        # to the point of the ray nearest the middle, for precision: numbers are then of order 1
        square = (way * way).sum(2).clamp_min(_TINY)
        shift = -(at * way).sum(2) / square
        t = shift + meet(at + shift[:, :, None] * way, way)
        t = torch.where(t > 0, t, _FAR)
        t, which = t.min(1)
        closer = t < best
        best = torch.where(closer, t, best)
        row = torch.where(closer, which + start, row)
    return best, row


def normals(shape: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    """Outward normals in the solids' frames, of any length. shape: ... int64; point: ... x 3 on
    the surface.
    """
    x, y, z = point.unbind(-1)
    zero = torch.zeros_like(x)
    size = point.abs()
    axis = torch.nn.functional.one_hot(size.argmax(-1), 3).to(point.dtype)
    box = axis * point.sign()
    cap = torch.stack([zero, zero, z.sign()], -1)
    # on a cap if the height says so more than the radius does
    r = torch.hypot(x, y)
    cylinder = torch.where(
        (z.abs() - 0.5 >= r - 0.5)[..., None], cap, torch.stack([x, y, zero], -1)
    )
    side = torch.stack([x, y, 0.5 * r], -1)
    cone = torch.where((-0.5 - z >= r - 0.5 * (0.5 - z))[..., None], -cap.abs(), side)
    kind = shape[..., None]
    return torch.where(
        kind == 0, box, torch.where(kind == 1, cylinder, torch.where(kind == 2, cone, point))
    )


def _box(at: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    inverse = 1.0 / torch.where(way.abs() < _TINY, torch.full_like(way, _TINY), way)
    a, b = (-0.5 - at) * inverse, (0.5 - at) * inverse
    enter = torch.minimum(a, b).amax(2)
    leave = torch.maximum(a, b).amin(2)
    return torch.where(enter <= leave, enter, _FAR)


def _sphere(at: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    inside = 0.25 - (at * at).sum(2)
    square = (way * way).sum(2).clamp_min(_TINY)
    t = -torch.sqrt(inside.clamp_min(0) / square)
    return torch.where(inside >= 0, t, _FAR)


def _cylinder(at: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    (x, y, z), (dx, dy, dz) = at.unbind(2), way.unbind(2)
    a = (dx * dx + dy * dy).clamp_min(_TINY)
    half = (x * dx + y * dy) / a
    root = half * half - (x * x + y * y - 0.25) / a
    side = -half - torch.sqrt(root.clamp_min(0))
    good = (root >= 0) & ((z + side * dz).abs() <= 0.5)
    dz = torch.where(dz.abs() < _TINY, torch.full_like(dz, _TINY), dz)
    cap = (torch.where(dz < 0, 0.5, -0.5) - z) / dz
    px, py = x + cap * dx, y + cap * dy
    lid = px * px + py * py <= 0.25
    return torch.minimum(torch.where(good, side, _FAR), torch.where(lid, cap, _FAR))


def _cone(at: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    (x, y, z), (dx, dy, dz) = at.unbind(2), way.unbind(2)
    w, dw = 0.5 - z, -dz  # from the tip down; the radius is half of it
    a = dx * dx + dy * dy - 0.25 * dw * dw
    a = torch.where(a.abs() < _TINY, torch.full_like(a, _TINY), a)
    half = x * dx + y * dy - 0.25 * w * dw
    c = x * x + y * y - 0.25 * w * w
    root = half * half - a * c
    reach = torch.sqrt(root.clamp_min(0))
    best = torch.full_like(x, _FAR)
    for t in ((-half - reach) / a, (-half + reach) / a):
        down = w + t * dw
        good = (root >= 0) & (down >= 0) & (down <= 1)
        best = torch.minimum(best, torch.where(good, t, _FAR))
    dz = torch.where(dz.abs() < _TINY, torch.full_like(dz, _TINY), dz)
    cap = (-0.5 - z) / dz
    px, py = x + cap * dx, y + cap * dy
    lid = px * px + py * py <= 0.25
    return torch.minimum(best, torch.where(lid, cap, _FAR))
