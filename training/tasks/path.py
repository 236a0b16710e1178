"""Path tracing: what can be seen on one side at the midpoint of a path drawn on a top-down map?

In: a scene. Out: an `Example` whose true view is the side view at M1. The four options are
chosen first, and only sets of which every member could have been the answer are asked about, so no
name gives itself away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ipt_model.question import Question, Task
from ipt_model.wording.phrasing import path_question
from ipt_model.wording.prompts import think_sentence
from ipt_training.example import Example
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.projection import image_shares
from ipt_training.scenes.scene import WALL, Scene
from ipt_training.tasks.drawing import draw_path, room_square
from ipt_training.tasks.geometry import ObjectTable, free_points, is_free, to_body
from ipt_training.tasks.reasoning import path_reasoning
from ipt_training.tasks.recast import colours_of, paint, painted
from ipt_training.tasks.sampling import SHARE_BINS, Context, Wanted, place_answer
from ipt_training.tasks.seen.remembered import (
    AskedPoints,
    recall_view,
    remember,
    with_memory,
)
from ipt_training.tasks.seen.walks import earlier_poses

TASK = "path"
VARIANTS = ("ego", "map", "map+arrow")
#: Among things of two colours, so that their kinds decide.
ALIKE = tuple(f"{variant}+alike" for variant in VARIANTS)
MORE_VARIANTS = (*ALIKE, *(f"{variant}+memory" for variant in (*VARIANTS, *ALIKE)))
SHARES = SHARE_BINS
SUBCATEGORIES = ("left", "right")
OPTION_COUNT = 4

LENGTH_M = (1.4, 5.0)
WALK_CLEAR_M = 0.3
#: Seen for sure: as much of the side view as a person recognises a thing by.
MIN_SHARE = 0.008
#: Not seen: a few stray pixels at most.
MAX_STRAY = 0.0004
MAX_WALL_SHARE = 0.85
PATHS = 40
LOOK_PX = 24
LOOK_FOV = math.radians(96)
#: The sweep for the best side view: yaw off the perpendicular and pitch, degrees; shift along the
#: path, m.
SWEEP_YAW = (-24, -16, -8, 0, 8, 16, 24)
SWEEP_PITCH = (4, 14)
SWEEP_SHIFT = (-0.15, 0.0, 0.15)


@dataclass(frozen=True)
class Proposal:
    """One possible question. start, end: x, y on the floor, m. options: object indices, the answer
    first.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    side: str
    options: tuple[int, ...]
    opposite: int

    @property
    def heading(self) -> float:
        return math.atan2(self.end[1] - self.start[1], self.end[0] - self.start[0])

    @property
    def midpoint(self) -> tuple[float, float]:
        return 0.5 * (self.start[0] + self.end[0]), 0.5 * (self.start[1] + self.end[1])


def scene_request(wanted: Wanted, level: str, rng: np.random.Generator) -> dict[str, int]:
    """What to ask of `make_scene`: enough objects for four options."""
    return {"objects": int(rng.integers(6, 10))} if level == "room" else {}


def sample(
    scene: Scene,
    rng: np.random.Generator,
    *,
    wanted: Wanted,
    context: Context,
    renderer: Renderer | None = None,
) -> Example | None:
    """An example of the wanted kind from this scene, or None when it has none."""
    counts = context.rejections
    colours: list[tuple[int, str]] = []
    if wanted.has("alike"):
        colours = two_colours(scene, rng)
        scene, renderer = paint(scene, colours), None
    if len(scene.unique_names()) < OPTION_COUNT:
        counts.add(TASK, "fewer than four names")
        return None
    renderer = renderer or Renderer(scene)
    height = float(rng.uniform(0.8, 1.5))
    looks = 0
    for proposal in propose(scene, rng, wanted, renderer, height):
        example = realise(proposal, renderer, height, wanted, context, rng)
        if isinstance(example, Example):
            return replace(example, facts={**example.facts, **painted(colours)})
        counts.add(TASK, example)
        looks += 1
        if looks >= context.max_renders:
            break
    if not looks:
        counts.add(TASK, "no four objects that could each be the answer")
    return None


