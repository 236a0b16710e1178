"""The colour of imagination: remembered pixels are shown as they are, imagined ones tinted.

What people look at (RViz, the demo's report) is made here, so that the tint means the same
everywhere. Planners read `ImaginedView.seen` instead. No ROS.
"""

from __future__ import annotations

import numpy as np

#: Mixed into imagined pixels: a pink that few rooms and things have.
TINT_RGB = (255, 40, 150)
#: How much of it: enough to be seen on white and on black, too little to hide what was drawn.
TINT_SHARE = 0.4


def tinted(picture: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """picture: H x W x 3 uint8 RGB. seen: H x W bool, which of its pixels are remembered. Gives a
    new picture with the others mixed with TINT_RGB.
    """
    mixed = (1.0 - TINT_SHARE) * picture + TINT_SHARE * np.array(TINT_RGB, np.float32)
    return np.where(seen[:, :, None], picture, np.rint(mixed).astype(np.uint8))
