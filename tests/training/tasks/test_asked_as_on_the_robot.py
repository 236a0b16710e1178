"""The robot asks as the data does: from the same poses the same maps, frames, options, words."""

from __future__ import annotations

import numpy as np
import pytest

from ipt_model.question import Task
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.memory import SpatialMemory
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.wording.phrasing import Motion, perspective_question, plural, templates
from ipt_ros.answering.path_risk import sweep
from ipt_ros.answering.questions import (
    ask_count,
    ask_path,
    ask_viewpoint,
    count_views,
    told_radius,
)
from ipt_ros.conversions import Intrinsics
from ipt_ros.senses.observations import Observation
from ipt_training.datasets.generate import make_example
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.example import Example
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.tasks.sampling import Rejections
from ipt_training.tasks.seen.hidden_paths import TOLD_RADIUS_M
from ipt_training.tasks.seen.remembered import FINER
from ipt_training.tasks.stored_maps import grids_of

SIZE_PX = 64
PICTURES = PictureGeometry()


def examples(task: Task, number: int = 4, variants: tuple[str, ...] = ()) -> list[Example]:
    """One of each variant and kind."""
    plan = DatasetPlan(number, SIZE_PX, ((task.value, 1.0),), variants=variants)
    slots = plan.slots()
    return [make_example(plan, slots, i, Rejections()) for i in range(number)]


def observed(example: Example) -> list[Observation]:
    """What the robot would hold, had its camera taken the example's views one after another."""
    camera = Intrinsics(SIZE_PX, SIZE_PX, 32.0, 32.0, 32.0, 32.0)
    poses = np.array(example.facts["poses"])
    return [
        Observation(i, "optical", rgb, None, camera, pose)
        for i, (rgb, pose) in enumerate(zip(example.question.images, poses, strict=False))
    ]


@pytest.fixture(scope="module")
def clearance() -> list[Example]:
    return examples(Task.CLEARANCE)


def test_a_path_is_asked_on_the_map_of_the_data(clearance: list[Example]) -> None:
    for example in clearance:
        _, seen = grids_of(example.facts)
        view, path = observed(example)[0], np.array(example.facts["path_m"])
        grounded = ask_path(view, seen, path, PICTURES, SIZE_PX)
        assert grounded.map_view is not None
        x_min, y_min, side = example.facts["map_view"]
        assert (grounded.map_view.x_min, grounded.map_view.y_min) == pytest.approx(
            (x_min, y_min), abs=1e-3
        )
        assert grounded.map_view.side_m == side
        picture, shown = grounded.question.images[-1], example.question.images[-1]
        assert picture.shape == shown.shape
        # facts are rounded to a millimetre, which may move a border across a pixel's middle
        assert (picture != shown).any(axis=2).mean() < 0.005
        assert grounded.question.view_size == example.true_view.shape[:2]


def test_a_path_of_the_data_is_shown_as_a_whole(clearance: list[Example]) -> None:
    for example in clearance:
        _, seen = grids_of(example.facts)
        view, path = observed(example)[0], np.array(example.facts["path_m"])
        grounded = ask_path(view, seen, path, PICTURES, SIZE_PX)
        assert grounded.map_view is not None
        swept = sweep(seen, path, PICTURES.robot_radius_m)
        assert not swept.all_seen
        line = swept.line(swept.stretch(grounded.map_view.shows(swept.points, PICTURES)))
        assert np.array_equal(line, path)


def test_a_path_is_asked_in_the_words_of_the_data(clearance: list[Example]) -> None:
    for example in clearance:
        _, seen = grids_of(example.facts)
        view, path = observed(example)[0], np.array(example.facts["path_m"])
        grounded = ask_path(view, seen, path, PICTURES, SIZE_PX)
        words = templates()["clearance"]
        assert grounded.question.text == words[0] and example.question.text in words
        assert set(grounded.question.options) == set(example.question.options)
        assert example.facts["robot_radius_m"] == PICTURES.robot_radius_m


