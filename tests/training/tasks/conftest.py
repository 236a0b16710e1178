"""Examples of all tasks, made once: every property test looks at the same thousand and more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ipt_training.datasets.generate import make_example
from ipt_training.datasets.plan import DatasetPlan, index_of_task
from ipt_training.example import Example
from ipt_training.tasks.sampling import Rejections

SIZE_PX = 48
#: Rooms and houses; fewer where finding an example takes long.
MADE = {
    "perspective": {"room": 336, "house": 16},
    "path": {"room": 264, "house": 16},
    "counting": {"room": 232, "house": 8},
    "clearance": {"room": 152, "house": 8},
}


@pytest.fixture(scope="session")
def examples() -> Callable[[str], list[Example]]:
    """Examples of a task, each from a scene of its own."""
    made: dict[str, list[Example]] = {}

    def of(task: str) -> list[Example]:
        if task not in made:
            made[task] = []
            for k, (level, count) in enumerate(MADE[task].items()):
                # plans of equal seeds go through the same scenes, whatever their tasks
                seed = 2 * index_of_task(task) + k
                plan = DatasetPlan(count, SIZE_PX, ((task, 1.0),), level=level, seed=seed)
                slots = plan.slots()
                made[task] += [make_example(plan, slots, i, Rejections()) for i in range(count)]
        return made[task]

    return of
