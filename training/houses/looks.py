"""The same house in another look: other paint, floors, light and furniture in the same places.

In: a generated `Scene` and the name of a look. Out: a `Scene` with the same rooms, doors, objects,
names and footprints, equal for equal seeds. `usual` is the generator's own and changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ipt_training.houses.fixtures import FRAME, on_wall, solid_stretches
from ipt_training.houses.furniture import TALL_M
from ipt_training.houses.workshop import RGB, rebuilt
from ipt_training.scenes.colours import COLOURS, shade
from ipt_training.scenes.scene import (
    LEVELS,
    Fixture,
    Light,
    Primitive,
    Room,
    Scene,
    SceneError,
    SceneObject,
    Wall,
)
from ipt_training.scenes.solids import rotation_from_rpy

#: `usual`: what every dataset shows. `workshop`: what no dataset shows.
LOOKS = ("usual", "workshop")

#: Paint of walls with the second paint of their pattern. Red is left to painted X's.
PAINTS: tuple[tuple[RGB, RGB], ...] = (
    ((46, 92, 104), (206, 186, 72)),
    ((116, 62, 48), (72, 108, 116)),
    ((70, 82, 50), (186, 148, 96)),
    ((84, 64, 104), (142, 176, 132)),
    ((58, 66, 84), (196, 120, 62)),
)
WALL_PATTERNS = ("dado", "bands", "boards")
TRIM: RGB = (52, 54, 60)
#: Floor colours and pitches in m of each pattern.
FLOORS: dict[str, tuple[tuple[RGB, ...], tuple[float, float]]] = {
    "stripes": (((96, 106, 84), (88, 84, 110), (118, 92, 72)), (0.5, 0.8)),
    "checker": (((62, 92, 86), (100, 78, 96)), (0.9, 1.3)),
    "tiles": (((74, 84, 108), (108, 98, 60)), (0.2, 0.28)),
}
#: A low lamp and a weak one overhead: elevation in rad and strength, from and to, of each.
LAMPS = (((0.28, 0.5), (0.62, 0.78)), ((1.3, 1.45), (0.08, 0.14)))
AMBIENT = (0.36, 0.46)
#: How much darker than its name a thing is painted.
PAINTED = (0.8, 0.87)
#: Of paint and boards on a wall: less than windows and pictures stand out, so those stay in front.
_PAINT_M = 0.006


def dressed(scene: Scene, look: str) -> Scene:
    """The scene in this look; SceneError for an unknown one."""
    if look not in LOOKS:
        raise SceneError(f"look {look!r}: expected one of {', '.join(LOOKS)}")
    if look == "usual":
        return scene
    rng = np.random.default_rng([scene.seed, LEVELS.index(scene.level), LOOKS.index(look)])
    paints = [_Paint.of(rng) for _ in scene.rooms]
    rooms = tuple(_room(rng, room, paint) for room, paint in zip(scene.rooms, paints, strict=True))
    painted = [
        fixture
        for wall in scene.walls
        if (fixture := _pattern(wall, scene.rooms[wall.room], paints[wall.room])) is not None
    ]
    lights, ambient = _lights(rng)
    return replace(
        scene,
        rooms=rooms,
        fixtures=(*(_trimmed(fixture) for fixture in scene.fixtures), *painted),
        objects=tuple(_rebuilt(rng, thing) for thing in scene.objects),
        lights=lights,
        ambient=ambient,
    )


@dataclass(frozen=True)
class _Paint:
    """How the walls of one room are painted. low, high: of the pattern, m."""

    wall: RGB
    second: RGB
    pattern: str
    low: float
    high: float

    @staticmethod
    def of(rng: np.random.Generator) -> _Paint:
        wall, second = PAINTS[int(rng.integers(len(PAINTS)))]
        pattern = WALL_PATTERNS[int(rng.integers(len(WALL_PATTERNS)))]
        low, high = float(rng.uniform(0.5, 0.9)), float(rng.uniform(1.0, 1.3))
        return _Paint(wall, second, pattern, low, high)

    def panels(self, begin: float, end: float, top: float) -> list[tuple[float, ...]]:
        """Along from, to; z from, to, m: what of a stretch of wall has the second paint."""
        if self.pattern == "dado":
            return [(begin, end, 0.0, self.high)]
        if self.pattern == "bands":
            heights = (self.low, self.high + 0.3, self.high + 0.8)
            return [(begin, end, z, min(z + 0.22, top)) for z in heights]
        pitch = self.low
        count = int((end - begin) / pitch)
        starts = (begin + pitch * k for k in range(count))
        return [(a, a + 0.4 * pitch, 0.0, top) for a in starts]


def _room(rng: np.random.Generator, room: Room, paint: _Paint) -> Room:
    pattern = list(FLOORS)[int(rng.integers(len(FLOORS)))]
    colours, (least, most) = FLOORS[pattern]
    return replace(
        room,
        wall_colour=paint.wall,
        floor_colour=colours[int(rng.integers(len(colours)))],
        floor_pattern=pattern,
        pattern_m=round(float(rng.uniform(least, most)), 3),
    )


def _pattern(wall: Wall, room: Room, paint: _Paint) -> Fixture | None:
    """The second paint of a wall; None where doors leave no place for it."""
    length = (wall.x_max - wall.x_min) if wall.along_x else (wall.y_max - wall.y_min)
    top = wall.height_m - 0.02
    parts = tuple(
        on_wall(wall, room, a, b, z0, z1, _PAINT_M, paint.second)
        for begin, end in solid_stretches(wall, length)
        if end - begin > 0.05
        for a, b, z0, z1 in paint.panels(begin, end, top)
    )
    return Fixture("paint", wall.room, parts) if parts else None


def _trimmed(fixture: Fixture) -> Fixture:
    """Frames of doors and windows in the look's trim."""
    parts = tuple(replace(p, colour=TRIM) if p.colour == FRAME else p for p in fixture.primitives)
    return replace(fixture, primitives=parts)


def _rebuilt(rng: np.random.Generator, thing: SceneObject) -> SceneObject:
    colour = shade(COLOURS[thing.colour], float(rng.uniform(*PAINTED)))
    parts = rebuilt(thing.category, colour, thing.footprint, thing.height_m, rng)
    height = round(max(_top(part) for part in parts), 4)
    return replace(thing, primitives=parts, height_m=height, tall=height >= TALL_M)


def _top(part: Primitive) -> float:
    """Of a part that may lie or stand on its head, m."""
    half = 0.5 * np.array(part.size)
    if part.shape in ("cylinder", "cone"):
        turn = rotation_from_rpy(*part.rpy)[2]
        reach = math.hypot(turn[0], turn[1]) * half[0] + abs(turn[2]) * half[2]
    elif part.shape == "sphere":
        reach = half[2]
    else:
        reach = float(np.abs(rotation_from_rpy(*part.rpy)[2]) @ half)
    return float(part.position[2] + reach)


def _lights(rng: np.random.Generator) -> tuple[tuple[Light, ...], float]:
    lights = []
    for elevations, strengths in LAMPS:
        azimuth = float(rng.uniform(-math.pi, math.pi))
        elevation = float(rng.uniform(*elevations))
        x, y, z = (
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        )
        direction = (round(x, 4), round(y, 4), round(z, 4))
        lights.append(Light(direction, round(float(rng.uniform(*strengths)), 3)))
    return tuple(lights), round(float(rng.uniform(*AMBIENT)), 3)
