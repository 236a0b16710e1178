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

from ipt_model.maps import OCCUPIED
from ipt_model.question import Task
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.example import Example
from ipt_training.finetune.auxiliary import (
    CLEARANCE,
    COUNTING,
    MOST_CLEAR_M,
    NUMBERS,
    PATH,
    PERSPECTIVE,
    SCALE_CLEAR_M,
    SCALE_COUNT,
    SCALE_M,
    AuxiliaryHead,
    auxiliary_targets,
)
from ipt_training.tasks.clearance import grids_of

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
    assert sum(s.stop - s.start for s in COLUMNS.values()) == NUMBERS


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
