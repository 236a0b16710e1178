"""`ipt-bag`: from a recording of a robot to rows to train on, without ROS and without labels.

    ipt-bag inspect BAG                    # its topics, and a contract to look over
    ipt-bag inspect BAG --write bag.yaml
    ipt-bag convert BAG [BAG ...] --contract bag.yaml --out data/robot
    ipt-bag convert BAG [BAG ...] --contract bag.yaml --out data/robot --workers 8

A recording is a rosbag2 folder or a single .mcap or .db3. The contract says which topic is what,
and what of the pictures is blurred; without one it is guessed, and nothing is blurred. The same
command goes on where it was stopped; a recording that cannot be used is tried again and listed at
the end, with 1 as the exit code. 2: nothing can be done so; 130, 143: stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from pathlib import Path

from ipt_training.bags.contract import Contract, ContractError, guess
from ipt_training.bags.fleet import Failed, Job, run_jobs
from ipt_training.bags.mining.questions import KINDS
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.parts import Conversion, publish, stem_of, tidy
from ipt_training.bags.privacy import FACE, Privacy
from ipt_training.bags.reading import BagError, open_bag
from ipt_training.datasets.contact_sheet import write_contact_sheet
from ipt_training.datasets.ray_cluster import ClusterError
from ipt_training.folder_lock import only_writer
from ipt_training.processes import StopRequest
from ipt_training.progress import Watch
from ipt_training.shell.command import in_words, positive, whole


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-bag", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    inspect = commands.add_parser("inspect", help="topics, and a contract to look over")
    inspect.add_argument("bag", type=Path)
    inspect.add_argument("--write", type=Path, metavar="FILE", help="put the contract there")
    change = commands.add_parser("convert", help="rows of recordings")
    change.add_argument("bags", type=Path, nargs="+", metavar="BAG")
    change.add_argument("--out", type=Path, required=True)
    change.add_argument("--contract", type=Path, help="of all these recordings")
    change.add_argument("--size", type=positive, default=64, metavar="PX", help="of the pictures")
    change.add_argument(
        "--per-frame", type=positive, default=2, help="rows of one kind from a frame at most"
    )
    change.add_argument("--tasks", default=",".join(KINDS), help="kinds of questions")
    change.add_argument(
        "--held-out", type=_share, default=0.2, help="share of the places that are for validation"
    )
    change.add_argument("--limit", type=whole, default=0, help="frames of a recording, 0 for all")
    change.add_argument("--seed", type=whole, default=0)
    change.add_argument("--strip-stamps", action="store_true", help="rows do not tell when")
    change.add_argument(
        "--workers",
        type=positive,
        default=1,
        help="recordings at a time, up to 1 GB of memory each",
    )
    change.add_argument(
        "--ray-address",
        metavar="A",
        help="convert on a Ray cluster, or 'local'; all share the disk",
    )
    given = parser.parse_args(arguments)
    return in_words("ipt-bag", lambda: (_inspect if given.what == "inspect" else _convert)(given))


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, got {text}")
    return value


def _inspect(given: argparse.Namespace) -> int:
    with open_bag(given.bag) as bag:
        for topic, kind in sorted(bag.topics.items()):
            print(f"{bag.counts[topic]:>8}  {topic}  {kind}")
        print(f"{bag.seconds:.1f} s\n")
        text = guess(bag.topics).text()
    if given.write is not None:
        given.write.write_text(text, encoding="utf-8")
        print(f"{given.write}: look it over")
    else:
        print(text, end="")
    return 0


def _convert(given: argparse.Namespace) -> int:
    kinds = tuple(given.tasks.split(","))
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise ContractError(f"--tasks: expected some of {','.join(KINDS)}, got {unknown[0]!r}")
    options = Mining(given.size, given.per_frame, given.seed, kinds, given.held_out)
    contract = Contract.load(given.contract) if given.contract else None
    if contract is not None:
        Privacy.load(contract.blur)  # said before the work, and not once for each recording
    out = given.out.absolute()
    jobs = [
        Job(path.absolute(), out, contract, options, given.limit, given.strip_stamps)
        for path in given.bags
    ]
    names = Counter(stem_of(job.path) for job in jobs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise BagError(f"two recordings are called {twice[0]}; rename one, or use another --out")
    try:
        with StopRequest(), only_writer(out) as held:
            if held:
                tidy(out)
            found, failed = _run(given, jobs)
            if held:
                tidy(out)
    except ClusterError as error:
        raise BagError(str(error)) from error
    for split in ("train", "validation"):
        if any((out / split).glob("*.parquet")):
            print(f"look at {write_contact_sheet(given.out / split)}")
    blurred = set().union(*(one.blurred for one in found))
    wanted = contract.blur.classes + (FACE,) * bool(contract.blur.faces) if contract else ()
    for name in dict.fromkeys(wanted):
        if name not in blurred:
            print(f"ipt-bag: blur: nothing of class {name} was found", file=sys.stderr)
    for one in failed:
        print(f"ipt-bag: {one.path}: not used: {' '.join(one.why.split())}", file=sys.stderr)
    return int(bool(failed))


def _run(given: argparse.Namespace, jobs: list[Job]) -> tuple[list[Conversion], list[Failed]]:
    """Every job; this process alone puts files and manifest in their place."""
    found, failed = [], []
    total = sum(job.size_bytes for job in jobs)
    read = 0
    with Watch("MB", total // 1_000_000) as watch:

        def told(more: int) -> None:
            nonlocal read
            read += more
            watch.tell(read // 1_000_000)

        ended = run_jobs(jobs, told, workers=given.workers, ray_address=given.ray_address)
        with contextlib.closing(ended) as outcomes:
            for job, outcome in outcomes:
                if isinstance(outcome, Failed):
                    failed.append(outcome)
                else:
                    publish(job.out, outcome)
                    found.append(outcome)
                    _report(outcome)
    order = [job.path for job in jobs]
    return found, sorted(failed, key=lambda one: order.index(one.path))


def _report(found: Conversion) -> None:
    rows = ", ".join(f"{count} {split}" for split, count in found.rows.items())
    left = ", ".join(f"{count} {why}" for why, count in found.dropped.items())
    hidden = ", ".join(f"{count} {name}" for name, count in found.blurred.items())
    print(
        f"{found.name}: {found.frames} frames, rows: {rows}; left out: {left or 'nothing'}"
        + (f"; blurred: {hidden}" if hidden else "")
    )


if __name__ == "__main__":
    raise SystemExit(main())
