"""`ipt-train-tiny`: the shipped small model from nothing, stage after stage.

    ipt-train-tiny                      everything that is not done yet; hours on two cores
    ipt-train-tiny --list               the stages, and which are done
    ipt-train-tiny --only evaluation    one stage, done or not; --from: and all after it
    ipt-train-tiny --scale small        few examples and steps: minutes; the model knows nothing

Every stage is a command that can be given alone: --dry-run prints them. Exit codes: 0 done, 1 a
stage failed, 2 the request cannot be fulfilled, 128 + n stopped by signal n (130 is Ctrl-C).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ipt_training.commands.tiny.making import SCALES
from ipt_training.commands.tiny.stages import stages
from ipt_training.recipe.settings import SettingsError
from ipt_training.shell.stages import Stage, StageError, Stopped, run, stop_heard

RECIPES = Path("config/training")
#: Every process computes with one thread: there is one on each core.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="ipt-train-tiny", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("--scale", choices=sorted(SCALES), default="full")
    p.add_argument(
        "--folder", type=Path, help="where all is written (default: here; small: runs/small)"
    )
    p.add_argument("--recipes", type=Path, default=RECIPES, help=f"default: {RECIPES}")
    p.add_argument(
        "--processes", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores"
    )
    which = p.add_mutually_exclusive_group()
    which.add_argument("--from", dest="first", metavar="STAGE", help="it and all after it")
    which.add_argument("--only", metavar="STAGE")
    look = p.add_mutually_exclusive_group()
    look.add_argument("--list", action="store_true", help="the stages, and which are done")
    look.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    console = Console()
    scale = SCALES[given.scale]
    folder = given.folder or scale.folder
    try:
        if given.processes < 1:
            raise ValueError(f"--processes: expected 1 or more, got {given.processes}")
        if not given.recipes.is_dir():
            raise FileNotFoundError(
                f"--recipes: no folder {given.recipes} in {Path.cwd()}; run it in the "
                "repository's folder, or name the one that holds base_tiny.yaml"
            )
        recipes = Path(os.path.relpath(given.recipes, folder))
        everything = stages(scale, recipes, given.processes)
        if given.list:
            console.print(_listed(everything, folder))
            return 0
        asked = _asked_for(everything, given.first, given.only)
        if given.dry_run:
            for stage in everything:
                if stage in asked if asked else not stage.done(folder):
                    for command in stage.commands:
                        console.print(str(command), markup=False, highlight=False, soft_wrap=True)
            return 0
        return _work(everything, asked, folder, console)
    except (OSError, SettingsError, ValueError) as error:
        print(f"ipt-train-tiny: {error}", file=sys.stderr)
        return 2


def _asked_for(everything: list[Stage], first: str | None, only: str | None) -> list[Stage]:
    """The stages that are named, to be done in any case; none where all that lack are meant."""
    if (wanted := first or only) is None:
        return []
    names = [stage.name for stage in everything]
    if wanted not in names:
        raise ValueError(f"no stage {wanted!r}; expected one of {', '.join(names)}")
    place = names.index(wanted)
    return everything[place : place + 1] if only else everything[place:]


def _work(everything: list[Stage], asked: list[Stage], folder: Path, console: Console) -> int:
    """Run what is asked for, or what is not done, with a headline each."""
    began = time.monotonic()
    stage = everything[0]
    with stop_heard():
        try:
            for number, stage in enumerate(everything, 1):
                place = f"{number}/{len(everything)}"
                if asked and stage not in asked:
                    continue
                if not asked and stage.done(folder):
                    console.print(f"[dim]{place} {stage.name}: done[/]", highlight=False)
                    continue
                console.rule(f"{place} [bold]{stage.name}[/]: {stage.what}", align="left")
                started = time.monotonic()
                run(stage, folder, ENVIRONMENT)
                console.print(f"{stage.name}: {_time(started)}", highlight=False)
        except StageError as error:
            print(
                f"ipt-train-tiny: {error}\nIts reason stands above. Mend it and give the same "
                "command: finished stages are kept.",
                file=sys.stderr,
            )
            return 1
        except Stopped as stopped:
            print(
                f"ipt-train-tiny: {stage.name}: stopped by {stopped}. Finished stages, shards of "
                "datasets and checkpoints are kept: the same command goes on from here.",
                file=sys.stderr,
            )
            return 128 + stopped.number
    console.print(f"done in {_time(began)}", highlight=False)
    return 0


def _listed(everything: list[Stage], folder: Path) -> Table:
    table = Table("", "stage", "what", box=None)
    table.add_column("done when there is", overflow="fold")
    for stage in everything:
        state = "[green]done[/]" if stage.done(folder) else "to do"
        table.add_row(state, stage.name, stage.what, str(folder / stage.outputs[-1]))
    return table


def _time(began: float) -> str:
    seconds = round(time.monotonic() - began)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


if __name__ == "__main__":
    sys.exit(main())
