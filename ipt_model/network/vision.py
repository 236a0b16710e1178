"""The eye: 8-bit pictures to tokens of the decoder's width.

Pictures of one size run as one batch, so attention needs no mask. Positions are looked up in the
corner of the learned table, never resized. Knows nothing of text, latents or the decoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from . import attention
from .config import ConfigError, VitShape
from .embeddings import grid_ids

ACTIVATIONS = {
    "gelu_pytorch_tanh": nn.GELU(approximate="tanh"),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "relu": nn.ReLU(),
}


def activation(name: str) -> nn.Module:
    """The named activation; gelu_pytorch_tanh is the released one."""
    if name not in ACTIVATIONS:
        raise ConfigError(f"activation {name!r} is unknown, expected one of {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def patches(pictures: Tensor, patch: int, dtype: torch.dtype) -> Tensor:
    """B x H x W x C uint8 -> B x tokens x (patch * patch * C), row-major, channel fastest, in
    [-1, 1]."""
    batch, height, width, channels = pictures.shape
    if height % patch or width % patch or not height or not width:
        raise ValueError(
            f"ViT pictures need sides that are multiples of {patch}, got {height} x {width}"
        )
    x = (pictures.float() / 255 - 0.5) / 0.5
    x = x.view(batch, height // patch, patch, width // patch, patch, channels)
    x = x.transpose(2, 3).reshape(batch, -1, patch * patch * channels)
    return x.to(dtype)


class Added(nn.Conv2d):
    """A convolution whose outcome is added to a released architecture: it begins as zeros."""


class Detail(nn.Module):
    """What lies within a patch and across its edges: convolutions that halve the picture until one
    place is left of each patch.

    The released model has none. A tower of a few narrow layers sees a patch of 16 pixels as one
    sum; it tells that something blue is there, but not whether it is one thing or two. What comes
    out is added to the patch embedding and begins as zeros.
    """

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        halvings = shape.patch.bit_length() - 1
        if shape.patch != 1 << halvings or not halvings:
            raise ConfigError(
                f"vit_config.detail: wants a patch size that is a power of two, got {shape.patch}"
            )
        self.patch, self.channels = shape.patch, shape.channels
        widths = [shape.channels, *(shape.detail << k for k in range(halvings - 1)), shape.hidden]
        kinds = [nn.Conv2d] * (halvings - 1) + [Added]
        self.halvings = nn.ModuleList(
            kind(narrow, wide, 4, stride=2, padding=1)
            for kind, (narrow, wide) in zip(kinds, itertools.pairwise(widths), strict=True)
        )

    def forward(self, x: Tensor, rows: int) -> Tensor:
        """B x tokens x patch numbers, in so many rows of patches -> B x tokens x ViT width."""
        p = self.patch
        x = x.unflatten(1, (rows, -1)).unflatten(-1, (p, p, self.channels))
        x = x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        for last, halving in enumerate(self.halvings, 1 - len(self.halvings)):
            x = halving(x)
            if last < 0:
                x = nn.functional.gelu(x, approximate="tanh")
        return x.flatten(2).transpose(1, 2)


class VitAttention(nn.Module):
    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj = nn.Linear(shape.hidden, shape.hidden)
        self.k_proj = nn.Linear(shape.hidden, shape.hidden)
        self.v_proj = nn.Linear(shape.hidden, shape.hidden)
        self.out_proj = nn.Linear(shape.hidden, shape.hidden)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(attention.full(q, k, v).transpose(1, 2).flatten(2))


class VitMlp(nn.Module):
    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape.hidden, shape.mlp)
        self.fc2 = nn.Linear(shape.mlp, shape.hidden)
        self.act = activation(shape.activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class VitLayer(nn.Module):
    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(shape.hidden, eps=shape.eps)
        self.self_attn = VitAttention(shape)
        self.layer_norm2 = nn.LayerNorm(shape.hidden, eps=shape.eps)
        self.mlp = VitMlp(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VitEmbeddings(nn.Module):
    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.patch_embedding = nn.Linear(shape.patch_numbers, shape.hidden)
        self.position_embedding = nn.Embedding(shape.positions, shape.hidden)
        self.detail = Detail(shape) if shape.detail else None

    def forward(self, x: Tensor, ids: Tensor, rows: int) -> Tensor:
        seen = self.patch_embedding(x) + self.position_embedding(ids)
        return seen if self.detail is None else seen + self.detail(x, rows)


class VitEncoder(nn.Module):
    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VitLayer(shape) for _ in range(shape.layers))


class VitTransformer(nn.Module):
    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.embeddings = VitEmbeddings(shape)
        self.encoder = VitEncoder(shape)
        self.post_layernorm = nn.LayerNorm(shape.hidden, eps=shape.eps)


class VisionEncoder(nn.Module):
    """B x tokens x patch numbers, position ids [tokens], rows of patches -> B x tokens x ViT
    width."""

    gradient_checkpointing = False  # switched by PreTrainedModel, which also sets the function
    _gradient_checkpointing_func: Callable[..., Any]

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.vision_model = VitTransformer(shape)

    def forward(self, x: Tensor, ids: Tensor, rows: int) -> Tensor:
        model = self.vision_model
        x = model.embeddings(x, ids, rows)
        for layer in model.encoder.layers:
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(layer, x)
            else:
                x = layer(x)
        return model.post_layernorm(x)


class Connector(nn.Module):
    """ViT width -> decoder width."""

    def __init__(self, vit: int, hidden: int, act: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(vit, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


def picture_tokens(
    encoder: VisionEncoder, connector: Connector, shape: VitShape, pictures: Tensor
) -> tuple[Tensor, Tensor]:
    """B x H x W x 3 uint8 at the ViT's size -> B x patches x decoder width, without positions; and
    the position ids [patches]."""
    x = patches(pictures, shape.patch, connector.fc1.weight.dtype)
    rows, columns = pictures.shape[1] // shape.patch, pictures.shape[2] // shape.patch
    ids = grid_ids(rows, columns, shape.side, pictures.device)
    return connector(encoder(x, ids, rows)), ids
