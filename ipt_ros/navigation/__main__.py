"""Drives the same errands with and without imagined space in the embedded simulator, in lock step,
and writes what that was worth. `python -m ipt_ros.navigation --out navigation_out`; the same
command goes on where it was stopped. Several processes share the houses: --part 1/2, --part 2/2.
Exit status 130 after Ctrl-C or SIGTERM.
"""

from __future__ import annotations

from ipt_ros.starting.interruption import (
    INTERRUPTED,
    Interrupted,
    end_at_once,
    interruptible,
    undisturbed,
)

if __name__ == "__main__":  # before anything that takes long is imported
    end_at_once(INTERRUPTED)

# isort: split
import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipt_ros.navigation.errands.episodes import Errand
    from ipt_ros.navigation.errands.houses import House
    from ipt_ros.navigation.stage import Stage

#: Houses, errands in each, houses of the bank, training houses and pictures of the small network.
SMALL = (2, 4, 1, 40, 1_600)
FULL = (40, 8, 3, 250, 16_000)
#: The bank's masks come from houses of the validation split.
BANK_FIRST, BANK_ERRANDS = 800_000, 4


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ipt_ros.navigation", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("navigation_out"), help="folder")
    parser.add_argument("--full", action="store_true", help="320 errands in 40 houses")
    parser.add_argument("--model", default="ipt-tiny", help="name, or folder with weights")
    parser.add_argument("--part", type=_part, default=(0, 1), help="1/2: the first half of houses")
    parser.add_argument("--report", action="store_true", help="of what is finished, and no drive")
    return parser.parse_args(argv)


def _part(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected I/N with I from 1 to N, like 1/2")
    return int(number) - 1, int(of)


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    try:
        with interruptible():
            return driven(chosen)
    except Interrupted:
        print("ipt_ros.navigation: stopped; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def driven(chosen: argparse.Namespace) -> int:
    """All drives that are left and the report of all there are; the exit status."""
    with undisturbed():
        # before numpy and torch
        from ipt_ros import one_math_thread, yielding_threads  # noqa: F401
        from ipt_ros.demo.robot import begin

    if not begin("ipt_ros.navigation", chosen.out):
        return 2
    if not chosen.report:
        try:
            _run(chosen)
        except RuntimeError as error:
            print(f"ipt_ros.navigation: {error}", file=sys.stderr)
            return 1
    from ipt_ros.navigation.results.report import write_report

    print(write_report(chosen.out, chosen.model))
    return 0


def _run(chosen: argparse.Namespace) -> None:
    with undisturbed():
        from ipt_model.spatial.picture_geometry import PictureGeometry
        from ipt_ros.navigation.course import IN_A_ROUND, Helpers, left, visit
        from ipt_ros.navigation.errands.episodes import houses
        from ipt_ros.navigation.errands.houses import test_seeds
        from ipt_ros.navigation.network import network_at
        from ipt_ros.navigation.records import Records
        from ipt_ros.navigation.stage import Stage

    number, errands, bank, train, shown = FULL if chosen.full else SMALL
    _same_model(chosen)
    index, of = chosen.part
    records = Records(chosen.out / f"drives-{index + 1}-of-{of}.jsonl")
    network = network_at(chosen.out / "network.pt", print, train, shown)
    name = "" if of == 1 else f"-{index + 1}-of-{of}"
    with Stage(chosen.model, chosen.out / f"scene{name}.json") as stage:
        robot = stage.robot
        drives = _bank(chosen.out / "bank.json", bank, stage)
        helpers = Helpers(network, drives, PictureGeometry())
        made: list[tuple[House, list[Errand]]] = []
        coming = houses(test_seeds(), number, errands)
        for begin in range(0, errands, IN_A_ROUND):
            for k in range(number):
                if k == len(made):
                    made.append(next(coming))
                house, all_of = made[k]
                turn = all_of[begin : begin + IN_A_ROUND]
                if k % of != index or not left(turn, records):
                    continue
                began, stamp = time.monotonic(), stage.enter(house)
                visit(house, turn, robot, helpers, records, lambda line: print(line, flush=True))
                _clock(chosen, house, began, robot.stamp_ns - stamp)


def _same_model(chosen: argparse.Namespace) -> None:
    """Drives with two models must not end in one table."""
    from ipt_ros.navigation.results.summary import model_hash

    path, now = chosen.out / "model.txt", model_hash(chosen.model)
    if not path.exists():
        path.write_text(now + "\n", encoding="utf-8")
    if path.read_text(encoding="utf-8").strip() != now:
        raise RuntimeError(
            f"{chosen.out} has drives with other weights than those of {chosen.model} now; take "
            "another folder with --out"
        )


def _clock(chosen: argparse.Namespace, house: House, began: float, simulated_ns: int) -> None:
    """How long a visit took; apart from the records, which are equal for equal seeds."""
    index, of = chosen.part
    line = {
        "house": house.seed,
        "simulated_s": simulated_ns / 1e9,
        "took_s": round(time.monotonic() - began, 1),
    }
    with (chosen.out / f"clock-{index + 1}-of-{of}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _bank(path: Path, number: int, stage: Stage) -> Sequence[Sequence[Any]]:
    """Masks of drives in other houses, for the shuffled arm: recorded once, kept in a file."""
    from ipt_ros.navigation.course import load_bank, recorded_drives, save_bank
    from ipt_ros.navigation.errands.episodes import houses

    if not path.exists():
        drives = []
        seeds = range(BANK_FIRST, BANK_FIRST + 1000)
        for house, errands in houses(seeds, number, BANK_ERRANDS):
            print(f"recording masks of house {house.seed}", flush=True)
            stage.enter(house)
            drives += recorded_drives(house, errands, stage.robot)
        save_bank(path, drives)
    return load_bank(path)


if __name__ == "__main__":
    raise SystemExit(main())
