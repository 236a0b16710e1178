"""A small U-Net that fills the unseen part of a picture with the mean of what may be there.

In: `Holed` pictures: what is recalled, which pixels were seen, and of which kind the picture is.
Out: the whole picture, H x W x 3 uint8, seen pixels as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

#: What a picture shows: a view at eye level, things from above, or a map of free and occupied.
Kind = Literal["view", "above", "map"]
KINDS: tuple[Kind, ...] = ("view", "above", "map")
#: Filters at full, half, quarter and eighth size.
WIDTHS = (28, 48, 72, 88)
#: Sides are multiples of this.
STRIDE = 2 ** (len(WIDTHS) - 1)


@dataclass(frozen=True)
class Holed:
    """rgb: H x W x 3 uint8, anything where not seen. seen: H x W bool."""

    rgb: np.ndarray
    seen: np.ndarray
    kind: Kind


class FillingNetwork(nn.Module):
    """About half a million weights."""

    def __init__(self) -> None:
        super().__init__()
        first = 3 + 1 + len(KINDS)
        self.down = nn.ModuleList(
            _block(before, width) for before, width in zip((first, *WIDTHS), WIDTHS, strict=False)
        )
        self.up = nn.ModuleList(
            _block(low + high, high)
            for low, high in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(WIDTHS[0], 3, 1)

    def forward(self, holed: Tensor) -> Tensor:
        """N x 7 x H x W, of `prepared`, to N x 3 x H x W, 0 to 1 where it is sure of itself."""
        x, kept = holed, []
        for number, block in enumerate(self.down):
            x = block(nn.functional.avg_pool2d(x, 2) if number else x)
            kept.append(x)
        kept.pop()
        for block in self.up:
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, kept.pop()], 1))
        found: Tensor = self.last(x)
        return found

    @torch.inference_mode()
    def fill(self, holed: Sequence[Holed]) -> list[np.ndarray]:
        """Pictures of one size."""
        self.eval()
        drawn = self(prepared(holed)).clamp(0, 1).mul(255).round().byte()
        out = drawn.permute(0, 2, 3, 1).numpy()
        return [
            np.where(one.seen[..., None], one.rgb, rgb)
            for one, rgb in zip(holed, out, strict=True)
        ]


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.SiLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.SiLU(),
    )


def prepared(holed: Sequence[Holed]) -> Tensor:
    """N x 7 x H x W float32: colours, 0 where not seen; seen; one plane for each kind."""
    height, width = holed[0].seen.shape
    if height % STRIDE or width % STRIDE:
        raise ValueError(f"expected sides that are multiples of {STRIDE}, got {height} x {width}")
    planes = np.zeros((len(holed), 4 + len(KINDS), height, width), np.float32)
    for plane, one in zip(planes, holed, strict=True):
        plane[:3] = np.where(one.seen, one.rgb.transpose(2, 0, 1) / np.float32(255), 0)
        plane[3] = one.seen
        plane[4 + KINDS.index(one.kind)] = 1
    return torch.from_numpy(planes)