def two_colours(scene: Scene, rng: np.random.Generator) -> list[tuple[int, str]]:
    """A colour for every thing of the scene, one of two; things of a kind get both in turn, so
    that most names stand for one thing alone.
    """
    two = [str(colour) for colour in rng.choice(colours_of(scene.level), 2, replace=False)]
    turns = {thing.category: int(rng.integers(2)) for thing in scene.objects}
    given = []
    for index in rng.permutation(len(scene.objects)).tolist():
        kind = scene.objects[index].category
        given.append((index, two[turns[kind]]))
        turns[kind] = 1 - turns[kind]
    return sorted(given)


def propose(
    scene: Scene, rng: np.random.Generator, wanted: Wanted, renderer: Renderer, height: float
) -> Iterator[Proposal]:
    """Paths on which exactly one of four objects is in sight on the wanted side."""
    starts, ends = _paths(scene, rng)
    if not len(starts):
        return
    turn = 0.5 * math.pi if wanted.subcategory == "left" else -0.5 * math.pi
    heading = np.arctan2(ends[:, 1] - starts[:, 1], ends[:, 0] - starts[:, 0])
    middle = 0.5 * (starts + ends)
    # one cast serves both ways of walking: the left of one is the right of the other
    poses = [
        camera_pose(x, y, h + turn, height, 0.12)
        for (x, y), h in zip(middle, heading, strict=True)
    ]
    camera = Camera.from_fov(LOOK_PX, LOOK_PX, LOOK_FOV)
    share = image_shares(renderer.cast_views(poses, camera).instance, len(scene.objects))
    opposite = np.roll(share.reshape(-1, 2, share.shape[1]), 1, axis=1).reshape(share.shape)

    unique = np.array([scene.is_unique(i) for i in range(len(scene.objects))], bool)
    distance = np.hypot(*(ObjectTable.of(scene).xy[None] - middle[:, None]).transpose(2, 0, 1))
    rank = int(wanted.stream("nearness").integers(OPTION_COUNT))
    sets = _option_sets(rng, np.flatnonzero(unique))
    among = share[:, sets]  # ways x sets x options
    seen = among >= MIN_SHARE
    good = (seen.sum(axis=2) == 1) & ((among == 0).sum(axis=2) == OPTION_COUNT - 1)
    # each of the four has a way on which it alone is in sight: none is the answer by elimination
    each = (seen & good[..., None]).any(axis=0).all(axis=1)
    for k in np.flatnonzero(each).tolist():
        options = sets[k]
        answer = int(rng.integers(OPTION_COUNT))
        # the answer is the nearest of the options to M1 no more often than any other
        order = distance[:, options].argsort(axis=1).argsort(axis=1)
        rows = np.flatnonzero(good[:, k] & seen[:, k, answer] & (order[:, answer] == rank))
        if not len(rows):
            continue
        others = [int(o) for k, o in enumerate(options) if k != answer]
        across = (opposite[:, others] >= MIN_SHARE).sum(axis=1)
        # half of the wrong options from the other side, as far as the scene allows
        aim = 1 + int(rng.integers(2))
        best = rows[np.abs(across[rows] - aim) == np.abs(across[rows] - aim).min()]
        row = int(best[int(rng.integers(len(best)))])
        yield Proposal(
            start=(float(starts[row, 0]), float(starts[row, 1])),
            end=(float(ends[row, 0]), float(ends[row, 1])),
            side=wanted.subcategory,
            options=(int(options[answer]), *others),
            opposite=int(across[row]),
        )


