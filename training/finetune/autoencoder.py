"""Training the small VAE whose latents a fresh model reads and draws, before anything else.

Pictures of a dataset in, a folder with `ae.safetensors` and a configuration out. The last thing
that training finds are shift and scale, so that latents have mean 0 and deviation 1 over the data:
what the flow expects.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.checkpoint import save_folder
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import decode_image
from ipt_training.finetune.divergence import DivergenceError, check_tensors, finite, listed
from ipt_training.recipe.settings import check_part


@dataclass(frozen=True)
class VaeSettings:
    """steps of `batch` square cut-outs of `crop` pixels. gradient: weight of the differences
    between neighbouring pixels, which keep edges sharp; square: of the latents' mean square, only
    so much that they stay bounded. noise: added to latents before decoding, in their deviations,
    so that a drawing a little off still decodes well. precision: of the computation."""

    steps: int = 4000
    batch: int = 8
    crop: int = 32
    rate: float = 1e-3
    warmup: int = 50
    gradient: float = 1.0
    square: float = 1e-4
    noise: float = 0.1
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_part(self, {"steps": 1, "batch": 1, "crop": 8, "warmup": 0, "seed": 0})
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision: expected float32 or bfloat16, got {self.precision!r}")


@dataclass(frozen=True)
class VaeReport:
    """Losses of one step, per pixel and channel in [-1, 1], the latents' mean square, and the mean
    PSNR in dB."""

    step: int
    l1: float
    gradient: float
    square: float
    psnr: float


class PictureSource:
    """Random pictures of a dataset as [n, 3, crop, crop] float32 in [-1, 1]; a few hundred rows
    are kept decoded and replaced one by one."""

    def __init__(
        self, dataset: Dataset, style: AskingStyle, seed: int, kept_rows: int = 2048
    ) -> None:
        self.dataset, self.style = dataset, style
        self.chance = np.random.default_rng([seed, 0xAE])
        self.pictures: list[np.ndarray] = []
        self.rows: list[int] = []
        #: Rows of the newest batch.
        self.shown: list[int] = []
        order = self.chance.permutation(len(dataset))[:kept_rows]
        for row in np.sort(order).tolist():
            for data in dataset[row].images:
                self.pictures.append(style.image_sizes.vae_picture(decode_image(data)))
                self.rows.append(row)

    def batch(self, count: int, crop: int) -> Tensor:
        """Cut-outs at random places, half of them mirrored."""
        out = np.empty((count, crop, crop, 3), np.uint8)
        self.shown = []
        for k in range(count):
            chosen = int(self.chance.integers(len(self.pictures)))
            picture = self.pictures[chosen]
            self.shown.append(self.rows[chosen])
            if min(picture.shape[:2]) < crop:
                raise ValueError(
                    f"crop: pictures have {picture.shape[0]} x {picture.shape[1]} pixels, "
                    f"no cut-out of {crop} fits"
                )
            row, column = (int(self.chance.integers(n - crop + 1)) for n in picture.shape[:2])
            cut = picture[row : row + crop, column : column + crop]
            out[k] = cut[:, ::-1] if self.chance.random() < 0.5 else cut
        return (torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def reconstruction_losses(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute error of pixels and of differences between neighbours, at two scales."""
    l1 = (x - y).abs().mean()
    edges = torch.zeros((), device=x.device)
    for _ in range(2):
        for axis in (2, 3):
            edges = edges + (x.diff(dim=axis) - y.diff(dim=axis)).abs().mean()
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return l1, edges / 4


@torch.no_grad()
def start_plain(vae: nn.Module) -> None:
    """Initial weights with which every residual branch adds nothing yet, so that the first steps
    train a shallow net. The posterior's variance, which nobody trains, is next to none."""
    for name, module in vae.named_modules():
        last = name.endswith(("conv2", "to_out.0"))
        if last or isinstance(module, nn.Conv2d):
            weight, bias = _weight_and_bias(module)
            nn.init.zeros_(bias)
            if last:
                nn.init.zeros_(weight)
            else:
                nn.init.kaiming_normal_(weight, nonlinearity="linear")
    weight, bias = _weight_and_bias(vae.get_submodule("encoder.conv_out"))
    half = len(bias) // 2
    weight[half:], bias[half:] = 0, -10


def _weight_and_bias(module: nn.Module) -> tuple[Tensor, Tensor]:
    return module.get_parameter("weight"), module.get_parameter("bias")


