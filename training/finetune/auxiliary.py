"""A head for training only: from what the model knows before it answers to where things are.

The numbers come from an example's facts: the asked object before and after a motion; how many
counted things each frame shows; where each option stands from M1; how much room there is along a
path. It reads the last token of the prompt, so whatever it teaches has to be there before the
first word of an answer. It is never part of the shipped weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from ipt_model.maps import OCCUPIED
from ipt_model.question import Task
from ipt_training.example import Example
from ipt_training.tasks.clearance import DRAWN_POINTS, true_grid

#: Columns of the targets: perspective x, z before and after (m, optical frame), the change of
#: distance; counting per frame and in all; path forward, left of each option; clearance at each
#: drawn point of the path.
PERSPECTIVE, COUNTING, PATH = slice(0, 5), slice(5, 10), slice(10, 18)
CLEARANCE = slice(18, 18 + DRAWN_POINTS)
NUMBERS = CLEARANCE.stop
#: Divides metres and counts, so that all columns are about 1.
SCALE_M, SCALE_COUNT, SCALE_CLEAR_M = 3.0, 2.0, 0.3
#: More room than this is room enough.
MOST_CLEAR_M = 0.6


def auxiliary_targets(example: Example | None) -> np.ndarray:
    """[NUMBERS] float32, NaN where the example's facts do not say."""
    targets = np.full(NUMBERS, np.nan, np.float32)
    if example is None:
        return targets
    facts: Mapping[str, Any] = example.facts
    task = example.question.task
    if task is Task.PERSPECTIVE and "object_after_m" in facts:
        before, after = facts["object_before_m"], facts["object_after_m"]
        change = _ground(after) - _ground(before)
        metres = (before[0], before[2], after[0], after[2], change)
        targets[PERSPECTIVE] = np.array(metres, np.float32) / SCALE_M
    if task is Task.COUNTING and len(facts.get("per_frame", ())) == 4:
        counts = (*facts["per_frame"], facts["count"])
        targets[COUNTING] = np.array(counts, np.float32) / SCALE_COUNT
    if task is Task.PATH and len(facts.get("option_body_m", ())) == 4:
        places = [facts["option_body_m"][option] for option in example.question.options]
        targets[PATH] = np.array(places, np.float32).ravel() / SCALE_M
    if task is Task.CLEARANCE and len(facts.get("path_m", ())) == DRAWN_POINTS:
        targets[CLEARANCE] = _room_along(facts) / SCALE_CLEAR_M
    return targets


def _ground(point: Sequence[float]) -> float:
    return float(np.hypot(point[0], point[2]))


def _room_along(facts: Mapping[str, Any]) -> np.ndarray:
    """From each drawn point of the path to the nearest occupied cell of the true map, m."""
    truth = true_grid(facts)
    free = truth.cells != OCCUPIED
    away = ndimage.distance_transform_edt(np.pad(free, 1, constant_values=False))[1:-1, 1:-1]
    row, column = truth.indices(np.array(facts["path_m"]))
    height, width = free.shape
    room = away[row.clip(0, height - 1), column.clip(0, width - 1)] * truth.resolution_m
    return np.asarray(room.clip(max=MOST_CLEAR_M))


class AuxiliaryHead(nn.Module):
    """Hidden states [n, hidden] -> numbers [n, NUMBERS], through one hidden layer."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, NUMBERS)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layers(hidden)

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum of the smooth absolute errors over all known numbers, a scalar."""
        known = ~targets.isnan()
        said = self(hidden.float())
        errors = F.smooth_l1_loss(said, torch.where(known, targets, said), reduction="none")
        return (errors * known).sum()
