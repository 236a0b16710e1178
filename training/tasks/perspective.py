"""Perspective taking: where will a named object be after moving to the red X, or by a motion in
words?

In: a scene. Out: an `Example` whose imagination is the render from the new pose. Many motions are
proposed per scene from geometry alone; those that have a twin with the other answer are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ipt_model.question import Question, Task
from ipt_model.spatial.geometry import warp_rgbd
from ipt_model.wording.phrasing import Motion, perspective_question
from ipt_model.wording.prompts import think_sentence
from ipt_training.example import Example
from ipt_training.rendering.embree import FloorMark, Renderer
from ipt_training.scenes.camera import Camera, View, camera_pose
from ipt_training.scenes.projection import image_centres, image_shares
from ipt_training.scenes.scene import WALL, Scene
from ipt_training.tasks.geometry import (
    ObjectTable,
    camera_points,
    free_points,
    is_free,
    moved,
    to_body,
)
from ipt_training.tasks.reasoning import perspective_reasoning
from ipt_training.tasks.sampling import Context, Wanted, place_answer
from ipt_training.tasks.twins import matched_pairs

TASK = "perspective"
VARIANTS = ("marker", "pose", "marker+anchored", "pose+anchored")
SUBCATEGORIES = (
    "closer",
    "further",
    "left-left",
    "left-right",
    "right-left",
    "right-right",
)
OPTION_COUNT = 2
OPPOSITE = {
    "closer": "further",
    "further": "closer",
    "left-left": "left-right",
    "left-right": "left-left",
    "right-left": "right-right",
    "right-right": "right-left",
}

MIN_CHANGE_M = 0.5
MAX_RANGE_M = 5.0
#: Share of the picture's width that keeps an object off the middle line when its side is asked.
SIDE_MARGIN = 0.10
MIN_SHARE = 0.004
#: As much red as a person finds without searching.
MIN_MARK_SHARE = 0.0012
#: Above this much wall, and without enough other things, a picture says nothing about where it was
#: taken.
MAX_WALL_SHARE = 0.9
LOOK_PX = 48
CAMERAS, MOTIONS = 96, 64

_WORDS = ("forward", "left", "turn")
#: (share, numbers on which twins agree) by variant and what is asked.
AGREE: dict[tuple[str, str], tuple[tuple[float, tuple[str, ...]], ...]] = {
    ("marker", "distance"): (
        (
            0.85,
            ("distance", "ahead", "aside, mirrored", "mark distance", "mark aside, mirrored"),
        ),
        (0.06, ("distance", "ahead", "aside", "mark distance")),
        (0.09, ("distance", "ahead", "aside", "mark aside, mirrored")),
    ),
    ("marker", "side"): (
        (0.6, ("distance", "ahead", "aside")),
        (0.4, ("mark distance", "mark ahead", "mark aside, mirrored")),
    ),
    ("pose", "distance"): (
        (0.8, (*_WORDS, "distance", "aside, mirrored")),
        (0.12, (*_WORDS, "distance")),
        (0.08, (*_WORDS, "aside, mirrored")),
    ),
    ("pose", "side"): (
        (0.25, (*_WORDS, "aside")),
        (0.75, (*_WORDS, "bearing")),
    ),
}


@dataclass(frozen=True)
class Proposal:
    """One possible question, from geometry alone. pose: x, y, yaw before the motion; lengths m,
    angles rad.

    before, after: the object in the body frame, forward and left.
    """

    subcategory: str
    object_index: int
    pose: tuple[float, float, float]
    motion: Motion
    before: tuple[float, float]
    after: tuple[float, float]

    @property
    def asked(self) -> str:
        return "side" if "-" in self.subcategory else "distance"

    @property
    def new_pose(self) -> tuple[float, float, float]:
        m = self.motion
        x, y, yaw = moved(np.array(self.pose), *map(np.array, (m.forward_m, m.left_m, m.turn_rad)))
        return float(x), float(y), float(yaw)


@dataclass(frozen=True)
class Lens:
    """The camera of one example: height m, pitch and horizontal field of view rad."""

    height_m: float
    pitch: float
    fov: float

    def camera(self, size_px: int) -> Camera:
        return Camera.from_fov(size_px, size_px, self.fov)

    def world_from_camera(self, pose: tuple[float, float, float]) -> np.ndarray:
        return camera_pose(*pose, self.height_m, self.pitch)


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
    lens = draw_lens(rng, wanted)
    looks = 0
    for proposal, twin in propose(scene, rng, wanted, lens):
        renderer = renderer or Renderer(scene)
        reason = look(proposal, renderer, lens, wanted)
        if reason is None and look(twin, renderer, lens, wanted) is not None:
            reason = "twin refused"
        if reason is None:
            example = realise(proposal, renderer, lens, wanted, context, rng)
            if example is not None:
                return example
            reason = "lost at full size"
        counts.add(TASK, reason)
        looks += 1
        if looks >= context.max_renders:
            break
    if not looks:
        counts.add(TASK, "no twins in the scene")
    return None


def draw_lens(rng: np.random.Generator, wanted: Wanted) -> Lens:
    """Cameras of robots from vacuum cleaner to person. The X must fit into the picture, so it
    looks down.
    """
    low = wanted.variant.startswith("marker")
    return Lens(
        height_m=float(rng.uniform(0.5 if low else 0.3, 1.6)),
        pitch=math.radians(float(rng.uniform(6, 22) if low else rng.uniform(0, 16))),
        fov=math.radians(float(rng.uniform(72, 100))),
    )


def propose(
    scene: Scene, rng: np.random.Generator, wanted: Wanted, lens: Lens
) -> Iterator[tuple[Proposal, Proposal]]:
    """Questions of the wanted sub-category with their twins of the opposite one, shuffled."""
    table = ObjectTable.of(scene)
    unique = np.array([scene.is_unique(i) for i in range(len(scene.objects))], bool)
    places = free_points(scene, table, rng, CAMERAS)
    if not len(places) or not unique.any():
        return
    marker = wanted.variant.startswith("marker")
    turn_sign = 1 if wanted.stream("turn").random() < 0.5 else -1
    poses = np.repeat(
        np.column_stack([places, _glances(rng, places, table, lens)]), MOTIONS, axis=0
    )
    motions = _motions(rng, len(places), lens, marker, turn_sign)
    targets = moved(poses, *motions.T)
    free = is_free(scene, table, targets[:, :2])
    poses, targets, motions = poses[free], targets[free], motions[free]

    before = to_body(table.xy[None], poses[:, None])  # P x N x 2
    after = to_body(table.xy[None], targets[:, None])
    allowed = _in_sight(before, lens) & _in_sight(after, lens) & unique[None]
    found = [
        np.nonzero(allowed & _fits(before, after, lens, subcategory))
        for subcategory in (wanted.subcategory, OPPOSITE[wanted.subcategory])
    ]
    (first, tolerance), (second, _) = (
        _shortcuts(before[i, j], motions[i], wanted) for i, j in found
    )
    for pair in matched_pairs(first, second, tolerance, rng):
        members = []
        for (which, index), k, subcategory in zip(
            found, pair, (wanted.subcategory, OPPOSITE[wanted.subcategory]), strict=True
        ):
            i, j = int(which[k]), int(index[k])
            x, y, yaw = (float(v) for v in poses[i])
            members.append(
                Proposal(
                    subcategory=subcategory,
                    object_index=j,
                    pose=(x, y, yaw),
                    motion=Motion(*(float(v) for v in motions[i])),
                    before=(float(before[i, j, 0]), float(before[i, j, 1])),
                    after=(float(after[i, j, 0]), float(after[i, j, 1])),
                )
            )
        yield members[0], members[1]


def _shortcuts(
    before: np.ndarray, motions: np.ndarray, wanted: Wanted
) -> tuple[np.ndarray, np.ndarray]:
    """K x F and F: the numbers of the first view and of the question on which twins agree, and how
    closely.

    A motion in words must agree exactly, else the text alone would tell. Something has to differ,
    or there would be nothing to ask; what differs changes from example to example, so that no
    single number tells the answer over the dataset.
    """
    known = {
        "distance": (np.hypot(before[:, 0], before[:, 1]), 0.2),
        "bearing": (np.arctan2(before[:, 1], before[:, 0]), 0.04),
        "ahead": (before[:, 0], 0.25),
        "aside": (before[:, 1], 0.2),
        "aside, mirrored": (np.abs(before[:, 1]), 0.2),
        "mark distance": (np.hypot(motions[:, 0], motions[:, 1]), 0.25),
        "mark ahead": (motions[:, 0], 0.25),
        "mark aside, mirrored": (np.abs(motions[:, 1]), 0.25),
        "forward": (motions[:, 0], 1e-6),
        "left": (motions[:, 1], 1e-6),
        "turn": (motions[:, 2], 1e-6),
    }
    posed = "distance" if "-" not in wanted.subcategory else "side"
    plans = AGREE[wanted.variant.partition("+")[0], posed]
    shares = np.array([share for share, _ in plans])
    names = plans[int(wanted.stream("twins").choice(len(plans), p=shares / shares.sum()))][1]
    columns = [known[name][0] for name in names]
    return np.column_stack(columns), np.array([known[name][1] for name in names])


def _glances(
    rng: np.random.Generator, places: np.ndarray, table: ObjectTable, lens: Lens
) -> np.ndarray:
    """Headings that have some object in the picture, anywhere across it."""
    target = table.xy[rng.integers(len(table.xy), size=len(places))] - places
    across = rng.uniform(-0.48, 0.48, len(places)) * lens.fov
    return np.asarray(np.arctan2(target[:, 1], target[:, 0]) + across)


def _motions(
    rng: np.random.Generator, places: int, lens: Lens, marker: bool, turn_sign: int
) -> np.ndarray:
    """(places * MOTIONS) x 3, forward, left, turn: to the floor inside the picture, or as spoken.

    Motions in words are the same few for every place, so that twins can share them.
    """
    number = places * MOTIONS
    if marker:
        # each place on the floor with its mirror image, which is its twin as often as not
        bearing = rng.uniform(-0.45, 0.45, number // 2) * lens.fov
        bearing = np.column_stack([bearing, -bearing]).ravel()
        distance = np.repeat(rng.uniform(0.7, 4.5, number // 2), 2)
        turn = np.full(number, turn_sign * 0.5 * math.pi)
        return np.column_stack([distance * np.cos(bearing), distance * np.sin(bearing), turn])
    forward = np.round(rng.uniform(-1.5, 2.5, MOTIONS), 1) + 0.0
    left = np.round(rng.uniform(-2.0, 2.0, MOTIONS), 1) + 0.0
    turn = np.radians(turn_sign * 5.0 * rng.integers(3, 25, MOTIONS))
    return np.tile(np.column_stack([forward, left, turn]), (places, 1))


def _in_sight(body: np.ndarray, lens: Lens) -> np.ndarray:
    """Objects (forward, left) whose middle is well inside the picture and near enough."""
    bearing = np.arctan2(body[..., 1], body[..., 0])
    distance = np.hypot(body[..., 0], body[..., 1])
    inside = np.abs(np.tan(bearing)) < 0.92 * math.tan(0.5 * lens.fov)
    return np.asarray(
        inside & (np.abs(bearing) < 1.4) & (distance <= MAX_RANGE_M) & (distance > 0.4)
    )


def _fits(before: np.ndarray, after: np.ndarray, lens: Lens, subcategory: str) -> np.ndarray:
    """Whether the motion gives the wanted sub-category with room to spare."""
    if subcategory in ("closer", "further"):
        change = np.hypot(after[..., 0], after[..., 1]) - np.hypot(before[..., 0], before[..., 1])
        return np.asarray(
            change <= -MIN_CHANGE_M if subcategory == "closer" else change >= MIN_CHANGE_M
        )
    first, _, second = subcategory.partition("-")
    # lateral / forward of a point SIDE_MARGIN of the width off the middle
    off = 2 * SIDE_MARGIN * math.tan(0.5 * lens.fov)
    sides = []
    for body, side in ((before, first), (after, second)):
        sign = 1 if side == "left" else -1
        sides.append(sign * body[..., 1] >= off * body[..., 0])
    return np.asarray(sides[0] & sides[1])


def look(proposal: Proposal, renderer: Renderer, lens: Lens, wanted: Wanted) -> str | None:
    """Cast both views small and say why the question cannot be asked; None when it can."""
    camera = lens.camera(LOOK_PX)
    poses = [lens.world_from_camera(proposal.pose), lens.world_from_camera(proposal.new_pose)]
    if wanted.variant.startswith("marker"):
        reason = _mark_hidden(proposal, renderer, poses[0], camera)
        if reason is not None:
            return reason
    hits = renderer.cast_views(poses, camera)
    return check_views(proposal, [hits.instance[0], hits.instance[1]])


def _mark(proposal: Proposal) -> FloorMark:
    x, y, _ = proposal.new_pose
    return FloorMark(x, y, proposal.pose[2])


def _mark_hidden(
    proposal: Proposal, renderer: Renderer, pose: np.ndarray, camera: Camera
) -> str | None:
    """The middle and most of the arms of the X must be in the picture with nothing before them."""
    x, y, _ = proposal.new_pose
    arm = 0.22
    spots = [(0.0, 0.0), *((a * arm, b * arm) for a in (-1, 1) for b in (-1, 1))]
    points = np.array([[x + u, y + v, 0.005] for u, v in spots])
    local = camera_points(points, pose)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixel = local[:, :2] / local[:, 2:] * camera.fx + camera.cx
    inside = (local[:, 2] > 0.1) & (pixel > 1).all(axis=1) & (pixel < camera.width - 1).all(axis=1)
    if not inside[0] or inside.sum() < 4:
        return "mark outside the picture"
    if (renderer.sees(points[inside], pose)).sum() < 4:
        return "mark hidden"
    return None


def check_views(proposal: Proposal, instances: list[np.ndarray]) -> str | None:
    """The filters that look at pixels: why the two instance pictures do not do, or None."""
    index = proposal.object_index
    for instance, when in zip(instances, ("before", "after"), strict=True):
        number = max(index, int(instance.max())) + 1
        if image_shares(instance, number)[index] < MIN_SHARE:
            return f"object hidden {when}"
        if (instance == WALL).mean() > MAX_WALL_SHARE:
            return f"blank wall {when}"
        if proposal.asked == "side":
            width = instance.shape[1]
            offset = image_centres(instance, number)[index, 0] / width - 0.5
            side = proposal.subcategory.split("-")[0 if when == "before" else 1]
            if (offset if side == "right" else -offset) < SIDE_MARGIN:
                return f"object near the middle {when}"
    return None


def realise(
    proposal: Proposal,
    renderer: Renderer,
    lens: Lens,
    wanted: Wanted,
    context: Context,
    rng: np.random.Generator,
) -> Example | None:
    """Render a proposal and put it into words; None when the pixels at full size disagree."""
    scene = renderer.scene
    camera = lens.camera(context.size_px)
    marker = wanted.variant.startswith("marker")
    anchored = wanted.variant.endswith("anchored")
    poses = [lens.world_from_camera(proposal.pose), lens.world_from_camera(proposal.new_pose)]
    first = renderer.render(poses[0], camera, [_mark(proposal)] if marker else [])
    second = renderer.render(poses[1], camera)
    if check_views(proposal, [first.instance, second.instance]) is not None:
        return None
    if marker and mark_share(first.rgb) < MIN_MARK_SHARE:
        return None
    images = [first.rgb]
    if anchored:
        images.append(_anchor(first, renderer, camera, poses, marker))
    words = wanted.stream("words")
    name = scene.objects[proposal.object_index].name
    phrase = perspective_question(
        proposal.asked,
        name,
        proposal.motion,
        marker=marker,
        anchored=anchored,
        template=int(words.integers(10)),
    )
    right = wanted.subcategory.partition("-")[2] or wanted.subcategory
    options = place_answer(list(phrase.options), right, wanted.answer_position, words)
    question = Question(Task.PERSPECTIVE, tuple(images), phrase.text, options)
    return Example(
        question=question,
        answer_index=options.index(right),
        imagination=second.rgb,
        think=think_sentence(question),
        reasoning=perspective_reasoning(
            asked=proposal.asked,
            name=name,
            before=proposal.before,
            after=proposal.after,
            motion=proposal.motion,
            marker=marker,
            rng=rng,
        ),
        variant=wanted.variant,
        subcategory=wanted.subcategory,
        scene_seed=scene.seed,
        facts=_facts(proposal, scene, lens, camera, poses, first, second),
    )


def clearly_red(rgb: np.ndarray) -> np.ndarray:
    """H x W: pixels that nobody would give another name."""
    r, g, b = (rgb[..., i].astype(int) for i in range(3))
    return np.asarray((r > 90) & (r > 2 * g) & (r > 2 * b))


def mark_share(rgb: np.ndarray) -> float:
    """Share of the pixels that are clearly red."""
    return float(clearly_red(rgb).mean())


def _anchor(
    first: View, renderer: Renderer, camera: Camera, poses: list[np.ndarray], marker: bool
) -> np.ndarray:
    """What was seen, moved to the new viewpoint. A painted X is no part of the world and stays out
    of it.
    """
    seen = renderer.render(poses[0], camera) if marker else first
    size = (camera.height, camera.width)
    return np.asarray(
        warp_rgbd(seen.rgb, seen.depth_m, camera, poses[0], poses[1], camera, size)[0]
    )


def _facts(
    proposal: Proposal,
    scene: Scene,
    lens: Lens,
    camera: Camera,
    poses: list[np.ndarray],
    first: View,
    second: View,
) -> dict[str, object]:
    """Everything that audits, auxiliary heads and object-level scores read. Positions are optical:
    right, down, forward.
    """
    thing = scene.objects[proposal.object_index]
    centre = np.array([[*thing.position[:2], 0.5 * thing.height_m]])
    number = len(scene.objects)
    index = proposal.object_index
    shares = [image_shares(v.instance, number) for v in (first, second)]
    return {
        "object": thing.name,
        "object_index": index,
        "object_before_m": _numbers(camera_points(centre, poses[0])[0]),
        "object_after_m": _numbers(camera_points(centre, poses[1])[0]),
        "object_pixel_before": _numbers(image_centres(first.instance, number)[index]),
        "object_pixel_after": _numbers(image_centres(second.instance, number)[index]),
        "object_share_before": round(float(shares[0][index]), 5),
        "object_share_after": round(float(shares[1][index]), 5),
        "distance_before_m": round(math.hypot(*proposal.before), 4),
        "distance_after_m": round(math.hypot(*proposal.after), 4),
        "motion": _numbers(
            (proposal.motion.forward_m, proposal.motion.left_m, proposal.motion.turn_rad)
        ),
        "mark_before_m": _numbers(
            camera_points(np.array([[*proposal.new_pose[:2], 0.0]]), poses[0])[0]
        ),
        "pose_before": [_numbers(row) for row in poses[0]],
        "pose_after": [_numbers(row) for row in poses[1]],
        "camera_height_m": round(lens.height_m, 4),
        "pitch_rad": round(lens.pitch, 4),
        "fov_rad": round(lens.fov, 4),
        "objects_in_view": int((shares[0] >= MIN_SHARE).sum()),
        "visible_after": [i for i in range(number) if shares[1][i] >= MIN_SHARE],
    }


def _numbers(values: object) -> list[float]:
    return [round(float(v), 4) for v in np.asarray(values).ravel()]
