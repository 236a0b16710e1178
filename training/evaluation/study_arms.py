"""What a study trains side by side: the supervisions, and one of them with more kept from it."""

from __future__ import annotations

from dataclasses import dataclass

from ipt_training.datasets.supervision import SUPERVISIONS, Supervision


@dataclass(frozen=True)
class Arm:
    """words: what is special about it, for the table. overrides: entries of the recipe."""

    supervision: Supervision
    words: str
    overrides: tuple[str, ...] = ()


ARMS = {name: Arm(name, words) for name, words in SUPERVISIONS.items()} | {
    "hidden": Arm(
        "mixed",
        "mixed, and the answer after a drawing sees the drawing alone: does it look back instead?",
        ("dropout.inputs=1.0",),
    ),
}
#: Of a table's row that is no arm: the checkpoint that was given to begin from.
BASE = "base"
