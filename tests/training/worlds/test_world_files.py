"""Exported worlds say what the scene says, in a language that Gazebo's parser takes; the shipped
ones are what the command writes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world_reader import parser, program, read_text, refusal, unknown_to

from ipt_training.commands.world import main
from ipt_training.houses.generator import make_scene
from ipt_training.scenes.grids import ROBOT_SLAB_M, occupancy
from ipt_training.scenes.scene import SHAPES, Fixture, Light, Primitive, Scene, SceneError
from ipt_training.scenes.solids import solids_of
from ipt_training.worlds.cone import cone_obj
from ipt_training.worlds.folder import SHIPPED, start_of, write_world, write_worlds
from ipt_training.worlds.names import model_names
from ipt_training.worlds.robot import RobotBuild
from ipt_training.worlds.truth import map_of, truth_of
from ipt_training.worlds.world import object_models, robot_sdf, world_sdf

ROOT = Path(__file__).parents[3]
WORLDS = ROOT / "worlds"
ROOM = make_scene(850_001)  # with cones
SCENES = st.builds(make_scene, st.integers(0, 899_999), st.sampled_from(["room", "house"]))


# -- there and back -------------------------------------------------------------------------------


@given(SCENES)
@settings(max_examples=8)
def test_objects_come_back_as_they_were(scene):
    solids = read_text(world_sdf(scene, "w"))
    poses = {
        m.get("name"): m.findtext("pose", "0 0 0 0 0 0")
        for m in ElementTree.fromstring(world_sdf(scene, "w")).iter("model")
    }
    for thing, model in zip(scene.objects, object_models(scene), strict=True):
        assert [float(v) for v in poses[model].split()] == [*thing.position, 0.0, 0.0, thing.yaw]
        for kind in ("visual", "collision"):
            read = [s for s in solids if s.model == model and s.kind == kind]
            written = [(p.shape, p.size, (*p.position, *p.rpy)) for p in thing.primitives]
            assert [(s.shape, s.size, s.pose) for s in read] == written
        colours = [s.rgb for s in solids if s.model == model and s.kind == "visual"]
        assert colours == [p.colour for p in thing.primitives]


@given(SCENES)
@settings(max_examples=8)
def test_all_solids_stand_where_the_scene_has_them(scene):
    expected = solids_of(scene)
    for kind in ("visual", "collision"):
        read = [
            s for s in read_text(world_sdf(scene, "w")) if s.kind == kind
            and s.model not in ("floor", "ceiling")
        ]  # fmt: skip
        order = {"walls": 1, "fixtures": 2}  # objects, walls, fixtures: as in the table
        read.sort(key=lambda s: order.get(s.model, 0))
        assert [SHAPES.index(s.shape) for s in read] == expected.shape.tolist()
        np.testing.assert_allclose([s.size for s in read], expected.size, atol=2e-9)
        np.testing.assert_allclose(
            [s.world[:3, 3] for s in read], expected.position, atol=5e-9, rtol=0
        )
        np.testing.assert_allclose(
            [s.world[:3, :3] for s in read], expected.rotation, atol=5e-9, rtol=0
        )
        if kind == "visual":
            colours = np.round(expected.colour * 255).astype(int)
            assert [s.rgb for s in read] == [tuple(c) for c in colours.tolist()]


@given(SCENES)
@settings(max_examples=6)
def test_floors_ceiling_and_lights_are_the_scenes(scene):
    text = world_sdf(scene, "w")
    floors = [s for s in read_text(text) if s.model == "floor" and s.kind == "visual"]
    for solid, room in zip(floors, scene.rooms, strict=True):
        x, y = solid.world[:2, 3]
        corners = (x - solid.size[0] / 2, y - solid.size[1] / 2, x + solid.size[0] / 2)
        assert corners == pytest.approx((room.x_min, room.y_min, room.x_max), abs=1e-8)
        assert (solid.world[2, 3], solid.size[2], solid.rgb) == (0.0, 1.0, room.floor_colour)
    (ceiling,) = [s for s in read_text(text) if s.model == "ceiling"]
    assert (ceiling.world[2, 3], ceiling.size[2]) == (scene.wall_height_m, -1.0)
    (slab,) = [s for s in read_text(text) if s.model == "floor" and s.kind == "collision"]
    assert slab.world[2, 3] + slab.size[2] / 2 == pytest.approx(0.0)
    lights = ElementTree.fromstring(text).findall("world/light")
    for light, lamp in zip(lights, scene.lights, strict=True):
        towards = [-float(v) for v in light.findtext("direction").split()]
        assert towards == list(lamp.direction)
        assert float(light.findtext("diffuse").split()[0]) == lamp.intensity


@given(SCENES)
@settings(max_examples=6)
def test_the_truth_is_the_scenes(scene):
    robot = RobotBuild()
    truth = truth_of(scene, "w", robot, start_of(scene, robot))
    assert truth == json.loads(json.dumps(truth, allow_nan=False))
    for thing, said in zip(scene.objects, truth["objects"], strict=True):
        assert (said["name"], said["category"], said["colour"]) == (
            thing.name, thing.category, thing.colour,
        )  # fmt: skip
        assert (*said["position"], said["yaw"]) == (*thing.position, thing.yaw)
        assert said["size"] == [*thing.footprint, thing.height_m]
        assert said["unique"] == (Counter(o.name for o in scene.objects)[thing.name] == 1)
    assert make_scene(truth["seed"], truth["level"]) == scene
    grid, true = map_of(truth), occupancy(scene)
    assert (grid.resolution_m, grid.origin_xy) == (true.resolution_m, true.origin_xy)
    assert np.array_equal(grid.cells, true.cells)


@given(SCENES)
@settings(max_examples=6)
def test_what_the_robot_runs_into_is_occupied_on_the_map(scene):
    """Points in the collision shapes of the file, against the map of the truth."""
    robot = RobotBuild()
    grid = map_of(truth_of(scene, "w", robot, start_of(scene, robot)))
    rng = np.random.default_rng(scene.seed)
    tried = 0
    for solid in read_text(world_sdf(scene, "w")):
        if solid.kind == "visual" or solid.model == "floor":
            continue
        # the ball of half the size is inside of any shape
        ways = rng.normal(size=(20, 3))
        ways *= 0.49 * rng.uniform(size=(20, 1)) / np.linalg.norm(ways, axis=1, keepdims=True)
        if solid.shape == "cone":
            ways *= 0.4
        points = (ways * solid.size) @ solid.world[:3, :3].T + solid.world[:3, 3]
        points = points[(points[:, 2] > ROBOT_SLAB_M[0]) & (points[:, 2] < ROBOT_SLAB_M[1])]
        rows, columns = grid.indices(points[:, :2])
        inside = grid.inside(rows, columns)
        assert (grid.cells[rows[inside], columns[inside]] == 100).all(), solid
        tried += int(inside.sum())
    assert tried > 50


def test_the_robot_stands_in_the_world_or_is_left_out():
    robot = RobotBuild()
    alone = world_sdf(ROOM, "w")
    inside = world_sdf(ROOM, "w", robot, (1.25, -0.5, 0.75))
    models = [m.get("name") for m in ElementTree.fromstring(alone).iter("model")]
    more = {m.get("name"): m for m in ElementTree.fromstring(inside).iter("model")}
    assert [*models, "robot"] == list(more)
    assert more["robot"].findtext("pose") == "1.25 -0.5 0 0 0 0.75"


def test_the_robot_fits_into_its_disc_and_stands_on_the_floor():
    for radius in (0.05, 0.2, 0.45):
        build = RobotBuild(radius=radius)
        solids = [s for s in read_text(robot_sdf(build)) if s.kind == "collision"]
        assert {s.shape for s in solids} == {"cylinder", "sphere"}
        widest, lowest = 0.0, {}
        for solid in solids:
            around = np.linspace(0, 2 * math.pi, 60)
            ring = np.stack([np.cos(around), np.sin(around), 0 * around], -1) * solid.size[0] / 2
            ends = [ring + (0, 0, h * solid.size[2] / 2) for h in (-1, 1)]
            if solid.shape == "sphere":
                ends = [ring, ring[:, [2, 1, 0]]]
            points = np.concatenate(ends) @ solid.world[:3, :3].T + solid.world[:3, 3]
            widest = max(widest, np.hypot(*points[:, :2].T).max())
            lowest[solid.name] = points[:, 2].min()
        assert widest == pytest.approx(radius)
        standing = {name for name, z in lowest.items() if abs(z) < 1e-3 * radius}
        assert len(standing) == 3 and min(lowest.values()) > -1e-6  # tyres share their name


def test_the_cone_is_round_closed_and_as_high_as_it_says():
    lines = [line.split() for line in cone_obj().splitlines()]
    points = np.array([line[1:] for line in lines if line[0] == "v"], float)
    faces = [[int(c.split("//")[0]) - 1 for c in line[1:]] for line in lines if line[0] == "f"]
    assert points[:, 2].min() == -0.5 and points[:, 2].max() == 0.5
    assert np.hypot(*points[:, :2].T).max() == pytest.approx(0.5, abs=2e-3)
    edges = Counter((a, b) for f in faces for a, b in zip(f, f[1:] + f[:1], strict=True))
    assert all(n == 1 and edges[b, a] == 1 for (a, b), n in edges.items())
    a, b, c = (points[[f[k] for f in faces]] for k in range(3))
    volume = (np.cross(a, b) * c).sum() / 6
    assert volume == pytest.approx(math.pi * 0.25 / 3, rel=2e-3)  # and so it faces outwards


# -- Gazebo's parser ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(WORLDS.glob("*.sdf")), ids=lambda p: p.stem)
def test_the_parser_takes_every_shipped_file(path):
    assert refusal(path) == ""


@pytest.mark.parametrize(("seed", "level"), [(3, "room"), (850_010, "house")])
def test_the_parser_takes_other_worlds_and_reads_the_same_numbers(tmp_path, seed, level):
    scene = make_scene(seed, level)
    path = write_world(scene, "w", tmp_path, RobotBuild(), with_robot=True)
    assert refusal(path) == ""
    printed = parser("-p", str(path)).stdout
    ours, theirs = read_text(path.read_text()), read_text(printed[printed.index("<sdf") :])
    key = [(s.model, s.name, s.shape) for s in ours]
    assert len(key) > 20 and key == [(s.model, s.name, s.shape) for s in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(b.size, a.size, rtol=1e-5)  # it prints six digits
        np.testing.assert_allclose(b.world, a.world, atol=5e-5)
        assert a.rgb == b.rgb


def test_nothing_stands_in_the_files_that_the_format_does_not_have():
    """Except the name of the camera's frame, which SDFormat has had an element for since 1.12."""
    description = parser("-d", "1.9").stdout
    specification = ElementTree.fromstring(description)
    scene = make_scene(850_001, "house")
    text = world_sdf(scene, "w", RobotBuild())
    found = unknown_to(specification, ElementTree.fromstring(text))
    camera = "/sdf/world/model/link/sensor"
    assert found == [f"{camera}/frame_id", f"{camera}/gz_frame_id"]
    broken = text.replace("<size>", "<sizes>", 1).replace("</size>", "</sizes>", 1)
    assert len(unknown_to(specification, ElementTree.fromstring(broken))) > len(found)


