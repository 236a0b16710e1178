"""The optimiser with its learning rate over the run, and the running average of the weights.

AdamW and the average are elementwise on the parameters as this process holds them, so they work
the same on whole, replicated and sharded weights. Muon needs whole matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from ipt_training.recipe.settings import OptimiserSettings


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


def make_optimiser(module: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """What moves all that is trainable. Matrices decay; norms, biases and the word table do not.
    With `muon` the matrices of the layers move along orthogonalised momentum."""
    turns: list[nn.Parameter] = []
    decays: list[nn.Parameter] = []
    stays: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim >= 2 and "embed_tokens" not in name
            inner = settings.kind == "muon" and parameter.ndim == 2 and ".layers." in name
            (turns if inner else decays if matrix else stays).append(parameter)
    groups = [
        {"params": turns, "weight_decay": settings.weight_decay, "orthogonal": True},
        {"params": decays, "weight_decay": settings.weight_decay},
        {"params": stays, "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if not groups:
        raise ValueError("nothing to train: every parameter is frozen")
    if settings.kind == "muon":
        return Muon(groups, settings.rate, settings.betas, settings.eps)
    return torch.optim.AdamW(
        groups,
        lr=settings.rate,
        betas=settings.betas,
        eps=settings.eps,
        fused=torch.cuda.is_available() or None,
    )


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal for groups marked `orthogonal`, AdamW for all others.

    One rate serves both: an orthogonal step is scaled to the size that AdamW's steps have.
    """

    MOMENTUM = 0.95
    #: The root mean square of AdamW's steps, as a share of the rate.
    ADAM_SIZE = 0.2

    def __init__(
        self,
        groups: list[dict[str, Any]],
        rate: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        defaults = {"lr": rate, "betas": betas, "eps": eps, "orthogonal": False}
        super().__init__(groups, {**defaults, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            (self._turn if group["orthogonal"] else self._adam)(group, moved)

    def _turn(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        alike: dict[torch.Size, list[Tensor]] = {}
        for parameter in parameters:
            if not (state := self.state[parameter]):
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(_gradient(parameter), 1 - self.MOMENTUM)
            alike.setdefault(parameter.shape, []).append(parameter)
        for shape, members in alike.items():
            ahead = [_gradient(p).lerp(self.state[p]["momentum"], self.MOMENTUM) for p in members]
            size = self.ADAM_SIZE * math.sqrt(max(shape))
            for parameter, step in zip(members, orthogonal(torch.stack(ahead)), strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(step, alpha=-group["lr"] * size)

    def _adam(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            if not (state := self.state[parameter]):
                state["step"] = torch.zeros(())
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        states = [self.state[p] for p in parameters]
        adamw(
            parameters,
            [_gradient(p) for p in parameters],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [],
            [s["step"] for s in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "only parameters with a gradient are moved"
    return parameter.grad


def orthogonal(matrices: Tensor) -> Tensor:
    """[n, rows, columns] with all singular values brought near 1 by five Newton-Schulz steps: the
    quintic a x + b x^3 + c x^5 sends (0, 1] to about 0.7 .. 1.2. bfloat16 is exact enough."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


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
