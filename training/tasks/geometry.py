"""Free places in a scene and where its objects lie as seen from there, for many places at once.

In: scenes and arrays of planar poses (x, y, yaw). Out: arrays. Nothing is rendered here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ipt_training.scenes.scene import Scene

#: Nobody stands closer than this to a wall or an object.
STAND_CLEAR_M = 0.4


@dataclass(frozen=True)
class ObjectTable:
    """The objects of a scene as arrays. centre: N x 3, m, of the middle of each object."""

    xy: np.ndarray
    yaw: np.ndarray
    half: np.ndarray
    height: np.ndarray

    @staticmethod
    def of(scene: Scene) -> ObjectTable:
        objects = scene.objects
        return ObjectTable(
            xy=np.array([o.position[:2] for o in objects], float).reshape(-1, 2),
            yaw=np.array([o.yaw for o in objects], float),
            half=0.5 * np.array([o.footprint for o in objects], float).reshape(-1, 2),
            height=np.array([o.height_m for o in objects], float),
        )

    @property
    def centre(self) -> np.ndarray:
        return np.concatenate([self.xy, 0.5 * self.height[:, None]], axis=1)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """P x N: from floor points (P x 2) to each footprint, m; 0 inside."""
        delta = points[:, None, :] - self.xy[None]
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        u = np.abs(c * delta[..., 0] + s * delta[..., 1]) - self.half[:, 0]
        v = np.abs(-s * delta[..., 0] + c * delta[..., 1]) - self.half[:, 1]
        return np.asarray(np.hypot(np.maximum(u, 0), np.maximum(v, 0)))


def room_of(scene: Scene, points: np.ndarray, margin_m: float) -> np.ndarray:
    """P: index of the room whose interior, shrunk by `margin_m`, holds each point; -1 for none."""
    found = np.full(len(points), -1)
    for i, room in enumerate(scene.rooms):
        x0, y0, x1, y1 = room.interior
        inside = (
            (points[:, 0] >= x0 + margin_m)
            & (points[:, 0] <= x1 - margin_m)
            & (points[:, 1] >= y0 + margin_m)
            & (points[:, 1] <= y1 - margin_m)
        )
        found[inside] = i
    return found


def is_free(
    scene: Scene, table: ObjectTable, points: np.ndarray, clear_m: float = STAND_CLEAR_M
) -> np.ndarray:
    """P: whether nothing is within `clear_m` of each point of the floor."""
    free = room_of(scene, points, clear_m) >= 0
    if len(table.xy):
        free &= (table.distance(points) >= clear_m).all(axis=1)
    return np.asarray(free)


def free_points(
    scene: Scene,
    table: ObjectTable,
    rng: np.random.Generator,
    number: int,
    clear_m: float = STAND_CLEAR_M,
) -> np.ndarray:
    """Up to `number` free places, uniform over the floor: K x 2 with K <= number."""
    rooms = [r.interior for r in scene.rooms]
    areas = np.array([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in rooms])
    which = rng.choice(len(rooms), number, p=areas / areas.sum())
    low = np.array([r[:2] for r in rooms])[which]
    high = np.array([r[2:] for r in rooms])[which]
    points = low + rng.uniform(size=(number, 2)) * (high - low)
    return points[is_free(scene, table, points, clear_m)]


def to_body(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """World points (... x 2) in the body frames of planar poses (... x 3: x, y, yaw): forward,
    left.
    """
    delta = points - pose[..., :2]
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    return np.stack(
        [c * delta[..., 0] + s * delta[..., 1], -s * delta[..., 0] + c * delta[..., 1]], axis=-1
    )


def moved(pose: np.ndarray, forward: np.ndarray, left: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Planar poses after a shift in the body frame and then a turn: ... x 3."""
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    return np.stack(
        [
            pose[..., 0] + c * forward - s * left,
            pose[..., 1] + s * forward + c * left,
            pose[..., 2] + turn,
        ],
        axis=-1,
    )


def camera_points(points: np.ndarray, world_from_camera: np.ndarray) -> np.ndarray:
    """World points (N x 3) in the optical frame: right, down, forward, m."""
    return np.asarray((points - world_from_camera[:3, 3]) @ world_from_camera[:3, :3])
