"""Is a scene a possible place? Nothing in anything else, everything inside its room, every room
open to a robot.

In: a `Scene`. Out: a list of complaints in words, empty when all is well.
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


def check_scene(scene: Scene) -> list[str]:
    """Everything that is wrong with a scene; an empty list means it is valid."""
    return (
        out_of_room(scene)
        + touching_objects(scene)
        + parts_outside_footprint(scene)
        + [
            f"room {i}: a robot of {ROBOT_RADIUS_M} m radius cannot get there"
            for i in unreachable_rooms(scene)
        ]
    )


def out_of_room(scene: Scene) -> list[str]:
    """Objects whose footprint leaves the inside of their room, or that are higher than it."""
    wrong = []
    for i, thing in enumerate(scene.objects):
        room = scene.rooms[thing.room]
        if not all(room.contains(x, y) for x, y in thing.corners()):
            wrong.append(f"object {i} ({thing.name}): stands outside room {thing.room}")
        if thing.height_m >= scene.wall_height_m:
            wrong.append(f"object {i} ({thing.name}): {thing.height_m} m high, room is not")
    return wrong


def touching_objects(scene: Scene) -> list[str]:
    """Pairs of objects whose footprints overlap; a footprint holds all parts of its object."""
    from ipt_training.houses.generator import footprints_overlap

    wrong = []
    for i, a in enumerate(scene.objects):
        for j in range(i):
            if footprints_overlap(a, scene.objects[j]):
                wrong.append(f"objects {j} and {i} ({scene.objects[j].name}, {a.name}): overlap")
    return wrong


def parts_outside_footprint(scene: Scene) -> list[str]:
    """Objects with a part beyond their footprint or below the floor."""
    from ipt_training.scenes.solids import rotation_from_rpy

    wrong = []
    for i, thing in enumerate(scene.objects):
        for part in thing.primitives:
            reach = 0.5 * np.abs(rotation_from_rpy(*part.rpy)) @ np.array(part.size)
            if part.shape == "sphere":
                reach = 0.5 * np.array(part.size)
            high = np.abs(part.position[:2]) + reach[:2]
            if (high > np.array(thing.footprint) / 2 + 1e-9).any():
                wrong.append(f"object {i} ({thing.name}): a {part.shape} leaves the footprint")
            if part.position[2] - reach[2] < -2e-4:  # lengths are rounded to 0.1 mm
                wrong.append(f"object {i} ({thing.name}): a {part.shape} is below the floor")
    return wrong


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
