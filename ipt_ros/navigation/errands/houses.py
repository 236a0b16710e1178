"""Held-out houses with changes that nobody told the robot of: doors that are shut, doorways with
something in them, and doorways where the plain house has none.

In: the seed of a house. Out: the `Scene` to drive in and the plain one, equal for equal seeds.
Metres, the world frame of the scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ipt_training.houses.checks import unreachable_rooms
from ipt_training.houses.generator import make_scene
from ipt_training.scenes.scene import (
    Door,
    Opening,
    Primitive,
    Scene,
    SceneError,
    SceneObject,
    Wall,
)
from ipt_training.scenes.splits import SPLITS

#: Rooms of a house: enough that there is more than one way.
ROOMS = 4
#: A shared wall is given a second doorway when so much of it is left beside the first, m.
SECOND_DOOR_M, DOOR_WIDTH_M, BESIDE_M = 1.0, 1.1, 0.45
#: Nothing may stand nearer to a doorway that is cut, m.
CLEAR_M = 0.7
#: What is put into a doorway is so deep and so high, m.
CRATE_DEPTH_M, CRATE_HEIGHT_M = 0.5, 1.0
CRATE_RGB = (150, 110, 70)
#: What is done in a house: an errand, or a search.
Task = TypeVar("Task")


@dataclass(frozen=True)
class House:
    """plain: as it was generated. changed: as it is driven in. changes: what was done to it."""

    seed: int
    plain: Scene
    changed: Scene
    changes: tuple[str, ...]


def test_seeds() -> range:
    """Nothing was trained in these houses."""
    return SPLITS["test"]


def first_houses(
    seeds: Iterable[int],
    number: int,
    made_of: Callable[[int], House],
    tasks_of: Callable[[House], list[Task]],
) -> Iterator[tuple[House, list[Task]]]:
    """The first `number` houses that can be built and have tasks."""
    found = 0
    for seed in seeds:
        if found == number:
            return
        try:
            house = made_of(seed)
        except SceneError:
            continue
        tasks = tasks_of(house)
        if tasks:
            found += 1
            yield house, tasks


def house_of(seed: int) -> House:
    """SceneError where a house of this seed cannot be changed so that every room stays open."""
    rng = np.random.default_rng([seed, 0x4A7])
    plain = make_scene(seed, "house", rooms=ROOMS)
    for _ in range(20):
        changed, changes = _changed(plain, rng)
        if changes and not unreachable_rooms(changed):
            return House(seed, plain, changed, changes)
    raise SceneError(f"house {seed}: no door can be shut and none be added")


def _changed(scene: Scene, rng: np.random.Generator) -> tuple[Scene, tuple[str, ...]]:
    """A doorway more where a wall has room for it, then about a third of all closed."""
    changes = []
    for door in scene.doors:
        second = _second_doorway(scene, door, rng)
        if second is not None and rng.random() < 0.6:
            scene = _with_doorway(scene, second)
            changes.append(f"a doorway more between rooms {door.rooms[0]} and {door.rooms[1]}")
    number = len(scene.doors)
    shut = rng.permutation(number)[: max(1, round(number * float(rng.uniform(0.15, 0.45))))]
    for door in [scene.doors[int(k)] for k in sorted(shut)]:
        rooms = f"between rooms {door.rooms[0]} and {door.rooms[1]}"
        if rng.random() < 0.5:
            scene = _without_doorway(scene, door)
            changes.append(f"the doorway {rooms} shut")
        else:
            scene = _with_crate(scene, door)
            changes.append(f"a crate in the doorway {rooms}")
    return scene, tuple(changes)


def _second_doorway(scene: Scene, door: Door, rng: np.random.Generator) -> Door | None:
    """In the same wall, where nothing stands before it."""
    a, b = (scene.rooms[k] for k in door.rooms)
    if door.along_x:
        low, high, at = max(a.x_min, b.x_min), min(a.x_max, b.x_max), door.x
    else:
        low, high, at = max(a.y_min, b.y_min), min(a.y_max, b.y_max), door.y
    half = 0.5 * DOOR_WIDTH_M
    away = 0.5 * door.width_m + SECOND_DOOR_M + half
    spans = [(low + half + BESIDE_M, at - away), (at + away, high - half - BESIDE_M)]
    for start, end in sorted(spans, key=lambda span: span[0] - span[1]):
        if start >= end:
            continue
        for _ in range(8):
            here = round(float(rng.uniform(start, end)), 2)
            x, y = (here, door.y) if door.along_x else (door.x, here)
            if all(_away(o, x, y) >= CLEAR_M for o in scene.objects):
                return replace(door, x=x, y=y, width_m=DOOR_WIDTH_M)
    return None


def _away(thing: SceneObject, x: float, y: float) -> float:
    """From a point on the floor to the footprint, m."""
    dx, dy = x - thing.position[0], y - thing.position[1]
    c, s = math.cos(thing.yaw), math.sin(thing.yaw)
    u = abs(c * dx + s * dy) - 0.5 * thing.footprint[0]
    v = abs(c * dy - s * dx) - 0.5 * thing.footprint[1]
    return math.hypot(max(u, 0.0), max(v, 0.0))


def _in_wall(wall: Wall, door: Door) -> Opening | None:
    """The door as an opening of the wall; None where it is another wall's."""
    if wall.room not in door.rooms or wall.along_x != door.along_x:
        return None
    across, line = (
        ((wall.y_min, wall.y_max), door.y) if wall.along_x else ((wall.x_min, wall.x_max), door.x)
    )
    if not across[0] - 1e-6 <= line <= across[1] + 1e-6:
        return None
    middle = (door.x - wall.x_min) if wall.along_x else (door.y - wall.y_min)
    half = 0.5 * door.width_m
    return Opening(round(middle - half, 4), round(middle + half, 4), door.height_m)


