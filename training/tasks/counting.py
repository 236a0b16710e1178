"""Multi-view counting: how many of a category are there in an area that four frames show in
pieces?

In: a scene. Out: an `Example` whose true view is the top-down map of the area. Category, options
and count are drawn before any scene is seen; the room is then cast to fit, so no count is likelier
than another.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ipt_model.question import Question, Task
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.wording.phrasing import counting_question
from ipt_model.wording.prompts import think_sentence
from ipt_training.example import Example
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.projection import image_shares
from ipt_training.scenes.scene import WALL, Scene
from ipt_training.tasks.drawing import room_square
from ipt_training.tasks.geometry import ObjectTable, free_points, is_free, room_of
from ipt_training.tasks.reasoning import counting_reasoning
from ipt_training.tasks.recast import Casting, cast_of, recast
from ipt_training.tasks.sampling import Context, Wanted, place_answer

TASK = "counting"
VARIANTS = ("rotation", "corners")
#: `overlap`: some counted thing is in one frame only and another in two, so that neither the
#: fullest frame nor the sum over frames gives the count. `any`: as it comes.
SUBCATEGORIES = ("overlap", "any")
FRAMES, OPTION_COUNT = PictureGeometry().count_frames, PictureGeometry().count_options

MIN_SHARE = 0.004
#: Less than this of a counted thing in a frame is not seeing it; between the two it is doubtful.
STRAY_SHARE = 0.0008
MIN_MAP_PX = 4
MAX_WALL_SHARE = 0.92
SPOTS = 6
LOOK_PX = 48
CORNER_CLEAR_M = 0.3
CASTS = 6


@dataclass(frozen=True)
class Ask:
    """What is asked, whatever the scene. first: the smallest option; count = first + rank."""

    category: str
    first: int
    rank: int

    @property
    def count(self) -> int:
        return self.first + self.rank

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(range(self.first, self.first + OPTION_COUNT))


def ask_of(wanted: Wanted, level: str) -> Ask:
    """Options and true count are independent: its rank among the sorted options is uniform."""
    stream = wanted.stream("count")
    # two kinds of sight need two things; a house's rooms hold at most five or six
    low = 2 if wanted.subcategory == "overlap" else 1
    high = 3 if level == "room" else 2
    return Ask(
        category=str(stream.choice(cast_of(level))),
        first=int(stream.integers(low, high + 1)),
        rank=int(stream.integers(OPTION_COUNT)),
    )


def scene_request(wanted: Wanted, level: str, rng: np.random.Generator) -> dict[str, int]:
    """What to ask of `make_scene`: room for the largest option, whatever the true count is."""
    most = ask_of(wanted, level).numbers[-1]
    return {"objects": int(rng.integers(max(most, 6), 10))} if level == "room" else {}


def sample(
    scene: Scene,
    rng: np.random.Generator,
    *,
    wanted: Wanted,
    context: Context,
    renderer: Renderer | None = None,
) -> Example | None:
    """An example of the wanted kind from this scene, or None. A renderer given is of the uncast
    scene, unused.
    """
    counts = context.rejections
    ask = ask_of(wanted, scene.level)
    for _ in range(CASTS):
        room, castings = _castings(scene, ask, rng)
        if castings is None:
            counts.add(TASK, "too few things in the room")
            return None
        cast = recast(scene, castings)
        if cast is not None:
            break
        counts.add(TASK, "cast does not fit")
    else:
        return None
    own = Renderer(cast)
    height = float(rng.uniform(0.9, 1.6))
    fov = math.radians(float(rng.uniform(94, 108)))
    pitch = math.radians(float(rng.uniform(4, 14)))
    tried = 0
    for poses in _spots(cast, room, rng, wanted, height, pitch):
        tried += 1
        reason = look(cast, room, ask, wanted, own, poses, fov)
        if reason is not None:
            counts.add(TASK, reason)
            continue
        example = realise(cast, room, ask, wanted, context, own, poses, fov, castings)
        if isinstance(example, Example):
            return example
        counts.add(TASK, example)
    if not tried:
        counts.add(TASK, "no free spot")
    return None


def _castings(
    scene: Scene, ask: Ask, rng: np.random.Generator
) -> tuple[int, list[Casting] | None]:
    """Which things of which room become the counted category, and what the others of it become."""
    cast = cast_of(scene.level)
    members: dict[int, list[int]] = {}
    for i, thing in enumerate(scene.objects):
        if thing.category in cast:
            members.setdefault(thing.room, []).append(i)
    # enough for the largest option: else a full room would mean a small count
    rooms = [r for r, things in members.items() if len(things) >= ask.numbers[-1]]
    if not rooms:
        return -1, None
    room = rooms[int(rng.integers(len(rooms)))]
    others = [c for c in cast if c != ask.category]
    chosen = set(rng.permutation(members[room])[: ask.count].tolist())
    castings = []
    for i in sorted(i for things in members.values() for i in things):
        is_counted = scene.objects[i].category == ask.category
        if i in chosen:
            if not is_counted:
                castings.append(Casting(i, ask.category, int(rng.integers(2**31))))
        elif is_counted:
            new = others[int(rng.integers(len(others)))]
            castings.append(Casting(i, new, int(rng.integers(2**31))))
    return room, castings


def _spots(
    scene: Scene,
    room: int,
    rng: np.random.Generator,
    wanted: Wanted,
    height: float,
    pitch: float,
) -> list[list[np.ndarray]]:
    """Up to SPOTS sets of four poses in the room: turning on one spot, or along a square."""
    table = ObjectTable.of(scene)
    x0, y0, x1, y1 = scene.rooms[room].interior
    found: list[list[np.ndarray]] = []
    if wanted.variant == "rotation":
        for x, y in free_points(scene, table, rng, 60):
            if not scene.rooms[room].contains(x, y):
                continue
            start = float(rng.uniform(-math.pi, math.pi))
            yaws = [start + 0.5 * math.pi * k for k in range(FRAMES)]
            found.append([camera_pose(x, y, yaw, height, pitch) for yaw in yaws])
            if len(found) >= SPOTS:
                break
        return found
    number = 300
    reach = rng.uniform(0.7, 1.9, number)  # half the diagonal
    middle = rng.uniform((x0, y0), (x1, y1), (number, 2))
    angles = rng.uniform(-math.pi, math.pi, number)[:, None] + 0.5 * math.pi * np.arange(FRAMES)
    corners = middle[:, None] + reach[:, None, None] * np.stack(
        [np.cos(angles), np.sin(angles)], axis=-1
    )
    free = is_free(scene, table, corners.reshape(-1, 2), CORNER_CLEAR_M).reshape(number, FRAMES)
    inside = room_of(scene, corners.reshape(-1, 2), CORNER_CLEAR_M).reshape(number, FRAMES) == room
    for square in corners[(free & inside).all(axis=1)][:SPOTS]:
        # walking round, each frame looks along the leg ahead
        legs = np.roll(square, -1, axis=0) - square
        yaws = np.arctan2(legs[:, 1], legs[:, 0])
        found.append(
            [
                camera_pose(float(x), float(y), float(yaw), height, pitch)
                for (x, y), yaw in zip(square, yaws, strict=True)
            ]
        )
    return found


def look(
    scene: Scene,
    room: int,
    ask: Ask,
    wanted: Wanted,
    renderer: Renderer,
    poses: list[np.ndarray],
    fov: float,
) -> str | None:
    """Cast the four frames small and say why the question cannot be asked; None when it can."""
    hits = renderer.cast_views(poses, Camera.from_fov(LOOK_PX, LOOK_PX, fov))
    if ((hits.instance == WALL).mean(axis=(1, 2)) > MAX_WALL_SHARE).any():
        return "blank wall"
    shares = image_shares(hits.instance, len(scene.objects))
    return check_frames(scene, room, ask, wanted, shares)


def check_frames(
    scene: Scene, room: int, ask: Ask, wanted: Wanted, shares: np.ndarray
) -> str | None:
    """The filters on what the frames show: why they fail, or None. shares: FRAMES x objects."""
    counted = [
        i for i, o in enumerate(scene.objects) if o.category == ask.category and o.room == room
    ]
    outside = [
        i for i, o in enumerate(scene.objects) if o.category == ask.category and o.room != room
    ]
    if outside and (shares[:, outside] > 0).any():
        return "one more in another room in sight"
    seen = shares[:, counted] >= MIN_SHARE
    if not seen.any(axis=0).all():
        return "counted thing not in sight"
    doubtful = (shares[:, counted] > STRAY_SHARE) & ~seen
    if doubtful.any():
        return "counted thing cut to a sliver"
    times = seen.sum(axis=0)
    if wanted.subcategory == "overlap" and not ((times == 1).any() and (times >= 2).any()):
        return "no overlap"
    return None


def realise(
    scene: Scene,
    room: int,
    ask: Ask,
    wanted: Wanted,
    context: Context,
    renderer: Renderer,
    poses: list[np.ndarray],
    fov: float,
    castings: list[Casting],
) -> Example | str:
    """Render the frames and the map and put them into words; else the reason why not."""
    camera = Camera.from_fov(context.size_px, context.size_px, fov)
    views = renderer.render_many(poses, camera)
    number = len(scene.objects)
    shares = np.stack([image_shares(v.instance, number) for v in views])
    # at full size a sliver of a pixel or two more may show: what counts as seen must stay the same
    if check_frames(scene, room, ask, wanted, np.where(shares > STRAY_SHARE, shares, 0.0)):
        return "lost at full size"
    interior = scene.rooms[room].interior
    square = room_square(
        scene, 0.5 * (interior[0] + interior[2]), 0.5 * (interior[1] + interior[3])
    )
    top = renderer.top_down(square, (square[2] - square[0]) / context.size_px)
    counted = [
        i for i, o in enumerate(scene.objects) if o.category == ask.category and o.room == room
    ]
    if any((top.instance == i).sum() < MIN_MAP_PX for i in counted):
        return "hidden on the map"
    words = wanted.stream("words")
    numbers = [str(n) for n in ask.numbers]
    options = place_answer(numbers, str(ask.count), wanted.answer_position, words)
    phrase = counting_question(
        ask.category, [int(o) for o in options], template=int(words.integers(10))
    )
    question = Question(Task.COUNTING, tuple(v.rgb for v in views), phrase.text, phrase.options)
    seen = shares >= MIN_SHARE
    first = seen[:, counted].argmax(axis=0)
    labels = _labels(scene, [counted[int(k)] for k in np.argsort(first, kind="stable")])
    frames = [[labels[i] for i in counted if seen[f, i]] for f in range(FRAMES)]
    times = seen[:, counted].sum(axis=0)
    return Example(
        question=question,
        answer_index=wanted.answer_position,
        true_view=top.rgb,
        think=think_sentence(question),
        reasoning=counting_reasoning(ask.category, frames, ask.count),
        variant=wanted.variant,
        subcategory=wanted.subcategory,
        scene_seed=scene.seed,
        facts={
            "category": ask.category,
            "count": ask.count,
            "rank": ask.rank,
            "room": room,
            "castings": [c.as_list() for c in castings],
            "counted": counted,
            "seen_in_frames": seen[:, counted].sum(axis=0).tolist(),
            "per_frame": seen[:, counted].sum(axis=1).tolist(),
            "needs_matching": bool((times == 1).any() and (times >= 2).any()),
            "objects_in_room": sum(o.room == room for o in scene.objects),
            "objects_in_view": int(seen.any(axis=0).sum()),
            "sightings": int(seen.sum()),
            "object_share": round(float(shares.sum(axis=1).mean()), 4),
            "poses": [np.round(p, 4).tolist() for p in poses],
            "fov_rad": round(fov, 4),
            "map_square_m": [round(v, 3) for v in square],
            "counted_map_px": np.round(
                top.pixel_of(np.array([scene.objects[i].position[:2] for i in counted])), 2
            ).tolist(),
        },
    )


def _labels(scene: Scene, counted: list[int]) -> dict[int, str]:
    """A name for each counted thing, in the order of sighting; equal names get ordinals."""
    names = Counter(scene.objects[i].name for i in counted)
    given: Counter[str] = Counter()
    labels = {}
    ordinals = ("first", "second", "third", "fourth", "fifth", "sixth")
    for i in counted:
        name = scene.objects[i].name
        if names[name] > 1:
            labels[i] = f"{ordinals[given[name]]} {name}"
            given[name] += 1
        else:
            labels[i] = name
    return labels
