"""`ipt-world`: generated rooms and houses as worlds for Gazebo, with the truth about each.

    ipt-world --kind house --seed 850123 --out my_worlds
    ipt-world --list

For each world NAME.sdf and NAME.json; beside them robot.sdf, which is spawned into them, and
cone.obj, which they need. Equal seeds give equal bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ipt_training.houses.generator import make_scene
from ipt_training.scenes.scene import Scene
from ipt_training.scenes.splits import split_of
from ipt_training.shell.command import in_words, positive, whole
from ipt_training.worlds.folder import SHIPPED, WorldKey, key_of, write_worlds

KINDS = ("room", "house", "demo", "shipped")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-world", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default="room",
        help="room: one room of plain shapes; house: up to four furnished rooms;\n"
        "demo: the world of the demo; shipped: the ten that come with the package",
    )
    parser.add_argument("--seed", type=whole, help="of a room or house (850000 to 899999: test)")
    parser.add_argument("--count", type=positive, default=1, help="so many seeds from --seed on")
    parser.add_argument("--out", type=Path, help="folder for the files")
    parser.add_argument(
        "--with-robot", action="store_true", help="put the robot into the .sdf, to spawn none"
    )
    parser.add_argument("--list", action="store_true", help="say what the shipped worlds are")
    given = parser.parse_args(arguments)
    if given.list:
        return in_words("ipt-world", _list)
    if given.out is None:
        parser.error("--out is needed, or --list")
    if (given.seed is None) == (given.kind in ("room", "house")):
        needed = "needs" if given.seed is None else "takes no"
        parser.error(f"--kind {given.kind} {needed} --seed")
    return in_words("ipt-world", lambda: _write(given))


def _write(given: argparse.Namespace) -> int:
    for path, scene in write_worlds(_keys(given), given.out, given.with_robot):
        print(f"{path}: {_told(scene)}")
    return 0


def _keys(given: argparse.Namespace) -> list[WorldKey]:
    if given.kind == "shipped":
        return list(SHIPPED)
    if given.kind == "demo":
        return [key for key in SHIPPED if key.name == "demo"]
    keys = [key_of(given.kind, given.seed + i) for i in range(given.count)]
    for key in keys:
        split_of(key.seed)  # refused before anything is written
    return keys


def _list() -> int:
    for key in SHIPPED:
        print(
            f"{key.name}: {key.level} of seed {key.seed}, {_told(make_scene(key.seed, key.level))}"
        )
    return 0


def _told(scene: Scene) -> str:
    x0, y0, x1, y1 = scene.bounds
    return (
        f"{len(scene.rooms)} room(s), {len(scene.objects)} objects, "
        f"{x1 - x0:.1f} x {y1 - y0:.1f} m"
    )


if __name__ == "__main__":
    raise SystemExit(main())
