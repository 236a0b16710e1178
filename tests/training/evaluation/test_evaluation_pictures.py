"""Whether a drawing has the object in its place, and maps are scored on unknown cells alone."""

from __future__ import annotations

import numpy as np
import pytest

from ipt_model.question import Task
from ipt_model.spatial.maps import MapView, draw_map
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.evaluation.objects import judge_object, object_pixels
from ipt_training.evaluation.records import judge_picture
from ipt_training.tasks.stored_maps import grids_of

BLUE, GREEN, FLOOR = (38, 84, 222), (36, 160, 62), (150, 140, 130)


def scene(colour=BLUE, at=(40, 20), size=8) -> np.ndarray:
    """A square thing on a noisy floor, 64 x 64."""
    rng = np.random.default_rng(0)
    picture = np.array(FLOOR) + rng.integers(-6, 7, (64, 64, 1))
    u, v = at
    picture[v : v + size, u : u + size] = colour
    return picture.astype(np.uint8)


CENTRE = (44.0, 24.0)


@pytest.mark.parametrize(
    ("drawn", "present", "side"),
    [
        (scene(), True, True),
        (scene(at=(44, 22)), True, True),  # within the tolerance
        (scene(colour=(60, 100, 200)), True, True),  # a little paler
        (scene(at=(54, 44)), False, True),  # its half, but elsewhere
        (scene(at=(8, 20)), False, False),  # the other side
        (scene(colour=GREEN), False, False),
        (scene(colour=FLOOR), False, False),  # nothing there
    ],
)
def test_objects_in_their_place(drawn, present, side) -> None:
    judged = judge_object(scene(), drawn, CENTRE)
    assert (judged.present, judged.side) == (present, side)


def test_blur_costs_cover_and_noise_is_no_object() -> None:
    import cv2

    blurred = cv2.GaussianBlur(scene(), (0, 0), 1.5)
    assert judge_object(scene(), blurred, CENTRE).present
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert not judge_object(scene(), noise, CENTRE).present


def test_what_does_not_stand_out_is_not_judged() -> None:
    assert judge_object(scene(size=2), scene(), (40.5, 20.5)) is None
    pale = scene(colour=(158, 148, 138))
    assert judge_object(pale, pale, CENTRE) is None
    middle = judge_object(scene(at=(28, 20)), scene(at=(28, 20)), (32.0, 24.0))
    assert middle.present and middle.side is None
    with pytest.raises(ValueError, match="one size"):
        judge_object(scene(), scene()[:32], CENTRE)


def test_true_views_of_a_dataset_have_their_objects(data) -> None:
    """The measure's ceiling on real pictures, and its floor with another example's view."""
    examples = [example_from_row(row) for row in Dataset(data)]
    asked = [e for e in examples if e.question.task in (Task.PERSPECTIVE, Task.COUNTING)]
    assert all(object_pixels(e) for e in asked)
    own = [flag for e in asked for flag in judge_picture(e, e.true_view).present]
    assert len(own) >= len(asked) and all(own)
    wrong = []
    for task in (Task.PERSPECTIVE, Task.COUNTING):
        some = [e for e in asked if e.question.task is task]
        for example, other in zip(some, some[1:] + some[:1], strict=True):
            wrong += judge_picture(example, other.true_view).present
    assert np.mean(wrong) < 0.5


def test_maps_are_scored_where_nothing_was_seen(data) -> None:
    examples = [example_from_row(row) for row in Dataset(data)]
    example = next(e for e in examples if e.question.task is Task.CLEARANCE)
    truth, seen = grids_of(example.facts)
    perfect = judge_picture(example, example.true_view).map
    partial = judge_picture(example, example.question.images[-1]).map
    assert perfect.drawn[0] > 0.75 and perfect.drawn[1] < 0.05
    assert partial.drawn[0] < 0.5 * perfect.drawn[0]
    assert perfect.unknown == (0.0, pytest.approx(0.25))
    assert partial.inpainted == perfect.inpainted and perfect.inpainted[0] < perfect.drawn[0]
    # a picture that lies about what was seen, and is right elsewhere, loses nothing
    view = MapView(*example.facts["map_view"], 64)
    lying = draw_map(truth, view)
    known = draw_map(seen, view)[..., 1] != 132
    lying[known] = 255 - lying[known]
    assert judge_picture(example, lying).map.drawn[0] > 0.6
