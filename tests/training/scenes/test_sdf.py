"""Gazebo worlds: well-formed XML whose poses and shapes are the scene's."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ipt_training.houses.generator import make_scene
from ipt_training.scenes.sdf import world_sdf
from ipt_training.scenes.solids import rotation_from_rpy, solids_of


def _pose(element: ET.Element) -> tuple[np.ndarray, np.ndarray]:
    values = [float(v) for v in element.findtext("pose").split()]
    assert len(values) == 6
    return np.array(values[:3]), rotation_from_rpy(*values[3:])


@pytest.mark.parametrize(("seed", "level"), [(1, "room"), (2, "house"), (13, "house")])
def test_every_solid_is_where_the_scene_has_it(seed: int, level: str) -> None:
    scene = make_scene(seed, level)
    root = ET.fromstring(world_sdf(scene, "w"))
    world = root.find("world")
    names = [m.get("name") for m in world.findall("model")]
    assert len(set(names)) == len(names) == len(scene.objects) + 2
    solids = solids_of(scene)
    row = 0
    for i, thing in enumerate(scene.objects):
        model = world.find(f"model[@name='{thing.name.replace(' ', '_')}_{i}']")
        assert model.findtext("static") == "true"
        at, turn = _pose(model)
        for visual in model.findall("link/visual"):
            p, r = _pose(visual)
            np.testing.assert_allclose(at + turn @ p, solids.position[row], atol=2e-5)
            np.testing.assert_allclose(turn @ r, solids.rotation[row], atol=2e-5)
            shape = visual.find("geometry")[0]
            assert shape.tag == ("box", "cylinder", "cone", "sphere")[solids.shape[row]]
            if shape.tag == "box":
                size = [float(v) for v in shape.findtext("size").split()]
                np.testing.assert_allclose(size, solids.size[row], atol=2e-5)
            else:
                assert 2 * float(shape.findtext("radius")) == pytest.approx(
                    solids.size[row][0], abs=2e-5
                )
            rgba = [float(v) for v in visual.findtext("material/diffuse").split()]
            np.testing.assert_allclose(rgba[:3], solids.colour[row], atol=1e-4)
            row += 1
        assert len(model.findall("link/collision")) == len(thing.primitives)
    walls = world.find("model[@name='walls']/link")
    boxes = sum(len(w.boxes()) for w in scene.walls)
    assert len(walls.findall("collision")) == boxes
    fixtures = sum(len(f.primitives) for f in scene.fixtures)
    assert len(walls.findall("visual")) == boxes + fixtures == len(solids) - row
    for link in root.iter("link"):
        parts = [e.get("name") for e in link if e.get("name")]
        assert len(set(parts)) == len(parts)


def test_light_travels_away_from_the_lamp() -> None:
    scene = make_scene(2, "house")
    root = ET.fromstring(world_sdf(scene, "w"))
    for lamp, light in zip(scene.lights, root.iter("light"), strict=True):
        way = [float(v) for v in light.findtext("direction").split()]
        np.testing.assert_allclose(way, -np.array(lamp.direction), atol=1e-5)
        assert way[2] < 0