def _with_doorway(scene: Scene, door: Door) -> Scene:
    walls = []
    for wall in scene.walls:
        hole = _in_wall(wall, door)
        walls.append(wall if hole is None else replace(wall, openings=(*wall.openings, hole)))
    bare = _without_fixtures(scene, door, 0.5 * door.width_m + 0.6)
    return replace(bare, walls=tuple(walls), doors=(*scene.doors, door))


def _without_doorway(scene: Scene, door: Door) -> Scene:
    walls = []
    for wall in scene.walls:
        hole = _in_wall(wall, door)
        if hole is not None:
            kept = [o for o in wall.openings if abs(o.start_m - hole.start_m) > 1e-3]
            wall = replace(wall, openings=tuple(kept))
        walls.append(wall)
    bare = _without_fixtures(scene, door, 0.5 * door.width_m + 0.2)
    return replace(bare, walls=tuple(walls), doors=tuple(d for d in scene.doors if d != door))


def _without_fixtures(scene: Scene, door: Door, reach_m: float) -> Scene:
    """No frame or picture hangs in the air where a doorway was cut or shut."""

    def near(parts: Sequence[Primitive]) -> bool:
        return any(
            math.hypot(p.position[0] - door.x, p.position[1] - door.y) < reach_m for p in parts
        )

    return replace(scene, fixtures=tuple(f for f in scene.fixtures if not near(f.primitives)))


def _with_crate(scene: Scene, door: Door) -> Scene:
    """As wide as the doorway, less what lets it stand there."""
    width = round(door.width_m - 0.1, 2)
    size = (width, CRATE_DEPTH_M, CRATE_HEIGHT_M)
    crate = SceneObject(
        category="crate",
        colour="brown",
        position=(door.x, door.y, 0.0),
        yaw=0.0 if door.along_x else round(0.5 * math.pi, 4),
        footprint=(width, CRATE_DEPTH_M),
        height_m=CRATE_HEIGHT_M,
        tall=False,
        room=door.rooms[0],
        primitives=(Primitive("box", size, (0.0, 0.0, 0.5 * CRATE_HEIGHT_M), CRATE_RGB),),
    )
    return replace(scene, objects=(*scene.objects, crate))
