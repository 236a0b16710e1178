"""Which scene seeds are for training, validation and test. A house is in one split, with all its
views and questions.

In: a scene seed. Out: the name of its split, or a refusal: seeds from 900,000 up are kept for
nobody.
"""

from __future__ import annotations

from typing import Literal

from ipt_training.scenes.scene import SceneError

Split = Literal["train", "validation", "test"]
SPLITS: dict[Split, range] = {
    "train": range(800_000),
    "validation": range(800_000, 850_000),
    "test": range(850_000, 900_000),
}


def split_of(seed: int) -> Split:
    """The split that a scene seed belongs to."""
    for name, seeds in SPLITS.items():
        if seed in seeds:
            return name
    if seed >= 900_000:
        raise SceneError(f"seed {seed}: seeds from 900,000 up are never touched; use 0 to 899,999")
    raise SceneError(f"seed {seed}: expected 0 to 899,999")


def seeds_of(split: str) -> range:
    """All seeds of a split."""
    if split not in SPLITS:
        raise SceneError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    return SPLITS[split]
