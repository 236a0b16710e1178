"""How alike two pictures are where both are known: PSNR and SSIM with a mask."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ipt_ros.answering.guard import MIN_PIXELS


def peak_signal_to_noise(a: np.ndarray, b: np.ndarray, known: np.ndarray) -> float:
    """dB over the known pixels; at most 60, NaN where too few are known."""
    if known.sum() < MIN_PIXELS:
        return float("nan")
    error = float(np.mean((a[known].astype(np.float64) - b[known]) ** 2))
    return min(60.0, 10.0 * math.log10(255.0**2 / max(error, 1e-9)))


def structural_similarity(a: np.ndarray, b: np.ndarray, known: np.ndarray) -> float:
    """Mean SSIM of brightness where a whole window is known, 0 to 1; NaN where too little is."""
    window = (7, 7)
    whole = cv2.erode(
        known.astype(np.uint8), np.ones(window, np.uint8), borderType=cv2.BORDER_CONSTANT
    )
    if whole.sum() < MIN_PIXELS:
        return float("nan")
    x, y = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (a, b))
    mean_x, mean_y = cv2.blur(x, window), cv2.blur(y, window)
    spread_x = cv2.blur(x * x, window) - mean_x**2
    spread_y = cv2.blur(y * y, window) - mean_y**2
    together = cv2.blur(x * y, window) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    quality = ((2 * mean_x * mean_y + c1) * (2 * together + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2)
    )
    return float(np.clip(quality[whole > 0].mean(), 0.0, 1.0))
