"""What a robot remembers when it is asked: as many of its earlier views as show a wanted share of
the asked view, and what the memory recalls of that view.

In: a renderer, the asked view, the views the robot surely has and those it may have. Out: the
views it has and a `RecalledView`. The memory is the robot's own (`ipt_model.spatial.memory`), so
data and robot recall alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ipt_model.spatial.maps import MapView
from ipt_model.spatial.memory import SpatialMemory
from ipt_model.spatial.recalled import RecalledView
from ipt_training.example import Example
from ipt_training.rendering.embree import Renderer, TopDown
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.projection import project, unproject
from ipt_training.scenes.scene import NOTHING

#: Views that an example remembers at most.
MOST_VIEWS = 8
#: A robot's camera is finer than the picture that a model is shown, and what it recalls has fewer
#: gaps for it.
FINER = 2
#: Points of the asked view that are followed to choose among views, along a side.
LOOK_PX = 24
#: One view after another, so that the newest is the one taken last.
APART_NS = 3_000_000_000
#: Views are tried one after another until the share is right, so many times over.
TRIES = 3
#: More of a view than this cannot be aimed at: edges are never recalled.
MOST_SHOWN = 0.98


@dataclass(frozen=True)
class AskedPoints:
    """The surfaces that the asked view shows: points N x 3, m, of `total` pixels; the others show
    nothing that could be seen."""

    points: np.ndarray
    total: int

    @staticmethod
    def of_view(renderer: Renderer, pose: np.ndarray, camera: Camera) -> AskedPoints:
        """camera: of the asked view; fewer of its pixels are followed."""
        share = LOOK_PX / camera.width
        few = Camera(
            LOOK_PX, LOOK_PX, *(share * v for v in (camera.fx, camera.fy, camera.cx, camera.cy))
        )
        depth = renderer.cast_views([pose], few).depth_m[0]
        return AskedPoints(unproject(depth, few, pose)[depth > 0], depth.size)

    @staticmethod
    def of_map(top: TopDown, wall_height_m: float) -> AskedPoints:
        """The floor and what stands on it; the tops of walls are out of sight."""
        step = max(1, top.rgb.shape[0] // LOOK_PX)
        h, w = top.height_m.shape
        rows, columns = np.mgrid[step // 2 : h : step, step // 2 : w : step]
        x = top.x_min + (columns + 0.5) * top.resolution_m
        y = top.y_max - (rows + 0.5) * top.resolution_m
        points = np.stack([x, y, top.height_m[rows, columns]], axis=-1).reshape(-1, 3)
        low = points[:, 2] < wall_height_m - 0.1
        return AskedPoints(
            points[low & (top.instance[rows, columns].ravel() != NOTHING)], rows.size
        )

    def seen_from(self, renderer: Renderer, pose: np.ndarray, camera: Camera) -> np.ndarray:
        """N: whether a camera there sees each point."""
        if not len(self.points):
            return np.zeros(0, bool)
        pixels, depth = project(self.points, camera, pose)
        inside = (depth > 0.1) & (pixels >= 0).all(axis=-1)
        inside &= (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
        inside[inside] = renderer.sees(self.points[inside], pose)
        return np.asarray(inside)


@dataclass(frozen=True)
class Remembered:
    """What the memory recalls of the asked view, and the poses of its views, oldest first."""

    recalled: RecalledView
    poses: list[np.ndarray]


def stamp_ns(number: int) -> int:
    """When view number n was taken."""
    return number * APART_NS


def memory_of(
    renderer: Renderer, poses: Sequence[np.ndarray], camera: Camera, first: int = 0
) -> SpatialMemory:
    """A memory of what a camera saw from these poses, one after another. first: the number of the
    first view."""
    memory = SpatialMemory()
    take_in(memory, renderer, poses, camera, first)
    return memory


def take_in(
    memory: SpatialMemory,
    renderer: Renderer,
    poses: Sequence[np.ndarray],
    camera: Camera,
    first: int = 0,
) -> None:
    """Let a memory have these views too; painted marks are no part of the world. camera: of the
    pictures that the model is shown, FINER of whose pixels the robot's own camera has in one."""
    camera = Camera(
        FINER * camera.width,
        FINER * camera.height,
        *(FINER * v for v in (camera.fx, camera.fy, camera.cx, camera.cy)),
    )
    views = renderer.render_many(poses, camera)
    for number, (view, pose) in enumerate(zip(views, poses, strict=True), first):
        memory.add(view.rgb, view.depth_m, camera, pose, stamp_ns(number))


