"""What commands that drive for long have in common: their options, how they are stopped and go on,
that one folder holds drives with one model, and how long everything took.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ipt_ros.starting.interruption import (
    INTERRUPTED,
    Interrupted,
    interruptible,
    undisturbed,
)

if TYPE_CHECKING:
    from ipt_ros.navigation.errands.houses import House
    from ipt_ros.navigation.stage import Stage

#: What is done in a house: an errand, or a search.
Task = TypeVar("Task")


def asked(
    program: str, about: str, out: str, full: str, argv: list[str] | None
) -> argparse.Namespace:
    """out: the usual folder. full: what --full drives, in words."""
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("--out", type=Path, default=Path(out), help="folder")
    parser.add_argument("--full", action="store_true", help=full)
    parser.add_argument("--model", default="ipt-tiny", help="name, or folder with weights")
    parser.add_argument("--part", type=part, default=(0, 1), help="1/2: the first half of houses")
    parser.add_argument("--report", action="store_true", help="of what is finished, and no drive")
    return parser.parse_args(argv)


def run_long(
    program: str,
    chosen: argparse.Namespace,
    run: Callable[[argparse.Namespace], None],
    report: Callable[[Path, str], str],
) -> int:
    """The exit status. report: of a folder and a model; says where it is."""
    try:
        with interruptible():
            return _driven(program, chosen, run, report)
    except Interrupted:
        print(f"{program}: stopped; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def _driven(
    program: str,
    chosen: argparse.Namespace,
    run: Callable[[argparse.Namespace], None],
    report: Callable[[Path, str], str],
) -> int:
    """All that is left, and the report of all there is."""
    with undisturbed():
        # before numpy and torch
        from ipt_ros import one_math_thread, yielding_threads  # noqa: F401
        from ipt_ros.demo.robot import begin

    if not begin(program, chosen.out):
        return 2
    if not chosen.report:
        try:
            run(chosen)
        except RuntimeError as error:
            print(f"{program}: {error}", file=sys.stderr)
            return 1
    print(report(chosen.out, chosen.model))
    return 0


def part(text: str) -> tuple[int, int]:
    """`1/2` as index and number of parts: 0, 2."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected I/N with I from 1 to N, like 1/2")
    return int(number) - 1, int(of)


def same_model(folder: Path, model: str) -> None:
    """RuntimeError where the folder has drives with other weights: both must not end in one
    table.
    """
    from ipt_ros.navigation.results.summary import model_hash

    path, now = folder / "model.txt", model_hash(model)
    if not path.exists():
        path.write_text(now + "\n", encoding="utf-8")
    if path.read_text(encoding="utf-8").strip() != now:
        raise RuntimeError(
            f"{folder} has drives with other weights than those of {model} now; take another "
            "folder with --out"
        )


def in_rounds(
    chosen: argparse.Namespace,
    coming: Iterator[tuple[House, list[Task]]],
    number: int,
    each: int,
    in_a_round: int,
    stage: Stage,
    left: Callable[[list[Task]], int],
    visit: Callable[[House, list[Task]], None],
) -> None:
    """Visits so many houses again and again, for a part of their `each` tasks at a time, so that
    whatever is finished has all houses alike. coming: the houses, made when their turn comes.
    left: how many drives of these are to be done.
    """
    index, of = chosen.part
    made: list[tuple[House, list[Task]]] = []
    for begin in range(0, each, in_a_round):
        for k in range(number):
            if k == len(made):
                made.append(next(coming))
            house, all_of = made[k]
            turn = all_of[begin : begin + in_a_round]
            if k % of != index or not left(turn):
                continue
            began, stamp = time.monotonic(), stage.enter(house)
            visit(house, turn)
            clock(chosen.out, chosen.part, house.seed, began, stage.robot.stamp_ns - stamp)


def clock(
    folder: Path, part: tuple[int, int], house: int, began_s: float, simulated_ns: int
) -> None:
    """How long a visit to a house took; apart from the records, which are equal for equal seeds.
    began_s: of the machine's steady clock.
    """
    index, of = part
    line = {
        "house": house,
        "simulated_s": simulated_ns / 1e9,
        "took_s": round(time.monotonic() - began_s, 1),
    }
    with (folder / f"clock-{index + 1}-of-{of}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
