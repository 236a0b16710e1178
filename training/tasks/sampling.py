"""What all tasks share: what is wanted of an example, and a count of everything that was thrown
away.

`Wanted` is fixed before any scene is looked at, so that hard-to-meet wishes are not quietly
replaced by easy ones. Each task module offers `VARIANTS`, `SUBCATEGORIES` and `sample(scene, rng,
*, wanted, context, renderer=None) -> Example | None`.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np


class TaskError(ValueError):
    """An example was asked for that no scene can give; the message says what is possible."""


#: Kinds of memory, by how much of the asked view was seen: from, to below.
SHARE_BINS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01))
#: A square map shows the tops of walls and what lies outside, which nobody sees.
MAP_SHARE_BINS = SHARE_BINS[:3]
#: Of a clearance map, whose square reaches far beyond the room, and of which a path's worth is
#: unseen, half is much.
CLEARANCE_SHARE_BINS = SHARE_BINS[:2]


@dataclass(frozen=True)
class Wanted:
    """One example to be found. draw: seed of everything that retries must not change.

    answer_position: where among the options the right one goes. share_seen: from, to below, of how
    much of the asked view the robot has seen; None where it remembers nothing.
    """

    variant: str
    subcategory: str
    answer_position: int
    draw: int
    share_seen: tuple[float, float] | None = None

    def has(self, part: str) -> bool:
        """Whether the variant is of this kind: 'pose+memory' is 'pose' and 'memory'."""
        return part in self.variant.split("+")

    def as_seen(self, share: float | None) -> bool:
        """Whether so much of the asked view was to have been seen."""
        if self.share_seen is None or share is None:
            return self.share_seen is None and share is None
        return self.share_seen[0] <= share < self.share_seen[1]

    def stream(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, equal in every attempt at this example."""
        return np.random.default_rng([self.draw, zlib.crc32(purpose.encode())])


@dataclass
class Rejections:
    """How often each filter refused, per task. `tried` counts scenes, `made` examples."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, task: str, reason: str, number: int = 1) -> None:
        self.counts[task, reason] += number

    def merge(self, other: Rejections) -> None:
        self.counts.update(other.counts)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """{task: {filter: count}}, sorted, for JSON."""
        out: dict[str, dict[str, int]] = {}
        for (task, reason), number in sorted(self.counts.items()):
            out.setdefault(task, {})[reason] = number
        return out

    @staticmethod
    def from_dict(data: dict[str, dict[str, int]]) -> Rejections:
        return Rejections(
            Counter({(t, r): n for t, reasons in data.items() for r, n in reasons.items()})
        )


@dataclass(frozen=True)
class Context:
    """How to sample: picture side in pixels and the rejection counter.

    max_renders: proposals per scene that are looked at before the scene is given up.
    """

    size_px: int
    rejections: Rejections
    max_renders: int = 8

    def __post_init__(self) -> None:
        if self.size_px < 16:
            raise TaskError(f"size_px: expected at least 16, got {self.size_px}")


def place_answer(
    options: list[str], right: str, position: int, rng: np.random.Generator
) -> tuple[str, ...]:
    """The options in random order with the right one at `position`."""
    if right not in options or len(set(options)) != len(options):
        raise TaskError(f"options: expected {right!r} once among distinct words, got {options}")
    if not 0 <= position < len(options):
        raise TaskError(f"position: expected 0 to {len(options) - 1}, got {position}")
    others = [o for o in options if o != right]
    order = [others[int(i)] for i in rng.permutation(len(others))]
    return (*order[:position], right, *order[position:])
