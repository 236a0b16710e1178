"""One recording to rows: windows of frames are mined, rows are split by place, each window is
written before the next is read. After a kill the same call goes on behind the last whole window.

Places, not rows, are held out: a cell of the floor belongs to training or to validation with every
view that was taken there.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

from ipt_training.bags.contract import Blur, Contract, guess
from ipt_training.bags.frames import Frame, FrameReader, check_any
from ipt_training.bags.mining.questions import mine
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.parts import SPLITS, Conversion, Parts, published
from ipt_training.bags.privacy import Privacy
from ipt_training.bags.reading import BagError, open_bag
from ipt_training.datasets.schema import RECORDED, Row
from ipt_training.datasets.supervision import row_from_example
from ipt_training.example import PLACE_M, Example

#: Frames mined together: what a robot remembers is at most as old as these are long. They are held
#: in memory, 2 MB each at 640 x 480; of larger pictures fewer are taken.
WINDOW, WINDOW_BYTES = 240, 512_000_000
#: Counts up when equal recordings and options give other rows than before.
FORMAT = 4


def convert(
    path: Path,
    out: Path,
    contract: Contract | None,
    options: Mining,
    *,
    limit: int = 0,
    strip_stamps: bool = False,
    told: Callable[[float], None] | None = None,
) -> Conversion:
    """Write the rows of a recording aside, below `out`, for `publish`; what is there already, made
    alike, is kept. contract: None to guess it. limit: most frames, 0 for all. strip_stamps: rows
    do not tell when they were seen. told: the share of the recording that was read."""
    with open_bag(path) as bag:
        used = contract or guess(bag.topics)
        privacy = Privacy.load(used.blur)
        wanted = digest_of(path, used, options, limit, strip_stamps, privacy.digests)
        done = published(out, path.name, wanted)
        parts = Parts(out, path, wanted)
        progress = parts.begin()
        if done or progress.found:
            return done or progress.found  # type: ignore[return-value]
        total = sum(
            bag.counts.get(topic, 0) for topic in (used.colour, used.depth, used.camera_info)
        )
        tell = None if told is None else lambda read: told(min(1.0, read / max(total, 1)))
        reader = FrameReader(bag, used, tell, privacy)
        if progress.reader is not None:
            reader.go_on(progress.reader)
        privacy.counts.update(progress.blurred)
        refused = Counter(progress.refused)
        left = limit - progress.frames if limit else None
        for window in _windows(islice(reader.frames(), left)):
            rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
            for _, example in mine(window, options, refused):
                split = split_of(window, example, options.held_out)
                if split is None:
                    refused["on both sides of the split"] += 1
                    continue
                named = replace(example, facts={**example.facts, "recording": parts.stem})
                kept = _without_stamps(named) if strip_stamps else named
                index = progress.rows[split] + len(rows[split])
                rows[split].append(
                    row_from_example(kept, index=index, split=split, level=RECORDED)
                )
            parts.keep(progress, rows, path.name)
            progress.frames += len(window)
            progress.refused, progress.blurred = dict(refused), dict(privacy.counts)
            progress.reader = reader.state()
            parts.save(progress)
        check_any(reader, progress.frames)
    progress.found = Conversion(
        path.name,
        wanted,
        progress.frames,
        progress.rows,
        dict(sorted(reader.dropped.items())),
        dict(sorted(progress.refused.items())),
        reader.tree.broken,
        dict(sorted(progress.blurred.items())),
        privacy.digests,
        progress.parts,
    )
    parts.save(progress)
    return progress.found


def digest_of(path: Path, contract: Contract, options: Mining, *more: object) -> str:
    """Of the recording's files and everything that decides its rows."""
    # of the files that it names the content counts, not where they lie
    boxes = contract.detections_file
    told = replace(
        contract,
        blur=Blur(classes=contract.blur.classes),
        detections=boxes.name if boxes else contract.detections,
    )
    what = (FORMAT, WINDOW, WINDOW_BYTES, asdict(told), asdict(options), more)
    total = hashlib.sha256(repr(what).encode())
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if boxes is not None:
        files.append(boxes)
    try:
        for file in files:
            total.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as data:
                while block := data.read(1 << 24):
                    total.update(block)
    except OSError as error:
        raise BagError(f"{path}: {error}") from error
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
    window: list[Frame] = []
    size = 0
    for frame in frames:
        window.append(frame)
        size += frame.rgb.nbytes + frame.depth_m.nbytes
        if len(window) == WINDOW or size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window


def _without_stamps(example: Example) -> Example:
    facts = {k: v for k, v in example.facts.items() if k != "stamps_ns"}
    return replace(example, facts=facts)
