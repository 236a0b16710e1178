"""The robot asks as the data does: from the same poses the same maps, frames, options, words."""

from __future__ import annotations

import numpy as np
import pytest

from ipt_model.question import Task
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.wording.phrasing import plural, templates
from ipt_ros.answering.path_risk import sweep
from ipt_ros.answering.questions import ask_count, ask_path, count_views
from ipt_ros.conversions import Intrinsics
from ipt_ros.senses.observations import Observation
from ipt_training.datasets.generate import make_example
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.example import Example
from ipt_training.tasks.sampling import Rejections
from ipt_training.tasks.stored_maps import grids_of

SIZE_PX = 64
PICTURES = PictureGeometry()


def examples(task: Task, number: int = 4) -> list[Example]:
    """One of each variant and kind."""
    plan = DatasetPlan(number, SIZE_PX, ((task.value, 1.0),))
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