def recall_view(memory: SpatialMemory, pose: np.ndarray, camera: Camera) -> RecalledView:
    return memory.recall(pose, camera, (camera.height, camera.width))


def recall_map(
    memory: SpatialMemory,
    square: tuple[float, float, float, float],
    size_px: int,
    wall_height_m: float,
) -> RecalledView:
    """square: x_min, y_min, x_max, y_max, m. The ceiling is cut off, the walls' tops with it."""
    view = MapView(square[0], square[1], square[2] - square[0], size_px)
    return memory.recall_top_down(view, wall_height_m - 0.1)


def remember(
    renderer: Renderer,
    asked: AskedPoints,
    surely: Sequence[np.ndarray],
    perhaps: Sequence[np.ndarray],
    camera: Camera,
    share_seen: tuple[float, float],
    rng: np.random.Generator,
    recall: Callable[[SpatialMemory], RecalledView],
) -> Remembered | None:
    """Views of which the memory recalls a share within `share_seen`, or None where there are none.

    surely: poses of the views that it has in any case, the newest; perhaps: of earlier ones.
    """
    low, high = share_seen
    base = np.zeros(len(asked.points), bool)
    for pose in surely:
        base |= asked.seen_from(renderer, pose, camera)
    if base.sum() >= high * asked.total:
        return None
    shown = [asked.seen_from(renderer, pose, camera) for pose in perhaps]
    if np.logical_or.reduce([base, *shown]).sum() < low * asked.total:
        return None
    # what a memory recalls is a little less than what could be seen: corrected after each try
    lost = 1.0
    last = 0.0
    for _ in range(TRIES):
        aim = min(float(rng.uniform(low, min(high, 1.0))) / lost, MOST_SHOWN)
        if aim == last == MOST_SHOWN:
            return None
        last = aim
        chosen = choose(base, shown, asked.total, aim, rng, MOST_VIEWS - len(surely))
        poses = [*(perhaps[k] for k in sorted(chosen)), *surely]
        if not poses:
            return None
        recalled = recall(memory_of(renderer, poses, camera))
        if low <= recalled.share_seen < high:
            return Remembered(recalled, poses)
        union = np.logical_or.reduce([base, *(shown[k] for k in chosen)])
        if union.any() and recalled.share_seen > 0:
            lost = min(max(recalled.share_seen * asked.total / float(union.sum()), 0.5), 1.2)
    return None


def choose(
    base: np.ndarray,
    shown: Sequence[np.ndarray],
    total: int,
    aim: float,
    rng: np.random.Generator,
    most: int,
) -> list[int]:
    """Which of the views to have so that, with `base`, about a share `aim` of `total` points is
    seen: by chance, each time the first that shows more and does not show too much.
    """
    seen = base.copy()
    chosen: list[int] = []
    for k in rng.permutation(len(shown)).tolist():
        if len(chosen) >= most or seen.sum() >= aim * total:
            break
        more = seen | shown[k]
        if seen.sum() < more.sum() <= (aim + 0.08) * total:
            seen, chosen = more, [*chosen, k]
    if not chosen and not base.any() and shown:
        # somebody who remembers has looked somewhere
        chosen = [int(np.argmin([s.sum() for s in shown]))]
    return chosen


def with_memory(example: Example, remembered: Remembered) -> Example:
    """The example with what is recalled of the asked view."""
    recalled = remembered.recalled
    facts = {
        "share_seen": round(recalled.share_seen, 4),
        "memory_poses": [np.round(pose, 4).tolist() for pose in remembered.poses],
    }
    return replace(
        example,
        recalled=recalled,
        question=replace(example.question, recalled=recalled),
        facts={**example.facts, **facts},
    )
