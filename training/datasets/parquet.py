"""Shards of a dataset on disk: written whole or not at all, read by row or in shuffled order.

A shard becomes visible only under its final name, after its bytes reached the disk, so whatever
has that name is complete. `Dataset` reads folders written here and folders of the public sets
alike.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ipt_model.wording.rows import (
    ROWS_PER_GROUP,
    Row,
    SchemaError,
    StorageError,
    encode_shard,
    write_file,
)
from ipt_training.datasets.schema import check_columns, row_from_record

__all__ = [
    "DATASET_FILE",
    "INFO_FILE",
    "ROWS_PER_GROUP",
    "CorruptShardError",
    "Dataset",
    "StorageError",
    "encode_shard",
    "shard_metadata",
    "shard_paths",
    "write_file",
    "write_info",
]

INFO_FILE = "parquet_info.json"
DATASET_FILE = "dataset.json"


class CorruptShardError(OSError):
    """A file has the name of a shard and cannot be read as one."""


#: What Arrow raises for damaged files: also texts that are no UTF-8 and lengths beyond memory.
_DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)


def shard_metadata(path: Path) -> dict[str, str]:
    """The metadata a shard was written with, plus `num_rows`; raises `CorruptShardError`."""
    footer = _open(path).metadata
    raw = footer.metadata or {}
    found = {k.decode(): v.decode(errors="replace") for k, v in raw.items()}
    found["num_rows"] = str(footer.num_rows)
    return found


def write_info(folder: Path) -> dict[str, dict[str, int]]:
    """Write parquet_info.json: how many row groups and rows each shard has."""
    info = {}
    for path in shard_paths(folder):
        footer = _open(path).metadata
        info[path.name] = {"num_row_groups": footer.num_row_groups, "num_rows": footer.num_rows}
    write_file(folder / INFO_FILE, (json.dumps(info, indent=1) + "\n").encode())
    return info


def shard_paths(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.parquet") if not p.name.startswith("."))


def _open(path: Path) -> pq.ParquetFile:
    try:
        # our own shards have a checksum of every page; without it a flipped bit is a wrong row
        return pq.ParquetFile(path, page_checksum_verification=True)
    except _DAMAGE as error:
        size = path.stat().st_size if path.exists() else 0
        raise CorruptShardError(
            f"{path}: {size} bytes that are not a whole parquet file ({error}). Delete it and run "
            "the command that made the dataset again: only this shard is made anew."
        ) from error


class Dataset(Sequence[Row]):
    """The rows of a folder (or of one file), in order, by index, or shuffled.

    The last few row groups are kept, so reading in order, or shuffled as `shuffled` does, touches
    each group once. Pictures stay encoded: `example_from_row` or `supervise_row` decode them.
    """

    def __init__(self, path: str | Path, *, ignore_unknown: bool = False, cached_groups: int = 8):
        self.path = Path(path)
        paths = [self.path] if self.path.is_file() else shard_paths(self.path)
        if not paths:
            raise FileNotFoundError(
                f"{self.path}: no *.parquet file; expected a folder written by ipt-dataset "
                "or downloaded in the published schema"
            )
        self._files: list[pq.ParquetFile] = []
        self._columns: list[list[str]] = []
        self._groups: list[tuple[int, int]] = []  # (file, row group)
        self._starts: list[int] = []  # first row of each group
        count = 0
        for number, path_ in enumerate(paths):
            file = _open(path_)
            self._columns.append(
                check_columns(file.schema_arrow, str(path_), ignore_unknown=ignore_unknown)
            )
            self._files.append(file)
            for group in range(file.metadata.num_row_groups):
                self._groups.append((number, group))
                self._starts.append(count)
                count += file.metadata.row_group(group).num_rows
        self._paths = paths
        self._count = count
        self._cache: OrderedDict[int, list[Row]] = OrderedDict()
        self._cached_groups = cached_groups

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Row:  # type: ignore[override]
        if not -self._count <= index < self._count:
            raise IndexError(f"row {index} of a dataset of {self._count}")
        index %= self._count
        group = bisect.bisect_right(self._starts, index) - 1
        return self._rows(group)[index - self._starts[group]]

    def __iter__(self) -> Iterator[Row]:
        for group in range(len(self._groups)):
            yield from self._rows(group)

    def shuffled(self, seed: int, *, rank: int = 0, world_size: int = 1) -> Iterator[int]:
        """Row indices of one epoch for one of `world_size` readers, each row once over all
        readers.

        Groups are shuffled, and rows within a window of `cached_groups` groups, so that a pass
        over a dataset larger than memory decodes each group once.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank: expected 0 to {world_size - 1}, got {rank}")
        rng = np.random.default_rng([seed, 0x5F])
        order = rng.permutation(len(self._groups))[rank::world_size]
        for first in range(0, len(order), self._cached_groups):
            window = [
                np.arange(self._starts[g], self._starts[g] + self._size(g))
                for g in order[first : first + self._cached_groups]
            ]
            yield from (
                np.random.default_rng([seed, rank, first])
                .permutation(np.concatenate(window))
                .tolist()
            )

    def column(self, name: str) -> list[Any]:
        """One of our columns of all rows, without reading the pictures; None where a file lacks
        it.
        """
        values: list[Any] = []
        for file in self._files:
            if name in file.schema_arrow.names:
                values += file.read(columns=[name]).column(0).to_pylist()
            else:
                values += [None] * file.metadata.num_rows
        return values

    @property
    def facts(self) -> dict[str, Any]:
        """What `dataset.json` says of how the folder was made; empty for public sets."""
        path = (self.path if self.path.is_dir() else self.path.parent) / DATASET_FILE
        return json.loads(path.read_text()) if path.exists() else {}

    def digest(self) -> str:
        """SHA-256 over the shards, so that a result can say which data it was measured on."""
        total = hashlib.sha256()
        for path in self._paths:
            with open(path, "rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()

    def _size(self, group: int) -> int:
        end = self._starts[group + 1] if group + 1 < len(self._starts) else self._count
        return end - self._starts[group]

    def _rows(self, group: int) -> list[Row]:
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        number, inner = self._groups[group]
        path = self._paths[number]
        try:
            table = self._files[number].read_row_group(inner, columns=self._columns[number])
            records = table.to_pylist()
        except _DAMAGE as error:
            raise CorruptShardError(
                f"{path}: row group {inner} cannot be read ({error}). Delete the file and run the "
                "command that made the dataset again: only this shard is made anew."
            ) from error
        rows = []
        for position, record in enumerate(records):
            try:
                rows.append(row_from_record(record))
            except SchemaError as error:
                raise SchemaError(f"{path}: row {position} of group {inner}: {error}") from error
        self._cache[group] = rows
        while len(self._cache) > self._cached_groups:
            self._cache.popitem(last=False)
        return rows
