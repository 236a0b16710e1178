"""The same room with other things in it: objects are replaced in place by things of another
category.

In: a scene and who is to become what. Out: a new valid scene. Counting uses it so that how many
things there are, where they stand and how full the room is say nothing about how many of one
category there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ipt_training.houses.furniture import TALL_M, build, categories
from ipt_training.houses.generator import GAP_M, footprints_overlap
from ipt_training.scenes.colours import COLOURS, shade
from ipt_training.scenes.scene import Scene, SceneObject

#: Small enough to stand where any other of them stands.
HOUSE_CAST = ("chair", "stool", "crate", "ball", "cone", "bin", "plant", "lamp")


@dataclass(frozen=True)
class Casting:
    """index: which object. category: what it becomes. seed: of its proportions."""

    index: int
    category: str
    seed: int

    def as_list(self) -> list[object]:
        return [self.index, self.category, self.seed]


def cast_of(level: str) -> tuple[str, ...]:
    """The categories that may replace each other."""
    return tuple(categories("room")) if level == "room" else HOUSE_CAST


def recast(scene: Scene, castings: Sequence[Casting]) -> Scene | None:
    """The scene with the castings applied; None where a new thing does not fit."""
    objects = list(scene.objects)
    for casting in castings:
        objects[casting.index] = _replaced(scene, casting)
    for casting in castings:
        thing = objects[casting.index]
        room = scene.rooms[thing.room]
        if not all(room.contains(x, y, 0.01) for x, y in thing.corners()):
            return None
        for k, other in enumerate(objects):
            same_room = k != casting.index and other.room == thing.room
            if same_room and footprints_overlap(thing, other, GAP_M):
                return None
    return replace(scene, objects=tuple(objects))


def _replaced(scene: Scene, casting: Casting) -> SceneObject:
    old = scene.objects[casting.index]
    rng = np.random.default_rng([casting.seed, 0xCA])
    rgb = shade(COLOURS[old.colour], float(rng.uniform(0.92, 1.04)))
    model = build(scene.level, casting.category, rgb, rng)
    return replace(
        old,
        category=casting.category,
        footprint=model.footprint,
        height_m=round(model.height_m, 4),
        tall=model.height_m >= TALL_M,
        primitives=model.primitives,
    )
