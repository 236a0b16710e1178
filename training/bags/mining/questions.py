"""Every kind of question of a window, one kind after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ipt_training.bags.frames import Frame
from ipt_training.bags.mining import clearance, counting, path, perspective
from ipt_training.bags.mining.window import Mining, Window
from ipt_training.example import Example

KINDS: dict[str, Callable[[Window], Iterator[tuple[int, Example]]]] = {
    module.KIND: module.questions for module in (perspective, path, clearance, counting)
}


def mine(
    frames: Sequence[Frame], options: Mining, refused: Counter[str] | None = None
) -> Iterator[tuple[int, Example]]:
    """(number of the frame whose place the example is of, example). refused: why there were no
    more."""
    window = Window(frames, options)
    for kind in options.kinds:
        for number, example in KINDS[kind](window):
            place = frames[number].world_from_camera[:2, 3]
            facts = {**example.facts, "place_m": [round(float(v), 2) for v in place]}
            yield number, replace(example, facts=facts)
    if refused is not None:
        refused.update(window.refused)
