"""What a colour-and-depth picture shows from another viewpoint: seen surfaces moved there, the
rest marked as unknown.

In: RGB, depth, pinhole intrinsics and two poses. Out: RGB, depth and a mask of what was seen.
numpy only; the robot and the datasets call the same function. Frames: optical (z forward, x right,
y down); a pose takes camera points to the world.
"""

from __future__ import annotations

import math

import numpy as np

from ipt_model.spatial.lens import Pinhole
from ipt_model.spatial.recalled import HOLE_RGB, RecalledView

#: Columns: the optical axes (right, down, forward) in the camera's body (forward, left, up).
BODY_FROM_OPTICAL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
_NEAR_M = 0.05
_MAX_PATCH_PX = 48
_CHUNK = 4_000_000


def warp_rgbd(
    rgb: np.ndarray,
    depth_m: np.ndarray,
    intrinsics: Pinhole,
    source_pose: np.ndarray,
    target_pose: np.ndarray,
    target_intrinsics: Pinhole | None = None,
    size: tuple[int, int] | None = None,
) -> RecalledView:
    """Forward warp. Each pixel with depth is a small flat patch, drawn where it lands; the nearest
    patch wins.

    rgb: H x W x 3 uint8. depth_m: H x W along the optical axis; 0, negative or not finite where
    unknown. Poses: 4 x 4, world from optical camera. target_intrinsics and size (height, width) of
    the new picture: the source's when None.
    """
    _check(rgb, depth_m, source_pose, target_pose)
    out_h, out_w = size if size is not None else depth_m.shape
    if out_h < 1 or out_w < 1:
        raise ValueError(f"size: expected a positive height and width, got {(out_h, out_w)}")
    target = target_intrinsics if target_intrinsics is not None else intrinsics
    depth = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, 0).astype(np.float64)
    rows, cols = np.nonzero(depth)
    motion = np.linalg.inv(target_pose) @ source_pose
    corners, centre_z = _patches(depth, rows, cols, intrinsics, target, motion)
    keep = (centre_z > _NEAR_M) & np.isfinite(corners).all((0, 1))
    low, high = corners.min(0), corners.max(0)
    keep &= (high > 0).all(0) & (low[0] < out_w) & (low[1] < out_h)
    corners, centre_z = corners[..., keep], centre_z[keep]
    low, high = low[:, keep], high[:, keep]
    source = rows[keep] * depth.shape[1] + cols[keep]
    winner = _draw(corners, low, high, centre_z, out_h, out_w)
    seen = winner >= 0
    out_rgb = np.empty((out_h, out_w, 3), np.uint8)
    out_rgb[:] = HOLE_RGB
    out_depth = np.zeros((out_h, out_w), np.float32)
    out_rgb[seen] = rgb.reshape(-1, 3)[source[winner[seen]]]
    out_depth[seen] = centre_z[winner[seen]]
    return RecalledView(out_rgb, out_depth, seen)


def _check(
    rgb: np.ndarray, depth: np.ndarray, source_pose: np.ndarray, target_pose: np.ndarray
) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb: expected H x W x 3 uint8, got {rgb.shape} {rgb.dtype}")
    if depth.shape != rgb.shape[:2]:
        raise ValueError(f"depth_m: expected the size of rgb {rgb.shape[:2]}, got {depth.shape}")
    for name, pose in (("source_pose", source_pose), ("target_pose", target_pose)):
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError(f"{name}: expected a finite 4 x 4 matrix, got shape {pose.shape}")


