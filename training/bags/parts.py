"""Rows of a recording on their way: one file for each window and split, kept aside until the
recording is whole, and what is needed to go on after a kill.

A recording's folder below `.parts` has its files and `state.json`, which is written last: whatever
that names is complete. A `Dataset` sees nothing of it. `publish` moves the files in and is called
by one process alone; it may be killed and called again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ipt_training.bags.reading import BagError
from ipt_training.datasets.parquet import encode_shard, write_file, write_info
from ipt_training.datasets.schema import Row

STAGING, STATE = ".parts", "state.json"
MANIFEST = "manifest.json"
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Conversion:
    """What one recording gave. rows: by split. dropped: pictures by reason. refused: pairs.
    blurred: regions by class. privacy: SHA-256 of the files that said what to blur. parts: files
    with their SHA-256."""

    name: str
    digest: str
    frames: int
    rows: dict[str, int]
    dropped: dict[str, int]
    refused: dict[str, int]
    poses_broken: int
    blurred: dict[str, int]
    privacy: dict[str, str]
    parts: dict[str, str]


@dataclass
class Progress:
    """How far a recording is: all of it after a window, to go on from there. reader: the state of
    a `FrameReader`. found: the end result, once there is one."""

    windows: int = 0
    frames: int = 0
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    refused: dict[str, int] = field(default_factory=dict)
    blurred: dict[str, int] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    reader: dict[str, Any] | None = None
    found: Conversion | None = None


class Parts:
    """The files of one recording below `out`. digest: of everything that decides them."""

    def __init__(self, out: Path, path: Path, digest: str) -> None:
        self.out, self.stem, self.digest = out, stem_of(path), digest
        self.folder = out / STAGING / self.stem

    def begin(self) -> Progress:
        """Where an earlier command was; the beginning, if that made something else or is
        damaged."""
        try:
            said = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            if said.pop("digest") == self.digest:
                found = said.pop("found")
                progress = Progress(**said, found=None if found is None else Conversion(**found))
                if all(self._whole(name, sha) for name, sha in progress.parts.items()):
                    return progress
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # no state, or none that this program wrote: the work is done anew
        shutil.rmtree(self.folder, ignore_errors=True)
        return Progress()

    def keep(self, progress: Progress, rows: Mapping[str, Sequence[Row]], name: str) -> None:
        """Write the rows of a window; they count in progress only once `save` was called."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for split, some in rows.items():
            if not some:
                continue
            data = encode_shard(some, {"bag": name, "plan": self.digest})
            part = f"{split}/{self.stem}.{progress.windows:05d}.parquet"
            write_file(self.folder / _flat(part), data)
            progress.parts[part] = hashlib.sha256(data).hexdigest()
            progress.rows[split] += len(some)
        progress.windows += 1

    def save(self, progress: Progress) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        data = json.dumps({"digest": self.digest, **asdict(progress)})
        write_file(self.folder / STATE, data.encode())

    def _whole(self, part: str, sha256: str) -> bool:
        """Whether a part is there as it was written, here or moved in already."""
        there = [p for p in (self.folder / _flat(part), self.out / part) if p.is_file()]
        return any(hashlib.sha256(p.read_bytes()).hexdigest() == sha256 for p in there)


def stem_of(path: Path) -> str:
    """What the files of a recording are called: the dots in a folder's name are part of it."""
    return path.stem if path.suffix in (".mcap", ".db3") else path.name


def publish(out: Path, found: Conversion) -> None:
    """Put the files of a recording where a `Dataset` reads them, in place of older ones."""
    stem = stem_of(Path(found.name))
    folder = out / STAGING / stem
    if not folder.exists() and read_manifest(out).get(found.name) == asdict(found):
        return
    manifest = read_manifest(out)
    if manifest.pop(found.name, None) is not None:
        _write_manifest(out, manifest)  # while files are moved, it is neither the old nor the new
    ours = re.compile(re.escape(stem) + r"\.\d{5}\.parquet")
    for split in SPLITS:
        (out / split).mkdir(parents=True, exist_ok=True)
        for path in (out / split).iterdir():
            if ours.fullmatch(path.name) and f"{split}/{path.name}" not in found.parts:
                path.unlink()
    for part in found.parts:
        staged = folder / _flat(part)
        if staged.exists():
            staged.replace(out / part)
    for split in SPLITS:
        write_info(out / split)
    _write_manifest(out, {**manifest, found.name: asdict(found)})
    shutil.rmtree(folder, ignore_errors=True)


def discard(out: Path, path: Path) -> None:
    """Leave nothing of a recording that cannot be used."""
    shutil.rmtree(out / STAGING / stem_of(path), ignore_errors=True)


def tidy(out: Path) -> None:
    """Remove what a killed command was writing, and the place of what is kept aside where nothing
    is. Only for whoever holds the folder."""
    folders = (out, *(out / split for split in SPLITS), *(out / STAGING).glob("*"))
    for folder in folders:
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there is none, or something is in it
        (out / STAGING).rmdir()


def published(out: Path, name: str, digest: str) -> Conversion | None:
    """What is there of a recording, if it was made alike and none of its files was removed."""
    done = read_manifest(out).get(name)
    if done is None or done.get("digest") != digest:
        return None
    found = Conversion(**done)
    return found if all((out / part).is_file() for part in found.parts) else None


def read_manifest(out: Path) -> dict[str, Any]:
    """What was converted into a folder, by recording."""
    path = out / MANIFEST
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BagError(f"{path}: is damaged ({error}); delete it, and all is made anew") from error


def _write_manifest(out: Path, manifest: Mapping[str, Any]) -> None:
    write_file(out / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())


def _flat(part: str) -> str:
    return part.replace("/", ".", 1)
