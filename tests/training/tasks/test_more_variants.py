"""Variants that have to be named: things counted by colour, robots of a told size."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from ipt_model.spatial.maps import OCCUPIED
from ipt_training.datasets.generate import make_example
from ipt_training.datasets.plan import DatasetPlan, PlanError
from ipt_training.example import Example
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.colours import COLOURS
from ipt_training.scenes.grids import occupancy
from ipt_training.scenes.projection import image_shares
from ipt_training.tasks import TASKS, clearance, counting, path, task_module
from ipt_training.tasks.recast import colours_of, paint
from ipt_training.tasks.sampling import Rejections, Wanted

SIZE_PX = 48


def made(task: str, variants: tuple[str, ...], count: int, level: str = "room") -> list[Example]:
    plan = DatasetPlan(count, SIZE_PX, ((task, 1.0),), variants=variants, level=level)
    slots = plan.slots()
    return [make_example(plan, slots, i, Rejections()) for i in range(count)]


def test_variants_are_made_where_they_are_named_and_only_there() -> None:
    for task in TASKS:
        module = task_module(task)
        assert not set(module.VARIANTS) & set(module.MORE_VARIANTS)
        plain = DatasetPlan(10, 64, ((task.value, 1.0),))
        assert plain.variants_of(task.value) == module.VARIANTS
        more = module.MORE_VARIANTS[-1]
        named = DatasetPlan(10, 64, ((task.value, 1.0),), variants=(more,))
        assert named.variants_of(task.value) == (more,)
    with pytest.raises(PlanError, match=r"counting has rotation, corners, rotation\+by colour"):
        DatasetPlan(10, 64, (("counting", 1.0),), variants=("pose",))


@pytest.mark.parametrize(("level", "count"), [("room", 20), ("house", 3)])
def test_counts_by_colour_agree_with_the_world(level: str, count: int) -> None:
    for example in made("counting", counting.BY_COLOUR, count, level):
        facts = example.facts
        colour = facts["category"].removesuffix(" object")
        assert f"{colour} objects" in example.question.text and colour in colours_of(level)
        scene = make_scene(example.scene_seed, facts["level"], **facts["scene_request"])
        scene = paint(scene, [(int(i), c) for i, c in facts["colours"]])
        of_colour = [i for i, o in enumerate(scene.objects) if o.colour == colour]
        counted = [i for i in of_colour if scene.objects[i].room == facts["room"]]
        assert counted == facts["counted"] and len(counted) == int(example.answer)
        square = facts["map_square_m"]
        top = Renderer(scene).top_down(tuple(square), (square[2] - square[0]) / SIZE_PX)
        assert np.median(np.abs(top.rgb.astype(int) - example.true_view)) <= 2
        # what is counted has its colour on the map, as far as shade allows
        for index in counted:
            shown = example.true_view[top.instance == index].astype(float)
            assert len(shown) >= counting.MIN_COLOUR_PX
            near = {
                name: np.abs(np.median(shown, axis=0) - rgb).max()
                for name, rgb in COLOURS.items()
                if name in colours_of("room")
            }
            if level == "room":
                assert min(near, key=lambda name: near[name]) == colour


@pytest.mark.parametrize(("level", "count"), [("room", 24), ("house", 3)])
def test_among_things_of_two_colours_the_kind_decides(level: str, count: int) -> None:
    alike = 0
    for example in made("path", path.ALIKE, count, level):
        facts, options = example.facts, example.question.options
        scene = make_scene(example.scene_seed, facts["level"], **facts["scene_request"])
        before = scene
        scene = paint(scene, [(int(i), c) for i, c in facts["colours"]])
        assert len({thing.colour for thing in scene.objects}) <= 2 < len(before.objects)
        places = [facts["option_objects"][name] for name in options]
        assert [scene.objects[i].name for i in places] == list(options)
        assert all(scene.is_unique(i) for i in places)
        side = Camera.from_fov(SIZE_PX, SIZE_PX, facts["fov_rad"])
        view = Renderer(scene).render(np.array(facts["pose_imagined"]), side)
        assert np.median(np.abs(view.rgb.astype(int) - example.true_view)) <= 2
        shares = image_shares(view.instance, len(scene.objects))[places]
        assert shares.argmax() == example.answer_index and (shares > 0.002).sum() == 1
        colour = scene.objects[places[example.answer_index]].colour
        alike += sum(scene.objects[i].colour == colour for i in places) > 1
    assert alike >= 0.7 * count


def test_painting_keeps_shapes_and_what_is_not_of_the_colour() -> None:
    scene = make_scene(4, "house")
    painted = paint(scene, [(i, "pink") for i in range(len(scene.objects))])
    changed = 0
    for old, new in zip(scene.objects, painted.objects, strict=True):
        assert new.colour == "pink" and (new.category, new.footprint) == (
            old.category,
            old.footprint,
        )
        for a, b in zip(old.primitives, new.primitives, strict=True):
            assert (a.shape, a.size, a.position, a.rpy) == (b.shape, b.size, b.position, b.rpy)
            if a.colour != b.colour:
                changed += 1
                r, g, blue = b.colour
                assert r >= blue >= g, "a shade of pink"
    assert changed >= len(scene.objects)


def test_a_told_radius_decides_whether_a_path_is_clear() -> None:
    angle = np.linspace(0, 2 * np.pi, 24)
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    radii = set()
    for example in made("clearance", clearance.TOLD_RADIUS, 16):
        facts = example.facts
        radius = facts["robot_radius_m"]
        radii.add(radius)
        said = re.search(r"radius of ([\d.]+) m", example.question.text)
        assert said is not None and float(said[1]) == radius and 0.1 <= radius <= 0.35
        scene = make_scene(example.scene_seed, facts["level"], **facts["scene_request"])
        path = np.array(facts["path_m"])
        dense = np.concatenate([np.linspace(a, b, 12) for a, b in itertools.pairwise(path)])
        disc = np.concatenate([r * radius * ring for r in (0.0, 0.5, 1.0)])
        fine = occupancy(scene, 0.05)
        hit = bool((fine.values(dense[:, None] + disc) == OCCUPIED).any())
        assert hit == (example.answer == "no")
        # both maps show the path as wide as the robot: what it sweeps has another red or blue
        side = facts["map_view"][2]
        for picture in (example.question.images[-1], example.true_view):
            swept = (picture[..., 0] == 0) & (picture[..., 2] == 255)
            area = swept.sum() * (side / SIZE_PX) ** 2
            assert area > 0.5 * 2 * radius * facts["path_length_m"] - 0.15
    assert len(radii) > 2


def test_radii_are_spread_over_what_is_told() -> None:
    rooms = [
        clearance.room_of_robot(Wanted("one view+told radius", "clear", 0, d)) for d in range(600)
    ]
    radii, counts = np.unique([round(r.radius_m, 2) for r in rooms], return_counts=True)
    assert radii.tolist() == [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]
    assert counts.min() > 60
    assert all(r.blocked_m < r.radius_m < r.clear_m for r in rooms)
    plain = clearance.room_of_robot(Wanted("one view", "clear", 0, 1))
    assert (plain.radius_m, plain.clear_m, plain.blocked_m) == (0.15, 0.2, 0.0)
