"""Occupancy grids: the truth of a scene, what a camera with depth has seen of it, and where a
robot fits.

In: a `Scene`, or a grid and depth views. Out: `OccupancyGrid`s. Distances are for a
disc-shaped robot. No rendering, no ROS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.scene import Scene, SceneError
from ipt_training.scenes.solids import Solids, solids_of

#: What a robot of ordinary height can hit; the floor and anything above its head do not count.
ROBOT_SLAB_M = (0.02, 1.3)


def occupancy(
    scene: Scene,
    resolution_m: float = 0.05,
    slab_m: tuple[float, float] = ROBOT_SLAB_M,
    margin_m: float = 0.0,
    solids: Solids | None = None,
) -> OccupancyGrid:
    """The truth. A cell is occupied if any solid between the heights of `slab_m` covers any part
    of it.

    Outside the rooms everything is occupied. margin_m: grows the grid around the house.
    solids: what stands in it, if it is at hand or should not be the scene's own.
    """
    if resolution_m <= 0:
        raise SceneError(f"resolution_m={resolution_m}: expected a positive length")
    x0, y0, x1, y1 = scene.bounds
    x0, y0, x1, y1 = x0 - margin_m, y0 - margin_m, x1 + margin_m, y1 + margin_m
    w = math.ceil((x1 - x0) / resolution_m - 1e-6)
    h = math.ceil((y1 - y0) / resolution_m - 1e-6)
    blocked = np.ones((h, w), bool)
    xs = x0 + (np.arange(w) + 0.5) * resolution_m
    ys = y0 + (np.arange(h) + 0.5) * resolution_m
    for room in scene.rooms:
        rows = slice(*np.searchsorted(ys, (room.y_min, room.y_max)))
        cols = slice(*np.searchsorted(xs, (room.x_min, room.x_max)))
        blocked[rows, cols] = False
    _mark(blocked, xs, ys, resolution_m, solids_of(scene) if solids is None else solids, slab_m)
    cells = np.where(blocked, OCCUPIED, FREE).astype(np.int8)
    return OccupancyGrid(cells, resolution_m, (x0, y0))


_CIRCLE = np.stack(
    [np.cos(np.arange(32) * np.pi / 16), np.sin(np.arange(32) * np.pi / 16)], axis=1
) / math.cos(math.pi / 32)
_NEXT = {n: np.roll(np.arange(n), -1) for n in range(3, 33)}
_CUBE = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def _square(
    solids: Solids, i: int, slab_m: tuple[float, float]
) -> tuple[float, float, float, float] | None:
    """x_min, y_min, x_max, y_max of an upright box along the axes; None for anything else or
    outside the slab.
    """
    if solids.shape[i] != 0 or solids.rotation[i, 0, 0] != 1 or solids.rotation[i, 2, 2] != 1:
        return None
    (x, y, z), (sx, sy, sz) = solids.position[i], solids.size[i]
    if z + sz / 2 <= slab_m[0] or z - sz / 2 >= slab_m[1]:
        return None
    return x - sx / 2, y - sy / 2, x + sx / 2, y + sy / 2


def _outline(solids: Solids, i: int, slab_m: tuple[float, float]) -> np.ndarray | None:
    """Convex floor outline of what solid i has within the slab: K x 2, counter-clockwise; None if
    nothing.
    """
    low, high = slab_m
    size, rotation, position = solids.size[i], solids.rotation[i], solids.position[i]
    upright = rotation[2, 2] > 1 - 1e-9
    shape = int(solids.shape[i])
    if shape == 3:
        r, z = 0.5 * size[0], position[2]
        if z + r <= low or z - r >= high:
            return None
        off = max(0.0, low - z, z - high)
        return np.asarray(position[:2] + _CIRCLE * math.sqrt(max(0.0, r * r - off * off)))
    if not upright:  # tilted parts: everything they have, over all heights (never too little)
        corners = _CUBE * size @ rotation.T + position
        if corners[:, 2].max() <= low or corners[:, 2].min() >= high:
            return None
        return _hull(corners[:, :2])
    bottom, top = position[2] - 0.5 * size[2], position[2] + 0.5 * size[2]
    if top <= low or bottom >= high:
        return None
    if shape == 0:
        square = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]) * size[:2]
        return np.asarray(square @ rotation[:2, :2].T + position[:2])
    r = 0.5 * size[0]
    if shape == 2:
        r *= min(1.0, (top - max(low, bottom)) / size[2])
    return np.asarray(position[:2] + _CIRCLE * r)


def _hull(points: np.ndarray) -> np.ndarray:
    from scipy.spatial import ConvexHull

    return np.asarray(points[ConvexHull(points).vertices])


def _mark(
    blocked: np.ndarray,
    xs: np.ndarray,
    ys: np.ndarray,
    res: float,
    solids: Solids,
    slab_m: tuple[float, float],
) -> None:
    half = 0.5 * res
    for i in range(len(solids)):
        square = _square(solids, i, slab_m)
        outline = None if square is not None else _outline(solids, i, slab_m)
        if square is not None:
            ax, ay, bx, by = square
        elif outline is not None:
            (ax, ay), (bx, by) = outline.min(0), outline.max(0)
        else:
            continue
        # strictly overlapping cells only: a wall that ends on a cell border leaves the next cell
        # free
        c0, c1 = np.searchsorted(xs, (ax - half + 1e-6, bx + half - 1e-6))
        r0, r1 = np.searchsorted(ys, (ay - half + 1e-6, by + half - 1e-6))
        if c0 >= c1 or r0 >= r1:
            continue
        if outline is None:
            blocked[r0:r1, c0:c1] = True
            continue
        edge = outline[_NEXT[len(outline)]] - outline
        normal = edge[:, ::-1] * (1, -1)  # outward, as long as the edge
        reach = (normal * outline).sum(1) + half * np.abs(normal).sum(1) - 1e-6
        across = xs[c0:c1, None] * normal[:, 0] - reach  # columns x edges
        up = ys[r0:r1, None] * normal[:, 1]
        inside = (across[None] + up[:, None] < 0).all(-1)
        blocked[r0:r1, c0:c1] |= inside


def clearance_m(grid: OccupancyGrid, unknown_blocks: bool = True) -> np.ndarray:
    """Distance from each cell's centre to the nearest blocked cell's edge, about: H x W float64,
    m, 0 when blocked.
    """
    blocked = grid.cells == OCCUPIED
    if unknown_blocks:
        blocked |= grid.cells == UNKNOWN
    padded = np.pad(blocked, 1, constant_values=True)
    cells = ndimage.distance_transform_edt(~padded)[1:-1, 1:-1]
    return np.asarray(np.maximum(0.0, (cells - 0.5) * grid.resolution_m))


def passable(
    grid: OccupancyGrid, robot_radius_m: float = 0.3, unknown_blocks: bool = True
) -> np.ndarray:
    """Cells where the middle of the robot may be: H x W bool."""
    return clearance_m(grid, unknown_blocks) >= robot_radius_m


def reachable(
    grid: OccupancyGrid, start: tuple[float, float], robot_radius_m: float = 0.3
) -> np.ndarray:
    """Cells the middle of the robot can be driven to from `start` (x, y, m): H x W bool, all False
    if it is stuck.
    """
    free = passable(grid, robot_radius_m)
    labels, _ = ndimage.label(free)
    row, column = grid.indices(np.array(start))
    if not grid.inside(row, column) or labels[row, column] == 0:
        return np.zeros_like(free)
    return np.asarray(labels == labels[row, column])


def observed(
    shape: OccupancyGrid,
    views: Sequence[tuple[np.ndarray, Camera, np.ndarray]],
    slab_m: tuple[float, float] = ROBOT_SLAB_M,
    max_range_m: float = 8.0,
    clear_below_m: float = 0.25,
) -> OccupancyGrid:
    """The partial map that depth views give: free where the floor was seen or a ray passed close
    above it, occupied where a surface within the slab was hit, unknown (-1) elsewhere.

    shape: a grid of which only origin, resolution and size are read. views: (depth_m, camera,
    world_from_camera) each. clear_below_m: rays higher than this say nothing about the floor under
    them, they may pass over something low. A cell that one ray passes and another hits is
    occupied.
    """
    h, w = shape.cells.shape
    free = np.zeros(h * w, bool)
    hit = np.zeros(h * w, bool)
    for depth, camera, pose in views:
        _trace(free, hit, shape, (depth, camera, pose), slab_m, max_range_m, clear_below_m)
    cells = np.full(h * w, UNKNOWN, np.int8)
    cells[free] = FREE
    cells[hit] = OCCUPIED
    return OccupancyGrid(cells.reshape(h, w), shape.resolution_m, shape.origin_xy)


def _trace(
    free: np.ndarray,
    hit: np.ndarray,
    shape: OccupancyGrid,
    view: tuple[np.ndarray, Camera, np.ndarray],
    slab_m: tuple[float, float],
    max_range_m: float,
    clear_below_m: float,
) -> None:
    from ipt_training.scenes.projection import unproject

    depth, camera, pose = view
    points = unproject(depth, camera, pose)  # H x W x 3
    valid = depth > 0
    ends = points[valid].astype(np.float64)
    eye = pose[:3, 3]
    ray = ends - eye
    length = np.linalg.norm(ray, axis=1)
    near = length <= max_range_m
    # step back or forward a hair so that a surface on a cell border lands in the cell of its solid
    low, high = slab_m
    surface = near & (ends[:, 2] >= low) & (ends[:, 2] <= high)
    into = ends[surface] + ray[surface] * (1e-3 / length[surface])[:, None]
    _set(hit, shape, into[:, :2])
    # the part of each ray close above the floor, up to just before its end
    stop = np.minimum(
        1.0 - 0.5 * shape.resolution_m / np.maximum(length, 1e-6), max_range_m / length
    )
    dz = ray[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = (clear_below_m - eye[2]) / dz
    if eye[2] <= clear_below_m:
        begin = np.zeros(len(ray))
        stop = np.where((dz > 0) & (cross < stop), cross, stop)
    else:
        begin = np.where(dz < 0, cross, np.inf)
    keep = begin < stop
    begin, stop, ray, length = begin[keep], stop[keep], ray[keep], length[keep]
    # samples a third of a cell apart; rays are grouped by their number of samples to keep memory
    # flat
    flat = np.hypot(ray[:, 0], ray[:, 1])
    counts = np.ceil((stop - begin) * flat / (shape.resolution_m / 3)).astype(np.int64) + 1
    order = np.argsort(counts, kind="stable")
    for part in np.array_split(order, max(1, int(counts.sum()) // 2_000_000 + 1)):
        if len(part) == 0:
            continue
        n = counts[part]
        owner = np.repeat(part, n)
        step = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
        s = begin[owner] + (stop - begin)[owner] * step / np.maximum(1, counts[owner] - 1)
        _set(free, shape, eye[:2] + ray[owner, :2] * s[:, None])
    floor = valid.copy()
    floor[valid] = near & (ends[:, 2] < low)
    _set(free, shape, points[floor][:, :2].astype(np.float64))


def _set(flags: np.ndarray, shape: OccupancyGrid, xy: np.ndarray) -> None:
    row, column = shape.indices(xy)
    flat = row * shape.cells.shape[1] + column
    flags[flat[shape.inside(row, column)]] = True
