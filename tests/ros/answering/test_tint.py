"""What people see: remembered pixels stay as they are, imagined ones take the tint."""

import numpy as np

from ipt_ros.answering.tint import TINT_RGB, TINT_SHARE, tinted


def test_remembered_pixels_stay_and_imagined_ones_take_the_tint():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (6, 8, 3), np.uint8)
    seen = rng.random((6, 8)) < 0.5
    before = picture.copy()
    found = tinted(picture, seen)
    assert found.dtype == np.uint8 and (picture == before).all()
    assert (found[seen] == picture[seen]).all()
    expected = (1 - TINT_SHARE) * picture[~seen] + TINT_SHARE * np.array(TINT_RGB)
    assert np.abs(found[~seen] - expected).max() <= 0.5 + 1e-4


def test_the_tint_shows_on_white_black_and_grey():
    for level in (0, 127, 255):
        grey = np.full((1, 2, 3), level, np.uint8)
        kept, mixed = tinted(grey, np.array([[True, False]]))[0].astype(int)
        assert np.abs(kept - mixed).max() >= 45
