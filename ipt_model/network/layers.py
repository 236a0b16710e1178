"""The decoder layer with two experts: one set of weights reads, the other draws, attention is
shared.

Tokens come grouped: `und` holds text, ViT tokens and picture markers, `gen` the latent tokens of
pictures. Each expert therefore works on one contiguous block and nothing is scattered; only
queries, keys and values are joined (und first) for the attention, which the caller supplies.
Knows no masks, caches or positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import LlmShape
from .embeddings import rotate

#: (layer, q [B, heads, T, d], k, v [B, kv heads, T, d]) -> [B, heads, T, d]; T is und then gen.
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def submodules(module: nn.Module) -> dict[str, nn.Module]:
    """A module's children by name: experts differ in a suffix, so layers look theirs up."""
    return cast("dict[str, nn.Module]", module._modules)


class RmsNorm(nn.Module):
    """Root-mean-square norm, computed in float32, rounded, and only then scaled."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        if (
            x.dtype == torch.float32 == self.weight.dtype
        ):  # no rounding in between: one fused kernel
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class Mlp(nn.Module):
    """SwiGLU without biases."""

    def __init__(self, shape: LlmShape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.down_proj = nn.Linear(shape.mlp, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class MotAttention(nn.Module):
    """Projections and head norms of both experts; the attention itself is the caller's."""

    def __init__(self, shape: LlmShape, gen: bool) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        for expert in ("", "_moe_gen") if gen else ("",):
            q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
            self.add_module(f"q_proj{expert}", nn.Linear(shape.hidden, q))
            self.add_module(f"k_proj{expert}", nn.Linear(shape.hidden, kv))
            self.add_module(f"v_proj{expert}", nn.Linear(shape.hidden, kv))
            self.add_module(f"o_proj{expert}", nn.Linear(q, shape.hidden, bias=False))
            self.add_module(f"q_norm{expert}", RmsNorm(shape.head_dim, shape.rms_eps))
            self.add_module(f"k_norm{expert}", RmsNorm(shape.head_dim, shape.rms_eps))

    def project(self, x: Tensor, expert: str) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys (both head-normed) and values of one expert, each [B, T, heads,
        head_dim]."""
        part = submodules(self)
        q = part["q_proj" + expert](x).unflatten(-1, (self.heads, self.head_dim))
        k = part["k_proj" + expert](x).unflatten(-1, (self.kv_heads, self.head_dim))
        v = part["v_proj" + expert](x).unflatten(-1, (self.kv_heads, self.head_dim))
        return part["q_norm" + expert](q), part["k_norm" + expert](k), v

    def output(self, x: Tensor, expert: str) -> Tensor:
        return submodules(self)["o_proj" + expert](x)


class MotLayer(nn.Module):
    """One decoder layer over grouped tokens; either group may be None, not both."""

    def __init__(self, shape: LlmShape, gen: bool) -> None:
        super().__init__()
        self.self_attn = MotAttention(shape, gen)
        for expert in ("", "_moe_gen") if gen else ("",):
            self.add_module(f"mlp{expert}", Mlp(shape))
            self.add_module(f"input_layernorm{expert}", RmsNorm(shape.hidden, shape.rms_eps))
            self.add_module(
                f"post_attention_layernorm{expert}", RmsNorm(shape.hidden, shape.rms_eps)
            )

    def queries_keys_values(
        self, und: Tensor | None, gen: Tensor | None, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Both groups' q, k, v joined, und first, turned by the rotary angles; each [B, heads, T,
        d]."""
        norm, attention = submodules(self), self.self_attn
        parts = []
        if und is not None:
            parts.append(attention.project(norm["input_layernorm"](und), ""))
        if gen is not None:
            parts.append(attention.project(norm["input_layernorm_moe_gen"](gen), "_moe_gen"))
        if len(parts) == 1:
            q, k, v = parts[0]
        else:
            q, k, v = (torch.cat(both, dim=1) for both in zip(*parts, strict=True))
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def forward(
        self,
        index: int,
        und: Tensor | None,
        gen: Tensor | None,
        cos: Tensor,
        sin: Tensor,
        attend: Attend,
        und_rows: Tensor | None = None,
        gen_rows: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """und [B, U, hidden], gen [B, G, hidden]; cos, sin [B or 1, 1, U + G or 1, head_dim].

        und_rows, gen_rows: of the flattened B * U and B * G tokens those to finish; the output is
        then [rows, hidden], or None where no row is wanted.
        """
        q, k, v = self.queries_keys_values(und, gen, cos, sin)
        seen = attend(index, q, k, v).transpose(1, 2).flatten(2)
        split = 0 if und is None else und.shape[1]
        return (
            self.finish(und, seen[:, :split], "", und_rows),
            self.finish(gen, seen[:, split:], "_moe_gen", gen_rows),
        )

    def finish(
        self, x: Tensor | None, seen: Tensor, expert: str, rows: Tensor | None
    ) -> Tensor | None:
        """Residual, post norm and MLP of one expert."""
        if x is None or (rows is not None and not len(rows)):
            return None
        if rows is not None:
            x, seen = x.flatten(0, 1)[rows], seen.flatten(0, 1)[rows]
        part = submodules(self)
        x = x + self.self_attn.output(seen, expert)
        return x + part["mlp" + expert](part["post_attention_layernorm" + expert](x))


class Decoder(nn.Module):
    """Token table, layers, and the final norm of each expert."""

    gradient_checkpointing = False  # switched by PreTrainedModel, which also sets the function
    _gradient_checkpointing_func: Callable[..., Any]

    def __init__(self, shape: LlmShape, gen: bool) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(MotLayer(shape, gen) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.hidden, shape.rms_eps)
        if gen:
            self.norm_moe_gen = RmsNorm(shape.hidden, shape.rms_eps)

    def forward(
        self,
        und: Tensor | None,
        gen: Tensor | None,
        cos: Tensor,
        sin: Tensor,
        attend: Attend,
        und_rows: Tensor | None = None,
        gen_rows: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Hidden states of both groups after the routed final norm.

        With rows (see `MotLayer.forward`) only theirs, so that training does not finish the last
        layer for tokens without a loss.
        """
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            rows = (und_rows, gen_rows) if i == last else (None, None)
            if self.gradient_checkpointing and self.training:
                und, gen = self._gradient_checkpointing_func(
                    layer, i, und, gen, cos, sin, attend, *rows
                )
            else:
                und, gen = layer(i, und, gen, cos, sin, attend, *rows)
        return (
            None if und is None else self.norm(und),
            None if gen is None else submodules(self)["norm_moe_gen"](gen),
        )

    def prefill(
        self, und: Tensor | None, gen: Tensor | None, cos: Tensor, sin: Tensor, attend: Attend
    ) -> None:
        """Only fill the caller's cache: of the last layer only keys and values count."""
        last = len(self.layers) - 1
        for i in range(last):
            und, gen = self.layers[i](i, und, gen, cos, sin, attend)
        layer = cast(MotLayer, self.layers[last])
        q, k, v = layer.queries_keys_values(und, gen, cos, sin)
        attend(last, q[:, :, :0], k, v)


class LanguageModel(nn.Module):
    """The decoder and the head that turns und tokens into words."""

    def __init__(self, shape: LlmShape, gen: bool) -> None:
        super().__init__()
        self.model = Decoder(shape, gen)
        self.lm_head = nn.Linear(shape.hidden, shape.vocab, bias=False)
