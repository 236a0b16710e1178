"""Floor plans: rectangular rooms that share walls, with doors between them.

In: a random generator and the wished number of rooms. Out: rooms, doors and the wall slabs with
their openings; every room can be reached through doors. Rooms lie on a 0.1 m grid, so the same
plan comes out on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ipt_training.houses.fixtures import fixtures_of
from ipt_training.scenes.scene import Door, Fixture, Opening, Room, SceneError, Wall

WALL_M = 0.06  # each room owns its half of a wall, so a shared wall is twice this
DOOR_HEIGHT_M = 2.05
MIN_SHARED_M = 2.0
MAX_ROOMS = 4

WALL_TINTS = (
    (226, 221, 208),
    (205, 216, 222),
    (214, 222, 204),
    (230, 214, 198),
    (212, 206, 218),
    (196, 200, 204),
    (236, 232, 224),
)
FLOOR_TINTS = {
    "plain": ((150, 146, 140), (128, 134, 140), (164, 152, 132)),
    "tiles": ((188, 184, 176), (160, 166, 170), (196, 186, 166)),
    "checker": ((176, 172, 164), (158, 162, 166)),
    "planks": ((176, 136, 94), (148, 112, 78), (194, 160, 118)),
}
PITCH_M = {"plain": (1.0, 1.0), "tiles": (0.4, 0.6), "checker": (0.5, 0.7), "planks": (0.14, 0.2)}


@dataclass(frozen=True)
class HousePlan:
    """The empty house."""

    rooms: tuple[Room, ...]
    doors: tuple[Door, ...]
    walls: tuple[Wall, ...]
    fixtures: tuple[Fixture, ...]


@dataclass(frozen=True)
class _Rect:
    """Integers, 0.1 m each."""

    x0: int
    y0: int
    x1: int
    y1: int

    def overlaps(self, other: _Rect) -> bool:
        return (
            self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1
        )


def make_plan(
    rng: np.random.Generator, rooms: int, side_m: tuple[float, float], furnished: bool
) -> HousePlan:
    """A house of `rooms` rooms, each with sides drawn from `side_m` (from, to), centred on the
    origin.

    furnished: with door frames, windows and pictures on the walls.
    """
    if not 1 <= rooms <= MAX_ROOMS:
        raise SceneError(f"rooms={rooms}: a house has 1 to {MAX_ROOMS}")
    rects = _grow(rng, rooms, side_m)
    mid_x = (min(r.x0 for r in rects) + max(r.x1 for r in rects)) // 2
    mid_y = (min(r.y0 for r in rects) + max(r.y1 for r in rects)) // 2
    rects = [_Rect(r.x0 - mid_x, r.y0 - mid_y, r.x1 - mid_x, r.y1 - mid_y) for r in rects]
    doors = _doors(rng, rects)
    height = round(float(rng.uniform(2.4, 2.8)), 2)
    dressed = tuple(_dress(rng, r) for r in rects)
    walls = tuple(w for i, room in enumerate(dressed) for w in _walls(i, room, doors, height))
    fixtures: tuple[Fixture, ...] = ()
    if furnished:
        fixtures = tuple(f for wall in walls for f in fixtures_of(rng, wall, dressed[wall.room]))
    return HousePlan(dressed, doors, walls, fixtures)


def _grow(rng: np.random.Generator, rooms: int, side_m: tuple[float, float]) -> list[_Rect]:
    low, high = round(side_m[0] * 10), round(side_m[1] * 10)
    w, h = (int(v) for v in rng.integers(low, high + 1, 2))
    rects = [_Rect(0, 0, w, h)]
    while len(rects) < rooms:
        # a free side of some room always exists: the plan is a finite patch of the plane
        fits = [r for r in (_beside(rng, rects, low, high) for _ in range(8)) if r is not None]
        if fits:
            rects.append(min(fits, key=lambda r: _sprawl([*rects, r])))
    return rects


def _sprawl(rects: list[_Rect]) -> tuple[int, int]:
    """The longer side of the house and the area of the box around it: small if compact."""
    w = max(r.x1 for r in rects) - min(r.x0 for r in rects)
    h = max(r.y1 for r in rects) - min(r.y0 for r in rects)
    return max(w, h), w * h


def _beside(rng: np.random.Generator, rects: list[_Rect], low: int, high: int) -> _Rect | None:
    """A random new room against a side of a random old one, or None where it would overlap
    another.
    """
    base = rects[int(rng.integers(len(rects)))]
    w, h = (int(v) for v in rng.integers(low, high + 1, 2))
    side = int(rng.integers(4))
    if side < 2:
        y = _slide(rng, base.y0, base.y1, h)
        x = base.x1 if side == 0 else base.x0 - w
    else:
        x = _slide(rng, base.x0, base.x1, w)
        y = base.y1 if side == 2 else base.y0 - h
    new = _Rect(x, y, x + w, y + h)
    return None if any(new.overlaps(r) for r in rects) else new


def _slide(rng: np.random.Generator, start: int, end: int, length: int) -> int:
    """Where a side of `length` begins along one from start to end: flush at an end, or anywhere
    that fits a door.
    """
    way = int(rng.integers(3))
    if way < 2:
        return start if way == 0 else end - length
    shared = round(MIN_SHARED_M * 10)
    return int(rng.integers(start - length + shared, end - shared + 1))


def _shared(a: _Rect, b: _Rect) -> tuple[bool, int, int, int] | None:
    """The common stretch of wall: (runs along x, its coordinate across, from, to), or None."""
    if a.x1 == b.x0 or b.x1 == a.x0:
        lo, hi = max(a.y0, b.y0), min(a.y1, b.y1)
        return (False, a.x1 if a.x1 == b.x0 else a.x0, lo, hi) if hi > lo else None
    if a.y1 == b.y0 or b.y1 == a.y0:
        lo, hi = max(a.x0, b.x0), min(a.x1, b.x1)
        return (True, a.y1 if a.y1 == b.y0 else a.y0, lo, hi) if hi > lo else None
    return None


def _doors(rng: np.random.Generator, rects: list[_Rect]) -> tuple[Door, ...]:
    """One door on every shared wall that is long enough: rooms grew onto such a wall, so all are
    connected.
    """
    doors = []
    for i, a in enumerate(rects):
        for j in range(i):
            stretch = _shared(a, rects[j])
            if stretch is None or stretch[3] - stretch[2] < round(MIN_SHARED_M * 10):
                continue
            along_x, across, lo, hi = stretch
            width = int(rng.integers(10, 14))
            half = width / 20
            at = float(rng.uniform(lo / 10 + half + 0.3, hi / 10 - half - 0.3))
            at = round(at, 2)
            x, y = (at, across / 10) if along_x else (across / 10, at)
            doors.append(Door((j, i), x, y, along_x, width / 10, DOOR_HEIGHT_M))
    return tuple(doors)


def _dress(rng: np.random.Generator, r: _Rect) -> Room:
    pattern = str(rng.choice(tuple(FLOOR_TINTS)))
    tints = FLOOR_TINTS[pattern]
    floor = tints[int(rng.integers(len(tints)))]
    wall = WALL_TINTS[int(rng.integers(len(WALL_TINTS)))]
    low, high = PITCH_M[pattern]
    return Room(
        r.x0 / 10,
        r.y0 / 10,
        r.x1 / 10,
        r.y1 / 10,
        WALL_M,
        wall,
        floor,
        pattern,
        round(float(rng.uniform(low, high)), 3),
    )


def _walls(index: int, room: Room, doors: tuple[Door, ...], height: float) -> list[Wall]:
    """Four slabs: two over the whole length along x, two between them along y, so that none
    overlap.
    """
    t = room.wall_m
    x0, y0, x1, y1 = room.x_min, room.y_min, room.x_max, room.y_max
    r = 4  # decimals: sums of tenths and hundredths stay clean
    inner0, inner1 = round(y0 + t, r), round(y1 - t, r)
    slabs = (
        (True, y0, (x0, y0, x1, inner0)),
        (True, y1, (x0, inner1, x1, y1)),
        (False, x0, (x0, inner0, round(x0 + t, r), inner1)),
        (False, x1, (round(x1 - t, r), inner0, x1, inner1)),
    )
    walls = []
    for along_x, line, box in slabs:
        start = box[0] if along_x else box[1]
        holes = []
        for door in doors:
            if index not in door.rooms or door.along_x != along_x:
                continue
            if abs((door.y if along_x else door.x) - line) > 1e-9:
                continue
            mid = (door.x if along_x else door.y) - start
            half = 0.5 * door.width_m
            holes.append(Opening(round(mid - half, r), round(mid + half, r), door.height_m))
        walls.append(Wall(index, *box, height, tuple(holes)))
    return walls