def train_autoencoder(
    codec: LatentCodec,
    pictures: PictureSource,
    settings: VaeSettings,
    device: torch.device | str = "cpu",
    on_step: Callable[[VaeReport], None] | None = None,
) -> LatentCodec:
    """Train in place; returned in evaluation mode with the average of the last weights."""
    torch.manual_seed(settings.seed)
    narrow = settings.precision == "bfloat16"
    vae = codec.autoencoder.to(device).train()
    start_plain(vae)
    parameters = list(vae.parameters())
    average = [p.detach().clone() for p in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=settings.rate, betas=(0.9, 0.95), weight_decay=0)
    for step in range(settings.steps):
        up = min(1.0, (step + 1) / max(1, settings.warmup))
        down = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * up * down
        x = pictures.batch(settings.batch, settings.crop).to(device)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=narrow):
            z = vae.encode(x).latent_dist.mode().float()
            off = settings.noise * z.detach().std() * torch.randn_like(z)
            y = vae.decode(z + off).sample.float()
        l1, edges = reconstruction_losses(x, y)
        square = z.square().mean()
        loss = l1 + settings.gradient * edges + settings.square * square
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        if not finite(loss, norm):
            rows = listed([f"row {row}" for row in dict.fromkeys(pictures.shown)])
            raise DivergenceError(
                f"step {step + 1}: loss {float(loss):g} and gradient norm {float(norm):g} are not "
                f"finite, in a batch of {rows}; nothing was written. Lower --rate"
            )
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            decay = min(0.99, (1 + step) / (10 + step))
            torch._foreach_lerp_(average, parameters, 1 - decay)
        if on_step is not None:
            error = ((x - y.detach()).clamp(-2, 2) / 2).square().mean((1, 2, 3))
            psnr = float((-10 * error.log10()).mean())
            on_step(VaeReport(step + 1, l1.item(), edges.item(), square.item(), psnr))
    with torch.no_grad():
        for p, mean in zip(parameters, average, strict=True):
            p.copy_(mean)
    return codec.eval()


@torch.no_grad()
def latent_moments(
    codec: LatentCodec, pictures: PictureSource, count: int = 256
) -> tuple[float, float]:
    """Mean and deviation of the unscaled latents over some pictures."""
    raw = []
    for _ in range(0, count, 32):
        x = pictures.batch(32, min(p for p in pictures.pictures[0].shape[:2])).to(codec.device)
        raw.append(codec.autoencoder.encode(x).latent_dist.mode().float())
    every = torch.cat(raw)
    return float(every.mean()), float(every.std())


@torch.no_grad()
def reconstruction_psnr(codec: LatentCodec, pictures: PictureSource, count: int = 128) -> float:
    """Mean PSNR in dB between whole pictures and their 8-bit reconstructions."""
    size = min(p for p in pictures.pictures[0].shape[:2])
    out = []
    for _ in range(0, count, 32):
        x = pictures.batch(32, size)
        u8 = ((x * 0.5 + 0.5) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        decoded = codec.decode(codec.encode(u8)).cpu().clamp(-1, 1)
        error = ((x - decoded) / 2).square().mean((1, 2, 3))
        out.append(-10 * error.log10())
    return float(torch.cat(out).mean())


def save_autoencoder(
    folder: Path, codec: LatentCodec, config: BagelConfig, mean: float, deviation: float
) -> BagelConfig:
    """Write the folder that `model.vae` of a training recipe names: configuration and
    `ae.safetensors`, nothing of the model. Returns the configuration with shift and scale."""
    check_tensors(codec.state_dict(), folder)
    if not (finite(mean, deviation) and deviation > 0):
        raise DivergenceError(
            f"{folder}: not written, latents have mean {mean:g} and deviation {deviation:g}"
        )
    config = copy.deepcopy(config)
    config.vae_config.update(shift_factor=mean, scale_factor=1 / deviation)
    codec.shape = config.vae
    with torch.device("meta"):
        model = BagelModel(config)
    folder.mkdir(parents=True, exist_ok=True)
    save_folder(folder, _Nothing(model), codec)  # type: ignore[arg-type]
    (folder / "ema.safetensors").unlink()
    return config


class _Nothing:
    """Stands in for a model of this configuration without weights."""

    def __init__(self, model: BagelModel) -> None:
        self.config = model.config

    def state_dict(self) -> dict[str, Tensor]:
        return {}
