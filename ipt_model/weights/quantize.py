"""Weight-only int8 and 4-bit for the decoder layers, so that the 7B model fits smaller GPUs.

int8 is torchao's, one scale per output row; int4 is bitsandbytes' NF4 in blocks of 64. Both are
optional and imported here alone. Only the linear layers inside the decoder shrink: that is 13.0 of
the 14.6 billion weights. The VAE, the ViT, all norms, token tables, the head and the latent
projections keep their type, because a drawing shows their rounding first.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

Scheme = Literal["int8", "int4"]
#: Linear layers below modules of this name are quantised, all others are left alone.
DECODER_LAYERS = "language_model.model.layers."


class QuantizationError(RuntimeError):
    """The scheme is unknown or its library is missing; the message says what to install."""


def quantize(model: nn.Module, scheme: Scheme, device: torch.device) -> int:
    """Quantise the decoder layers in place, moving each to `device` on the way; returns how many.

    The rest of the model is left where it is. Each layer is moved, shrunk and freed before the
    next, so the device never holds more than the quantised weights and one full layer.
    """
    if scheme not in get_args(Scheme):
        raise QuantizationError(
            f"quantization: expected one of {list(get_args(Scheme))} or None, got {scheme!r}"
        )
    names = [
        name
        for name, module in model.named_modules()
        if name.startswith(DECODER_LAYERS) and isinstance(module, nn.Linear)
    ]
    if not names:
        raise QuantizationError(
            f"quantization: the model has no linear layer below {DECODER_LAYERS}"
        )
    shrink = _int8 if scheme == "int8" else _int4
    for name in names:
        parent, child = name.rsplit(".", 1)
        owner = model.get_submodule(parent)
        setattr(owner, child, shrink(owner.get_submodule(child), device))
    return len(names)


def _int8(layer: nn.Module, device: torch.device) -> nn.Module:
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise QuantizationError(
            "quantization='int8' needs torchao: pip install torchao"
        ) from error
    layer = layer.to(device)
    quantize_(layer, Int8WeightOnlyConfig())
    return layer.requires_grad_(False)


def _int4(layer: nn.Module, device: torch.device) -> nn.Module:
    try:
        from bitsandbytes.nn import Linear4bit
    except ImportError as error:
        raise QuantizationError(
            "quantization='int4' needs bitsandbytes: pip install bitsandbytes"
        ) from error
    assert isinstance(layer, nn.Linear)
    small = Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        compute_dtype=layer.weight.dtype,
        quant_type="nf4",
    )
    small.load_state_dict(layer.state_dict())
    return small.to(device).requires_grad_(
        False
    )  # the move to the device is what packs the weight
