"""A scene as plain data: rooms, walls with openings, furniture, light. Everything else is derived
from it.

In: nothing. Out: frozen dataclasses that go to JSON and back unchanged. World frame as in
`camera`: x east, y north, z up, metres, the floor at z = 0. Nothing here knows how a scene is
made, drawn or driven through.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

#: Values of `View.instance` below zero.
FLOOR, WALL, CEILING, NOTHING = -1, -2, -3, -4

Shape = Literal["box", "cylinder", "cone", "sphere"]
SHAPES: tuple[Shape, ...] = ("box", "cylinder", "cone", "sphere")
Level = Literal["room", "house"]
LEVELS: tuple[Level, ...] = ("room", "house")
FLOOR_PATTERNS = ("plain", "tiles", "checker", "planks", "stripes")


class SceneError(ValueError):
    """A scene that cannot be made or read; the message says what was asked for."""


@dataclass(frozen=True)
class Primitive:
    """One solid, in the frame of its object (origin on the floor under the object, x to its
    front).

    size: full extents (x, y, z) before rotation, m; x = y for cylinder and cone, x = y = z for a
    sphere. The axis of cylinder and cone is z, the tip of a cone up. position: its centre, m. rpy:
    roll, pitch, yaw as in SDF, rad. colour: RGB 0-255.
    """

    shape: Shape
    size: tuple[float, float, float]
    position: tuple[float, float, float]
    colour: tuple[int, int, int]
    rpy: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class SceneObject:
    """A thing with a name. Its index in `Scene.objects` is its instance id in every picture.

    position: of its origin on the floor, m, world. yaw: rad, world; the front looks along it.
    footprint: full length and width (x, y of its own frame) of the rectangle it stands on, m.
    height_m: of its highest point. tall: hides what is behind it from a camera at 1.2 m. room:
    index into `Scene.rooms`.
    """

    category: str
    colour: str
    position: tuple[float, float, float]
    yaw: float
    footprint: tuple[float, float]
    height_m: float
    tall: bool
    room: int
    primitives: tuple[Primitive, ...]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.category}"

    def corners(self, margin_m: float = 0.0) -> tuple[tuple[float, float], ...]:
        """The four corners of the footprint in the world, counter-clockwise, grown by `margin_m`
        on every side.
        """
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        a, b = 0.5 * self.footprint[0] + margin_m, 0.5 * self.footprint[1] + margin_m
        x, y = self.position[:2]
        return tuple(
            (x + c * u - s * v, y + s * u + c * v) for u, v in ((a, b), (-a, b), (-a, -b), (a, -b))
        )


@dataclass(frozen=True)
class Opening:
    """A doorway in a wall, from `start_m` to `end_m` along it, open up to `height_m`."""

    start_m: float
    end_m: float
    height_m: float


@dataclass(frozen=True)
class Wall:
    """An axis-parallel slab that belongs to one room and lies inside that room's rectangle.

    x_min ... y_max: its outline on the floor, m. Openings are measured along its long axis from
    its lower end.
    """

    room: int
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    height_m: float
    openings: tuple[Opening, ...] = ()

    @property
    def along_x(self) -> bool:
        return self.x_max - self.x_min >= self.y_max - self.y_min

    def boxes(self) -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
        """The solid parts, around and above the openings: (centre, full size), m, world."""
        start = self.x_min if self.along_x else self.y_min
        length = (self.x_max - self.x_min) if self.along_x else (self.y_max - self.y_min)
        parts: list[tuple[float, float, float, float]] = []  # from, to along; z from, to
        at = 0.0
        for hole in sorted(self.openings, key=lambda o: o.start_m):
            parts.append((at, hole.start_m, 0.0, self.height_m))
            parts.append((hole.start_m, hole.end_m, hole.height_m, self.height_m))
            at = hole.end_m
        parts.append((at, length, 0.0, self.height_m))
        boxes = []
        for a, b, z0, z1 in parts:
            if b - a < 1e-9 or z1 - z0 < 1e-9:
                continue
            x0, x1 = (start + a, start + b) if self.along_x else (self.x_min, self.x_max)
            y0, y1 = (self.y_min, self.y_max) if self.along_x else (start + a, start + b)
            centre = (0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.5 * (z0 + z1))
            boxes.append((centre, (x1 - x0, y1 - y0, z1 - z0)))
        return boxes


@dataclass(frozen=True)
class Room:
    """A rectangle including its own walls, m. Floor pattern with its pitch in m; colours RGB
    0-255.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    wall_m: float
    wall_colour: tuple[int, int, int]
    floor_colour: tuple[int, int, int]
    floor_pattern: str
    pattern_m: float

    @property
    def interior(self) -> tuple[float, float, float, float]:
        """x_min, y_min, x_max, y_max between the walls, m."""
        w = self.wall_m
        return self.x_min + w, self.y_min + w, self.x_max - w, self.y_max - w

    def contains(self, x: float, y: float, margin_m: float = 0.0) -> bool:
        x0, y0, x1, y1 = self.interior
        return x0 + margin_m <= x <= x1 - margin_m and y0 + margin_m <= y <= y1 - margin_m


