"""A recalled view: its holes are marked, measured and filled from their edges."""

from __future__ import annotations

import numpy as np

from ipt_model.spatial.recalled import HOLE_RGB, RecalledView


def view(seen: np.ndarray) -> RecalledView:
    rgb = np.full((*seen.shape, 3), (200, 100, 50), np.uint8)
    rgb[~seen] = HOLE_RGB
    return RecalledView(rgb, np.where(seen, 2.0, 0.0).astype(np.float32), seen)


def test_holes_take_the_colours_around_them() -> None:
    seen = np.ones((16, 16), bool)
    seen[4:12, 4:12] = False
    found = view(seen)
    assert found.share_seen == 0.75
    assert np.abs(found.filled.astype(int) - (200, 100, 50)).max() <= 2  # no magenta runs in


def test_a_view_of_nothing_is_grey_and_a_whole_one_is_itself() -> None:
    assert (view(np.zeros((8, 8), bool)).filled == 127).all()
    whole = view(np.ones((8, 8), bool))
    assert whole.filled is whole.rgb
