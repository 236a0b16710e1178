"""Views and maps of training worlds with the truth of every patch: which named things are there,
how far away, and on a map how many of them have their middle there.

In: seeds of scenes. Out: `PatchViews`, what a vision tower learns to see from.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from ipt_training.houses.furniture import categories
from ipt_training.houses.generator import make_scene
from ipt_training.processes import WorkerPool
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.colours import HOUSE_COLOURS, ROOM_COLOURS
from ipt_training.scenes.scene import FLOOR, WALL, Scene
from ipt_training.scenes.splits import seeds_of
from ipt_training.tasks.geometry import ObjectTable, free_points

#: Views and maps of a scene, and scenes drawn in one go.
VIEWS, MAPS, SCENES_AT_ONCE = 5, 3, 100
#: The part of a patch that a thing must cover to be there.
PRESENT = 0.04
#: What a patch says besides its things: parts of floor and wall, and the logarithm of the depth.
SURFACES = 3


@dataclass(frozen=True)
class PatchViews:
    """Pictures [n, h, w, 3] uint8; what each patch shows: things [n, patches, words] bool,
    surfaces [n, patches, SURFACES] float32, and how many of each have their middle there,
    counts [n, patches, words] float16, NaN where nobody asks: in views."""

    pictures: np.ndarray
    things: np.ndarray
    surfaces: np.ndarray
    counts: np.ndarray


def colours_of(level: str) -> tuple[str, ...]:
    return ROOM_COLOURS if level == "room" else HOUSE_COLOURS


def vocabulary(level: str) -> tuple[str, ...]:
    """What a patch can be said to show: colours, categories, and things by both."""
    colours = colours_of(level)
    kinds = tuple(categories(level))
    return (*colours, *kinds, *(f"{c} {k}" for c, k in itertools.product(colours, kinds)))


def draw_views(first: int, last: int, level: str, size: int, patch: int) -> PatchViews:
    """Views and the map of each scene `first` to `last - 1`."""
    parts = [_scene_views(seed, level, size, patch) for seed in range(first, last)]
    return _joined(parts)


def many_views(
    pictures: int, level: str, size: int, patch: int, workers: int, seed: int = 0
) -> PatchViews:
    """At least so many pictures of training worlds, made by `workers` processes."""
    scenes = -(-pictures // (VIEWS + MAPS))
    # the far end of the training seeds: datasets begin at the other
    stop = seeds_of("train").stop - seed * scenes
    starts = range(stop - scenes, stop, SCENES_AT_ONCE)
    with WorkerPool(workers) as pool:
        parts = [
            pool.submit(draw_views, a, min(a + SCENES_AT_ONCE, stop), level, size, patch)
            for a in starts
        ]
        return _joined([part.result() for part in parts])


def _joined(parts: list[PatchViews]) -> PatchViews:
    return PatchViews(
        np.concatenate([p.pictures for p in parts]),
        np.concatenate([p.things for p in parts]),
        np.concatenate([p.surfaces for p in parts]),
        np.concatenate([p.counts for p in parts]),
    )


def _scene_views(seed: int, level: str, size: int, patch: int) -> PatchViews:
    scene = make_scene(seed, level)
    rng = np.random.default_rng([seed, 0x717])
    renderer = Renderer(scene)
    height, pitch = rng.uniform(0.3, 1.6), math.radians(rng.uniform(2, 16))
    camera = Camera.from_fov(size, size, math.radians(rng.uniform(78, 106)))
    spots = free_points(scene, ObjectTable.of(scene), rng, 16 * VIEWS)[:VIEWS]
    poses = [
        camera_pose(float(x), float(y), float(rng.uniform(-math.pi, math.pi)), height, pitch)
        for x, y in spots
    ]
    views = renderer.render_many(poses, camera)
    squares = [_map_square(scene, rng) for _ in range(MAPS)]
    tops = [renderer.top_down(square, (square[2] - square[0]) / size) for square in squares]
    pictures = np.stack([*(v.rgb for v in views), *(t.rgb[:size, :size] for t in tops)])
    instances = np.stack([*(v.instance for v in views), *(t.instance[:size, :size] for t in tops)])
    flat = [np.zeros((size, size), np.float32)] * MAPS
    depth = np.stack([*(v.depth_m for v in views), *flat])
    things, surfaces = _patch_truth(scene, level, instances, depth, patch)
    counts = np.full((*things.shape[:2], things.shape[2]), np.nan, np.float16)
    for k, square in enumerate(squares, len(views)):
        counts[k] = _patch_counts(scene, level, square, size // patch)
    return PatchViews(pictures, things, surfaces, counts)


def _map_square(scene: Scene, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A square with the whole scene in it, more or less in its middle."""
    x0, y0, x1, y1 = scene.bounds
    longest = 0.5 * max(x1 - x0, y1 - y0)
    half = longest + rng.uniform(0, 0.5)
    x, y = np.array([x0 + x1, y0 + y1]) / 2 + rng.uniform(-1, 1, 2) * (half - longest)
    return float(x - half), float(y - half), float(x + half), float(y + half)


def _patch_truth(
    scene: Scene, level: str, instances: np.ndarray, depth: np.ndarray, patch: int
) -> tuple[np.ndarray, np.ndarray]:
    seen = _by_patch(instances, patch)
    things = np.zeros((*seen.shape[:2], len(vocabulary(level))), np.float32)
    for index, words in enumerate(_words(scene, level)):
        things[..., words] += (seen == index).mean(-1)[..., None]
    far = _by_patch(np.log(np.maximum(depth, 0.2)), patch).mean(-1)
    surfaces = np.stack([(seen == FLOOR).mean(-1), (seen == WALL).mean(-1), far], -1)
    return things >= PRESENT, surfaces.astype(np.float32)


def _patch_counts(
    scene: Scene, level: str, square: tuple[float, float, float, float], side: int
) -> np.ndarray:
    """[patches, words]: each thing counts 1, shared by the four patches whose middles are around
    its own, so that nothing changes all at once where it lies on an edge."""
    counts = np.zeros((side, side, len(vocabulary(level))), np.float32)
    x0, y0, x1, y1 = square
    for thing, words in zip(scene.objects, _words(scene, level), strict=True):
        x = (thing.position[0] - x0) / (x1 - x0) * side - 0.5
        y = (y1 - thing.position[1]) / (y1 - y0) * side - 0.5
        x, y = (min(max(v, 0.0), side - 1.0) for v in (x, y))
        column, row = min(int(x), side - 2), min(int(y), side - 2)
        right, down = x - column, y - row
        for dy, part in ((0, 1 - down), (1, down)):
            for dx, share in ((0, 1 - right), (1, right)):
                counts[row + dy, column + dx, words] += part * share
    return counts.reshape(side * side, -1).astype(np.float16)


def _words(scene: Scene, level: str) -> list[list[int]]:
    """Of each object, where its colour, its category and its name stand in the vocabulary."""
    places = {word: k for k, word in enumerate(vocabulary(level))}
    return [[places[w] for w in (o.colour, o.category, o.name)] for o in scene.objects]


def _by_patch(values: np.ndarray, patch: int) -> np.ndarray:
    """[n, h, w] -> [n, patches, patch * patch], in the tower's order."""
    n, h, w = values.shape
    parts = values.reshape(n, h // patch, patch, w // patch, patch).transpose(0, 1, 3, 2, 4)
    return parts.reshape(n, -1, patch * patch)
