"""Metrics against values worked out by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ipt_training.evaluation.metrics import (
    Share,
    calibration_error,
    fit_temperature,
    psnr,
    reliability,
    share_of,
    ssim,
    wilson,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 10), (271, 278), (1000, 2000)])
def test_intervals_are_wilson_s(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_nothing_counted_is_no_number() -> None:
    assert math.isnan(Share(0, 0).value) and Share(0, 0).interval == (0.0, 1.0)
    assert Share(0, 0).to_dict()["share"] is None
    assert share_of([True, False, True]) == Share(2, 3)
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(4, 3)


def test_calibration_error_of_known_bins() -> None:
    confidence = [0.95] * 10 + [0.55] * 4
    right = [True] * 8 + [False] * 2 + [True, True, True, False]
    bins = reliability(confidence, right)
    assert [(b.count, b.accuracy) for b in bins] == [(4, 0.75), (10, 0.8)]
    expected = (10 * 0.15 + 4 * 0.2) / 14
    assert calibration_error(confidence, right) == pytest.approx(expected)
    assert calibration_error([1.0, 1.0], [True, True]) == 0
    assert math.isnan(calibration_error([], []))
    with pytest.raises(ValueError, match="as many"):
        reliability([0.5], [])


def test_the_temperature_undoes_overconfidence() -> None:
    """Scores made too sharp by a known factor are brought back to it."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 4)) * 1.5
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    truth = [int(rng.choice(4, p=row)) for row in p]
    assert fit_temperature(scores.tolist(), truth) == pytest.approx(1.0, abs=0.06)
    sharp = (3 * scores).tolist()
    t = fit_temperature(sharp, truth)
    assert t == pytest.approx(3.0, abs=0.2)

    def ece(temperature: float) -> float:
        q = np.exp(np.array(sharp) / temperature)
        q /= q.sum(1, keepdims=True)
        return calibration_error(q.max(1), q.argmax(1) == np.array(truth))

    assert ece(t) < 0.03 < 0.1 < ece(1.0)
    assert fit_temperature([], []) == 1.0


def test_pictures_alike() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    flat = np.full((32, 32, 3), 100, np.uint8)
    assert psnr(a, a) == math.inf and ssim(a, a) == pytest.approx(1)
    assert psnr(flat, flat + np.uint8(5)) == pytest.approx(20 * math.log10(255 / 5))
    noisy = np.clip(a.astype(int) + rng.integers(-20, 21, a.shape), 0, 255).astype(np.uint8)
    other = rng.integers(0, 255, a.shape, dtype=np.uint8)
    assert 1 > ssim(a, noisy) > 0.8 > 0.1 > ssim(a, other)
    assert ssim(flat, flat + np.uint8(5)) < 1  # brightness counts
    with pytest.raises(ValueError, match="one size"):
        psnr(a, a[:16])
