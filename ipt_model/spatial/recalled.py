"""A view put together from what was seen: every pixel says whether it was, and by which view.

Plain data that the memory makes, questions carry and the drawing keeps to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

#: Colour of pixels that nothing seen lands on; no lit surface has it.
HOLE_RGB = (255, 0, 255)
#: How far colours are carried into a hole, pixels.
_FILL_PX = 3


@dataclass(frozen=True)
class RecalledView:
    """rgb: H x W x 3 uint8, where not seen HOLE_RGB, or on a map how it marks unknown. depth_m: H
    x W float32, 0 where not seen. seen: H x W bool. source: H x W int16, which of `stamps_ns` a
    pixel was seen at, -1 for none. stamps_ns: capture times of the views that are used. filling:
    the picture with its holes filled by who knows what lies around them.
    """

    rgb: np.ndarray
    depth_m: np.ndarray
    seen: np.ndarray
    source: np.ndarray | None = field(default=None, repr=False)
    stamps_ns: tuple[int, ...] = ()
    filling: np.ndarray | None = field(default=None, repr=False)

    @cached_property
    def share_seen(self) -> float:
        """0 to 1: how much of the picture was seen."""
        return float(self.seen.mean())

    def seen_at(self, height: int, width: int) -> np.ndarray:
        """Which pixels are seen of the view at another size, bool: those of which all was."""
        if self.seen.shape == (height, width):
            return self.seen
        smaller = height * width < self.seen.size
        way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        share = cv2.resize(self.seen.astype(np.float32), (width, height), interpolation=way)
        return np.asarray(share > 1 - 1e-4)

    @cached_property
    def filled(self) -> np.ndarray:
        """The picture with colours carried into the holes; grey if there is nothing else."""
        if self.filling is not None:
            return self.filling
        holes = ~self.seen & (self.rgb == HOLE_RGB).all(axis=-1)
        if not holes.any():
            return self.rgb
        if holes.all():
            return np.full_like(self.rgb, 127)
        return carried(self.rgb, holes)


def carried(rgb: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """The picture with colours carried into the holes from their edges."""
    return np.asarray(cv2.inpaint(rgb, holes.astype(np.uint8), _FILL_PX, cv2.INPAINT_TELEA))
