"""Keeps a drawing to what was seen: known token cells are held to their latents on the way.

After DDNM (zero-shot restoration): at every step the picture that the flow heads for is set right
where it is known, and the noise that it heads from is mostly drawn anew, so that what is unknown
can still come to terms with what is known. Costs no run of the model. In and out: latents in token
layout; pixels and what was seen are its caller's business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Multiples of it, taken modulo 1, spread evenly whatever their number.
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Anchor:
    """What is known of the picture. latents: [tokens, numbers] or [count, tokens, numbers], those
    of unknown cells are not read. held: bool [tokens] or [count, tokens], which cells are known.
    """

    latents: Tensor
    held: Tensor


class AnchoredSteps:
    """The steps of one drawing of pictures [count, tokens, numbers] that keeps to an anchor.

    noise: what the drawing begins from. renewed: 0 to 1, how much of the noise is new at every
    step; the rest is what the model takes for noise.
    """

    def __init__(self, anchor: Anchor, noise: Tensor, renewed: float) -> None:
        count, tokens, numbers = noise.shape
        known, held = anchor.latents, anchor.held
        known = known[None] if known.ndim == 2 else known
        held = held[None] if held.ndim == 1 else held
        if known.shape[0] not in (1, count) or known.shape[1:] != (tokens, numbers):
            raise ValueError(
                f"anchor.latents: expected [{count}, {tokens}, {numbers}], "
                f"got {tuple(anchor.latents.shape)}"
            )
        if (
            held.shape[0] not in (1, count)
            or held.shape[1:] != (tokens,)
            or held.dtype != torch.bool
        ):
            raise ValueError(
                f"anchor.held: expected bool [{count}, {tokens}], "
                f"got {held.dtype} {tuple(anchor.held.shape)}"
            )
        self.known = known.to(noise.device, torch.float32)
        self.held = held.to(noise.device)[..., None]
        self.renewal = renewed * noise.reshape(count, -1)
        self.kept = math.sqrt(1 - renewed**2)
        self.taken = 0

    def move(self, x: Tensor, velocity: Tensor, now: float, then: float) -> tuple[Tensor, Tensor]:
        """From x at time `now` to time `then`; (x there, the picture the flow heads for)."""
        picture = torch.where(self.held, self.known, x - now * velocity)
        noise = self.kept * (x + (1 - now) * velocity) + self._renewal().view_as(x)
        return (1 - then) * picture + then * noise, picture

    def _renewal(self) -> Tensor:
        """Noise that no step had before: the first noise, every number at another place.

        So the seed alone decides it, on every device, whatever else is drawn beside it.
        """
        self.taken += 1
        numbers = self.renewal.shape[1]
        return self.renewal.roll(round(self.taken * numbers * GOLDEN) % numbers, dims=1)
