"""Is every room of a scene open to a robot?

In: a `Scene`. Out: the rooms that are not.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ipt_training.scenes.grids import occupancy, passable
from ipt_training.scenes.scene import Scene
from ipt_training.scenes.solids import footprints_of

ROBOT_RADIUS_M = 0.3
#: A room counts as reachable when the robot gets to at least this share of the places it would fit
#: in.
MIN_SHARE = 0.6


def unreachable_rooms(
    scene: Scene, robot_radius_m: float = ROBOT_RADIUS_M, coarse: bool = False
) -> list[int]:
    """Rooms where the robot, coming through the doors from the others, cannot reach most free
    places.

    coarse: takes footprints for the objects: faster, never finds more room than there is.
    """
    grid = occupancy(scene, 0.1, solids=footprints_of(scene) if coarse else None)
    free = passable(grid, robot_radius_m)
    labels, count = ndimage.label(free)
    if count == 0:
        return list(range(len(scene.rooms)))
    main = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    missing = []
    for i, room in enumerate(scene.rooms):
        (r0, r1), (c0, c1) = grid.indices(
            np.array([(room.x_min, room.y_min), (room.x_max, room.y_max)])
        )
        part = labels[r0:r1, c0:c1]
        here, fits = int((part == main).sum()), int((part > 0).sum())
        if here < max(1, MIN_SHARE * fits):
            missing.append(i)
    return missing
