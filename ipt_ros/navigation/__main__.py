"""Drives the same errands with and without imagined space in the embedded simulator, in lock step,
and writes what that was worth. `python -m ipt_ros.navigation --out navigation_out`; the same
command goes on where it was stopped. Several processes share the houses: --part 1/2, --part 2/2.
Exit status 130 after Ctrl-C or SIGTERM.
"""

from __future__ import annotations

from ipt_ros.starting.interruption import INTERRUPTED, end_at_once, undisturbed

if __name__ == "__main__":  # before anything that takes long is imported
    end_at_once(INTERRUPTED)

# isort: split
import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipt_ros.navigation.running import asked, in_rounds, run_long, same_model

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
    words = "320 errands in 40 houses"
    return asked("ipt_ros.navigation", __doc__, "navigation_out", words, argv)


def main(argv: list[str] | None = None) -> int:
    return run_long("ipt_ros.navigation", arguments(argv), _run, _report)


def _report(folder: Path, model: str) -> str:
    from ipt_ros.navigation.results.report import write_report

    return write_report(folder, model)


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
    same_model(chosen.out, chosen.model)
    index, of = chosen.part
    records = Records(chosen.out / f"drives-{index + 1}-of-{of}.jsonl")
    network = network_at(chosen.out / "network.pt", print, train, shown)
    name = "" if of == 1 else f"-{index + 1}-of-{of}"
    with Stage(chosen.model, chosen.out / f"scene{name}.json") as stage:
        drives = _bank(chosen.out / "bank.json", bank, stage)
        helpers = Helpers(network, drives, PictureGeometry())
        coming = houses(test_seeds(), number, errands)

        def drive(house: House, turn: list[Errand]) -> None:
            visit(house, turn, stage.robot, helpers, records, partial(print, flush=True))

        in_rounds(
            chosen, coming, number, errands, IN_A_ROUND, stage, lambda t: left(t, records), drive
        )


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
