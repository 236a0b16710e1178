"""A house in another look is the same house to a robot that bumps into things, and shows its
camera what no generated house shows.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from test_scene_checks import check_scene

from ipt_training.houses.furniture import TALL_M, categories
from ipt_training.houses.generator import make_scene
from ipt_training.houses.layout import FLOOR_TINTS, PITCH_M, WALL_TINTS
from ipt_training.houses.looks import LOOKS, PAINTED, dressed
from ipt_training.houses.workshop import NEEDLES, RUBBER, STEEL
from ipt_training.rendering.embree import Renderer
from ipt_training.rendering.mesh import mesh_of
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.colours import COLOURS, shade
from ipt_training.scenes.scene import FLOOR_PATTERNS, LEVELS, Scene, SceneError

SEEDS = [(850_000 + 37 * k, level) for level in LEVELS for k in range(12)]
OTHER = [look for look in LOOKS if look != "usual"]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Scene, Scene]]:
    """Generated scenes, each with itself in the workshop's look."""
    scenes = [make_scene(seed, level) for seed, level in SEEDS]
    return [(scene, dressed(scene, "workshop")) for scene in scenes]


def test_the_usual_look_is_the_scene_itself():
    scene = make_scene(850_000, "house")
    assert dressed(scene, "usual") is scene
    assert make_scene(850_000, "house") == scene


def test_an_unknown_look_is_refused_with_the_known_ones():
    with pytest.raises(SceneError, match="'castle': expected one of usual, workshop"):
        dressed(make_scene(0), "castle")


@pytest.mark.parametrize("look", OTHER)
def test_equal_seeds_have_equal_looks(look):
    scene = make_scene(850_001, "house")
    once = dressed(scene, look)
    assert once == dressed(make_scene(850_001, "house"), look)
    assert Scene.from_dict(once.to_dict()) == once
    other = dressed(replace(scene, seed=850_002), look)
    assert other.lights != once.lights and other.objects != once.objects


def test_the_house_stays_the_same_to_whom_drives_through_it(pairs):
    def places(scene):
        return [
            (o.name, o.category, o.position, o.yaw, o.footprint, o.room) for o in scene.objects
        ]

    def outlines(scene):
        return [(r.x_min, r.y_min, r.x_max, r.y_max, r.wall_m) for r in scene.rooms]

    for before, after in pairs:
        assert check_scene(after) == [], before.seed
        assert places(after) == places(before) and outlines(after) == outlines(before)
        assert (after.walls, after.doors) == (before.walls, before.doors)


def test_heights_are_those_of_the_highest_corner(pairs):
    for before, after in pairs:
        mesh = mesh_of(after)
        for k, (was, thing) in enumerate(zip(before.objects, after.objects, strict=True)):
            corners = mesh.triangles[mesh.instance[: len(mesh.triangles)] == k]
            # round shapes are polygons whose corners lie a little outside
            assert mesh.vertices[corners, 2].max() == pytest.approx(thing.height_m, abs=0.005)
            assert thing.height_m == pytest.approx(was.height_m, abs=2e-4), thing.category
            assert thing.tall == (thing.height_m >= TALL_M)
    seen = {(o.category, s.level) for s, _ in pairs for o in s.objects}
    assert seen == {(name, level) for level in LEVELS for name in categories(level)}


def test_walls_floors_and_light_leave_the_generators_ranges(pairs):
    def lights(scene):
        return [
            (math.asin(light.direction[2]), light.intensity)
            for light in sorted(scene.lights, key=lambda one: -one.intensity)
        ]

    usual = np.array([lights(before) for before, _ in pairs])
    ambient = [before.ambient for before, _ in pairs]
    palest = np.array(WALL_TINTS).min()
    for before, after in pairs:
        assert after.ambient < min(ambient)
        for k, (elevation, strength) in enumerate(lights(after)):
            for value, known in ((elevation, usual[:, k, 0]), (strength, usual[:, k, 1])):
                assert not known.min() <= value <= known.max()
        for room in after.rooms:
            assert max(room.wall_colour) < palest
            known = np.array(FLOOR_TINTS.get(room.floor_pattern, ((0, 0, 0),)))
            assert np.abs(known - room.floor_colour).max(axis=1).min() > 30
            least, most = PITCH_M.get(room.floor_pattern, (math.inf, -math.inf))
            assert not least <= room.pattern_m <= most
            assert room.floor_pattern in FLOOR_PATTERNS
        assert len(after.fixtures) > len(before.fixtures)  # a second paint on the walls


def test_things_are_of_other_shapes_and_materials(pairs):
    materials = {STEEL, RUBBER, NEEDLES, *(shade(NEEDLES, 1 + 0.15 * k) for k in range(3))}
    generated = {p.colour for before, _ in pairs for o in before.objects for p in o.primitives}
    assert not materials & generated
    for before, after in pairs:
        for was, now in zip(before.objects, after.objects, strict=True):
            assert sorted(p.shape for p in was.primitives) != sorted(
                p.shape for p in now.primitives
            ), was.category
            assert materials & {p.colour for p in now.primitives}, was.category


@pytest.mark.parametrize("name", COLOURS)
def test_a_thing_is_still_of_the_colour_that_it_is_named_by(name):
    dims = np.arange(0.6, 1.15, 0.01)[:, None]  # what light makes of a colour
    for factor in PAINTED:
        painted = np.array(shade(COLOURS[name], factor))
        away = {
            other: np.linalg.norm(dims * rgb - painted, axis=1).min()
            for other, rgb in COLOURS.items()
        }
        assert sorted(away, key=away.get)[0] == name and sorted(away.values())[1] > 15


def test_pictures_show_another_world_in_the_same_places(pairs):
    camera = Camera.from_fov(64, 48, math.radians(90))
    for before, after in pairs[::6]:
        room = before.rooms[0]
        x, y = 0.5 * (room.x_min + room.x_max), 0.5 * (room.y_min + room.y_max)
        poses = [camera_pose(x, y, yaw, 1.2, 0.25) for yaw in np.arange(8) * math.pi / 4]
        usual = np.stack([v.rgb for v in Renderer(before).render_many(poses, camera)])
        other = np.stack([v.rgb for v in Renderer(after).render_many(poses, camera)])
        apart = np.abs(usual.astype(int) - other).mean()
        assert apart > 30, before.seed  # grey levels
