"""The two layouts of a picture's latents: a grid of channels, and a list of tokens.

One token is a patch x patch square of latent cells, row-major over the token grid; inside a token
the numbers run row, column, channel, channel fastest.
"""

from __future__ import annotations

from torch import Tensor


def to_tokens(grid: Tensor, patch: int) -> Tensor:
    """[..., channels, h, w] -> [..., tokens, patch * patch * channels]."""
    *lead, channels, height, width = grid.shape
    if height % patch or width % patch:
        raise ValueError(
            f"a latent grid needs sides that are multiples of {patch}, got {height} x {width}"
        )
    x = grid.reshape(-1, channels, height // patch, patch, width // patch, patch)
    x = x.permute(0, 2, 4, 3, 5, 1)
    return x.reshape(*lead, height // patch * (width // patch), patch * patch * channels)


def to_grid(tokens: Tensor, rows: int, columns: int, patch: int) -> Tensor:
    """[..., rows * columns, patch * patch * channels] -> [..., channels, rows * patch, columns *
    patch]."""
    *lead, count, numbers = tokens.shape
    if count != rows * columns or numbers % (patch * patch):
        raise ValueError(f"{count} tokens of {numbers} numbers are no grid of {rows} x {columns}")
    x = tokens.reshape(-1, rows, columns, patch, patch, numbers // (patch * patch))
    x = x.permute(0, 5, 1, 3, 2, 4)
    return x.reshape(*lead, -1, rows * patch, columns * patch)