def test_the_parser_refuses_what_is_wrong(tmp_path):
    path = tmp_path / "w.sdf"
    right = world_sdf(ROOM, "w")
    for wrong in (
        right.replace('"part_0_collision"', '"part_0"'),
        right.replace("0 0 1</n", "a</n"),
    ):
        path.write_text(wrong)
        assert wrong != right and refusal(path)


# -- odd and bad scenes ---------------------------------------------------------------------------

ODD_NAMES = (
    "ball", "ball", "ball 2", "ball_2", 'a<b>&"c\'', "größe", "", "  ", "__ball__", "floor",
    "robot", "light_0", "w::x", "\x00", "walls", "🎈",
)  # fmt: skip


def renamed(names):
    things = [replace(ROOM.objects[0], category=name, colour="x") for name in names]
    return replace(ROOM, objects=tuple(things))


def test_odd_names_become_models_of_their_own(tmp_path):
    scene = renamed(ODD_NAMES)
    path = write_world(scene, "w", tmp_path, RobotBuild(), with_robot=True)
    names = [m.get("name") for m in ElementTree.fromstring(path.read_text()).iter("model")]
    assert len(set(names)) == len(names) == len(ODD_NAMES) + 4  # no fixtures in a room
    truth = json.loads(path.with_suffix(".json").read_text())
    assert [o["name"] for o in truth["objects"]] == [f"x {name}" for name in ODD_NAMES]
    assert [o["model"] for o in truth["objects"]] == [n for n in names if n.startswith("x")]
    if program():
        assert refusal(path) == ""


