"""Searches for things in held-out houses, by the nearest frontier or by imagined views, in lock
step, and writes what that was worth. `python -m ipt_ros.navigation.exploring --out
exploration_out`; the same command goes on where it was stopped. Several processes share the
houses: --part 1/2, --part 2/2. Exit status 130 after Ctrl-C or SIGTERM.
"""

from __future__ import annotations

from ipt_ros.starting.interruption import INTERRUPTED, end_at_once, undisturbed

if __name__ == "__main__":  # before anything that takes long is imported
    end_at_once(INTERRUPTED)

# isort: split
import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ipt_ros.navigation.running import asked, in_rounds, run_long, same_model

if TYPE_CHECKING:
    from ipt_ros.navigation.errands.houses import House
    from ipt_ros.navigation.exploring.searcher import Viewer
    from ipt_ros.navigation.exploring.searches import Search
    from ipt_ros.navigation.stage import Stage

#: Houses, and searches in each.
SMALL, FULL = (2, 2), (24, 2)
PROGRAM = "ipt_ros.navigation.exploring"


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    words = f"{FULL[0] * FULL[1]} searches in {FULL[0]} houses"
    return asked(PROGRAM, __doc__, "exploration_out", words, argv)


def main(argv: list[str] | None = None) -> int:
    return run_long(PROGRAM, arguments(argv), _run, _report)


def _report(folder: Path, model: str) -> str:
    from ipt_ros.navigation.exploring.report import write_report

    return write_report(folder, model)


def _run(chosen: argparse.Namespace) -> None:
    with undisturbed():
        from ipt_ros.navigation.errands.houses import test_seeds
        from ipt_ros.navigation.exploring.course import bank_at, left, visit
        from ipt_ros.navigation.exploring.robot import IPT, ViewingRobot
        from ipt_ros.navigation.exploring.searches import houses
        from ipt_ros.navigation.records import Records
        from ipt_ros.navigation.stage import Stage

    number, searches = FULL if chosen.full else SMALL
    same_model(chosen.out, chosen.model)
    index, of = chosen.part
    records = Records(chosen.out / f"drives-{index + 1}-of-{of}.jsonl")
    name = "" if of == 1 else f"-{index + 1}-of-{of}"
    scene = chosen.out / f"scene{name}.json"
    with Stage(chosen.model, scene, robot=ViewingRobot, ipt=IPT) as stage:
        bank = bank_at(chosen.out / "bank.json", _elsewhere(stage))
        coming = houses(test_seeds(), number, searches)

        def look_for(house: House, turn: list[Search]) -> None:
            visit(house, turn, stage.robot, bank, records, partial(print, flush=True))

        in_rounds(chosen, coming, number, searches, 1, stage, lambda t: left(t, records), look_for)


def _elsewhere(stage: Stage) -> Iterator[tuple[House, Search, Viewer]]:
    """Searches in houses of the validation split, one in each, entered when its turn comes."""
    from ipt_ros.navigation.exploring.searches import houses
    from ipt_training.scenes.splits import SPLITS

    for house, (search,) in houses(SPLITS["validation"], len(SPLITS["validation"]), 1):
        print(f"recording scores of house {house.seed}", flush=True)
        stage.enter(house)
        yield house, search, stage.robot


if __name__ == "__main__":
    raise SystemExit(main())
