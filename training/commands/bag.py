"""`ipt-bag`: from a recording of a robot to rows to train on, without ROS and without labels.

    ipt-bag inspect BAG                    # its topics, and a contract to look over
    ipt-bag inspect BAG --write bag.yaml
    ipt-bag convert BAG [BAG ...] --contract bag.yaml --out data/robot

A recording is a rosbag2 folder or a single .mcap or .db3. The contract says which topic is what;
without one it is guessed. The same command goes on where it was stopped; a recording that cannot
be used is tried again and listed at the end, with 1 as the exit code.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ipt_training.bags.contract import Contract, ContractError, guess
from ipt_training.bags.converting import Conversion, convert
from ipt_training.bags.detections import DetectionsError
from ipt_training.bags.mining.questions import KINDS
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.reading import BagError, open_bag
from ipt_training.datasets.contact_sheet import write_contact_sheet
from ipt_training.folder_lock import only_writer
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
    given.out.mkdir(parents=True, exist_ok=True)
    failed: dict[Path, str] = {}
    with only_writer(given.out):
        for path in given.bags:
            for _ in range(2):
                try:
                    _report(_one(path, given, options, contract))
                except (BagError, ContractError, DetectionsError, OSError) as error:
                    failed[path] = str(error)
                    continue
                failed.pop(path, None)
                break
    for split in ("train", "validation"):
        if any((given.out / split).glob("*.parquet")):
            print(f"look at {write_contact_sheet(given.out / split)}")
    for path, why in failed.items():
        print(f"ipt-bag: {path}: not used: {' '.join(why.split())}", file=sys.stderr)
    return int(bool(failed))


def _one(
    path: Path, given: argparse.Namespace, options: Mining, contract: Contract | None
) -> Conversion:
    with open_bag(path) as bag:
        used = contract or guess(bag.topics)
        total = sum(
            bag.counts.get(topic, 0) for topic in (used.colour, used.depth, used.camera_info)
        )
    with Watch(path.name, total) as watch:
        return convert(
            path,
            given.out,
            used,
            options,
            limit=given.limit,
            strip_stamps=given.strip_stamps,
            told=watch.tell,
        )


def _report(found: Conversion) -> None:
    rows = ", ".join(f"{count} {split}" for split, count in found.rows.items())
    left = ", ".join(f"{count} {why}" for why, count in found.dropped.items())
    print(f"{found.name}: {found.frames} frames, rows: {rows}; left out: {left or 'nothing'}")


if __name__ == "__main__":
    raise SystemExit(main())
