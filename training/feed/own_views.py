"""Views that a model drew itself or that were recalled, kept to be answered from while it trains.

Whoever only ever saw true views while learning to answer takes its own blurry ones for true as
well. A share of the showings therefore answers from what the model really draws of that row. The
folder may hold several parts, written by as many processes, and folders with more of them: of
other datasets, or other views of the same rows.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ipt_training.datasets.parquet import write_file


@dataclass(frozen=True)
class OwnView:
    """A picture as it stands where the true view would, H x W x 3 uint8, and its latents,
    [channels, h, w]."""

    picture: np.ndarray
    latents: Tensor


class OwnViewsError(ValueError):
    """A folder that does not fit the run; the message names what was expected."""


class OwnViews:
    """The views of a folder by row of the dataset they were made for."""

    def __init__(self, folder: Path, dataset: str, codec: str) -> None:
        """dataset, codec: digests of what the run trains on. Parts of other datasets are left
        alone."""
        parts = sorted(folder.rglob("own-*.npz"))
        if not parts:
            raise OwnViewsError(f"{folder}: expected views made by ipt-draw-own, found none")
        # as arrays: a loading process takes them over, and each tensor would cost it an open file
        self._views: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        for path in parts:
            with np.load(path) as part:
                facts = json.loads(str(part["facts"]))
                if facts["dataset"] != dataset:
                    continue
                if facts["codec"] != codec:
                    raise OwnViewsError(
                        f"{path}: made with codec {facts['codec'][:16]}, the run has {codec[:16]}"
                    )
                arrays = zip(part["rows"], part["pictures"], part["latents"], strict=True)
                for row, picture, latents in arrays:
                    self._views.setdefault(int(row), []).append((picture, latents))

    @property
    def rows(self) -> list[int]:
        """All rows that have a view."""
        return sorted(self._views)

    def of(self, row: int) -> list[OwnView]:
        """The views made of this row."""
        views = self._views.get(row, ())
        return [OwnView(picture, torch.from_numpy(z).float()) for picture, z in views]


def write_part(
    folder: Path,
    part: int,
    rows: list[int],
    pictures: list[np.ndarray],
    latents: list[Tensor],
    facts: dict[str, object],
) -> None:
    """Write one part whole or not at all; all pictures have one size."""
    folder.mkdir(parents=True, exist_ok=True)
    sink = io.BytesIO()
    np.savez_compressed(
        sink,
        rows=np.array(rows),
        pictures=np.stack(pictures),
        latents=torch.stack(latents).half().numpy(),
        facts=np.array(json.dumps(facts)),
    )
    write_file(folder / f"own-{part:03d}.npz", sink.getvalue())
