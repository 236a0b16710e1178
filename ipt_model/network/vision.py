"""The eye: 8-bit pictures to tokens of the decoder's width.

Pictures of one size run as one batch, so attention needs no mask. Positions are looked up in the
corner of the learned table, never resized. Knows nothing of text, latents or the decoder.
"""

from __future__ import annotations

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

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return self.patch_embedding(x) + self.position_embedding(ids)


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
    """B x tokens x patch numbers and position ids [tokens] -> B x tokens x ViT width."""

    gradient_checkpointing = False  # switched by PreTrainedModel, which also sets the function
    _gradient_checkpointing_func: Callable[..., Any]

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.vision_model = VitTransformer(shape)

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        model = self.vision_model
        x = model.embeddings(x, ids)
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
    return connector(encoder(x, ids)), ids
