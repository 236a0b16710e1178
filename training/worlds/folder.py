"""Folders of worlds: the ten that come with the package, and any others from their seeds.

In: seeds and levels. Out: NAME.sdf and NAME.json for each world and, once a folder, what all of
them share: robot.sdf and the mesh of a cone. Equal arguments give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ipt_training.houses.generator import make_scene
from ipt_training.scenes.scene import Scene
from ipt_training.scenes.standing import Furniture, start_pose
from ipt_training.worlds.cone import cone_obj
from ipt_training.worlds.elements import CONE_FILE
from ipt_training.worlds.robot import RobotBuild
from ipt_training.worlds.truth import truth_of, truth_text
from ipt_training.worlds.world import robot_sdf, world_sdf

ROBOT_FILE = "robot.sdf"
#: The world of `make demo`.
DEMO_SEED, DEMO_LEVEL = 850_036, "room"


@dataclass(frozen=True)
class WorldKey:
    """Which world: what `make_scene` is given, and what the files are called."""

    name: str
    level: str
    seed: int


def key_of(level: str, seed: int) -> WorldKey:
    return WorldKey(f"{level}_{seed}", level, seed)


#: All from test seeds: nothing was trained in them.
SHIPPED = (
    WorldKey("demo", DEMO_LEVEL, DEMO_SEED),
    *(key_of("room", 850_000 + i) for i in (0, 1, 2, 3, 9)),
    *(key_of("house", 850_000 + i) for i in (0, 1, 6, 8)),
)


def start_of(scene: Scene, robot: RobotBuild) -> tuple[float, float, float]:
    """Where the embedded simulator puts its robot in this scene: x, y, yaw."""
    return start_pose(scene, Furniture(scene, robot.height), robot.radius)


def write_worlds(
    keys: Iterable[WorldKey], out: Path, with_robot: bool = False
) -> Iterator[tuple[Path, Scene]]:
    """Write each world; yields its .sdf and its scene. with_robot: in the file, at its start."""
    robot = RobotBuild()
    out.mkdir(parents=True, exist_ok=True)
    _write(out / ROBOT_FILE, robot_sdf(robot))
    _write(out / CONE_FILE, cone_obj())
    for key in keys:
        scene = make_scene(key.seed, key.level)
        yield write_world(scene, key.name, out, robot, with_robot), scene


def write_world(
    scene: Scene, name: str, out: Path, robot: RobotBuild, with_robot: bool = False
) -> Path:
    """NAME.sdf and NAME.json of any scene; the path of the first."""
    start = start_of(scene, robot)
    text = world_sdf(scene, name, robot if with_robot else None, start)
    path = out / f"{name}.sdf"
    _write(path, text)
    _write(path.with_suffix(".json"), truth_text(truth_of(scene, name, robot, start)))
    return path


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
