"""Is a scene a possible place? Generated ones are, and each check notices the fault it is for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ipt_training.houses.checks import ROBOT_RADIUS_M, unreachable_rooms
from ipt_training.houses.generator import Rejections, footprints_overlap, make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.scene import Scene
from ipt_training.scenes.solids import rotation_from_rpy, solids_of


def check_scene(scene: Scene) -> list[str]:
    """Everything that is wrong with a scene; an empty list means it is valid."""
    return (
        out_of_room(scene)
        + touching_objects(scene)
        + parts_outside_footprint(scene)
        + [
            f"room {i}: a robot of {ROBOT_RADIUS_M} m radius cannot get there"
            for i in unreachable_rooms(scene)
        ]
    )


def out_of_room(scene: Scene) -> list[str]:
    """Objects whose footprint leaves the inside of their room, or that are higher than it."""
    wrong = []
    for i, thing in enumerate(scene.objects):
        room = scene.rooms[thing.room]
        if not all(room.contains(x, y) for x, y in thing.corners()):
            wrong.append(f"object {i} ({thing.name}): stands outside room {thing.room}")
        if thing.height_m >= scene.wall_height_m:
            wrong.append(f"object {i} ({thing.name}): {thing.height_m} m high, room is not")
    return wrong


def touching_objects(scene: Scene) -> list[str]:
    """Pairs of objects whose footprints overlap; a footprint holds all parts of its object."""
    wrong = []
    for i, a in enumerate(scene.objects):
        for j in range(i):
            if footprints_overlap(a, scene.objects[j]):
                wrong.append(f"objects {j} and {i} ({scene.objects[j].name}, {a.name}): overlap")
    return wrong


def parts_outside_footprint(scene: Scene) -> list[str]:
    """Objects with a part beyond their footprint or below the floor."""
    wrong = []
    for i, thing in enumerate(scene.objects):
        for part in thing.primitives:
            reach = 0.5 * np.abs(rotation_from_rpy(*part.rpy)) @ np.array(part.size)
            if part.shape == "sphere":
                reach = 0.5 * np.array(part.size)
            high = np.abs(part.position[:2]) + reach[:2]
            if (high > np.array(thing.footprint) / 2 + 1e-9).any():
                wrong.append(f"object {i} ({thing.name}): a {part.shape} leaves the footprint")
            if part.position[2] - reach[2] < -2e-4:  # lengths are rounded to 0.1 mm
                wrong.append(f"object {i} ({thing.name}): a {part.shape} is below the floor")
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize(("level", "count"), [("room", 1000), ("house", 300)])
def test_generated_scenes_are_valid(level: str, count: int) -> None:
    rejections = Rejections()
    for k in range(count):
        # a stride over all splits
        seed = (k * 899_999) // count
        scene = make_scene(seed, level, rejections=rejections)
        assert check_scene(scene) == [], (seed, level)
    assert rejections.scenes == count
    assert rejections.unreachable_scenes < 0.5 * count
    assert rejections.blocked_placements < 0.6 * rejections.placements


def _moved(scene: Scene, index: int, position: tuple[float, float, float]) -> Scene:
    things = list(scene.objects)
    things[index] = replace(things[index], position=position)
    return replace(scene, objects=tuple(things))


def test_overlapping_objects_are_noticed() -> None:
    scene = make_scene(7, "room")
    broken = _moved(scene, 1, scene.objects[0].position)
    assert any("objects 0 and 1" in c and "overlap" in c for c in check_scene(broken))


def test_objects_outside_their_room_are_noticed() -> None:
    scene = make_scene(7, "house")
    x0, _, _, _ = scene.bounds
    broken = _moved(scene, 0, (x0 - 1.0, 0.0, 0.0))
    assert any("object 0" in c and "outside room" in c for c in check_scene(broken))


def test_a_part_outside_its_footprint_is_noticed() -> None:
    scene = make_scene(7, "room")
    thing = scene.objects[0]
    stray = replace(thing.primitives[0], position=(2.0, 0.0, -0.5))
    things = (replace(thing, primitives=(stray,)), *scene.objects[1:])
    complaints = check_scene(replace(scene, objects=things))
    assert any("leaves the footprint" in c for c in complaints)
    assert any("below the floor" in c for c in complaints)


def test_a_blocked_door_is_noticed() -> None:
    scene = make_scene(2, "house", rooms=2)
    assert check_scene(scene) == []
    walled = tuple(replace(w, openings=()) for w in scene.walls)
    complaints = check_scene(replace(scene, walls=walled))
    assert any("cannot get there" in c for c in complaints)
    door = scene.doors[0]
    blocked = _moved(scene, 0, (door.x, door.y, 0.0))
    assert check_scene(blocked) != []


def test_overlap_of_turned_rectangles_agrees_with_dense_points() -> None:
    """Separating axes against brute force: a fine grid of points of one rectangle, looked up in
    the other.
    """
    rng = np.random.default_rng(0)
    base = make_scene(1, "room").objects[0]
    unit = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 41), np.linspace(-0.5, 0.5, 41)), -1)
    both = 0
    for _ in range(300):
        a, b = (
            replace(
                base,
                position=(*rng.uniform(-0.8, 0.8, 2), 0.0),
                yaw=float(rng.uniform(-3, 3)),
                footprint=tuple(rng.uniform(0.3, 1.5, 2)),
            )
            for _ in range(2)
        )

        def local(points: np.ndarray, to: object) -> np.ndarray:
            c, s = np.cos(to.yaw), np.sin(to.yaw)
            d = points - to.position[:2]
            return np.stack([c * d[..., 0] + s * d[..., 1], c * d[..., 1] - s * d[..., 0]], -1)

        def world(of: object) -> np.ndarray:
            p = unit * of.footprint
            c, s = np.cos(of.yaw), np.sin(of.yaw)
            return np.stack(
                [c * p[..., 0] - s * p[..., 1], s * p[..., 0] + c * p[..., 1]], -1
            ) + np.array(of.position[:2])

        inside = any(
            (np.abs(local(world(p), q)) < np.array(q.footprint) / 2).all(-1).any()
            for p, q in ((a, b), (b, a))
        )
        if inside:
            both += 1
            assert footprints_overlap(a, b)
        elif footprints_overlap(a, b):
            # the grid may miss a sliver, but not one wider than its spacing
            assert footprints_overlap(a, b, -0.06) is False
    assert 50 < both < 290


def test_no_ray_starts_inside_a_solid(viewpoints) -> None:
    """Where a robot fits, the camera is in the open: nothing is nearer than its radius at robot
    height.
    """
    for seed in range(20):
        scene = make_scene(seed, "house")
        renderer = Renderer(scene)
        for pose in viewpoints(scene, 3):
            eye = pose[:3, 3].copy()
            eye[2] = 0.6
            angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
            ways = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
            hits = renderer.cast(np.tile(eye, (90, 1)), ways)
            assert hits.depth_m.min() > 0.25
    assert len(solids_of(scene)) > len(scene.objects)
