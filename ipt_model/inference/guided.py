"""The three contexts that guided drawing needs, kept in step as inputs come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .context import Context, Pixels

if TYPE_CHECKING:
    from ..network.model import BagelModel


class GuidedContexts:
    """The contexts of guided drawing, kept by the reference's rules as inputs come in.

    main has read everything; cfg_text what main had before the last text; cfg_img the texts alone.
    batch: entries in step, as in `Context`.
    """

    def __init__(self, model: BagelModel, capacity: int = 256, batch: int = 1) -> None:
        self.main = Context(model, batch, capacity)
        self.cfg_text = self.main.fork()
        self.cfg_img = Context(model, batch, capacity=64)

    def fork(self) -> GuidedContexts:
        """Contexts that go on from here without changing these."""
        twin = object.__new__(GuidedContexts)
        twin.main, twin.cfg_text = self.main.fork(), self.cfg_text.fork()
        twin.cfg_img = self.cfg_img.fork()
        return twin

    def add_text(self, ids: Sequence[int] | Tensor) -> GuidedContexts:
        """A question or instruction: into main and cfg_img."""
        self.cfg_text = self.main.fork()
        self.main.add_text(ids)
        self.cfg_img.add_text(ids)
        return self

    def add_picture(
        self, latents: Tensor | None, vit_pixels: Pixels | Sequence[Pixels] | None
    ) -> GuidedContexts:
        """A picture, its latents then its ViT view (either may be None): into main only."""
        return self.add_pictures([(latents, vit_pixels)])

    def add_pictures(
        self, pictures: Sequence[tuple[Tensor | None, Pixels | Sequence[Pixels] | None]]
    ) -> GuidedContexts:
        """Several, in order."""
        self.main.add_pictures(pictures)
        self.cfg_text = self.main.fork()
        return self

    def add_thinking(self, ids: Sequence[int] | Tensor) -> GuidedContexts:
        """A text the model wrote itself: into main only, the guiding contexts stay."""
        self.main.add_text(ids)
        return self
