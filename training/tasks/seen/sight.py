"""Where a robot stands that is asked whether a path is clear, and the map of what it has seen.

In: a scene and its true map. Out: a `Sight`: poses, cameras, both maps and what was in sight.
Nothing is asked here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, MapView, OccupancyGrid
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import observed, occupancy
from ipt_training.scenes.projection import image_shares
from ipt_training.scenes.scene import Scene
from ipt_training.tasks.geometry import ObjectTable, free_points
from ipt_training.tasks.sampling import Wanted
from ipt_training.tasks.seen.remembered import MOST_VIEWS, memory_of, take_in
from ipt_training.tasks.seen.walks import earlier_poses

PICTURES = PictureGeometry()  # its defaults: what our data are made with
#: What the robot looks at: as far away, and as deep, as leaves something to infer.
TARGET_M = (1.0, 3.2)
MIN_TARGET_M = 0.4
MIN_SHARE = 0.004
LOOK_PX = 64


@dataclass(frozen=True)
class Sight:
    """What the robot knows: its pose (x, y, yaw), its cameras, the truth and the partial map.

    poses: of the cameras it looks with now. earlier: of those it looked with before, oldest first.
    shares: of each object, the largest part of a picture that it filled.
    """

    robot: tuple[float, float, float]
    poses: list[np.ndarray]
    earlier: list[np.ndarray]
    camera_fov: float
    truth: OccupancyGrid
    seen: OccupancyGrid
    shares: np.ndarray
    view: MapView

    @property
    def every_pose(self) -> list[np.ndarray]:
        """Oldest first."""
        return [*self.earlier, *self.poses]

    def shown(self) -> np.ndarray:
        """H x W: cells that the map picture shows, a little away from its border."""
        return self.view.shows(self.seen.centres(), PICTURES)

    def in_frustum(self) -> np.ndarray:
        """H x W: cells in the direction some camera looks: behind things, not behind its back."""
        x, y, _ = self.robot
        centres = self.seen.centres()
        # too near for the camera, but next to the robot
        inside = np.hypot(centres[..., 0] - x, centres[..., 1] - y) < 0.6
        for pose in self.every_pose:
            angle = np.arctan2(centres[..., 1] - pose[1, 3], centres[..., 0] - pose[0, 3])
            heading = math.atan2(pose[1, 2], pose[0, 2])
            off = np.abs((angle - heading + np.pi) % (2 * np.pi) - np.pi)
            inside |= off < 0.5 * self.camera_fov
        return np.asarray(inside)


def look(
    scene: Scene,
    rng: np.random.Generator,
    wanted: Wanted,
    renderer: Renderer,
    truth: OccupancyGrid,
) -> Sight | None:
    """Put the robot somewhere, look with one or two cameras and map what their depth shows."""
    table = ObjectTable.of(scene)
    places = free_points(scene, table, rng, 24)
    away = np.hypot(*(table.xy[None] - places[:, None]).transpose(2, 0, 1))
    near = (away >= TARGET_M[0]) & (away <= TARGET_M[1])
    pairs = np.argwhere(near & (2 * table.half.min(axis=1) >= MIN_TARGET_M))
    if not len(pairs):
        return None
    place, index = pairs[int(rng.integers(len(pairs)))]
    x, y = (float(v) for v in places[place])
    target = table.xy[index]
    yaw = math.atan2(target[1] - y, target[0] - x) + float(rng.uniform(-0.5, 0.5))
    height = float(rng.uniform(0.5, 1.3))
    pitch = math.radians(float(rng.uniform(4, 16)))
    fov = math.radians(float(rng.uniform(80, 100)))
    poses = [camera_pose(x, y, yaw, height, pitch)]
    if wanted.has("two views"):
        side = float(rng.choice((-1.0, 1.0))) * float(rng.uniform(0.6, 1.2))
        poses.append(camera_pose(x, y, yaw + side, height, pitch))
    camera = Camera.from_fov(LOOK_PX, LOOK_PX, fov)
    hits = renderer.cast_views(poses, camera)
    shares = image_shares(hits.instance, len(scene.objects)).max(axis=0)
    if not (shares >= MIN_SHARE).any():
        return None
    view = MapView.ahead((x, y, yaw), LOOK_PX, PICTURES)
    earlier: list[np.ndarray] = []
    if wanted.share_seen is None:
        views = [(hits.depth_m[k], camera, pose) for k, pose in enumerate(poses)]
        seen = observed(truth, views).cells
    else:
        perhaps = earlier_poses(scene, rng, (x, y, yaw), height, pitch)
        found = _remembered(renderer, truth, view, camera, poses, perhaps, wanted.share_seen, rng)
        if found is None:
            return None
        seen, earlier = found
        more = renderer.cast_views(earlier, camera).instance if earlier else hits.instance
        shares = np.maximum(shares, image_shares(more, len(scene.objects)).max(axis=0))
    seen[truth.cells == UNKNOWN] = UNKNOWN
    # the robot knows the floor it stands on
    near = np.hypot(*(truth.centres() - (x, y)).transpose(2, 0, 1)) <= 0.3
    seen[near] = FREE
    # depth sees a surface a little off its cell: what is occupied stays within the truth's outline
    seen[(seen == FREE) & (truth.cells == OCCUPIED)] = OCCUPIED
    seen[(seen == OCCUPIED) & (truth.cells == FREE)] = FREE
    return Sight(
        robot=(x, y, yaw),
        poses=poses,
        earlier=earlier,
        camera_fov=fov,
        truth=truth,
        seen=OccupancyGrid(seen, truth.resolution_m, truth.origin_xy),
        shares=shares,
        view=view,
    )


def _remembered(
    renderer: Renderer,
    truth: OccupancyGrid,
    view: MapView,
    camera: Camera,
    poses: list[np.ndarray],
    perhaps: list[np.ndarray],
    share_seen: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """What the memory holds of the floor, and the poses of its earlier views: as many as show a
    share of the map within `share_seen`. None where that cannot be.
    """
    low, high = share_seen
    aim = float(rng.uniform(low, min(high, 1.0)))
    order = sorted(rng.permutation(len(perhaps))[: MOST_VIEWS - len(poses)].tolist())
    memory = memory_of(renderer, poses, camera, first=len(order))
    for number in range(len(order) + 1):
        some = [perhaps[k] for k in order[:number]]
        if some:
            take_in(memory, renderer, some[-1:], camera, first=number - 1)
        cells = memory.occupancy(truth).cells
        cells[truth.cells == UNKNOWN] = UNKNOWN
        share = float((_values(cells, truth, view) != UNKNOWN).mean())
        if share >= high:
            return None
        if share >= aim or (share >= low and number == len(order)):
            return cells, some
    return None


def _values(cells: np.ndarray, grid: OccupancyGrid, view: MapView) -> np.ndarray:
    """What a map picture shows of these cells, pixel by pixel."""
    shown = OccupancyGrid(cells, grid.resolution_m, grid.origin_xy)
    return shown.values(view.pixel_centres())


def true_map(scene: Scene, cell_m: float) -> OccupancyGrid:
    """The scene's occupancy; what lies outside the house is unknown to everybody for ever."""
    grid = occupancy(scene, cell_m)
    x, y = grid.centres().transpose(2, 0, 1)
    inside = np.zeros(grid.cells.shape, bool)
    for room in scene.rooms:
        inside |= (x >= room.x_min) & (x <= room.x_max) & (y >= room.y_min) & (y <= room.y_max)
    grid.cells[~inside] = UNKNOWN
    return grid


def distance_m(grid: OccupancyGrid, blocked: tuple[int, ...]) -> np.ndarray:
    """H x W: from each cell to the nearest cell of these values, m, 0 inside one."""
    hit = np.isin(grid.cells, blocked)
    if not hit.any():
        return np.full(grid.cells.shape, 99.0)
    distance = ndimage.distance_transform_edt(~hit) * grid.resolution_m
    return np.asarray(np.where(hit, 0.0, distance - 0.5 * grid.resolution_m))
