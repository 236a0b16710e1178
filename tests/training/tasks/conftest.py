"""Examples of all tasks, made once: every property test looks at the same thousand and more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ipt_training.datasets.generate import make_example
from ipt_training.datasets.plan import Plan
from ipt_training.example import Example
from ipt_training.tasks.sampling import Rejections

SIZE_PX = 48
PER_TASK = {"room": 240, "house": 24}


@pytest.fixture(scope="session")
def examples() -> Callable[[str], list[Example]]:
    """Examples of a task: mostly rooms, some houses; twins with unlike answers share a scene."""
    made: dict[str, list[Example]] = {}

    def of(task: str) -> list[Example]:
        if task not in made:
            made[task] = []
            for level, count in PER_TASK.items():
                plan = Plan(count, SIZE_PX, ((task, 1.0),), level=level, seed=3)
                slots = plan.slots()
                made[task] += [make_example(plan, slots, i, Rejections()) for i in range(count)]
        return made[task]

    return of
