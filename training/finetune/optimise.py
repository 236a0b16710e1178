"""AdamW with its learning rate over the run, and the running average of the weights.

Everything is elementwise on the parameters as this process holds them, so it works the same on
whole, replicated and sharded weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ipt_training.finetune.settings import OptimiserSettings


def rate_factor(step: int, steps: int, settings: OptimiserSettings) -> float:
    """What the rate is multiplied by in step 0 .. steps - 1: up linearly, flat, down along a
    cosine."""
    up = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    falling = settings.decay * steps
    left = steps - step
    if falling <= 0 or left > falling:
        return up
    bottom = settings.final
    return up * (bottom + (1 - bottom) * 0.5 * (1 - math.cos(math.pi * left / falling)))


def make_optimiser(module: nn.Module, settings: OptimiserSettings) -> torch.optim.AdamW:
    """AdamW over what is trainable. Matrices decay; norms, biases and the word table do not."""
    decays: list[nn.Parameter] = []
    stays: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim >= 2 and "embed_tokens" not in name
            (decays if matrix else stays).append(parameter)
    if not decays and not stays:
        raise ValueError("nothing to train: every parameter is frozen")
    groups = [
        {"params": decays, "weight_decay": settings.weight_decay},
        {"params": stays, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=settings.rate,
        betas=settings.betas,
        eps=settings.eps,
        fused=torch.cuda.is_available() or None,
    )


class RunningAverage:
    """An exponential average of all trainable weights, float32.

    The decay rises to its full value over the first steps, so that a short run is no average with
    the beginning.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.values = {name: p.detach().float().clone() for name, p in self._trained()}

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((n, p) for n, p in self.module.named_parameters() if p.requires_grad)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights in as they are after step 0, 1, ..."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self._trained():
            self.values[name].lerp_(parameter.detach().float(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the averaged weights inside the block, its own again afterwards."""
        own = {name: p.detach().clone() for name, p in self._trained()}
        self._write(self.values)
        try:
            yield
        finally:
            self._write(own)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._trained():
            parameter.copy_(values[name])
