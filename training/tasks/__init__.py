"""The tasks: one module each, with the same small surface, so that adding one is adding a module
and a line here.

A task module has VARIANTS (which a dataset has unless others are named), MORE_VARIANTS (which
have to be named), SHARES (how much of the asked view may have been seen), SUBCATEGORIES,
OPTION_COUNT and `sample(scene, rng, *, wanted, context, renderer=None) -> Example | None`; where
it needs scenes of a certain kind, also `scene_request(wanted, level, rng) -> dict` with arguments
for `make_scene`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ipt_model.question import Task

_MODULES = {
    Task.PERSPECTIVE: "perspective",
    Task.PATH: "path",
    Task.COUNTING: "counting",
    Task.CLEARANCE: "clearance",
}
TASKS: tuple[Task, ...] = tuple(_MODULES)


def task_module(task: Task | str) -> ModuleType:
    """The module of a task; loads the renderer, so only when examples are made."""
    return importlib.import_module(f"{__name__}.{_MODULES[Task(task)]}")
