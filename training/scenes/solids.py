"""All solids of a scene in one flat table in the world frame: what renderers, maps and Gazebo
worlds are made from.

In: a `Scene`. Out: `Solids`, one row per primitive (objects' parts and the wall boxes; the floor
is no solid).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ipt_training.scenes.scene import SHAPES, WALL, Primitive, Scene


@dataclass(frozen=True)
class Solids:
    """N rows. Every solid fills its shape scaled to `size` around its own origin, then rotated and
    moved.

    shape: N int64, index into SHAPES. size: N x 3, m. rotation: N x 3 x 3, world from solid.
    position: N x 3, m. colour: N x 3 float32, 0-1. instance: N int64, index of the object or WALL.
    room: N int64. All else float64.
    """

    shape: np.ndarray
    size: np.ndarray
    rotation: np.ndarray
    position: np.ndarray
    colour: np.ndarray
    instance: np.ndarray
    room: np.ndarray

    def __len__(self) -> int:
        return len(self.shape)


def rotation_from_rpy(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """3 x 3, as SDF and URDF: turn about x, then y, then z of the fixed frame."""
    cr, sr = math.cos(roll), math.sin(roll)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def solids_of(scene: Scene) -> Solids:
    """The table: objects in order of their index, then walls, then what hangs on them."""
    shape: list[int] = []
    size: list[tuple[float, float, float]] = []
    rotation: list[np.ndarray] = []
    position: list[np.ndarray] = []
    colour: list[tuple[int, int, int]] = []
    instance: list[int] = []
    room: list[int] = []
    for index, thing in enumerate(scene.objects):
        turn = rotation_from_rpy(0.0, 0.0, thing.yaw)
        origin = np.array(thing.position)
        for part in thing.primitives:
            shape.append(SHAPES.index(part.shape))
            size.append(part.size)
            own = turn if part.rpy == (0.0, 0.0, 0.0) else turn @ rotation_from_rpy(*part.rpy)
            rotation.append(own)
            position.append(origin + turn @ np.array(part.position))
            colour.append(part.colour)
            instance.append(index)
            room.append(thing.room)
    for wall in scene.walls:
        for centre, extent in wall.boxes():
            shape.append(0)
            size.append(extent)
            rotation.append(np.eye(3))
            position.append(np.array(centre))
            colour.append(scene.rooms[wall.room].wall_colour)
            instance.append(WALL)
            room.append(wall.room)
    for fixture in scene.fixtures:
        for part in fixture.primitives:
            shape.append(SHAPES.index(part.shape))
            size.append(part.size)
            rotation.append(rotation_from_rpy(*part.rpy))
            position.append(np.array(part.position))
            colour.append(part.colour)
            instance.append(WALL)
            room.append(fixture.room)
    return Solids(
        np.array(shape, np.int64),
        np.array(size, np.float64),
        np.array(rotation, np.float64),
        np.array(position, np.float64),
        np.array(colour, np.float32) / np.float32(255),
        np.array(instance, np.int64),
        np.array(room, np.int64),
    )


def footprints_of(scene: Scene) -> Solids:
    """A coarse table: each object as one box over its footprint, then walls. Covers at least what
    `solids_of` does.
    """
    boxes = [
        replace(
            thing,
            primitives=(
                Primitive(
                    "box",
                    (*thing.footprint, thing.height_m),
                    (0.0, 0.0, 0.5 * thing.height_m),
                    (0, 0, 0),
                ),
            ),
        )
        for thing in scene.objects
    ]
    return solids_of(replace(scene, objects=tuple(boxes)))
