"""Pictures to latents and back: diffusers' AutoencoderKL fed with the released checkpoint's
tensors.

Encoding gives the mean of the posterior, never a sample, so that the same picture always
gives the same latents. The released names differ from diffusers'; the table between them is here.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from .config import BagelConfig, VaeShape
from .latents import to_grid


def build_autoencoder(shape: VaeShape) -> Any:
    """An untrained diffusers AutoencoderKL of this shape."""
    from diffusers import AutoencoderKL

    levels = len(shape.ch_mult)
    autoencoder: Any = AutoencoderKL(
        in_channels=shape.in_channels,
        out_channels=shape.out_channels,
        block_out_channels=tuple(shape.ch * m for m in shape.ch_mult),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=shape.res_blocks,
        latent_channels=shape.latent_channels,
        norm_num_groups=shape.norm_groups or 1,
        scaling_factor=shape.scale,
        shift_factor=shape.shift,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    if not shape.norm_groups:
        for module in autoencoder.modules():
            if isinstance(module, nn.GroupNorm):
                module.__class__ = Affine
    return autoencoder


class Affine(nn.GroupNorm):
    """A group norm without the norm: per channel a factor and a summand, under the same names."""

    def forward(self, input: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (input.ndim - 2)
        return input * self.weight.view(shape) + self.bias.view(shape)


def released_name(name: str, levels: int) -> str:
    """diffusers' parameter name -> the released one. Decoder levels count the other way round."""

    def level(match: re.Match[str]) -> str:
        return f"up.{levels - 1 - int(match[1])}."

    for pattern, replacement in (
        (r"down_blocks\.(\d+)\.", r"down.\1."),
        (r"up_blocks\.(\d+)\.", level),
        (r"mid_block\.resnets\.0\.", "mid.block_1."),
        (r"mid_block\.resnets\.1\.", "mid.block_2."),
        (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
        (r"mid_block\.attentions\.0\.to_([qkv])\.", r"mid.attn_1.\1."),
        (r"mid_block\.attentions\.0\.to_out\.0\.", "mid.attn_1.proj_out."),
        (r"resnets\.(\d+)\.", r"block.\1."),
        (r"downsamplers\.0\.", "downsample."),
        (r"upsamplers\.0\.", "upsample."),
        (r"conv_shortcut", "nin_shortcut"),
        (r"conv_norm_out", "norm_out"),
    ):
        name = re.sub(pattern, replacement, name)
    return name


def released_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The released file keeps the attention's matrices as 1 x 1 convolutions."""
    convolution = re.search(r"mid\.attn_1\.(q|k|v|proj_out)\.weight$", name)
    return (*shape, 1, 1) if convolution else shape


class LatentCodec(nn.Module):
    """The VAE with the model's scale, shift and 8-bit conventions."""

    def __init__(self, config: BagelConfig) -> None:
        super().__init__()
        self.shape = config.vae
        self.patch = config.latent_patch_size
        self.stride = config.latent_stride
        self.autoencoder = build_autoencoder(self.shape)

    def released_parameters(self) -> dict[str, tuple[nn.Parameter, tuple[int, ...]]]:
        """Released name -> the parameter and the shape it has in the released file."""
        levels = len(self.shape.ch_mult)
        out = {}
        for name, parameter in self.autoencoder.named_parameters():
            name = released_name(name, levels)
            out[name] = (parameter, released_shape(name, tuple(parameter.shape)))
        return out

    @property
    def dtype(self) -> torch.dtype:
        return next(self.autoencoder.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.autoencoder.parameters()).device

    @torch.no_grad()
    def encode(self, pixels: Any) -> Tensor:
        """[B,] H x W x 3 uint8 -> latents [B,] channels x h x w float32, scaled and shifted."""
        pixels = torch.as_tensor(pixels)
        single = pixels.ndim == 3
        pixels = pixels[None] if single else pixels
        height, width = pixels.shape[1:3]
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise ValueError(f"expected H x W x 3 uint8, got {tuple(pixels.shape)} {pixels.dtype}")
        if height % self.stride or width % self.stride:
            raise ValueError(
                f"VAE pictures need sides that are multiples of {self.stride}, "
                f"got {height} x {width}"
            )
        x = (pixels.to(self.device).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        z = self.autoencoder.encode(x.to(self.dtype)).latent_dist.mode()
        z = self.shape.scale * (z.float() - self.shape.shift)
        return z[0] if single else z

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B,] channels x h x w -> [B,] 3 x H x W float32, nominally in [-1, 1]."""
        single = latents.ndim == 3
        z = latents[None] if single else latents
        z = z.to(self.device).float() / self.shape.scale + self.shape.shift
        x = self.autoencoder.decode(z.to(self.dtype)).sample.float()
        return x[0] if single else x

    def picture(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Latents in token layout [B,] tokens x numbers -> [B,] H x W x 3 uint8, truncated not
        rounded."""
        decoded = self.decode(self.grid(tokens, height, width))
        unit = (decoded * 0.5 + 0.5).clamp(0, 1)
        return (unit * 255).to(torch.uint8).movedim(-3, -1)

    def grid(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Token layout -> channels x h x w for a picture of height x width pixels."""
        return to_grid(tokens, height // self.stride, width // self.stride, self.patch)
