"""Names of models in a world: each object's own name as far as SDFormat and Gazebo take it.

In: the names of a scene's objects. Out: one model name each, all different. Gazebo makes topics
and paths of model names, so only letters, digits and underscores of ASCII are kept; the name as it
was stands in the truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ipt_training.scenes.scene import SceneError

#: Of the robot, wherever it is put into a world.
ROBOT = "robot"
FLOOR, CEILING, WALLS, FIXTURES = "floor", "ceiling", "walls", "fixtures"
_TAKEN = (ROBOT, FLOOR, CEILING, WALLS, FIXTURES)
_WORLD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def model_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """A name each, in order. taken: what else is called in the world."""
    used = {*_TAKEN, *taken}
    found = []
    for name in names:
        # SDFormat keeps names with two underscores at both ends to itself
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "object"
        candidate, number = plain, 1
        while candidate in used:
            number += 1
            candidate = f"{plain}_{number}"
        used.add(candidate)
        found.append(candidate)
    return found


def checked_world_name(name: str) -> str:
    """The name, which becomes part of topics and file names, or a SceneError."""
    if not _WORLD.fullmatch(name) or name.endswith("__"):
        raise SceneError(
            f"world name {name!r}: expected letters, digits and underscores, a letter first"
        )
    return name
