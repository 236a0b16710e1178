"""Inputs and models the model tests share: where the golden data lie, and a second, made-up
model."""

from __future__ import annotations

from pathlib import Path

import torch

from ipt_model.network.config import BagelConfig

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
GOLDEN = DATA / "bagel_tiny"

#: Shares hardly a number with the golden model: three query heads per key head, a head size that
#: is not hidden / heads, another patch, five layers of which four run, a VAE that halves twice.
OTHER = {
    "llm_config": {
        "hidden_size": 96,
        "intermediate_size": 160,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "vocab_size": 300,
        "rope_theta": 1e4,
        "rms_norm_eps": 1e-5,
    },
    "vit_config": {
        "hidden_size": 80,
        "intermediate_size": 112,
        "num_hidden_layers": 5,
        "num_attention_heads": 5,
        "image_size": 80,
        "patch_size": 16,
        "layer_norm_eps": 1e-5,
    },
    "vae_config": {
        "downsample": 4,
        "z_channels": 8,
        "ch": 64,
        "ch_mult": [1, 2, 2],
        "num_res_blocks": 1,
        "scale_factor": 0.5,
        "shift_factor": -0.2,
    },
    "special_tokens": {"bos": 290, "eos": 291, "start_of_image": 292, "end_of_image": 293},
    "latent_patch_size": 3,
    "max_latent_size": 7,
    "vit_max_num_patch_per_side": 5,
}


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Weights large enough that every part of the model leaves its mark on the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if name.endswith("pos_embed.pos_embed"):
                continue
            if p.ndim > 1:
                spread = p[0].numel() ** -0.5
                p.copy_(torch.randn(p.shape, generator=generator) * spread)
            elif name.endswith("bias"):
                p.copy_(torch.randn(p.shape, generator=generator) * 0.1)
            else:
                p.copy_(1 + torch.randn(p.shape, generator=generator) * 0.2)


def picture(height: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)


def latents(config: BagelConfig, rows: int, columns: int, seed: int) -> torch.Tensor:
    """A latent grid of rows x columns tokens."""
    generator, p = torch.Generator().manual_seed(seed), config.latent_patch_size
    channels = config.vae.latent_channels
    return torch.randn(channels, rows * p, columns * p, generator=generator)


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> float:
    got, expected = got.detach(), expected.detach()
    assert got.shape == expected.shape
    return float((got.double() - expected.double()).abs().max() / expected.abs().max())
