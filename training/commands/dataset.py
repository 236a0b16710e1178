"""The command `ipt-dataset`: make, look at and audit datasets.

Repeating a command goes on where an interrupted one stopped. Exit codes: 0 done, 1 an audit
failed, 2 the request or the disk was at fault, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ipt_training.datasets.schema import IMAGE_FORMATS
from ipt_training.tasks import TASKS

if TYPE_CHECKING:
    from ipt_training.datasets.plan import DatasetPlan


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="ipt-dataset",
        description="Make questions about unseen views, with the true views, from made worlds.",
    )
    p.add_argument("--count", type=int, help="how many examples to make")
    p.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    p.add_argument("--size", type=int, default=128, metavar="PX", help="side of the pictures")
    p.add_argument(
        "--tasks",
        default=",".join(t.value for t in TASKS),
        help="comma-separated, with shares if unequal: perspective=2,path=1",
    )
    p.add_argument("--variants", default="", help="only these variants, comma-separated")
    p.add_argument("--split", default="train", help="train, validation or test: which houses")
    p.add_argument("--level", default="room", help="room (for small models) or house")
    p.add_argument("--workers", type=int, default=0, help="processes; 0 takes all cores")
    p.add_argument("--shards", type=int, default=0, help="files; 0 keeps each below 100 MB")
    p.add_argument("--seed", type=int, default=0, help="equal seeds give equal bytes")
    p.add_argument("--format", default="png", choices=list(IMAGE_FORMATS), help="of the pictures")
    p.add_argument("--look", action="store_true", help="write an HTML page of random examples")
    p.add_argument("--audit", action="store_true", help="run the audits; exit code 1 on a leak")
    p.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="with --audit: a dataset of another split, which must share nothing",
    )
    p.add_argument("--ray-address", metavar="A", help="make shards on a Ray cluster, or 'local'")
    return p


def task_mix(text: str) -> tuple[tuple[str, float], ...]:
    """'perspective=2,path' to names and shares."""
    from ipt_training.datasets.plan import PlanError

    mix = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, share = part.partition("=")
        try:
            mix.append((name, float(share or 1)))
        except ValueError as error:
            raise PlanError(f"tasks: the share of {name} is no number: {share!r}") from error
    return tuple(mix)


def plan_of(args: argparse.Namespace) -> DatasetPlan:
    """What these arguments ask for."""
    from ipt_training.datasets.plan import DatasetPlan

    return DatasetPlan(
        count=args.count,
        size_px=args.size,
        tasks=task_mix(args.tasks),
        variants=tuple(v.strip() for v in args.variants.split(",") if v.strip()),
        split=args.split,
        level=args.level,
        seed=args.seed,
        shards=args.shards,
        image_format=args.format,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    console = Console()
    errors = Console(stderr=True)
    from ipt_training.datasets.generate import GenerationError, WorkerError
    from ipt_training.datasets.ray_cluster import ClusterError

    try:
        return _run(args, console)
    except (
        ClusterError,
        GenerationError,
        OSError,
        ValueError,
        WorkerError,
    ) as error:
        errors.print("[bold red]ipt-dataset:[/]", end=" ")
        said = " ".join(str(error).split())
        errors.print(said, highlight=False, markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        errors.print("Stopped. Finished shards are kept; the same command goes on from here.")
        return 130


def _run(args: argparse.Namespace, console: Console) -> int:
    if args.count is None and not (args.look or args.audit):
        raise ValueError("nothing to do: give --count to make examples, --look or --audit")
    if args.count is not None:
        _make(args, console)
    if args.look:
        from ipt_training.datasets.contact_sheet import write_contact_sheet

        console.print(f"Look at {write_contact_sheet(args.out)}", soft_wrap=True)
    if args.audit:
        from ipt_training.audits.audit import render, run_audit

        with console.status("auditing") as status:
            audit = run_audit(
                args.out, others=args.against, on_step=lambda s: status.update(f"auditing: {s}")
            )
        path = audit.write(args.out)
        console.print(render(audit))
        console.print(f"Stored in {path}", soft_wrap=True)
        return 0 if audit.passes else 1
    return 0


def _make(args: argparse.Namespace, console: Console) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from ipt_training.datasets.generate import write_dataset
    from ipt_training.datasets.plan import PlanError

    if args.workers < 0:
        raise PlanError(f"workers: expected 0 (all cores) or more, got {args.workers}")
    workers = args.workers or len(os.sched_getaffinity(0))
    plan = plan_of(args)
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"{plan.split} {plan.size_px} px", total=plan.count, rate="")
        found: list[int] = []

        def tell(rows: int) -> None:
            # what an earlier run left is not this run's speed
            found.append(rows)
            done = sum(found[1:])
            rate = done / max(time.monotonic() - started, 1e-9)
            progress.update(bar, advance=rows, rate=f"{rate:.1f}/s" if done else "")

        made = write_dataset(
            plan, args.out, workers=workers, on_rows=tell, ray_address=args.ray_address
        )
    seconds = time.monotonic() - started
    console.print(
        f"{made.rows} examples, {made.size_bytes / 1e6:.0f} MB in {seconds:.0f} s -> {args.out}",
        soft_wrap=True,
    )
    for task, reasons in made.rejections.items():
        number = max(reasons.get("made", 0), 1)
        refused = sorted(
            ((n, r) for r, n in reasons.items() if r not in ("made", "tried scenes")), reverse=True
        )
        console.print(
            f"[bold]{task}[/]: {reasons.get('tried scenes', 0) / number:.2f} scenes an example; "
            f"refused: {', '.join(f'{r} {n / number:.2f}' for n, r in refused) or 'nothing'}"
        )


if __name__ == "__main__":
    sys.exit(main())
