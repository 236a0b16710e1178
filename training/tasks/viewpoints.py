"""Where a perspective question may be asked: cameras, objects and motions from geometry alone.

In: a scene and what is wanted. Out: `Proposal`s, each beside its twin: a question whose answer is
the other one though the numbers that the first view and the words tell are the same. No picture
is cast here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ipt_model.wording.phrasing import Motion
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.scene import Scene
from ipt_training.tasks.geometry import ObjectTable, free_points, is_free, moved, to_body
from ipt_training.tasks.sampling import Wanted
from ipt_training.tasks.twins import matched_pairs

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
