"""Numbers of an evaluation, each a small function of plain arrays.

Accuracies with intervals, calibration, and how alike two pictures are. Nothing here knows about
models, tasks or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

#: Standard normal quantile of a two-sided 95 % interval.
Z95 = 1.959963984540054
#: Draws of the bootstrap, and the sides of its interval.
DRAWS, LOW, HIGH = 4000, 0.025, 0.975


@dataclass(frozen=True)
class Share:
    """k of n with its 95 % Wilson interval, all in 0 to 1; NaN where n is 0."""

    k: int
    n: int

    @property
    def value(self) -> float:
        return self.k / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.k, self.n)

    def to_dict(self) -> dict[str, object]:
        """For JSON; 4 digits."""
        low, high = self.interval
        return {
            "k": self.k,
            "n": self.n,
            "share": round(self.value, 4) if self.n else None,
            "low": round(low, 4),
            "high": round(high, 4),
        }


def share_of(flags: Sequence[bool]) -> Share:
    """How many of the flags are set."""
    return Share(sum(map(bool, flags)), len(flags))


def wilson(k: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share; (0, 1) when nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    if not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n, got k = {k}, n = {n}")
    p, z2 = k / n, Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def by_group(values: ArrayLike, groups: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sizes of the groups, in the order of their names."""
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(group, np.asarray(values, float), minlength=len(names))
    return sums, np.bincount(group, minlength=len(names)).astype(float)


def drawn_interval(
    statistic: Callable[[np.ndarray], np.ndarray], groups: int
) -> tuple[float, float]:
    """The 95 % interval of a statistic over whole groups that are drawn again and again, always
    alike. statistic: DRAWS x groups numbers of groups -> DRAWS values; NaN where it has none."""
    drawn = np.random.default_rng(0).integers(groups, size=(DRAWS, groups))
    low, high = np.nanquantile(statistic(drawn), (LOW, HIGH))
    return float(low), float(high)


# -- calibration
@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram: mean confidence and accuracy of `count` answers."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """Bins of equal width over 0 to 1; empty ones are left out."""
    c, r = np.asarray(confidences, float), np.asarray(right, bool)
    if c.shape != r.shape:
        raise ValueError(f"expected as many confidences as answers, got {c.shape} and {r.shape}")
    which = np.clip((c * bins).astype(int), 0, bins - 1)
    out = []
    for b in range(bins):
        inside = which == b
        if inside.any():
            out.append(
                Bin(
                    b / bins,
                    (b + 1) / bins,
                    int(inside.sum()),
                    float(c[inside].mean()),
                    float(r[inside].mean()),
                )
            )
    return out


def calibration_error(
    confidences: Sequence[float], right: Sequence[bool], bins: int = 10
) -> float:
    """Expected calibration error: mean distance between confidence and accuracy over the bins,
    weighted by count; NaN for nothing."""
    found = reliability(confidences, right, bins)
    total = sum(b.count for b in found)
    if not total:
        return math.nan
    return sum(b.count * abs(b.confidence - b.accuracy) for b in found) / total


def fit_temperature(scores: Sequence[Sequence[float]], truth: Sequence[int]) -> float:
    """The temperature that minimises the cross-entropy of softmax(scores / T); 1 for nothing.

    Found by golden section over log T within 1/20 to 20: the loss has one minimum in 1 / T.
    """
    if not scores:
        return 1.0

    def loss(log_t: float) -> float:
        total = 0.0
        for row, right in zip(scores, truth, strict=True):
            x = np.asarray(row, float) / math.exp(log_t)
            top = x.max()
            total += float(top + np.log(np.exp(x - top).sum()) - x[right])
        return total

    low, high = -math.log(20), math.log(20)
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = loss(a), loss(b)
    for _ in range(40):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = loss(b)
    return math.exp(0.5 * (low + high))


# -- pictures
def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise ratio of two H x W x 3 uint8 pictures, dB; infinite when equal."""
    _same(a, b)
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two H x W x 3 uint8 pictures: Gaussian window of deviation 1.5 and
    11 pixels, mean over pixels and channels."""
    _same(a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)

    def blur(picture: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(picture, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(value.mean())


def _same(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(
            f"expected two uint8 pictures of one size, got {a.shape} {a.dtype} "
            f"and {b.shape} {b.dtype}"
        )
