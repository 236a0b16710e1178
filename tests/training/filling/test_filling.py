"""The small network that fills holes keeps what was seen and gives the mean of what was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ipt_model.question import Question, Task
from ipt_model.spatial.recalled import HOLE_RGB, RecalledView
from ipt_training.example import Example
from ipt_training.filling.fitting import Fitting, fit, holed_of
from ipt_training.filling.network import FillingNetwork, Holed, prepared

SIDE = 16
QUICK = Fitting(examples=120 * 16, batch=16, warmup=10, rate=4e-3)


def example(colour, hole, task: Task = Task.PATH, side: int = SIDE) -> Example:
    """A picture of one colour; its right half is unseen and, in truth, of the colour `hole`."""
    truth = np.full((side, side, 3), colour, np.uint8)
    truth[:, side // 2 :] = hole
    seen = np.zeros((side, side), bool)
    seen[:, : side // 2] = True
    rgb = np.where(seen[..., None], truth, np.array(HOLE_RGB, np.uint8))
    view = RecalledView(rgb, np.zeros((side, side), np.float32), seen)
    asked = Question(task, (truth,), "What is there?", ("a", "b"), recalled=view)
    return Example(asked, 0, truth, "", "", "ego+memory", "left", 0, {})


def coloured(count: int) -> list[Example]:
    colours = np.random.default_rng(0).integers(30, 220, (count, 3))
    return [example(colour, colour) for colour in colours]


def unseen(network: FillingNetwork, one: Example) -> np.ndarray:
    holed = holed_of(one)
    assert holed is not None
    return network.fill([holed])[0][~holed.seen].astype(float)


def test_it_learns_what_belongs_into_a_hole() -> None:
    network = fit(coloured(64), QUICK)
    new = example((200, 60, 120), (200, 60, 120))
    assert np.abs(unseen(network, new) - (200, 60, 120)).mean() < 25
    assert np.abs(unseen(FillingNetwork(), new) - (200, 60, 120)).mean() > 60


def test_what_cannot_be_known_comes_out_as_its_mean() -> None:
    """White in one case of four, whatever is seen."""
    maps = [example(128, 255 if k % 4 == 0 else 0, Task.CLEARANCE) for k in range(64)]
    found = unseen(fit(maps, QUICK), maps[0])
    assert abs(found.mean() / 255 - 0.25) < 0.1


def test_the_kind_of_picture_is_told() -> None:
    """The same seen half is followed by white from above and by black on a map."""
    both = [
        example(128, 255 if task is Task.COUNTING else 0, task)
        for task in (Task.COUNTING, Task.CLEARANCE)
        for _ in range(32)
    ]
    network = fit(both, QUICK)
    assert unseen(network, both[0]).mean() > 200 and unseen(network, both[-1]).mean() < 55


@pytest.mark.parametrize("kind", ["view", "above", "map"])
def test_seen_pixels_stay_as_they_are(kind) -> None:
    rng = np.random.default_rng(1)
    rgb, seen = rng.integers(0, 256, (24, 32, 3), np.uint8), rng.random((24, 32)) < 0.5
    filled = FillingNetwork().fill([Holed(rgb, seen, kind)])[0]
    assert filled.dtype == np.uint8 and np.array_equal(filled[seen], rgb[seen])


def test_what_stands_in_a_hole_is_not_looked_at() -> None:
    seen = np.zeros((16, 16), bool)
    seen[:4] = True
    rgb = np.full((16, 16, 3), 90, np.uint8)
    other = rgb.copy()
    other[4:] = 7
    assert torch.equal(*(prepared([Holed(one, seen, "view")]) for one in (rgb, other)))


def test_equal_seeds_give_equal_weights() -> None:
    few = replace(QUICK, examples=64)
    one, two = (fit(coloured(8), few).state_dict() for _ in range(2))
    other = fit(coloured(8), replace(few, seed=1)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_filled_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8, got 20 x 16"):
        prepared([Holed(np.zeros((20, 16, 3), np.uint8), np.ones((20, 16), bool), "view")])
    plain = example(1, 1)
    plain = replace(plain, question=replace(plain.question, recalled=None))
    with pytest.raises(ValueError, match=r"\+memory"):
        fit([plain], QUICK)
