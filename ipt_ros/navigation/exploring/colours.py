"""Which pixels of a picture have the colour that a thing is named by, in any light.

In: RGB and a colour word of `scenes.colours`. Out: H x W bool. A pixel has the named colour that
is nearest to it in CIE Lab, from deep shadow to full light; none where all are farther away than
pixels of one colour are from each other. Knows nothing of shapes: all things of a colour are
alike.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ipt_training.evaluation.objects import MIN_PIXELS, SAME_COLOUR
from ipt_training.scenes.colours import COLOURS

#: Walls, floors and wood have the others, so they say nothing of a thing.
SEARCHED = ("blue", "green", "yellow", "purple", "cyan", "orange", "pink")
#: A colour is shown by no fewer pixels.
LEAST_PIXELS = MIN_PIXELS
#: How much of a thing's colour its surfaces have, from those in shadow on.
LIGHT = np.linspace(0.3, 1.05, 8)


def has_colour(rgb: np.ndarray, colour: str) -> np.ndarray:
    """rgb: H x W x 3 uint8."""
    names, shades = _shades()
    lab = _lab(rgb.reshape(1, -1, 3))[0]
    away = np.linalg.norm(lab[:, None] - shades, axis=2)
    nearest = away.argmin(axis=1)
    same = (names[nearest] == colour) & (away.min(axis=1) < SAME_COLOUR)
    return np.asarray(same.reshape(rgb.shape[:2]))


@lru_cache(maxsize=1)
def _shades() -> tuple[np.ndarray, np.ndarray]:
    """Names and Lab values of all colours in all light, one row each."""
    lit = np.array(list(COLOURS.values()), float)[:, None] * LIGHT[:, None]
    rgb = np.clip(np.rint(lit), 0, 255).astype(np.uint8).reshape(1, -1, 3)
    return np.repeat(list(COLOURS), len(LIGHT)), _lab(rgb)[0]


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
