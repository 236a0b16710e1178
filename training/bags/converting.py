"""One recording to rows: windows of frames are mined, rows are split by place, files are whole.

Places, not rows, are held out: a cell of the floor belongs to training or to validation with every
view that was taken there.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ipt_training.bags.contract import Contract
from ipt_training.bags.frames import Frame, FrameReader, check_any
from ipt_training.bags.mining.questions import mine
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.reading import open_bag
from ipt_training.datasets.parquet import encode_shard, write_file, write_info
from ipt_training.datasets.schema import RECORDED, Row
from ipt_training.datasets.supervision import row_from_example
from ipt_training.example import PLACE_M, Example

#: Frames mined together: what a robot remembers is at most as old as these are long, and they are
#: what is held in memory, about 2 MB each.
WINDOW = 240
SPLITS = ("train", "validation")
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Conversion:
    """What one recording gave. rows: by split. dropped: pictures by reason. refused: pairs."""

    name: str
    digest: str
    frames: int
    rows: dict[str, int]
    dropped: dict[str, int]
    refused: dict[str, int]
    poses_broken: int


def convert(
    path: Path,
    out: Path,
    contract: Contract,
    options: Mining,
    *,
    limit: int = 0,
    strip_stamps: bool = False,
    told: Callable[[int], None] | None = None,
) -> Conversion:
    """Write the rows of a recording below `out`; one that is there already, made alike, is kept.
    limit: most frames, 0 for all. strip_stamps: rows do not tell when they were seen."""
    wanted = digest_of(path, contract, options, limit, strip_stamps)
    done = read_manifest(out).get(path.name)
    if done is not None and done["digest"] == wanted:
        return Conversion(**done)
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    refused: Counter[str] = Counter()
    count = 0
    with open_bag(path) as bag:
        reader = FrameReader(bag, contract, told)
        frames = islice(reader.frames(), limit or None)
        for window in _windows(frames):
            count += len(window)
            for _, example in mine(window, options, refused):
                split = split_of(window, example, options.held_out)
                if split is None:
                    refused["on both sides of the split"] += 1
                    continue
                kept = _without_stamps(example) if strip_stamps else example
                rows[split].append(
                    row_from_example(kept, index=len(rows[split]), split=split, level=RECORDED)
                )
        check_any(reader, count)
    for split, some in rows.items():
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{path.stem}.parquet"
        if some:
            write_file(file, encode_shard(some, {"bag": path.name, "plan": wanted}))
        else:
            file.unlink(missing_ok=True)
        write_info(folder)
    found = Conversion(
        path.name,
        wanted,
        count,
        {split: len(some) for split, some in rows.items()},
        dict(sorted(reader.dropped.items())),
        dict(sorted(refused.items())),
        reader.tree.broken,
    )
    manifest = {**read_manifest(out), path.name: asdict(found)}
    write_file(out / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    return found


def read_manifest(out: Path) -> dict[str, Any]:
    """What was converted into a folder, by recording."""
    path = out / MANIFEST
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def digest_of(path: Path, contract: Contract, options: Mining, *more: object) -> str:
    """Of the recording's files and everything that decides its rows."""
    total = hashlib.sha256(repr((asdict(contract), asdict(options), more)).encode())
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if contract.detections_file is not None:
        files.append(contract.detections_file)
    for file in files:
        total.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as data:
            while block := data.read(1 << 24):
                total.update(block)
    return total.hexdigest()[:16]


def split_of(window: Sequence[Frame], example: Example, held_out: float) -> str | None:
    """By the cells of the floor that the example's pictures were taken in; None where they lie on
    both sides."""
    wanted = set(example.facts["stamps_ns"])
    splits = {_split_of(f, held_out) for f in window if f.stamp_ns in wanted}
    return splits.pop() if len(splits) == 1 else None


def _split_of(frame: Frame, held_out: float) -> str:
    x, y = (int(v // PLACE_M) for v in frame.world_from_camera[:2, 3])
    return SPLITS[zlib.crc32(f"{x},{y}".encode()) % 1000 < 1000 * held_out]


def _windows(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    while window := list(islice(frames, WINDOW)):
        yield window


def _without_stamps(example: Example) -> Example:
    facts = {k: v for k, v in example.facts.items() if k != "stamps_ns"}
    return replace(example, facts=facts)
