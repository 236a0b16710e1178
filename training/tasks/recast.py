"""The same room with other things in it: objects are replaced in place by things of another
category, or painted in another colour.

In: a scene and what is counted in it. Out: a new valid scene. Counting uses it so that how many
things there are, where they stand and how full the room is say nothing about how many there are
of what is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_training.houses.furniture import TALL_M, build, categories
from ipt_training.houses.generator import GAP_M, footprints_overlap
from ipt_training.scenes.colours import COLOURS, HOUSE_COLOURS, ROOM_COLOURS, shade
from ipt_training.scenes.scene import Scene, SceneObject

OPTION_COUNT = PictureGeometry().count_options
#: Small enough to stand where any other of them stands.
HOUSE_CAST = ("chair", "stool", "crate", "ball", "cone", "bin", "plant", "lamp")
#: Parts of a thing are this much darker or lighter than its colour, and rounding adds so much.
SHADES = (0.4, 1.06)
SHADE_OFF = 6


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


def colours_of(level: str) -> tuple[str, ...]:
    """The colours that things may be counted by. In houses leaves are green and beds of wood,
    whatever colour they are named by.
    """
    if level == "room":
        return ROOM_COLOURS
    return tuple(c for c in HOUSE_COLOURS if c not in ("green", "brown"))


def shows_its_colour(thing: SceneObject) -> bool:
    """Whether it has its colour from above too: all but leaves over a pot."""
    return thing.category != "plant"


def paint(scene: Scene, colours: Sequence[tuple[int, str]]) -> Scene:
    """The scene with these objects (index, colour) painted anew; shapes and places stay."""
    objects = list(scene.objects)
    for index, colour in colours:
        objects[index] = _painted(objects[index], colour)
    return replace(scene, objects=tuple(objects))


def _painted(thing: SceneObject, colour: str) -> SceneObject:
    """Parts in a shade of its colour get that shade of the new one; metal, wood, leaves stay."""
    old = np.array(COLOURS[thing.colour], float)
    parts = []
    for part in thing.primitives:
        rgb = np.array(part.colour, float)
        factor = float(rgb @ old / (old @ old))
        off = np.abs(np.minimum(factor * old, 255) - rgb).max()
        if SHADES[0] <= factor <= SHADES[1] and off <= SHADE_OFF:
            part = replace(part, colour=shade(COLOURS[colour], factor))
        parts.append(part)
    return replace(thing, colour=colour, primitives=tuple(parts))


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


def painted(colours: Sequence[tuple[int, str]]) -> dict[str, object]:
    """What the facts of an example say of things painted anew, where any were."""
    return {"colours": [list(colour) for colour in colours]} if colours else {}


@dataclass(frozen=True)
class Changes:
    """What is done to a scene before it is asked about: things replaced, or painted anew."""

    castings: tuple[Casting, ...] = ()
    colours: tuple[tuple[int, str], ...] = ()

    def applied(self, scene: Scene) -> Scene | None:
        """None where a new thing does not fit."""
        return paint(scene, self.colours) if self.colours else recast(scene, self.castings)

    def facts(self) -> dict[str, object]:
        return {"castings": [c.as_list() for c in self.castings], **painted(self.colours)}


@dataclass(frozen=True)
class Ask:
    """What is asked, whatever the scene: a category, or a colour. first: the smallest option;
    count = first + rank.
    """

    category: str
    first: int
    rank: int
    colour: str = ""

    @property
    def words(self) -> str:
        """One of what is counted: 'ball', 'blue object'."""
        return f"{self.colour} object" if self.colour else self.category

    def counts(self, thing: SceneObject) -> bool:
        return thing.colour == self.colour if self.colour else thing.category == self.category

    @property
    def count(self) -> int:
        return self.first + self.rank

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(range(self.first, self.first + OPTION_COUNT))


def _may_count(scene: Scene, ask: Ask, index: int) -> bool:
    """Whether this thing can become one of those that are counted."""
    thing = scene.objects[index]
    return shows_its_colour(thing) if ask.colour else thing.category in cast_of(scene.level)


def room_for(scene: Scene, ask: Ask, rng: np.random.Generator) -> int | None:
    """A room with things enough for the largest option: else a full one would have few of them."""
    members = Counter(o.room for i, o in enumerate(scene.objects) if _may_count(scene, ask, i))
    rooms = [r for r, number in members.items() if number >= ask.numbers[-1]]
    return rooms[int(rng.integers(len(rooms)))] if rooms else None


def cast_for(scene: Scene, room: int, ask: Ask, rng: np.random.Generator) -> Changes:
    """What to do to the scene so that this room has as many of what is asked as is asked."""
    return (_colours if ask.colour else _castings)(scene, room, ask, rng)


def _castings(scene: Scene, room: int, ask: Ask, rng: np.random.Generator) -> Changes:
    """Which things of the room become the counted category, and what the others of it become."""
    cast = cast_of(scene.level)
    able = [i for i in range(len(scene.objects)) if _may_count(scene, ask, i)]
    others = [c for c in cast if c != ask.category]
    chosen = _chosen(scene, room, ask, able, rng)
    castings = []
    for i in able:
        is_counted = ask.counts(scene.objects[i])
        if i in chosen:
            if not is_counted:
                castings.append(Casting(i, ask.category, int(rng.integers(2**31))))
        elif is_counted:
            new = others[int(rng.integers(len(others)))]
            castings.append(Casting(i, new, int(rng.integers(2**31))))
    return Changes(castings=tuple(castings))


def _colours(scene: Scene, room: int, ask: Ask, rng: np.random.Generator) -> Changes:
    """Which things of the room are painted in the counted colour, and what the others of it are
    painted in.
    """
    able = [i for i in range(len(scene.objects)) if _may_count(scene, ask, i)]
    others = [c for c in colours_of(scene.level) if c != ask.colour]
    chosen = _chosen(scene, room, ask, able, rng)
    colours = []
    for i, thing in enumerate(scene.objects):
        if i in chosen:
            colours.append((i, ask.colour))
        elif ask.counts(thing):
            colours.append((i, others[int(rng.integers(len(others)))]))
    return Changes(colours=tuple(colours))


def _chosen(
    scene: Scene, room: int, ask: Ask, able: list[int], rng: np.random.Generator
) -> set[int]:
    here = [i for i in able if scene.objects[i].room == room]
    return set(rng.permutation(here)[: ask.count].tolist())