@given(st.lists(st.text(max_size=6), max_size=12))
def test_model_names_differ_and_are_plain(names):
    found = model_names(names, ["light_0"])
    assert len(set(found)) == len(names)
    assert not set(found) & {"floor", "ceiling", "walls", "fixtures", "robot", "light_0"}
    for name in found:
        assert name.isascii() and name.replace("_", "a").isalnum() and not name.startswith("_")


def test_a_room_without_objects_is_a_world(tmp_path):
    scene = replace(ROOM, objects=())
    path = write_world(scene, "w", tmp_path, RobotBuild())
    assert json.loads(path.with_suffix(".json").read_text())["objects"] == []
    assert len(read_text(path.read_text())) > 5
    if program():
        assert refusal(path) == ""


def with_part(**changes) -> Scene:
    part = replace(Primitive("box", (1.0, 1.0, 1.0), (0.0, 0.0, 0.5), (1, 2, 3)), **changes)
    return replace(ROOM, objects=(replace(ROOM.objects[0], primitives=(part,)),))


BAD = {
    "the green pillar, part 0.*finite.*nan": with_part(size=(1.0, math.nan, 1.0)),
    "pose: expected a finite number, got inf": with_part(position=(math.inf, 0.0, 0.0)),
    "pose: expected a finite number, got nan": with_part(rpy=(0.0, math.nan, 0.0)),
    "size of the box: expected lengths": with_part(size=(1.0, 0.0, 1.0)),
    "lengths of at least 1e-06 m": with_part(size=(1.0, -2.0, 1.0)),
    "finite number, got 'wide'": with_part(size=("wide", 1.0, 1.0)),
    "shape must be one of": with_part(shape="torus"),
    "a cylinder is round": with_part(shape="cylinder", size=(1.0, 2.0, 1.0)),
    "a sphere is round": with_part(shape="sphere", size=(1.0, 1.0, 2.0)),
    "green and blue of 0 to 255": with_part(colour=(0, 0, 256)),
    "colour: expected a finite": with_part(colour=(0, 0, math.nan)),
    "it has no parts": replace(ROOM, objects=(replace(ROOM.objects[0], primitives=()),)),
    "the scene has no rooms": replace(ROOM, rooms=(), walls=(), objects=()),
    "pose of green_pillar: expected a finite": replace(
        ROOM, objects=(replace(ROOM.objects[0], yaw=math.nan),)
    ),
    "light_0: expected a direction": replace(ROOM, lights=(Light((0.0, 0.0, 0.0), 1.0),)),
    "light_0, direction: expected a finite": replace(ROOM, lights=(Light((0, 0, math.nan), 1.0),)),
    "strength from 0 up": replace(ROOM, lights=(Light((0.0, 0.0, 1.0), math.nan),)),
    "ambient nan": replace(ROOM, ambient=math.nan),
    "wall_height_m: expected a finite": replace(ROOM, wall_height_m=math.nan),
    "wall 0: expected a finite": replace(ROOM, walls=(replace(ROOM.walls[0], x_max=math.nan),)),
    "wall 1: expected lengths": replace(
        ROOM, walls=(ROOM.walls[0], replace(ROOM.walls[1], height_m=0.0))
    ),
    "room 0: expected lengths": replace(ROOM, rooms=(replace(ROOM.rooms[0], x_max=-9.0),)),
    "clock 0, part 0": replace(
        ROOM,
        fixtures=(Fixture("clock", 0, (Primitive("box", (1, 1, 0), (0, 0, 1), (0, 0, 0)),)),),
    ),
}


