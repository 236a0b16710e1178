"""The truth about a world, read back by whoever evaluates a robot there, and the scene behind it.

In: the name of a world, or the path of its JSON. Out: the truth as `truth_of` makes it, and the
`Scene` that it tells of, checked against it; else a `SceneError` that says what to do. Names like
house_850123 need no file: level and seed make the world.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ipt_training.houses.generator import make_scene
from ipt_training.scenes.scene import Scene, SceneError
from ipt_training.worlds.folder import start_of
from ipt_training.worlds.robot import RobotBuild
from ipt_training.worlds.truth import FORMAT, truth_of

_GENERATED = re.compile(r"(room|house)_(\d{1,6})")
#: What an object of the truth and one of the scene must have in common.
_SAME_M = 1e-6


def find_truth(given: str, shipped: Path) -> dict[str, Any]:
    """The truth of a name in `shipped`, of LEVEL_SEED, or of a path that ends with .json."""
    if given.endswith(".json"):
        return read_truth(Path(given).expanduser())
    if (shipped / f"{given}.json").is_file():
        return read_truth(shipped / f"{given}.json")
    generated = _GENERATED.fullmatch(given)
    if generated is None:
        there = ", ".join(sorted(path.stem for path in shipped.glob("*.json")))
        raise SceneError(
            f"world {given!r}: expected the path of a .json file, LEVEL_SEED like house_850123, "
            f"or one of {there}"
        )
    return made_truth(generated[1], int(generated[2]), given)


def made_truth(level: str, seed: int, name: str) -> dict[str, Any]:
    """The truth of a world that the embedded simulator makes from the same two numbers."""
    scene, robot = make_scene(seed, level), RobotBuild()
    return truth_of(scene, name, robot, start_of(scene, robot))


def read_truth(path: Path) -> dict[str, Any]:
    try:
        truth = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SceneError(f"{path}: {error}") from error
    if not isinstance(truth, dict) or truth.get("format") != FORMAT:
        raise SceneError(f"{path}: expected the truth of a world, format {FORMAT}")
    return truth


def scene_of(truth: dict[str, Any]) -> Scene:
    """The scene that a truth was written from. Refused where they differ: a file that somebody
    edited, or that another version of the generator wrote, would score answers wrongly.
    """
    name = truth.get("world")
    try:
        scene = make_scene(truth["seed"], truth["level"])
        told = [(o["name"], *o["position"], o["yaw"]) for o in truth["objects"]]
    except (KeyError, TypeError) as error:
        raise SceneError(f"truth of {name}: {error!r} is missing or of the wrong kind") from error
    made = [(o.name, *o.position, o.yaw) for o in scene.objects]
    differ = len(told) != len(made) or any(
        a[0] != b[0] or any(abs(p - q) > _SAME_M for p, q in zip(a[1:], b[1:], strict=True))
        for a, b in zip(told, made, strict=False)
    )
    if differ:
        raise SceneError(
            f"truth of {name}: its objects are not those of {truth['level']} {truth['seed']}; "
            "write the world anew with ipt-world"
        )
    return scene
