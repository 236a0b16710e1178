"""Perspective taking: where will a named object be after moving to the red X, or by a motion in
words?

In: a scene. Out: an `Example` whose true view is the render from the new pose. `viewpoints`
proposes many motions per scene from geometry alone; here they are looked at and put into words.
"""

from __future__ import annotations

import math

import numpy as np

from ipt_model.question import Question, Task
from ipt_model.spatial.geometry import warp_rgbd
from ipt_model.wording.phrasing import perspective_question
from ipt_model.wording.prompts import think_sentence
from ipt_training.example import Example
from ipt_training.rendering.embree import FloorMark, Renderer
from ipt_training.scenes.camera import Camera, View
from ipt_training.scenes.projection import image_centres, image_shares
from ipt_training.scenes.scene import WALL, Scene
from ipt_training.tasks.geometry import camera_points
from ipt_training.tasks.reasoning import perspective_reasoning
from ipt_training.tasks.sampling import SHARE_BINS, Context, Wanted, place_answer
from ipt_training.tasks.seen.remembered import (
    AskedPoints,
    Remembered,
    recall_view,
    remember,
    with_memory,
)
from ipt_training.tasks.seen.walks import earlier_poses
from ipt_training.tasks.viewpoints import SIDE_MARGIN, Lens, Proposal, draw_lens, propose

TASK = "perspective"
VARIANTS = ("marker", "pose", "marker+anchored", "pose+anchored")
MORE_VARIANTS = tuple(f"{variant}+memory" for variant in VARIANTS)
SHARES = SHARE_BINS
#: A mark in sight stands where much of the asked view is in sight as well.
IMPOSSIBLE = {("marker", SHARE_BINS[0])}
SUBCATEGORIES = (
    "closer",
    "further",
    "left-left",
    "left-right",
    "right-left",
    "right-right",
)
OPTION_COUNT = 2
MIN_SHARE = 0.004
#: As much red as a person finds without searching.
MIN_MARK_SHARE = 0.0012
#: Above this much wall, and without enough other things, a picture says nothing about where it was
#: taken.
MAX_WALL_SHARE = 0.9
LOOK_PX = 48
#: Proposals that are passed over for each that is looked at, where the first view may not show
#: much of the second.
GLANCES = 8


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
    looks = passed = 0
    for proposal, twin in propose(scene, rng, wanted, lens):
        renderer = renderer or Renderer(scene)
        if _seen_too_much((proposal, twin), renderer, lens, wanted):
            counts.add(TASK, "seen too much of already")
            passed += 1
            if passed >= GLANCES * context.max_renders:
                break
            continue
        reason = look(proposal, renderer, lens, wanted)
        if reason is None and look(twin, renderer, lens, wanted) is not None:
            reason = "twin refused"
        if reason is None:
            example = realise(proposal, renderer, lens, wanted, context, rng)
            if isinstance(example, Example):
                return example
            reason = example
        counts.add(TASK, reason)
        looks += 1
        if looks >= context.max_renders:
            break
    if not looks and not passed:
        counts.add(TASK, "no twins in the scene")
    return None


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
) -> Example | str:
    """Render a proposal and put it into words; else the reason why not."""
    scene = renderer.scene
    camera = lens.camera(context.size_px)
    marker = wanted.variant.startswith("marker")
    anchored = wanted.has("anchored")
    poses = [lens.world_from_camera(proposal.pose), lens.world_from_camera(proposal.new_pose)]
    first = renderer.render(poses[0], camera, [_mark(proposal)] if marker else [])
    second = renderer.render(poses[1], camera)
    if check_views(proposal, [first.instance, second.instance]) is not None:
        return "lost at full size"
    if marker and mark_share(first.rgb) < MIN_MARK_SHARE:
        return "lost at full size"
    remembered = None
    if wanted.share_seen is not None:
        remembered = _remembered(proposal, renderer, lens, camera, wanted.share_seen, rng)
        if remembered is None:
            return "no views that show so much"
    images = [first.rgb]
    if anchored and remembered is not None:
        images.append(remembered.recalled.rgb)
    elif anchored:
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
    example = Example(
        question=question,
        answer_index=options.index(right),
        true_view=second.rgb,
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
    return example if remembered is None else with_memory(example, remembered)


def _seen_too_much(
    pair: tuple[Proposal, Proposal], renderer: Renderer, lens: Lens, wanted: Wanted
) -> bool:
    """Whether the first view alone shows more of the second than wanted, for either twin: then
    none of the two is asked, so that what is left tells nothing.
    """
    if wanted.share_seen is None:
        return False
    camera = lens.camera(LOOK_PX)
    for proposal in pair:
        now, then = (lens.world_from_camera(p) for p in (proposal.pose, proposal.new_pose))
        asked = AskedPoints.of_view(renderer, then, camera)
        if asked.seen_from(renderer, now, camera).sum() >= wanted.share_seen[1] * asked.total:
            return True
    return False


def _remembered(
    proposal: Proposal,
    renderer: Renderer,
    lens: Lens,
    camera: Camera,
    share_seen: tuple[float, float],
    rng: np.random.Generator,
) -> Remembered | None:
    """What is remembered of the new view by a robot that also looked about before."""
    now, then = (lens.world_from_camera(p) for p in (proposal.pose, proposal.new_pose))
    earlier = earlier_poses(renderer.scene, rng, proposal.pose, lens.height_m, lens.pitch)
    return remember(
        renderer,
        AskedPoints.of_view(renderer, then, camera),
        [now],
        earlier,
        camera,
        share_seen,
        rng,
        lambda memory: recall_view(memory, then, camera),
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
    return warp_rgbd(seen.rgb, seen.depth_m, camera, poses[0], poses[1], camera, size).rgb


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