@dataclass(frozen=True)
class Door:
    """The doorway between two rooms: its centre on the shared wall line, m. along_x: that line
    runs along x.
    """

    rooms: tuple[int, int]
    x: float
    y: float
    along_x: bool
    width_m: float
    height_m: float


@dataclass(frozen=True)
class Fixture:
    """Something flat on a wall without a name of its own: a door frame, a window, a picture.
    Counts as wall.

    primitives: in the world frame, not relative to anything.
    """

    kind: str
    room: int
    primitives: tuple[Primitive, ...]


@dataclass(frozen=True)
class Light:
    """A far light: the unit vector towards it, and its strength on a surface that faces it."""

    direction: tuple[float, float, float]
    intensity: float


@dataclass(frozen=True)
class Scene:
    """Everything about a world. Objects in a fixed order; index = instance id. ambient: strength
    of sky light.
    """

    seed: int
    level: Level
    rooms: tuple[Room, ...]
    doors: tuple[Door, ...]
    walls: tuple[Wall, ...]
    fixtures: tuple[Fixture, ...]
    objects: tuple[SceneObject, ...]
    lights: tuple[Light, ...]
    ambient: float
    wall_height_m: float

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """x_min, y_min, x_max, y_max of all rooms with their walls, m."""
        return (
            min(r.x_min for r in self.rooms),
            min(r.y_min for r in self.rooms),
            max(r.x_max for r in self.rooms),
            max(r.y_max for r in self.rooms),
        )

    def room_at(self, x: float, y: float) -> int | None:
        """Index of the room whose rectangle holds the point; None outside the house."""
        for i, r in enumerate(self.rooms):
            if r.x_min <= x < r.x_max and r.y_min <= y < r.y_max:
                return i
        return None

    def unique_names(self) -> frozenset[str]:
        """Names that exactly one object bears: a question may speak of 'the' such object."""
        counts = Counter(o.name for o in self.objects)
        return frozenset(name for name, n in counts.items() if n == 1)

    def is_unique(self, index: int) -> bool:
        return self.objects[index].name in self.unique_names()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `Scene.from_dict` gives back an equal scene."""
        return {"version": 1, **json.loads(json.dumps(asdict(self)))}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Scene:
        """Read what `to_dict` wrote; SceneError names the first thing that is wrong."""
        if data.get("version") != 1:
            raise SceneError(f"scene: expected version 1, got {data.get('version')!r}")
        try:
            return Scene(
                seed=int(data["seed"]),
                level=data["level"],
                rooms=tuple(Room(**_tupled(r)) for r in data["rooms"]),
                doors=tuple(Door(**_tupled(d)) for d in data["doors"]),
                walls=tuple(
                    Wall(**{**w, "openings": tuple(Opening(**o) for o in w["openings"])})
                    for w in data["walls"]
                ),
                fixtures=tuple(
                    Fixture(f["kind"], f["room"], _primitives(f["primitives"]))
                    for f in data["fixtures"]
                ),
                objects=tuple(_object(o) for o in data["objects"]),
                lights=tuple(Light(**_tupled(light)) for light in data["lights"]),
                ambient=float(data["ambient"]),
                wall_height_m=float(data["wall_height_m"]),
            )
        except (KeyError, TypeError) as error:
            raise SceneError(
                f"scene: a field is missing, unknown or of the wrong type: {error}"
            ) from error


def _tupled(data: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}


def _primitives(data: list[dict[str, Any]]) -> tuple[Primitive, ...]:
    parts = tuple(Primitive(**_tupled(p)) for p in data)
    for p in parts:
        if p.shape not in SHAPES:
            raise SceneError(f"scene: shape must be one of {SHAPES}, got {p.shape!r}")
    return parts


def _object(data: dict[str, Any]) -> SceneObject:
    return SceneObject(**{**_tupled(data), "primitives": _primitives(data["primitives"])})
