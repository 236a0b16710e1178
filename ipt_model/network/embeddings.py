"""How place and time become vectors: rotary angles, fixed 2-D tables, and the flow time.

Written from formulas alone. Tables and angles are computed in float32 and only then cast, so that
a bfloat16 model sees the same positions as a float32 one. Knows nothing of attention or
checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Width of the sine and cosine features of the flow time.
TIME_FEATURES = 256


def rotary(ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine for rope ids [...], each [..., head_dim], as `rotate` takes them.

    The cosines of the first half are repeated; the sines of the first half are negated.
    """
    half = torch.arange(0, head_dim, 2, dtype=torch.float32, device=ids.device)
    frequency = 1.0 / theta ** (half / head_dim)
    angle = ids.float()[..., None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], dim=-1).to(dtype), torch.cat([-sin, sin], dim=-1).to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the last dimension of x by the angles, half-split form."""
    a, b = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat([b, a], dim=-1), sin)


def sincos_table(side: int, dim: int) -> Tensor:
    """Rows of a side x side grid, row-major, [side * side, dim] float32.

    The first half of the channels tells the column, the second half the row; each is [sin | cos].
    """
    quarter = dim // 4
    frequency = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequency
    line = torch.cat([angle.sin(), angle.cos()], dim=-1)
    columns = line[None, :, :].expand(side, side, -1)
    rows = line[:, None, :].expand(side, side, -1)
    return torch.cat([columns, rows], dim=-1).reshape(side * side, dim).float()


def grid_ids(rows: int, columns: int, side: int, device: torch.device | None = None) -> Tensor:
    """Position ids, row-major, of a rows x columns grid laid in the corner of a side x side
    table."""
    if rows > side or columns > side:
        raise ValueError(
            f"a grid of {rows} x {columns} tokens does not fit the {side} x {side} positions of "
            "this model; use a smaller picture"
        )
    row = torch.arange(rows, device=device)[:, None] * side
    return (row + torch.arange(columns, device=device)).flatten()


class PositionTable(nn.Module):
    """A frozen 2-D table, stored because released checkpoints store it."""

    def __init__(self, side: int, dim: int) -> None:
        super().__init__()
        self.side = side
        self.dim = dim
        self.pos_embed = nn.Parameter(torch.empty(side * side, dim), requires_grad=False)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Write the formula's values, unless the table has no storage yet."""
        if not self.pos_embed.is_meta:
            self.pos_embed.copy_(sincos_table(self.side, self.dim))

    def forward(self, ids: Tensor) -> Tensor:
        return self.pos_embed[ids]


class TimeEmbedder(nn.Module):
    """Flow times [...] in [0, 1] -> [..., hidden]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(TIME_FEATURES, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )

    def forward(self, t: Tensor) -> Tensor:
        half = TIME_FEATURES // 2
        steps = torch.arange(half, dtype=torch.float32, device=t.device)
        angle = t.float()[..., None] * torch.exp(-math.log(10000.0) / half * steps)
        features = torch.cat([angle.cos(), angle.sin()], dim=-1)
        first = self.mlp[0].weight
        assert isinstance(first, Tensor)
        return self.mlp(features.to(first.dtype))
