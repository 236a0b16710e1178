"""What the training-only head is taught: the numbers of the facts in their columns, nothing
elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ipt_model.question import Task
from ipt_model.spatial.maps import OCCUPIED
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.example import Example
from ipt_training.feed.auxiliary import (
    CLEARANCE,
    COUNTING,
    MAP,
    MOST_CLEAR_M,
    NUMBERS,
    PATH,
    PERSPECTIVE,
    SCALE_CLEAR_M,
    SCALE_COUNT,
    SCALE_M,
    AuxiliaryHead,
    Look,
    auxiliary_targets,
    look,
)
from ipt_training.scenes.colours import COLOURS
from ipt_training.tasks.stored_maps import grids_of

COLUMNS = {
    Task.PERSPECTIVE: PERSPECTIVE,
    Task.COUNTING: COUNTING,
    Task.PATH: PATH,
    Task.CLEARANCE: CLEARANCE,
}


@pytest.fixture(scope="module")
def examples(data: Path) -> dict[Task, list[Example]]:
    made = [example_from_row(row) for row in Dataset(data)]
    return {task: [e for e in made if e.question.task is task] for task in COLUMNS}


@pytest.mark.parametrize("task", COLUMNS)
def test_each_task_has_columns_of_its_own(examples: dict[Task, list[Example]], task: Task) -> None:
    assert len(examples[task]) >= 4
    own = np.zeros(NUMBERS, bool)
    own[COLUMNS[task]] = True
    for example in examples[task]:
        targets = auxiliary_targets(example)
        assert targets.shape == (NUMBERS,) and targets.dtype == np.float32
        assert np.isfinite(targets[own]).all() and np.isnan(targets[~own]).all()
        assert np.abs(targets[own]).max() < 4  # about 1 all, else one would outweigh the rest
    assert sum(s.stop - s.start for s in (*COLUMNS.values(), MAP)) == NUMBERS


def test_rows_without_the_numbers_teach_nothing(examples: dict[Task, list[Example]]) -> None:
    assert np.isnan(auxiliary_targets(None)).all()
    for made in examples.values():
        assert np.isnan(auxiliary_targets(replace(made[0], facts={}))).all()


def test_perspective_and_counting_are_the_facts(examples: dict[Task, list[Example]]) -> None:
    for example in examples[Task.PERSPECTIVE]:
        x0, z0, x1, z1, change = auxiliary_targets(example)[PERSPECTIVE] * SCALE_M
        assert (x0, z0) == pytest.approx(example.facts["object_before_m"][::2], abs=1e-4)
        assert (x1, z1) == pytest.approx(example.facts["object_after_m"][::2], abs=1e-4)
        assert change == pytest.approx(math.hypot(x1, z1) - math.hypot(x0, z0), abs=1e-4)
    for example in examples[Task.COUNTING]:
        *frames, count = auxiliary_targets(example)[COUNTING] * SCALE_COUNT
        assert (frames, count) == (example.facts["per_frame"], int(example.answer))


def test_path_says_where_each_option_stands(examples: dict[Task, list[Example]]) -> None:
    for example in examples[Task.PATH]:
        places = auxiliary_targets(example)[PATH].reshape(4, 2) * SCALE_M
        for option, (forward, left) in zip(example.question.options, places, strict=True):
            away = example.facts["option_distance_m"][option]
            assert math.hypot(forward, left) == pytest.approx(away, abs=2e-3)
        left = places[example.answer_index, 1]
        assert (left > 0) == (example.subcategory == "left")


def test_clearance_says_where_the_path_is_narrow(examples: dict[Task, list[Example]]) -> None:
    for example in examples[Task.CLEARANCE]:
        truth, _ = grids_of(example.facts)
        room = auxiliary_targets(example)[CLEARANCE] * SCALE_CLEAR_M
        solid = truth.centres()[truth.cells == OCCUPIED]
        for point, found in zip(np.array(example.facts["path_m"]), room, strict=True):
            assert 0 <= found <= MOST_CLEAR_M + 1e-6
            if truth.values(point) == OCCUPIED:
                assert found == 0
            elif found < MOST_CLEAR_M - 1e-6:
                # from the middle of the point's cell, or to the rim of the map
                away = np.hypot(*(solid - point).T).min(initial=np.inf)
                x, y = point - truth.origin_xy
                side = truth.cells.shape[0] * truth.resolution_m
                rim = min(x, y, side - x, side - y)
                assert found == pytest.approx(min(away, rim), abs=truth.resolution_m)
        clear = example.facts["robot_radius_m"]
        assert (room.min() >= clear) == (example.answer == "yes")


def looks_at(example: Example) -> list[Look]:
    found = [look(example, np.random.default_rng(seed)) for seed in range(12)]
    return [one for one in found if one is not None]


def test_a_look_at_a_map_says_where_the_named_thing_is(
    examples: dict[Task, list[Example]],
) -> None:
    """Proved by the picture: the pixel there has the hue of the name."""
    right = tried = 0
    for example in examples[Task.PATH]:
        for one in looks_at(example):
            side = one.picture.shape[0]
            x, y = one.targets[MAP]
            assert max(abs(x), abs(y)) <= 1 and np.isnan(np.delete(one.targets, MAP)).all()
            colour = one.text.removeprefix("Where is the ").split()[0]
            row, column = round((1 - y) * side / 2 - 0.5), round((1 + x) * side / 2 - 0.5)
            seen = one.picture[row, column].astype(float)
            # of all colours the name's is the nearest, whatever the light
            unit = {name: np.array(c) / np.linalg.norm(c) for name, c in COLOURS.items()}
            nearest = max(unit, key=lambda name: unit[name] @ seen / max(np.linalg.norm(seen), 1))
            grey = {"white", "black"}
            right += nearest == colour or {nearest, colour} <= grey
            tried += 1
    assert tried >= 24 and right >= 0.85 * tried  # a path or a number may cover it


def test_a_look_at_a_view_says_where_the_named_thing_is(
    examples: dict[Task, list[Example]],
) -> None:
    for example in examples[Task.PERSPECTIVE]:
        facts = example.facts
        shown = set()
        for one in looks_at(example):
            after = one.picture is example.true_view
            shown.add(after)
            x, z = one.targets[PERSPECTIVE][:2] * SCALE_M
            width = one.picture.shape[1]
            focal = 0.5 * width / math.tan(0.5 * facts["fov_rad"])
            column = 0.5 * width + focal * x / z
            said = facts["object_pixel_after" if after else "object_pixel_before"][0]
            assert column == pytest.approx(said, abs=0.12 * width)
            assert one.text == f"Where is the {facts['object']}?"
        assert shown == {False, True}


def test_a_look_counts_what_one_picture_shows(examples: dict[Task, list[Example]]) -> None:
    for example in examples[Task.COUNTING]:
        for one in looks_at(example):
            column = COUNTING.stop - 1 if one.picture is example.true_view else COUNTING.start
            number = one.targets[column] * SCALE_COUNT
            if column == COUNTING.start:
                (frame,) = (k for k, p in enumerate(example.question.images) if p is one.picture)
                assert number == example.facts["per_frame"][frame]
            else:
                assert number == int(example.answer)
    assert not any(looks_at(example) for example in examples[Task.CLEARANCE])
    assert look(None, np.random.default_rng(0)) is None  # a row of a public set


def test_the_head_ignores_what_is_unknown() -> None:
    torch.manual_seed(0)
    head = AuxiliaryHead(8)
    hidden, targets = torch.randn(3, 8), torch.full((3, NUMBERS), torch.nan)
    targets[0, 2], targets[2, 9] = 0.5, 3.0
    said = head(hidden)
    expected = torch.nn.functional.smooth_l1_loss(
        torch.stack([said[0, 2], said[2, 9]]), torch.tensor([0.5, 3.0]), reduction="sum"
    )
    assert head.loss(hidden, targets).item() == pytest.approx(expected.item(), rel=1e-6)
    assert head.loss(hidden, torch.full((3, NUMBERS), torch.nan)).item() == 0.0
