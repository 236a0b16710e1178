"""A head for training only: from what the model knows before it answers to where things are.

The numbers come from an example's facts: the asked object before and after a motion; how many
counted things each frame shows; where each option stands from M1; how much room there is along a
path. It reads the last token of the prompt, so whatever it teaches has to be there before the
first word of an answer. `look` makes cheap exercises for it from single pictures: finding the
named thing is what every answer begins with. The head is never part of the shipped weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from ipt_model.question import Task
from ipt_model.spatial.maps import OCCUPIED
from ipt_training.example import Example
from ipt_training.tasks.geometry import moved
from ipt_training.tasks.seen.hidden_paths import DRAWN_POINTS
from ipt_training.tasks.stored_maps import true_grid

#: Columns of the targets: perspective x, z before and after (m, optical frame), the change of
#: distance; counting per frame and in all; path forward, left of each option; clearance at each
#: drawn point of the path.
PERSPECTIVE, COUNTING, PATH = slice(0, 5), slice(5, 10), slice(10, 18)
CLEARANCE = slice(18, 18 + DRAWN_POINTS)
#: Right, up from the middle of a map, in half sides.
MAP = slice(CLEARANCE.stop, CLEARANCE.stop + 2)
NUMBERS = MAP.stop
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


@dataclass(frozen=True)
class Look:
    """One picture of an example, a question about nothing but what it shows, and the numbers that
    answer it."""

    picture: np.ndarray
    text: str
    targets: np.ndarray


def look(example: Example | None, chance: np.random.Generator) -> Look | None:
    """A random look at an example: where the named thing is in a view or on a map, how many of a
    category there are. None where the facts do not say."""
    if example is None:
        return None
    facts: Mapping[str, Any] = example.facts
    task, images = example.question.task, example.question.images
    targets = np.full(NUMBERS, np.nan, np.float32)
    if task is Task.PERSPECTIVE and "object_after_m" in facts:
        after = bool(chance.integers(2))
        place = facts["object_after_m" if after else "object_before_m"]
        targets[PERSPECTIVE][:2] = np.array((place[0], place[2]), np.float32) / SCALE_M
        picture = example.true_view if after else images[0]
        return Look(picture, f"Where is the {facts['object']}?", targets)
    if task is Task.COUNTING and len(facts.get("per_frame", ())) == 4:
        k = int(chance.integers(5))
        number = facts["count"] if k == 4 else facts["per_frame"][k]
        targets[COUNTING][4 if k == 4 else 0] = number / SCALE_COUNT
        picture = example.true_view if k == 4 else images[k]
        return Look(picture, f"How many {facts['category']}?", targets)
    if task is Task.PATH and len(facts.get("option_body_m", ())) == 4:
        name = example.question.options[int(chance.integers(4))]
        targets[MAP] = _on_map(facts, facts["option_body_m"][name])
        return Look(images[0], f"Where is the {name}?", targets)
    return None


def _on_map(facts: Mapping[str, Any], body: Sequence[float]) -> np.ndarray:
    """A place given forward and left of M1 on the straight path, in half sides of the map."""
    way = np.array(facts["end_m"]) - np.array(facts["start_m"])
    walker = np.array([*facts["midpoint_m"], np.arctan2(way[1], way[0])])
    world = moved(walker, *np.array([*body, 0.0]))[:2]
    x0, y0, x1, y1 = facts["map_square_m"]
    return np.asarray((2 * world - (x0 + x1, y0 + y1)) / (x1 - x0, y1 - y0), np.float32)


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
