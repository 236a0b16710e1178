"""Scaled dot-product attention with grouped key heads, in the three forms the model needs.

Without a mask the query heads of a group are folded into the query rows, so keys and values are
never repeated and every backend may pick its fastest kernel. Only torch's public operations are
used.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

#: Most scores `over_parts` holds at once, in numbers (256 MiB of float32).
SCORES_AT_ONCE = 1 << 26
#: Longest sequence that is trained on a CPU with all its scores in memory.
SHORT = 512


def full(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every query sees every key. q [B, heads, T, d], k and v [B, kv heads, S, d] -> [B, heads,
    T, d]."""
    batch, heads, length, dim = q.shape
    if _by_hand(q, k):
        return _explained(q, k, v, None)
    folded = q.reshape(batch, k.shape[1], heads // k.shape[1] * length, dim)
    return F.scaled_dot_product_attention(folded, k, v).view(batch, heads, length, dim)


def masked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """As `full`, where query i sees key j if mask[..., i, j]; mask broadcasts to [B, heads, T,
    S]."""
    if _by_hand(q, k):
        return _explained(q, k, v, mask)
    group = q.shape[1] // k.shape[1]
    if group > 1:
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    return F.scaled_dot_product_attention(q, k, v, mask)


def _by_hand(q: Tensor, k: Tensor) -> bool:
    """Whether plain products serve better: training on a CPU, where torch's kernel is no faster
    for short sequences, and many times slower once oneDNN makes the products."""
    short = q.shape[-2] * k.shape[-2] <= SHORT * SHORT
    return q.device.type == "cpu" and short and torch.is_grad_enabled() and q.requires_grad


def _explained(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention as products and a softmax; the heads of a group are folded as in `full`."""
    batch, heads, length, dim = q.shape
    rows = heads // k.shape[1] * length
    folded = q.reshape(batch, k.shape[1], rows, dim) * dim**-0.5
    scores = (folded @ k.transpose(2, 3)).view(batch, heads, length, -1)
    if mask is not None:
        scores = scores + mask.new_zeros(mask.shape, dtype=q.dtype).masked_fill_(~mask, -math.inf)
    weights = scores.softmax(-1).view(batch, k.shape[1], rows, -1)
    return (weights @ v).view(batch, heads, length, dim)


def over_parts(
    q: Tensor, parts: list[tuple[Tensor, Tensor]], mask: Tensor | None = None
) -> Tensor:
    """Attention over several key-value stores as if they were one, without joining them.

    A store with batch 1 serves the whole batch: this is how many continuations share one prefix.
    The mask, [T, S of the last store], acts on the last store alone; the earlier ones are seen by
    all.
    """
    batch, heads, length, dim = q.shape
    kv_heads = parts[0][0].shape[1]
    group = heads // kv_heads
    keys = sum(k.shape[2] for k, _ in parts)
    q = q.reshape(batch, kv_heads, group, length, dim) / math.sqrt(dim)
    step = max(1, SCORES_AT_ONCE // max(1, batch * heads * keys))
    out = [
        _over_parts(q[..., a : a + step, :], parts, None if mask is None else mask[a : a + step])
        for a in range(0, length, step)
    ]
    return (
        torch.cat(out, dim=3).reshape(batch, heads, length, dim)
        if out
        else q.new_empty(batch, heads, 0, dim)
    )


def _over_parts(q: Tensor, parts: list[tuple[Tensor, Tensor]], mask: Tensor | None) -> Tensor:
    batch, kv_heads, group, length, dim = q.shape
    rows = q.reshape(batch, kv_heads, group * length, dim)
    shared = rows.transpose(0, 1).reshape(1, kv_heads, batch * group * length, dim)
    scores = []
    for k, _ in parts:
        if k.shape[0] == 1 and batch > 1:
            part = (shared @ k.transpose(2, 3)).view(kv_heads, batch, group * length, -1)
            scores.append(part.transpose(0, 1))
        else:
            scores.append(rows @ k.transpose(2, 3))
    if mask is not None:
        hidden = ~mask.repeat(group, 1)
        scores[-1] = scores[-1].masked_fill(hidden, float("-inf"))
    weights = torch.cat(scores, dim=-1).softmax(-1, dtype=torch.float32).to(q.dtype)
    out: Tensor | None = None
    for (_, v), weight in zip(
        parts, weights.split([k.shape[2] for k, _ in parts], -1), strict=True
    ):
        if v.shape[0] == 1 and batch > 1:
            joined = weight.transpose(0, 1).reshape(1, kv_heads, batch * group * length, -1)
            seen = (joined @ v).view(kv_heads, batch, group * length, dim).transpose(0, 1)
        else:
            seen = weight @ v
        out = seen if out is None else out + seen
    assert out is not None
    return out.reshape(batch, kv_heads, group, length, dim)
