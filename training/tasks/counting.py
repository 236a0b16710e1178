"""Multi-view counting: how many of a category are there in an area that four frames show in
pieces?

In: a scene. Out: an `Example` whose true view is the top-down map of the area. What is counted,
options and count are drawn before any scene is seen; the room is then cast to fit, so no count is
likelier than another. `by colour` counts all things of one colour, which a map from above shows at
any size; kinds, which it may not tell apart, are what is counted otherwise.
"""

from __future__ import annotations

import math

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
from ipt_training.tasks.reasoning import counting_reasoning, ordinal_names
from ipt_training.tasks.recast import Ask, Changes, cast_for, cast_of, colours_of, room_for
from ipt_training.tasks.sampling import MAP_SHARE_BINS, Context, Wanted, place_answer
from ipt_training.tasks.seen.remembered import (
    AskedPoints,
    recall_map,
    remember,
    with_memory,
)
from ipt_training.tasks.seen.walks import earlier_poses

TASK = "counting"
VARIANTS = ("rotation", "corners")
BY_COLOUR = tuple(f"{variant}+by colour" for variant in VARIANTS)
MORE_VARIANTS = (*BY_COLOUR, *(f"{variant}+memory" for variant in (*VARIANTS, *BY_COLOUR)))
SHARES = MAP_SHARE_BINS
#: `overlap`: some counted thing is in one frame only and another in two, so that neither the
#: fullest frame nor the sum over frames gives the count. `any`: as it comes.
SUBCATEGORIES = ("overlap", "any")
FRAMES, OPTION_COUNT = PictureGeometry().count_frames, PictureGeometry().count_options

MIN_SHARE = 0.004
#: Less than this of a counted thing in a frame is not seeing it; between the two it is doubtful.
STRAY_SHARE = 0.0008
MIN_MAP_PX = 4
#: As many as show a colour for sure.
MIN_COLOUR_PX = 8
MAX_WALL_SHARE = 0.92
SPOTS = 6
LOOK_PX = 48
CORNER_CLEAR_M = 0.3
CASTS = 6


def ask_of(wanted: Wanted, level: str) -> Ask:
    """Options and true count are independent: its rank among the sorted options is uniform."""
    stream = wanted.stream("count")
    # two kinds of sight need two things; a house's rooms hold at most five or six
    low = 2 if wanted.subcategory == "overlap" else 1
    high = 3 if level == "room" else 2
    by_colour = wanted.has("by colour")
    what = str(stream.choice(colours_of(level) if by_colour else cast_of(level)))
    return Ask(
        category="" if by_colour else what,
        first=int(stream.integers(low, high + 1)),
        rank=int(stream.integers(OPTION_COUNT)),
        colour=what if by_colour else "",
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
        room = room_for(scene, ask, rng)
        if room is None:
            counts.add(TASK, "too few things in the room")
            return None
        if wanted.share_seen is not None and _floor_share(scene, room) < wanted.share_seen[0]:
            counts.add(TASK, "map shows too little of the room")
            return None
        changes = cast_for(scene, room, ask, rng)
        cast = changes.applied(scene)
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
        example = realise(cast, room, ask, wanted, context, own, poses, fov, changes)
        if isinstance(example, Example) and wanted.share_seen is not None:
            example = _remembering(example, own, poses, fov, height, pitch, wanted, rng)
        if isinstance(example, Example):
            return example
        counts.add(TASK, example)
    if not tried:
        counts.add(TASK, "no free spot")
    return None


def _floor_share(scene: Scene, room: int) -> float:
    """How much of its map is the room itself: more of it cannot be seen."""
    x0, y0, x1, y1 = scene.rooms[room].interior
    square = _square(scene, room)
    return (x1 - x0) * (y1 - y0) / (square[2] - square[0]) ** 2


def _square(scene: Scene, room: int) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = scene.rooms[room].interior
    return room_square(scene, 0.5 * (x0 + x1), 0.5 * (y0 + y1))


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
    if wanted.has("rotation"):
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
    counted = [i for i, o in enumerate(scene.objects) if ask.counts(o) and o.room == room]
    outside = [i for i, o in enumerate(scene.objects) if ask.counts(o) and o.room != room]
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
    changes: Changes,
) -> Example | str:
    """Render the frames and the map and put them into words; else the reason why not."""
    camera = Camera.from_fov(context.size_px, context.size_px, fov)
    views = renderer.render_many(poses, camera)
    number = len(scene.objects)
    shares = np.stack([image_shares(v.instance, number) for v in views])
    # at full size a sliver of a pixel or two more may show: what counts as seen must stay the same
    if check_frames(scene, room, ask, wanted, np.where(shares > STRAY_SHARE, shares, 0.0)):
        return "lost at full size"
    square = _square(scene, room)
    top = renderer.top_down(square, (square[2] - square[0]) / context.size_px)
    counted = [i for i, o in enumerate(scene.objects) if ask.counts(o) and o.room == room]
    least = MIN_COLOUR_PX if ask.colour else MIN_MAP_PX
    if any((top.instance == i).sum() < least for i in counted):
        return "hidden on the map"
    words = wanted.stream("words")
    numbers = [str(n) for n in ask.numbers]
    options = place_answer(numbers, str(ask.count), wanted.answer_position, words)
    phrase = counting_question(
        ask.words, [int(o) for o in options], template=int(words.integers(10))
    )
    question = Question(Task.COUNTING, tuple(v.rgb for v in views), phrase.text, phrase.options)
    seen = shares >= MIN_SHARE
    first = seen[:, counted].argmax(axis=0)
    in_turn = [counted[int(k)] for k in np.argsort(first, kind="stable")]
    labels = dict(
        zip(in_turn, ordinal_names([scene.objects[i].name for i in in_turn]), strict=True)
    )
    frames = [[labels[i] for i in counted if seen[f, i]] for f in range(FRAMES)]
    times = seen[:, counted].sum(axis=0)
    return Example(
        question=question,
        answer_index=wanted.answer_position,
        true_view=top.rgb,
        think=think_sentence(question),
        reasoning=counting_reasoning(ask.words, frames, ask.count),
        variant=wanted.variant,
        subcategory=wanted.subcategory,
        scene_seed=scene.seed,
        facts={
            "category": ask.words,
            "count": ask.count,
            "rank": ask.rank,
            "room": room,
            **changes.facts(),
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


def _remembering(
    example: Example,
    renderer: Renderer,
    poses: list[np.ndarray],
    fov: float,
    height: float,
    pitch: float,
    wanted: Wanted,
    rng: np.random.Generator,
) -> Example | str:
    """The example with what is recalled of the map by a robot that remembers some of the frames
    and some of what it saw before them: a memory is bounded, and not every picture has depth.
    """
    assert wanted.share_seen is not None
    size_px = example.true_view.shape[0]
    square = tuple(example.facts["map_square_m"])
    wall_m = renderer.scene.wall_height_m
    top = renderer.top_down(square, (square[2] - square[0]) / size_px)
    x, y, yaw = poses[0][0, 3], poses[0][1, 3], math.atan2(poses[0][1, 2], poses[0][0, 2])
    earlier = earlier_poses(renderer.scene, rng, (float(x), float(y), yaw), height, pitch)
    remembered = remember(
        renderer,
        AskedPoints.of_map(top, wall_m),
        [],
        [*earlier, *poses],
        Camera.from_fov(size_px, size_px, fov),
        wanted.share_seen,
        rng,
        lambda memory: recall_map(memory, square, size_px, wall_m),
    )
    if remembered is None:
        return "no views that show so much"
    return with_memory(example, remembered)
