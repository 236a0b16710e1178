"""Latents of a dataset's pictures: encoded once by the frozen VAE, kept on disk beside the data.

A store belongs to one dataset, one VAE and one picture size; its folder's name is made of all
three, so a stale one is never read. Chunks appear whole or not at all, and processes may share the
work of encoding them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ipt_model.network.vae import LatentCodec
from ipt_model.weights.asking_style import AskingStyle
from ipt_training.datasets.parquet import Dataset, write_file
from ipt_training.datasets.schema import decode_image

ROWS_PER_CHUNK = 2048
#: Pictures of one size that are encoded together.
AT_ONCE = 64


def codec_digest(codec: LatentCodec) -> str:
    """SHA-256 over the VAE's weights, scale and shift."""
    total = hashlib.sha256(repr(codec.shape).encode())
    for name, value in sorted(codec.state_dict().items()):
        total.update(name.encode())
        total.update(value.detach().cpu().float().numpy().tobytes())
    return total.hexdigest()


def encode_pictures(
    codec: LatentCodec, pictures: Sequence[np.ndarray], style: AskingStyle
) -> list[Tensor]:
    """H x W x 3 uint8 of any sizes -> latents [channels, h, w] float32 on the CPU, in the same
    order."""
    resized = [style.image_sizes.vae_picture(picture) for picture in pictures]
    out: list[Tensor | None] = [None] * len(resized)
    by_size: dict[tuple[int, ...], list[int]] = {}
    for k, picture in enumerate(resized):
        by_size.setdefault(picture.shape, []).append(k)
    for members in by_size.values():
        for first in range(0, len(members), AT_ONCE):
            some = members[first : first + AT_ONCE]
            latents = codec.encode(torch.from_numpy(np.stack([resized[k] for k in some]))).cpu()
            for k, one in zip(some, latents, strict=True):
                out[k] = one
    return [one for one in out if one is not None]


class LatentStore:
    """The latents of every picture of every row, as float16 on disk, mapped into memory."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows
        self._chunks: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chunks": {}}

    @staticmethod
    def key(dataset_digest: str, codec: LatentCodec, style: AskingStyle) -> str:
        """The name of the folder that belongs to these three."""
        sizes = json.dumps(style.image_sizes.to_dict()["vae"], sort_keys=True)
        text = f"{dataset_digest}\0{codec_digest(codec)}\0{sizes}"
        return "latents-" + hashlib.sha256(text.encode()).hexdigest()[:16]

    def missing(self) -> list[int]:
        """Chunks that are still to be made."""
        count = -(-self.rows // ROWS_PER_CHUNK)
        return [k for k in range(count) if not self._paths(k)[0].exists()]

    def make(
        self,
        dataset: Dataset,
        codec: LatentCodec,
        style: AskingStyle,
        *,
        rank: int = 0,
        world_size: int = 1,
        on_rows: Callable[[int], None] | None = None,
    ) -> None:
        """Encode this process's share of the missing chunks."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for chunk in self.missing()[rank::world_size]:
            rows = range(chunk * ROWS_PER_CHUNK, min((chunk + 1) * ROWS_PER_CHUNK, self.rows))
            values: list[np.ndarray] = []
            shapes: list[tuple[int, ...]] = []
            first = [0]
            for begin in range(rows.start, rows.stop, AT_ONCE):
                block = range(begin, min(begin + AT_ONCE, rows.stop))
                images = [dataset[row].images for row in block]
                flat = [decode_image(data) for row in images for data in row]
                for latents in encode_pictures(codec, flat, style):
                    values.append(latents.half().numpy().ravel())
                    shapes.append(tuple(latents.shape))
                first += [first[-1] + n for n in np.cumsum([len(row) for row in images]).tolist()]
                if on_rows is not None:
                    on_rows(len(block))
            data_path, index_path = self._paths(chunk)
            starts = np.concatenate([[0], np.cumsum([v.size for v in values])])
            index = np.column_stack([starts[:-1], np.array(shapes)])
            write_file(index_path, _bytes({"pictures": index, "rows": np.array(first)}))
            write_file(data_path, np.concatenate(values).tobytes())

    def __getitem__(self, row: int) -> tuple[Tensor, ...]:
        """Latents [channels, h, w] float32 of all pictures of a row, in its order."""
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of a store of {self.rows}")
        chunk, inner = divmod(row, ROWS_PER_CHUNK)
        if chunk not in self._chunks:
            data_path, index_path = self._paths(chunk)
            index = np.load(index_path)
            data: np.ndarray = np.memmap(data_path, np.float16, "r")
            self._chunks[chunk] = data, index["pictures"], index["rows"]
        data, pictures, rows = self._chunks[chunk]
        out = []
        for start, *shape in pictures[rows[inner] : rows[inner + 1]].tolist():
            values = np.array(data[start : start + int(np.prod(shape))], np.float32)
            out.append(torch.from_numpy(values.reshape(shape)))
        return tuple(out)

    def _paths(self, chunk: int) -> tuple[Path, Path]:
        return self.folder / f"{chunk:05d}.f16", self.folder / f"{chunk:05d}.npz"


def _bytes(arrays: dict[str, np.ndarray]) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)  # type: ignore[arg-type]
    return sink.getvalue()


def store_for(
    dataset: Dataset, codec: LatentCodec, style: AskingStyle, fallback: Path
) -> LatentStore:
    """The store beside the dataset, or below `fallback` where the dataset cannot be written to."""
    home = dataset.path if dataset.path.is_dir() else dataset.path.parent
    name = LatentStore.key(dataset.digest(), codec, style)
    writable = os.access(home, os.W_OK) or (home / name).is_dir()
    return LatentStore((home if writable else fallback) / name, len(dataset))