def _paths(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Straight free ways, each followed by the same way walked back: K x 2 starts and ends."""
    table = ObjectTable.of(scene)
    a = free_points(scene, table, rng, 6 * PATHS, WALK_CLEAR_M)
    b = free_points(scene, table, rng, 6 * PATHS, WALK_CLEAR_M)
    n = min(len(a), len(b))
    a, b = a[:n], b[:n]
    length = np.hypot(*(b - a).T)
    keep = (length >= LENGTH_M[0]) & (length <= LENGTH_M[1])
    a, b = a[keep], b[keep]
    steps = np.linspace(0, 1, 12)[:, None, None]
    along = (a + steps * (b - a)).reshape(-1, 2)
    free = is_free(scene, table, along, WALK_CLEAR_M).reshape(12, -1).all(axis=0)
    a, b = a[free][: PATHS // 2], b[free][: PATHS // 2]
    starts = np.stack([a, b], axis=1).reshape(-1, 2)
    ends = np.stack([b, a], axis=1).reshape(-1, 2)
    return starts, ends


def _option_sets(rng: np.random.Generator, unique: np.ndarray) -> np.ndarray:
    """Random sets of four objects: S x 4, S = 0 where there are fewer."""
    if len(unique) < OPTION_COUNT:
        return np.empty((0, OPTION_COUNT), np.int64)
    return np.asarray(unique[rng.random((80, len(unique))).argsort(axis=1)[:, :OPTION_COUNT]])


def realise(
    proposal: Proposal,
    renderer: Renderer,
    height: float,
    wanted: Wanted,
    context: Context,
    rng: np.random.Generator,
) -> Example | str:
    """Find the best side view, render all and put it into words; else the reason why not."""
    scene = renderer.scene
    number = len(scene.objects)
    camera = Camera.from_fov(
        context.size_px, context.size_px, math.radians(float(rng.uniform(78, 96)))
    )
    pose = _best_side_view(proposal, renderer, height, camera.width / camera.fx)
    if pose is None:
        return "no side view shows the answer alone"
    side_view = renderer.render(pose, camera)
    shares = image_shares(side_view.instance, number)[list(proposal.options)]
    if shares[0] < MIN_SHARE:
        return "answer too small"
    if (shares[1:] > MAX_STRAY).any():
        return "wrong option in the side view"

    square = room_square(scene, *proposal.midpoint)
    top = renderer.top_down(square, (square[2] - square[0]) / context.size_px)
    pixels = top.pixel_of(np.array([proposal.start, proposal.end]))
    arrow = proposal.side if wanted.has("arrow") else None
    images = [draw_path(top.rgb, pixels[0], pixels[1], arrow)]
    pitch = math.radians(8)
    ahead = [
        camera_pose(x, y, proposal.heading, height, pitch)
        for x, y in (proposal.start, proposal.end)
    ]
    if wanted.has("ego"):
        views = renderer.render_many(ahead, camera)
        if any((view.instance == WALL).mean() > MAX_WALL_SHARE for view in views):
            return "blank wall ahead"
        images += [view.rgb for view in views]
    remembered = None
    if wanted.share_seen is not None:
        ends = (proposal.start, proposal.end)
        earlier = [
            earlier_poses(scene, rng, (x, y, proposal.heading), height, pitch) for x, y in ends
        ]
        remembered = remember(
            renderer,
            AskedPoints.of_view(renderer, pose, camera),
            ahead if wanted.has("ego") else [],
            [*earlier[0], *earlier[1]],
            camera,
            wanted.share_seen,
            rng,
            lambda memory: recall_view(memory, pose, camera),
        )
        if remembered is None:
            return "no views that show so much"

    words = wanted.stream("words")
    names = [scene.objects[i].name for i in proposal.options]
    options = place_answer(names, names[0], wanted.answer_position, words)
    phrase = path_question(proposal.side, options, template=int(words.integers(10)))
    question = Question(Task.PATH, tuple(images), phrase.text, phrase.options)
    example = Example(
        question=question,
        answer_index=wanted.answer_position,
        true_view=side_view.rgb,
        think=think_sentence(question),
        reasoning=_reasoning(proposal, scene, renderer, height),
        variant=wanted.variant,
        subcategory=wanted.subcategory,
        scene_seed=scene.seed,
        facts=_facts(proposal, scene, pose, height, camera, square, shares),
    )
    return example if remembered is None else with_memory(example, remembered)


def _best_side_view(
    proposal: Proposal, renderer: Renderer, height: float, twice_tan: float
) -> np.ndarray | None:
    """The pose of the sweep that shows most of the answer, well inside, and none of the wrong
    options.
    """
    x, y = proposal.midpoint
    turn = 0.5 * math.pi if proposal.side == "left" else -0.5 * math.pi
    poses = [
        camera_pose(
            x + shift * math.cos(proposal.heading),
            y + shift * math.sin(proposal.heading),
            proposal.heading + turn + math.radians(yaw),
            height,
            math.radians(pitch),
        )
        for yaw in SWEEP_YAW
        for pitch in SWEEP_PITCH
        for shift in SWEEP_SHIFT
    ]
    camera = Camera.from_fov(LOOK_PX, LOOK_PX, 2 * math.atan(0.5 * twice_tan))
    hits = renderer.cast_views(poses, camera)
    shares = image_shares(hits.instance, len(renderer.scene.objects))[:, list(proposal.options)]
    # cut off at the border, a thing is harder to name: what lies inside counts alone
    inner = hits.instance[:, :, 3:-3]
    inside = image_shares(inner, len(renderer.scene.objects))[:, proposal.options[0]]
    score = np.where((shares[:, 1:] == 0).all(axis=1), inside, 0.0)
    best = int(score.argmax())
    return poses[best] if score[best] >= MIN_SHARE else None


def _reasoning(proposal: Proposal, scene: Scene, renderer: Renderer, height: float) -> str:
    planar = np.array([*proposal.midpoint, proposal.heading])
    eye = camera_pose(*proposal.midpoint, proposal.heading, height)
    places = []
    for index in proposal.options:
        thing = scene.objects[index]
        centre = np.array([[*thing.position[:2], 0.6 * thing.height_m]])
        toward = centre - eye[:3, 3]
        reach = np.linalg.norm(toward)
        # the near side of the thing, not its middle, has to be in sight
        short = 0.5 * max(thing.footprint) + 0.1
        spot = eye[:3, 3] + toward * max(0.0, 1 - short / reach)
        body = to_body(np.array(thing.position[:2]), planar)
        visible = bool(renderer.sees(spot, eye)[0])
        places.append((float(body[0]), float(body[1])) if visible else None)
    answer = scene.objects[proposal.options[0]]
    body = to_body(np.array(answer.position[:2]), planar)
    return path_reasoning(
        side=proposal.side,
        heading=proposal.heading,
        answer=answer.name,
        answer_body=(float(body[0]), float(body[1])),
        others=[
            (scene.objects[i].name, place)
            for i, place in zip(proposal.options[1:], places[1:], strict=True)
        ],
    )


def _facts(
    proposal: Proposal,
    scene: Scene,
    pose: np.ndarray,
    height: float,
    camera: Camera,
    square: tuple[float, float, float, float],
    shares: np.ndarray,
) -> dict[str, object]:
    middle = np.array(proposal.midpoint)
    walker = np.array([*proposal.midpoint, proposal.heading])
    return {
        "answer": scene.objects[proposal.options[0]].name,
        "option_objects": {scene.objects[i].name: i for i in proposal.options},
        "option_distance_m": {
            scene.objects[i].name: round(
                float(np.hypot(*(np.array(scene.objects[i].position[:2]) - middle))), 3
            )
            for i in proposal.options
        },
        # forward, left of a walker at M1
        "option_body_m": {
            scene.objects[i].name: np.round(
                to_body(np.array(scene.objects[i].position[:2]), walker), 3
            ).tolist()
            for i in proposal.options
        },
        "option_footprint_m2": {
            scene.objects[i].name: round(math.prod(scene.objects[i].footprint), 3)
            for i in proposal.options
        },
        "start_m": [round(v, 3) for v in proposal.start],
        "end_m": [round(v, 3) for v in proposal.end],
        "midpoint_m": [round(float(v), 3) for v in middle],
        "path_length_m": round(math.dist(proposal.start, proposal.end), 3),
        "wrong_on_opposite_side": proposal.opposite,
        "answer_share": round(float(shares[0]), 5),
        "pose_imagined": np.round(pose, 4).tolist(),
        "camera_height_m": round(height, 3),
        "fov_rad": round(2 * math.atan(0.5 * camera.width / camera.fx), 4),
        "map_square_m": [round(v, 3) for v in square],
    }