def test_a_robot_of_any_width_is_told_of_as_in_the_data() -> None:
    learned = PictureGeometry(told_radius_m=TOLD_RADIUS_M)
    for example in examples(Task.CLEARANCE, variants=("one view+told radius",)):
        _, seen = grids_of(example.facts)
        view, path = observed(example)[0], np.array(example.facts["path_m"])
        told = told_radius(example.facts["robot_radius_m"], learned)
        assert told == example.facts["robot_radius_m"]
        grounded = ask_path(view, seen, path, learned, SIZE_PX, told)
        picture, shown = grounded.question.images[-1], example.question.images[-1]
        assert (picture != shown).any(axis=2).mean() < 0.005
        words = grounded.question.text.removeprefix(templates()["clearance"][0])
        assert f"{told:.2f} m" in words and example.question.text.endswith(words)


def test_a_colour_is_counted_in_the_words_of_the_data() -> None:
    for example in examples(Task.COUNTING, variants=("corners+by colour",)):
        category = example.facts["category"]
        assert category.endswith(" object")
        words = [w.format(category=plural(category)) for w in templates()["counting"]]
        assert example.question.text in words


def test_a_count_is_asked_over_the_frames_of_the_data_in_their_order() -> None:
    for example in examples(Task.COUNTING):
        *before, present = observed(example)
        views = count_views(before, present, PICTURES)
        assert [v.stamp_ns for v in views] == list(range(PICTURES.count_frames))
        numbers = sorted(int(option) for option in example.question.options)
        category = example.facts["category"]
        grounded = ask_count(views, category, PICTURES, numbers[-1], SIZE_PX)
        assert [int(option) for option in grounded.question.options] == numbers
        words = [w.format(category=plural(category)) for w in templates()["counting"]]
        assert grounded.question.text == words[0] and example.question.text in words
        assert grounded.question.view_size == example.true_view.shape[:2]
        shown = zip(grounded.question.images, example.question.images, strict=True)
        assert all(np.array_equal(a, b) for a, b in shown)


@pytest.mark.parametrize("number", range(3))
def test_a_viewpoint_is_asked_with_the_same_memory_and_words(number: int) -> None:
    """A robot that stood where the row's memory was made recalls the row's picture."""
    plan = DatasetPlan(
        6, SIZE_PX, ((Task.PERSPECTIVE.value, 1.0),), variants=("pose+anchored+memory",)
    )
    example = make_example(plan, plan.slots(), 2 * number, Rejections())
    facts = example.facts
    side = FINER * SIZE_PX  # of the robot's own pictures
    camera = Camera.from_fov(side, side, facts["fov_rad"])
    pinhole = Intrinsics(side, side, camera.fx, camera.fy, camera.cx, camera.cy)
    scene = make_scene(example.scene_seed, facts["level"], **facts["scene_request"])
    here = np.array(facts["pose_before"])
    renderer, memory = Renderer(scene), SpatialMemory()
    poses = [_rigid(np.array(pose)) for pose in facts["memory_poses"]]
    for k, pose in enumerate(poses):
        seen = renderer.render(pose, camera)
        memory.add(seen.rgb, seen.depth_m, camera, pose, k * 3_000_000_000)
    now = renderer.render(_rigid(here), camera)
    stamp_ns = len(poses) * 3_000_000_000
    view = Observation(stamp_ns, "optical", now.rgb, now.depth_m, pinhole, _rigid(here))
    there = _rigid(np.array(facts["pose_after"])) @ np.linalg.inv(BODY_FROM_OPTICAL)
    asked = "side" if example.question.options[0] in ("left", "right") else "distance"
    grounded = ask_viewpoint(view, there, facts["object"], asked, (), SIZE_PX, memory)

    forward, left, turn = facts["motion"]
    phrase = perspective_question(
        asked, facts["object"], Motion(forward, left, turn), anchored=True
    )
    assert grounded.question.text == phrase.text
    assert set(grounded.question.options) == set(example.question.options)
    assert example.recalled is not None and grounded.question.recalled is not None
    mine, data = grounded.question.recalled, example.recalled
    # facts are rounded to a tenth of a millimetre: a pixel on a border may fall to either side
    assert (mine.seen == data.seen).mean() > 0.97
    both = mine.seen & data.seen
    assert (np.abs(mine.rgb.astype(int) - data.rgb).max(-1)[both] <= 8).mean() > 0.97
    assert grounded.question.images[1] is mine.rgb


def _rigid(pose: np.ndarray) -> np.ndarray:
    """A pose that was rounded, made a rotation again."""
    u, _, v = np.linalg.svd(pose[:3, :3])
    return np.block([[u @ v, pose[:3, 3:]], [np.array([[0.0, 0, 0, 1]])]])
