"""A training that went wrong numerically: noticed before anything is updated or written.

Every command knows the error and most need no torch: that is imported where numbers are judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class DivergenceError(RuntimeError):
    """Losses, gradients or weights are not finite; the message says where it was noticed."""


def check_tensors(tensors: Mapping[str, Tensor], where: Path) -> None:
    """Refuse to write NaN or infinity: what lies under `where` is worth more."""
    bad = [n for n, v in tensors.items() if v.is_floating_point() and not finite(v)]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise DivergenceError(
            f"{where}: not written, {', '.join(bad[:3])}{more} are not finite; lower the learning "
            "rate"
        )


def finite(*values: Tensor | float) -> bool:
    """Whether all numbers are."""
    import torch

    return all(bool(torch.isfinite(torch.as_tensor(v)).all()) for v in values)


def listed(names: list[str], most: int = 12) -> str:
    """The names, or as many as fit a line."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
