"""Draws views under a clock: previews on the way, and no more steps than the time allows.

A drawing that turns out slower than planned is begun again with fewer steps while that is cheap,
later it ends by one straight stride from where it is. What was seen of a view stays as it is in
every picture that comes out. Knows contexts and latents; what they mean is `Turn`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..inference.anchor import Anchor
from ..inference.flow import draw
from ..inference.guided import GuidedContexts
from ..network.latents import to_tokens
from ..question import Cancelled
from ..weights.loading import LoadedModel
from .clock import Clock, OutOfBudget
from .seen_ground import SeenGround

#: Pictures told of while drawing, besides the finished one.
PREVIEWS = 4
#: Flow steps to measure before the plan is doubted: one that was held up says nothing of the rest.
_STEPS_BEFORE_DOUBT = 3


@dataclass(frozen=True)
class Drawn:
    """pictures: [k, H, W, 3] uint8; raw: the same before what was seen was put in its place.
    unheld: for each question with a recalled view, H x W bool, which seen pixels the drawing was
    not held to. steps, steps_done: how many flow steps were planned and run."""

    pictures: Tensor
    raw: Tensor
    unheld: tuple[np.ndarray, ...]
    steps: int
    steps_done: int

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """One H x W x 3 uint8 array per picture."""
        return tuple(self.pictures.cpu().numpy())

    @cached_property
    def raw_arrays(self) -> tuple[np.ndarray, ...]:
        """The same of the raw pictures."""
        return self.arrays if self.raw is self.pictures else tuple(self.raw.cpu().numpy())


class Drawing:
    """Draws views of height x width from given noise [k, tokens, numbers].

    grounds: what was seen of the view, one for each picture, or a single one for all; empty where
    nothing is known.
    tail_s: time that must be left afterwards. size: what the cost of a step grows with.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        clock: Clock,
        contexts: GuidedContexts,
        view_size: tuple[int, int],
        noise: Tensor,
        tail_s: float,
        size: int,
        grounds: Sequence[SeenGround] = (),
    ) -> None:
        assert loaded.codec is not None
        self.loaded, self.codec, self.clock, self.contexts = loaded, loaded.codec, clock, contexts
        self.height, self.width = view_size
        self.noise, self.tail_s, self.size = noise, tail_s, size
        self.grounds = list(grounds)
        self._stride: Tensor | None = None
        self._fewer = 0

    def run(self, steps: int) -> Drawn:
        """Draw in this many steps, or fewer; raises OutOfBudget below the asking style's least."""
        self.clock.tell("imagine", 0.2)
        anchor = self._anchor()
        with self.clock.stage("imagine"):
            while True:
                self._begin(steps)
                try:
                    latents = draw(
                        self.loaded.model,
                        self.contexts.main,
                        self.contexts.cfg_text,
                        self.contexts.cfg_img,
                        self.height,
                        self.width,
                        replace(self.loaded.style.flow, points=steps + 1),
                        noise=self.noise,
                        count=len(self.noise),
                        on_step=self._on_step,
                        anchor=anchor,
                    )
                except Cancelled:
                    if self._fewer:
                        steps = self._fewer
                        continue
                    if self._stride is None:
                        raise
                    latents = self._stride
                break
        done = len(self._marks) - 1
        self.clock.learn("step", self.size, (self._marks[-1] - self._marks[0]) / done)
        self.clock.tell("imagine", 0.8)
        count, tokens = self.noise.shape[:2]
        with self.clock.stage("imagine", "decode", count * tokens):
            # Several drawings of one question pass one by one: the memory is that of one, and each
            # picture is the same however many there are.
            parts = latents.split(self.contexts.main.batch)
            raw = torch.cat([self.codec.picture(p, self.height, self.width) for p in parts])
            pictures = self._pasted(raw)
        side = self.loaded.model.config.latent_stride
        unheld = [
            ground.seen if anchor is None else ground.unheld(side) for ground in self.grounds
        ]
        return Drawn(pictures, raw, tuple(unheld), steps, done)

    def _anchor(self) -> Anchor | None:
        """What the flow holds to; None where no token cell is known or drawing is to be free."""
        held = [ground.cells(self.loaded.model.config.latent_stride) for ground in self.grounds]
        if self.loaded.style.flow.anchoring == "off" or not any(own.any() for own in held):
            return None
        with self.clock.stage("imagine", "hold", len(held) * self.noise.shape[1]):
            latents = self.codec.encode(np.stack([ground.rgb for ground in self.grounds]))
            known = to_tokens(latents, self.codec.patch)
        return Anchor(known, torch.from_numpy(np.stack(held)))

    def _pasted(self, raw: Tensor) -> Tensor:
        """The pictures with what was seen in its place."""
        if not self.grounds:
            return raw
        grounds = self.grounds * (len(raw) if len(self.grounds) == 1 else 1)
        pairs = zip(grounds, raw, strict=True)
        return torch.stack([ground.paste(picture) for ground, picture in pairs])

    def _begin(self, steps: int) -> None:
        self._marks = [self.clock.elapsed_s()]
        self._preview_s = 0.0
        self._fewer = 0
        self._every = max(1, steps // (PREVIEWS + 1))

    def _on_step(self, done: int, total: int, straight: Tensor) -> bool:
        clock = self.clock
        clock.pace()
        self._marks.append(clock.elapsed_s() - self._preview_s)
        step_s = float(np.median(np.diff(self._marks)))
        left_s = clock.left_s() - self.tail_s
        least = min(self.loaded.style.flow.min_steps, total)
        if done == _STEPS_BEFORE_DOUBT and left_s < (total - done) * step_s:
            self._fewer = int(left_s / step_s)
            if self._fewer < least:
                clock.costs.exceeded("step", self.size, step_s)
                raise OutOfBudget
            if self._fewer < total - done:
                return False
        if done < total and left_s < step_s and done >= _STEPS_BEFORE_DOUBT:
            if done < least:
                clock.costs.exceeded("step", self.size, step_s)
                raise OutOfBudget
            self._stride = straight
            return False
        clock.tell(
            "imagine",
            0.2 + 0.6 * done / total,
            self._preview(straight) if self._shows(done, total, left_s, step_s) else None,
        )
        return True

    def _shows(self, done: int, total: int, left_s: float, step_s: float) -> bool:
        """Whether a preview is due and does not cost steps."""
        if not self.clock.listened or done % self._every or done == total:
            return False
        cost_s = self.clock.expect("decode", self.noise.shape[1])
        return left_s - (total - done) * step_s > 2 * cost_s

    def _preview(self, straight: Tensor) -> np.ndarray:
        begun = self.clock.elapsed_s()
        raw = self.codec.picture(straight[:1], self.height, self.width)[0]
        picture = (self.grounds[0].paste(raw) if self.grounds else raw).cpu().numpy()
        self._preview_s += self.clock.elapsed_s() - begun
        return picture
