"""What was seen of a view, at the size at which the model draws it: never imagined, only kept.

From here come the token cells that a drawing holds to, and the finished picture: what was drawn
with what was seen in its place. Knows no contexts and no flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from ..network.transforms import resize
from ..spatial.recalled import RecalledView

#: A token cell is held when at least this share of its pixels was seen, the rest as its edges say.
#: Measured in docs/memory.md.
HELD_SHARE = 0.8
#: How far into the drawn part colours are drawn towards those seen at its edge, pixels.
EDGE_PX = 4


@dataclass(frozen=True)
class SeenGround:
    """rgb: H x W x 3 uint8, the recalled view with its holes filled. seen: H x W bool."""

    rgb: np.ndarray
    seen: np.ndarray

    @staticmethod
    def of(recalled: RecalledView, height: int, width: int) -> SeenGround:
        """At this size."""
        if recalled.seen.shape == (height, width):
            return SeenGround(recalled.filled, recalled.seen)
        seen = recalled.seen_at(height, width)
        return SeenGround(resize(recalled.filled, width, height), seen)

    def cells(self, side: int) -> np.ndarray:
        """Which token cells of side x side pixels are held: flat bool, row by row."""
        height, width = self.seen.shape
        cells = self.seen.reshape(height // side, side, width // side, side)
        return np.asarray(cells.mean((1, 3)).ravel() >= HELD_SHARE)

    def unheld(self, side: int) -> np.ndarray:
        """H x W bool: seen pixels outside of held cells, which a drawing has to find itself."""
        rows, columns = (n // side for n in self.seen.shape)
        held = self.cells(side).reshape(rows, columns).repeat(side, 0).repeat(side, 1)
        return np.asarray(self.seen & ~held)

    def paste(self, drawn: Tensor) -> Tensor:
        """The drawn picture H x W x 3 uint8 with every seen pixel in its place, exactly.

        The seam is made soft on the drawn side alone: what was drawn is shifted towards the seen
        colours next to it, less and less with the distance.
        """
        if not self.seen.any():
            return drawn
        nearest, weight = (torch.from_numpy(a).to(drawn.device) for a in self._seam)
        seen = torch.tensor(self.rgb, device=drawn.device)
        gap = (seen.float() - drawn.float()).reshape(-1, 3)[nearest].reshape(drawn.shape)
        return (drawn + weight * gap).round().clamp(0, 255).to(torch.uint8)

    @cached_property
    def _seam(self) -> tuple[np.ndarray, np.ndarray]:
        """For every pixel the flat index of the nearest seen one, and how much of the difference
        there it takes over, H x W x 1: all of it where it was seen itself."""
        holes = (~self.seen).astype(np.uint8)
        distance, labels = cv2.distanceTransformWithLabels(
            holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        places = np.zeros(int(labels.max()) + 1, np.int64)
        seen = np.flatnonzero(self.seen)
        places[labels.ravel()[seen]] = seen
        weight = np.clip(1 - distance / (EDGE_PX + 1), 0, 1).astype(np.float32)
        return places[labels.ravel()], weight[..., None]
