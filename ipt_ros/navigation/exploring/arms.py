"""The arms of the comparison: by what each chooses among the nearest frontiers.

In: views from them and whose they are. Out: a score for each. All else about a search is the same
in every arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ipt_ros.navigation.exploring.colours import LEAST_PIXELS, has_colour

By = Literal["way", "seen", "shown", "lent", "true", "known"]


@dataclass(frozen=True)
class Arm:
    """by: what a frontier is chosen by. `way`: the nearest one. `seen`: pixels of the thing's
    colour among what was seen of the view from there. `shown`: those of the whole view, drawn
    where it was not seen. `lent`: those of another search in another house. `true`: those of the
    true view. `known`: no frontier at all, but where the thing is.
    """

    name: str
    words: str
    by: By

    @property
    def asks(self) -> Literal["", "recall", "imagine"]:
        """The mode in which the node is asked for views; empty: it is not asked."""
        if self.by == "seen":
            return "recall"
        return "imagine" if self.by == "shown" else ""


ARMS = (
    Arm("nearest", "the nearest frontier", "way"),
    Arm("recalled", "recalled views alone", "seen"),
    Arm("imagined", "recalled and imagined views", "shown"),
    Arm("shuffled", "imagined views of another search", "lent"),
    Arm("true", "the true views from there", "true"),
    Arm("oracle", "knows where it is", "known"),
)
BASELINE, ORACLE = "nearest", "oracle"


@dataclass(frozen=True)
class Shown:
    """A view from a frontier. rgb: H x W x 3 uint8. seen: H x W bool, which pixels of it were seen
    before; the others are drawn.
    """

    rgb: np.ndarray
    seen: np.ndarray


def score(view: Shown, colour: str, by: By) -> int:
    """Pixels of the thing's colour; 0 where too few to be anything."""
    same = has_colour(view.rgb, colour)
    if by == "seen":
        same &= view.seen
    pixels = int(same.sum())
    return pixels if pixels >= LEAST_PIXELS else 0


class Lender:
    """The scores of another search, decision after decision, said of the frontiers here.

    bank: of some searches elsewhere the scores of each decision, the nearest frontier's first. One
    is chosen by the seed; where it had fewer decisions or frontiers it begins anew.
    """

    def __init__(self, bank: Sequence[Sequence[Sequence[int]]], seed: Sequence[int]) -> None:
        rng = np.random.default_rng([*seed, 0x5F])
        self._decisions = bank[int(rng.integers(len(bank)))]
        self._next = 0

    def __call__(self, number: int) -> list[int]:
        scores = self._decisions[self._next % len(self._decisions)]
        self._next += 1
        return [scores[k % len(scores)] for k in range(number)]


def best(scores: Sequence[int]) -> int:
    """Which frontier is gone to: most pixels; the nearest of several that have as many."""
    return int(np.argmax(scores))
