"""Reading safetensors files tensor by tensor, straight to where the tensor is wanted.

Nothing is mapped into memory and nothing is unpickled: the header is parsed here, each tensor's
bytes pass through one small buffer, so the host never holds more than that beside the result.
Every fault of a file is an error that names the tensor, what was found and what was expected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
#: Bytes that pass through the host at once.
BUFFER = 32 << 20
#: How the text begins that stands for a large file in a clone without it.
LFS_POINTER = b"version "
#: The format allows headers up to this size; larger means the file is something else.
LARGEST_HEADER = 100_000_000


class CheckpointError(ValueError):
    """A checkpoint cannot be loaded; the message says which file and tensor, what was found and
    expected."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: its file, type, shape, and bytes from `begin` to `end` of the file."""

    path: Path
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int

    def read_into(self, target: Tensor) -> None:
        """Fill target (same shape, contiguous, any device and floating type)."""
        if tuple(target.shape) != self.shape or not target.is_contiguous():
            raise ValueError(
                f"{self.name}: target {tuple(target.shape)} does not fit {self.shape}"
            )
        flat = target.detach().view(-1)
        size = torch.empty(0, dtype=self.dtype).element_size()
        room = min(BUFFER // size * size, self.end - self.begin)
        buffer = torch.empty(max(room, 1), dtype=torch.uint8, pin_memory=target.is_cuda)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.begin)
            for start in range(self.begin, self.end, max(room, 1)):
                count = min(room, self.end - start)
                _read_exactly(file, buffer.numpy().data[:count], self)
                first = (start - self.begin) // size
                flat[first : first + count // size].copy_(buffer[:count].view(self.dtype))

    def read(self, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> Tensor:
        """The tensor, in its own type unless told otherwise."""
        target = torch.empty(self.shape, dtype=dtype or self.dtype, device=device)
        self.read_into(target)
        return target


def _read_exactly(file: Any, view: memoryview, entry: TensorEntry) -> None:
    done = 0
    while done < len(view):
        got = file.readinto(view[done:])
        if not got:
            raise CheckpointError(
                f"{entry.path}: tensor {entry.name} ends early; the file is truncated"
            )
        done += got


def read_header(path: Path) -> dict[str, TensorEntry]:
    """All tensors of one safetensors file, after checking that the file really holds them."""
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a safetensors file, found none")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start == LFS_POINTER:
            raise CheckpointError(
                f"{path}: is a Git LFS pointer of {size} bytes, not the weights: fetch the file "
                "itself (git lfs pull, or download it again)"
            )
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > LARGEST_HEADER or length < 2:
            raise CheckpointError(
                f"{path}: not a safetensors file (expected a header length in its first 8 bytes, "
                f"found {start!r})"
            )
        raw = file.read(length)
    if len(raw) < length:
        raise CheckpointError(
            f"{path}: the header should have {length} bytes, the file ends after {len(raw)}; "
            "the file is truncated or no safetensors file"
        )
    try:
        header = json.loads(raw)
        header.pop("__metadata__", None)
        entries = {name: _entry(path, name, info, 8 + length) for name, info in header.items()}
    except (
        UnicodeDecodeError,
        json.JSONDecodeError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise CheckpointError(f"{path}: not a safetensors file (header: {error!r})") from error
    for entry in entries.values():
        if entry.end > size:
            raise CheckpointError(
                f"{path}: tensor {entry.name} should end at byte {entry.end}, "
                f"the file has {size}; "
                "the file is truncated: copy or download it again"
            )
    return entries


def _entry(path: Path, name: str, info: dict[str, Any], data: int) -> TensorEntry:
    if info["dtype"] not in DTYPES:
        raise CheckpointError(
            f"{path}: tensor {name} has type {info['dtype']}, known: {list(DTYPES)}"
        )
    dtype, shape = DTYPES[info["dtype"]], tuple(info["shape"])
    begin, end = (data + offset for offset in info["data_offsets"])
    expected = math.prod(shape) * torch.empty(0, dtype=dtype).element_size()
    if end - begin != expected or begin < data:
        raise CheckpointError(
            f"{path}: tensor {name} of shape {shape} {info['dtype']} needs {expected} bytes, "
            f"the header gives it {end - begin}"
        )
    return TensorEntry(path, name, dtype, shape, begin, end)


def read_index(folder: Path, stem: str) -> dict[str, TensorEntry] | None:
    """All tensors of `stem.safetensors`, or of the shards its index names; None when neither
    exists."""
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if single.exists():
        return read_header(single)
    if not index.exists():
        return None
    try:
        places: dict[str, str] = json.loads(index.read_text())["weight_map"]
        files = sorted(set(places.values()))
    except (
        UnicodeDecodeError,
        json.JSONDecodeError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise CheckpointError(
            f"{index}: expected an index with a weight_map, {error!r}"
        ) from error
    strange = [
        name for name in files if Path(name).name != name or not name.endswith(".safetensors")
    ]
    if strange:
        raise CheckpointError(f"{index}: {strange[0]!r} is no safetensors file of this folder")
    shards = {name: read_header(folder / name) for name in files}
    entries: dict[str, TensorEntry] = {}
    for name, file in places.items():
        if name not in shards[file]:
            raise CheckpointError(
                f"{folder / file}: the index places tensor {name} here, it is not there"
            )
        entries[name] = shards[file][name]
    return entries


def shards_of(entries: dict[str, TensorEntry]) -> Iterator[TensorEntry]:
    """Entries in the order they lie on disk, so that every file is read once from front to
    back."""
    yield from sorted(entries.values(), key=lambda e: (str(e.path), e.begin))
