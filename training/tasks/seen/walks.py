"""From where a robot may have looked before it is asked: it turned on the spot, or walked up to
where it stands now and looked about on the way.

In: a scene and where the robot stands. Out: camera poses in the order in which it took them.
Nothing is drawn here.
"""

from __future__ import annotations

import math

import numpy as np

from ipt_training.scenes.camera import camera_pose
from ipt_training.scenes.scene import Scene
from ipt_training.tasks.geometry import STAND_CLEAR_M, ObjectTable, free_points, is_free

#: Headings of a turn on the spot, a step apart.
TURNS = 8
#: It came from no further than this in a straight line, and looked up so often on the way.
WAY_M = 5.0
WAYS, STOPS = 3, 3
#: How far it glances aside while it walks, rad.
GLANCE_RAD = 0.6


def earlier_poses(
    scene: Scene,
    rng: np.random.Generator,
    now: tuple[float, float, float],
    height_m: float,
    pitch: float,
) -> list[np.ndarray]:
    """now: x, y, yaw. Poses of what it may have seen on up to WAYS ways to here, and on a turn
    here that ends as it looks now (which is not among them).
    """
    x, y, yaw = now
    poses = []
    here = np.array([x, y])
    table = ObjectTable.of(scene)
    starts = free_points(scene, table, rng, 40)
    away = np.hypot(*(starts - here).T)
    steps = np.linspace(0, 1, 12)[:, None, None]
    along = starts + steps * (here - starts)
    # the place where it stands may be nearer to something than it would choose to walk
    clear = is_free(scene, table, along[:-2].reshape(-1, 2), 0.6 * STAND_CLEAR_M)
    straight = clear.reshape(len(along) - 2, len(starts)).all(axis=0)
    for start in starts[straight & (away > 0.5) & (away < WAY_M)][:WAYS]:
        heading = math.atan2(y - start[1], x - start[0])
        for share in np.arange(STOPS) / STOPS:
            place = start + share * (here - start)
            # at the far end it looks about, on the way it looks ahead
            spread = math.pi if share == 0 else GLANCE_RAD
            look = heading + float(rng.uniform(-spread, spread))
            poses.append(camera_pose(float(place[0]), float(place[1]), look, height_m, pitch))
    for k in range(1, TURNS):
        poses.append(camera_pose(x, y, yaw + 2 * math.pi * k / TURNS, height_m, pitch))
    return poses
