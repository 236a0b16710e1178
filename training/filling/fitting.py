"""Trains the network that fills, on the rows of a dataset that come with a recalled view.

In: examples. Out: a `FillingNetwork`. The loss is the squared error, so that what it cannot know
comes out as its mean: on a map, the probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ipt_model.question import Task
from ipt_training.example import Example
from ipt_training.filling.network import FillingNetwork, Holed, Kind, prepared

_KINDS: dict[Task, Kind] = {Task.COUNTING: "above", Task.CLEARANCE: "map"}


@dataclass(frozen=True)
class Fitting:
    """examples: shown in all. seen_weight: of the loss where the network need only copy."""

    examples: int = 200_000
    batch: int = 32
    rate: float = 2e-3
    warmup: int = 100
    seen_weight: float = 0.1
    seed: int = 0


def holed_of(example: Example) -> Holed | None:
    """What the robot has seen of the asked view; None where it remembers nothing."""
    recalled = example.question.recalled
    if recalled is None:
        return None
    return Holed(recalled.rgb, recalled.seen, _KINDS.get(example.question.task, "view"))


def fit(
    examples: Iterable[Example],
    settings: Fitting,
    told: Callable[[int, float], None] = lambda step, loss: None,
) -> FillingNetwork:
    """told: after every step, with its number and loss. Equal examples and settings give equal
    weights on one machine."""
    inputs, truth = _tensors(examples)
    torch.manual_seed(settings.seed)
    network = FillingNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=0.01)
    steps = max(1, settings.examples // settings.batch)

    def rate(step: int) -> float:
        return (
            min(1.0, (step + 1) / settings.warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    chance = np.random.default_rng([settings.seed, 0xF1])
    for step in range(steps):
        network.train()
        rows = torch.from_numpy(chance.integers(0, len(inputs), settings.batch))
        given, wanted = inputs[rows].float(), truth[rows].float() / 255
        given[:, :3] /= 255
        if chance.random() < 0.5:  # a mirrored room is a room
            given, wanted = given.flip(3), wanted.flip(3)
        weight = torch.where(given[:, 3:4] > 0, settings.seen_weight, 1.0)
        loss = (weight * (network(given) - wanted) ** 2).sum() / (3 * weight.sum())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        told(step, float(loss.detach()))
    return network.eval()


def _tensors(examples: Iterable[Example]) -> tuple[Tensor, Tensor]:
    """Of those that remember something: N x 7 x H x W and N x 3 x H x W, uint8."""
    inputs, truth = [], []
    for example in examples:
        holed = holed_of(example)
        if holed is not None:
            planes = prepared([holed])[0]
            planes[:3] *= 255
            inputs.append(planes.round().byte())
            truth.append(torch.from_numpy(example.true_view.transpose(2, 0, 1).copy()))
    if not inputs:
        raise ValueError("no example has a recalled view; name variants with +memory")
    return torch.stack(inputs), torch.stack(truth)