def _patches(
    depth: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    source: Pinhole,
    target: Pinhole,
    motion: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the four corners of each pixel land (4 x 2 x N pixels, NaN behind the camera), and its
    new depth (N). N comes last because numpy is slow at reducing short last axes.
    """
    inverse = np.zeros_like(depth)
    np.divide(1.0, depth, out=inverse, where=depth > 0)
    slope_u = _slope(inverse, 1)[rows, cols]
    slope_v = _slope(inverse, 0)[rows, cols]
    w = inverse[rows, cols]
    # the middle of the pixel, then its corners
    du = np.array([0.0, -0.5, 0.5, 0.5, -0.5])[:, None]
    dv = np.array([0.0, -0.5, -0.5, 0.5, 0.5])[:, None]
    # inverse depth is linear over a plane; keep a corner within a factor of two of its pixel
    z = 1.0 / np.clip(w + slope_u * du + slope_v * dv, 0.5 * w, 2.0 * w)
    x = (cols + (0.5 + du) - source.cx) / source.fx * z
    y = (rows + (0.5 + dv) - source.cy) / source.fy * z
    points = np.stack([x, y, z]).reshape(3, -1)
    moved = (motion[:3, :3] @ points + motion[:3, 3:]).reshape(3, 5, -1)
    front = np.where(moved[2, 1:] > _NEAR_M, moved[2, 1:], np.nan)
    u = moved[0, 1:] / front * target.fx + target.cx
    v = moved[1, 1:] / front * target.fy + target.cy
    return np.stack([u, v], axis=1), moved[2, 0]


def _slope(inverse: np.ndarray, axis: int) -> np.ndarray:
    """Change of inverse depth per pixel: of both sides the smaller, so that no patch spans an
    edge.
    """
    step = np.diff(inverse, axis=axis)
    both = np.minimum(
        inverse.take(range(1, inverse.shape[axis]), axis),
        inverse.take(range(inverse.shape[axis] - 1), axis),
    )
    step = np.where(both > 0, step, np.inf)
    edge = np.full_like(inverse.take([0], axis), np.inf)
    ahead, behind = np.concatenate([step, edge], axis), np.concatenate([edge, step], axis)
    slope = np.where(np.abs(ahead) < np.abs(behind), ahead, behind)
    return np.where(np.isfinite(slope), slope, 0.0)


def _draw(
    corners: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    depth: np.ndarray,
    out_h: int,
    out_w: int,
) -> np.ndarray:
    """Index of the nearest patch over each pixel's centre: H x W int64, -1 for none."""
    if len(depth) == 0:
        return np.full((out_h, out_w), -1, np.int64)
    slack = 0.25  # px; neighbouring patches do not share their corners exactly
    first = np.floor(np.maximum(low - slack, 0) + 0.5).astype(np.int64)
    last = np.ceil(np.minimum(high + slack, [[out_w], [out_h]]) - 0.5).astype(np.int64)
    spans = np.clip(last - first, 0, _MAX_PATCH_PX)
    counts = spans[0] * spans[1]
    # nearest wins: depth in the upper half of the key, the patch in the lower
    key = (np.minimum(depth, 4000.0) * 5e5).astype(np.int64) << 32 | np.arange(len(depth))
    best = np.full(out_h * out_w, np.iinfo(np.int64).max)
    one = counts == 1  # its box holds a single pixel centre: no need to look at the edges
    np.minimum.at(best, first[1, one] * out_w + first[0, one], key[one])
    wide = np.flatnonzero(counts > 1)
    normals, reach = _edges(corners[..., wide], slack)
    counts, first, spans, key = counts[wide], first[:, wide], spans[:, wide], key[wide]
    for part in np.array_split(np.arange(len(wide)), int(counts.sum()) // _CHUNK + 1):
        n = counts[part]
        owner = np.repeat(part, n)
        if len(owner) == 0:
            continue
        step = np.arange(len(owner)) - np.repeat(np.cumsum(n) - n, n)
        up, right = np.divmod(step, spans[0, owner])
        u = right + first[0, owner]
        v = up + first[1, owner]
        x, y = u.astype(np.float32) + np.float32(0.5), v.astype(np.float32) + np.float32(0.5)
        inside = np.ones(len(owner), bool)
        for k in range(4):
            nx, ny, r = normals[k, 0][owner], normals[k, 1][owner], reach[k][owner]
            inside &= x * nx + y * ny <= r
        np.minimum.at(best, (v * out_w + u)[inside], key[owner[inside]])
    found = best != np.iinfo(np.int64).max
    return np.where(found, best & 0xFFFFFFFF, -1).reshape(out_h, out_w)


def _edges(corners: np.ndarray, slack: float) -> tuple[np.ndarray, np.ndarray]:
    """Outward unit normals (4 x 2 x N) and distances from the origin (4 x N) of patch edges,
    float32. corners: 4 x 2 x N.
    """
    middle = corners.mean(0)
    normals = np.empty(corners.shape, np.float32)
    reach = np.empty((4, corners.shape[2]), np.float32)
    for k in range(4):
        a, b = corners[k], corners[(k + 1) % 4]
        normal = np.stack([b[1] - a[1], a[0] - b[0]])
        normal /= np.hypot(normal[0], normal[1]) + 1e-12
        # outwards, whichever way the patch is turned
        normal *= np.where(((middle - a) * normal).sum(0) > 0, -1.0, 1.0)
        normals[k] = normal
        reach[k] = (a * normal).sum(0) + slack
    return normals, reach


def beside(one: np.ndarray, other: np.ndarray, apart_m: float, apart_rad: float) -> bool:
    """Whether two poses are no farther apart, m, and turned no more, rad."""
    moved_m = float(np.linalg.norm(one[:3, 3] - other[:3, 3]))
    cosine = 0.5 * (float(np.trace(one[:3, :3].T @ other[:3, :3])) - 1.0)
    return moved_m <= apart_m and cosine >= math.cos(apart_rad)