@pytest.mark.parametrize("words", BAD)
def test_a_scene_that_cannot_be_a_world_is_refused_by_name(words):
    with pytest.raises(SceneError, match=words):
        world_sdf(BAD[words], "w")


@pytest.mark.parametrize("name", ["", "a b", "1st", "a/b", "_a", "a\n", 'a"', "größe"])
def test_a_world_has_a_name_that_topics_can_hold(name):
    with pytest.raises(SceneError, match="world name"):
        world_sdf(ROOM, name)


@pytest.mark.parametrize(
    "change",
    [
        {"radius": 0.0},
        {"radius": math.nan},
        {"camera_z": math.inf},
        {"rate": 0.0},
        {"horizontal_fov": 3.2},
        {"width": 0},
        {"camera": "my camera"},
        {"cmd_vel": "/cmd_vel"},
        {"base_frame": ""},
        {"camera_frame": "a b"},
    ],
    ids=str,
)
def test_a_robot_that_cannot_be_built_is_refused_by_name(change):
    with pytest.raises(SceneError, match=f"robot, .*{next(iter(change))}|pixels"):
        RobotBuild(**change)


# -- the command and what it wrote ----------------------------------------------------------------


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "README.md"}


def test_the_shipped_worlds_are_what_the_command_writes(tmp_path, capsys):
    assert main(["--kind", "shipped", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("objects") == len(SHIPPED) == 10
    assert contents(tmp_path) == contents(WORLDS), "run: ipt-world --kind shipped --out worlds"
    assert max(len(data) for data in contents(WORLDS).values()) < 80_000
    assert len({key.name for key in SHIPPED}) == 10


def test_equal_seeds_give_equal_bytes_and_other_seeds_others(tmp_path):
    for folder in ("a", "b"):
        out = str(tmp_path / folder)
        assert main(["--kind", "house", "--seed", "850020", "--count", "2", "--out", out]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    names = set(contents(tmp_path / "a"))
    assert names == {
        "robot.sdf", "cone.obj", "house_850020.sdf", "house_850020.json", "house_850021.sdf",
        "house_850021.json",
    }  # fmt: skip
    written = contents(tmp_path / "a")
    assert written["house_850020.sdf"] != written["house_850021.sdf"]


def test_the_list_names_every_shipped_world(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [key.name for key in SHIPPED]
    assert "room of seed 850036" in lines[0] and " m" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "room", "--out", "x"], "--kind room needs --seed"),
        (["--kind", "demo", "--seed", "1", "--out", "x"], "--kind demo takes no --seed"),
        (["--seed", "1"], "--out is needed"),
        (["--kind", "castle", "--seed", "1", "--out", "x"], "invalid choice"),
        (["--seed", "-1", "--out", "x"], "whole number"),
        (["--seed", "1", "--count", "0", "--out", "x"], "at least 1"),
    ],
)
def test_a_wrong_command_is_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and words in capsys.readouterr().err


def test_seeds_that_are_kept_are_refused_before_anything_is_written(tmp_path, capsys):
    out = tmp_path / "none"
    assert main(["--seed", "899999", "--count", "2", "--out", str(out)]) == 2
    assert "900,000" in capsys.readouterr().err and not out.exists()


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--seed", "1", "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_files_are_written_world_by_world(tmp_path):
    worlds = write_worlds(SHIPPED[:2], tmp_path)
    first, _ = next(worlds)
    assert first.is_file() and not (tmp_path / f"{SHIPPED[1].name}.sdf").exists()
