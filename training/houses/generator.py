"""Scenes from integer seeds: a floor plan, then things placed in it so that nothing touches and a
robot gets through.

In: a seed and a level ("room": one room, a few plain shapes named by colour; "house": up to four
furnished rooms). Out: a `Scene`, equal for equal arguments on every machine. Lengths are rounded,
sets are never iterated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ipt_training.houses.furniture import TALL_M, Model, Placement, build, categories
from ipt_training.houses.layout import HousePlan, make_plan
from ipt_training.scenes.colours import COLOURS, HOUSE_COLOURS, ROOM_COLOURS, shade
from ipt_training.scenes.scene import LEVELS, Light, Scene, SceneError, SceneObject

ROOM_SIDE_M = (4.2, 6.2)
HOUSE_SIDE_M = (4.0, 8.0)
GAP_M = 0.06  # between footprints
DOOR_CLEAR_M = 0.85  # nothing stands closer to the middle of a doorway
MAX_SEED = 899_999
_TRIES_PER_OBJECT = 60
_ATTEMPTS = 40


@dataclass
class Rejections:
    """How often a draw was thrown away, by reason; scenes = scenes made in the end."""

    scenes: int = 0
    placements: int = 0
    blocked_placements: int = 0
    unreachable_scenes: int = 0
    crowded_scenes: int = 0


def make_scene(
    seed: int,
    level: str = "room",
    *,
    objects: int | None = None,
    rooms: int | None = None,
    rejections: Rejections | None = None,
) -> Scene:
    """The scene of a seed. `objects` and `rooms` fix their numbers; SceneError says how many
    objects fit.

    rejections: counts what was thrown away on the way, for reports.
    """
    from ipt_training.houses.checks import unreachable_rooms

    if level not in LEVELS:
        raise SceneError(f"level {level!r}: expected one of {LEVELS}")
    if not 0 <= seed <= MAX_SEED:
        raise SceneError(f"seed {seed}: expected 0 to {MAX_SEED} (from 900,000 up: never touched)")
    if objects is not None and objects < 1:
        raise SceneError(f"objects={objects}: expected at least 1")
    if level == "room" and rooms not in (None, 1):
        raise SceneError(f"rooms={rooms}: level 'room' has one room; use level 'house'")
    counts = rejections if rejections is not None else Rejections()
    most = 0
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, LEVELS.index(level), attempt])
        scene, placed = _attempt(rng, seed, level, objects, rooms, counts)
        most = max(most, placed)
        if scene is None:
            counts.crowded_scenes += 1
            if objects is not None and placed < objects // 2:
                break  # hopeless: no point in trying other plans
            continue
        if unreachable_rooms(scene, coarse=True) or unreachable_rooms(scene):
            counts.unreachable_scenes += 1
            continue
        counts.scenes += 1
        return scene
    if objects is not None:
        raise SceneError(
            f"objects={objects}: only {most} fit into scene {seed}, level {level!r}; ask for fewer"
        )
    raise SceneError(
        f"scene {seed} of level {level!r}: no valid arrangement in {_ATTEMPTS} attempts"
    )


def _attempt(
    rng: np.random.Generator,
    seed: int,
    level: str,
    objects: int | None,
    rooms: int | None,
    counts: Rejections,
) -> tuple[Scene | None, int]:
    if level == "room":
        plan = make_plan(rng, 1, ROOM_SIDE_M, furnished=False)
        number = objects if objects is not None else int(rng.integers(4, 10))
        wanted = _room_wishes(rng, number)
    else:
        n_rooms = rooms if rooms is not None else int(rng.choice(4, p=(0.15, 0.35, 0.3, 0.2))) + 1
        plan = make_plan(rng, n_rooms, HOUSE_SIDE_M, furnished=True)
        area = sum((r.x_max - r.x_min) * (r.y_max - r.y_min) for r in plan.rooms)
        number = objects if objects is not None else round(area * float(rng.uniform(0.18, 0.3)))
        wanted = _house_wishes(rng, number)
    placed: list[SceneObject] = []
    for category, colour in wanted:
        thing = _place(rng, level, category, colour, plan, placed, counts)
        if thing is not None:
            placed.append(thing)
    if objects is not None and len(placed) < objects:
        return None, len(placed)
    if len(placed) < (4 if objects is None else 1):
        return None, len(placed)
    lights, ambient = _lights(rng)
    scene = Scene(
        seed,
        level,  # type: ignore[arg-type]
        plan.rooms,
        plan.doors,
        plan.walls,
        plan.fixtures,
        tuple(placed),
        lights,
        ambient,
        plan.walls[0].height_m,
    )
    return scene, len(placed)


def _room_wishes(rng: np.random.Generator, number: int) -> list[tuple[str, str]]:
    """Distinct names, few categories: counting needs several of a kind, every colour-shape pair
    once.
    """
    catalogue = categories("room")
    kinds = list(catalogue)
    few = min(len(kinds), int(rng.integers(2, 5)))
    weights = np.array([catalogue[k].weight for k in kinds])
    chosen = rng.choice(len(kinds), few, replace=False, p=weights / weights.sum())
    pairs = [(kinds[int(k)], c) for k in chosen for c in ROOM_COLOURS]
    if number > len(pairs):
        pairs = [(k, c) for k in kinds for c in ROOM_COLOURS]
    order = rng.permutation(len(pairs))
    wishes = [pairs[int(i)] for i in order[:number]]
    while len(wishes) < number:  # more than there are names: repeat, the floor space decides
        wishes.append(pairs[int(rng.integers(len(pairs)))])
    return wishes


def _house_wishes(rng: np.random.Generator, number: int) -> list[tuple[str, str]]:
    """Mostly distinct names; now and then a set of equal chairs. Big things first, they need the
    room.
    """
    catalogue = categories("house")
    kinds = list(catalogue)
    weights = np.array([catalogue[k].weight for k in kinds])
    favour = rng.gamma(2.0, 1.0, len(kinds)) * weights  # each house has its own favourites
    wishes: list[tuple[str, str]] = []
    taken: set[tuple[str, str]] = set()
    while len(wishes) < number:
        category = kinds[int(rng.choice(len(kinds), p=favour / favour.sum()))]
        colour = HOUSE_COLOURS[int(rng.integers(len(HOUSE_COLOURS)))]
        again = (category, colour) in taken
        if again and len(taken) < 100 and rng.random() < 0.85:
            continue
        repeat = int(rng.integers(1, 3)) if category == "chair" and rng.random() < 0.25 else 0
        for _ in range(min(1 + repeat, number - len(wishes))):
            wishes.append((category, colour))
        taken.add((category, colour))
    rank = {"wall": 0, "free": 1, "corner": 2}
    return sorted(wishes, key=lambda w: rank[catalogue[w[0]].placement])


def _place(
    rng: np.random.Generator,
    level: str,
    category: str,
    colour: str,
    plan: HousePlan,
    placed: list[SceneObject],
    counts: Rejections,
) -> SceneObject | None:
    rgb = shade(COLOURS[colour], float(rng.uniform(0.92, 1.04)))
    model = build(level, category, rgb, rng)
    placement = categories(level)[category].placement
    for _ in range(_TRIES_PER_OBJECT):
        counts.placements += 1
        thing = _spot(rng, category, colour, model, placement, plan)
        if thing is not None and _is_free(thing, plan, placed):
            return thing
        counts.blocked_placements += 1
    return None


def _spot(
    rng: np.random.Generator,
    category: str,
    colour: str,
    model: Model,
    placement: Placement,
    plan: HousePlan,
) -> SceneObject | None:
    """One random place: with the back against a wall, near a wall, or anywhere at any angle."""
    areas = np.array([(r.x_max - r.x_min) * (r.y_max - r.y_min) for r in plan.rooms])
    index = int(rng.choice(len(areas), p=areas / areas.sum()))
    x0, y0, x1, y1 = plan.rooms[index].interior
    length, width = model.footprint
    if placement == "wall":
        side = int(rng.integers(4))
        gap, half = 0.03 + 0.5 * length, 0.5 * width + 0.03
        yaw = side * 0.5 * math.pi
        u = float(rng.uniform())
        if side % 2 == 0:
            x = x0 + gap if side == 0 else x1 - gap
            y = y0 + half + u * (y1 - y0 - 2 * half)
        else:
            y = y0 + gap if side == 1 else y1 - gap
            x = x0 + half + u * (x1 - x0 - 2 * half)
    else:
        yaw = float(rng.uniform(-math.pi, math.pi))
        c, s = abs(math.cos(yaw)), abs(math.sin(yaw))
        hx, hy = 0.5 * (c * length + s * width) + 0.04, 0.5 * (s * length + c * width) + 0.04
        u, v = (float(a) for a in rng.uniform(size=2))
        if placement == "corner" and rng.random() < 0.8:
            # within 0.3 m of one wall
            if rng.random() < 0.5:
                u = 0.0 if rng.random() < 0.5 else 1.0
                hx += float(rng.uniform(0, 0.3))
            else:
                v = 0.0 if rng.random() < 0.5 else 1.0
                hy += float(rng.uniform(0, 0.3))
        x, y = x0 + hx + u * (x1 - x0 - 2 * hx), y0 + hy + v * (y1 - y0 - 2 * hy)
    return SceneObject(
        category=category,
        colour=colour,
        position=(round(x, 3), round(y, 3), 0.0),
        yaw=round(yaw, 4),
        footprint=model.footprint,
        height_m=round(model.height_m, 4),
        tall=model.height_m >= TALL_M,
        room=index,
        primitives=model.primitives,
    )


def _is_free(thing: SceneObject, plan: HousePlan, placed: list[SceneObject]) -> bool:
    room = plan.rooms[thing.room]
    mine = thing.corners()
    if not all(room.contains(x, y, 0.01) for x, y in mine):
        return False
    for door in plan.doors:
        if distance_to_point(thing, door.x, door.y) < DOOR_CLEAR_M:
            return False
    return not any(
        other.room == thing.room and footprints_overlap(thing, other, GAP_M) for other in placed
    )


def distance_to_point(thing: SceneObject, x: float, y: float) -> float:
    """From a point on the floor to the footprint, m; 0 inside."""
    dx, dy = x - thing.position[0], y - thing.position[1]
    c, s = math.cos(thing.yaw), math.sin(thing.yaw)
    u = max(0.0, abs(c * dx + s * dy) - 0.5 * thing.footprint[0])
    v = max(0.0, abs(-s * dx + c * dy) - 0.5 * thing.footprint[1])
    return math.hypot(u, v)


def footprints_overlap(a: SceneObject, b: SceneObject, gap_m: float = 0.0) -> bool:
    """Whether two footprints are closer than `gap_m` (separating axes of two rectangles)."""
    reach = 0.5 * (math.hypot(*a.footprint) + math.hypot(*b.footprint)) + gap_m
    dx, dy = b.position[0] - a.position[0], b.position[1] - a.position[1]
    if dx * dx + dy * dy > reach * reach:
        return False
    for first, second in ((a, b), (b, a)):
        c, s = math.cos(first.yaw), math.sin(first.yaw)
        for (ux, uy), half in (
            ((c, s), first.footprint[0] / 2),
            ((-s, c), first.footprint[1] / 2),
        ):
            centre = first.position[0] * ux + first.position[1] * uy
            spans = [x * ux + y * uy - centre for x, y in second.corners()]
            if min(spans) > half + gap_m or max(spans) < -half - gap_m:
                return False
    return True


def _lights(rng: np.random.Generator) -> tuple[tuple[Light, ...], float]:
    """A key light high on one side and a weaker fill from the other."""
    key = float(rng.uniform(-math.pi, math.pi))
    fill = key + float(rng.uniform(0.6, 1.2)) * math.pi
    lights = []
    for azimuth, low, high, strength in ((key, 0.7, 1.1, 0.44), (fill, 0.4, 0.8, 0.22)):
        elevation = float(rng.uniform(low, high))
        direction = (
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        )
        rounded = (round(direction[0], 4), round(direction[1], 4), round(direction[2], 4))
        lights.append(Light(rounded, round(strength * float(rng.uniform(0.85, 1.15)), 3)))
    return tuple(lights), round(float(rng.uniform(0.6, 0.7)), 3)
