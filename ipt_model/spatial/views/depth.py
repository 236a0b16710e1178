"""Depth as sensors give it, made fit to be remembered.

Real depth has holes, noise that grows with distance, and pixels at the edge of things that hang
between near and far. What remains after `clean` is a surface.
"""

from __future__ import annotations

import cv2
import numpy as np

#: A pixel is an edge where depth around it differs by more than this share of its mean, beyond
#: what a flat surface does that the camera looks along.
EDGE = 0.05
_AROUND = 3


def clean(depth_m: np.ndarray, near_m: float, far_m: float) -> np.ndarray:
    """Depth with 0 wherever it is no surface, H x W float32.

    depth_m: H x W, 0, negative or not finite where unknown. near_m, far_m: what is kept. Pixels
    that hang between near and far are dropped.
    """
    with np.errstate(invalid="ignore"):
        fit = (depth_m >= near_m) & (depth_m <= far_m)
    depth = np.where(fit, depth_m, 0).astype(np.float32)
    depth[hanging(depth)] = 0
    return depth


def hanging(depth: np.ndarray) -> np.ndarray:
    """Pixels of which the neighbours on both sides are far away, one nearer and one farther: such
    a pixel is on neither. A surface that the camera looks along has neighbours in equal steps.
    """
    found = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        before, after = _shifted(depth, axis)
        known = (before > 0) & (after > 0) & (depth > 0)
        down, up = depth - before, after - depth
        # both steps large, the same way, and not equal in inverse depth as on a plane
        least = EDGE * depth
        bent = np.abs(_inverse(before) + _inverse(after) - 2 * _inverse(depth)) * depth
        found |= (
            known & (down * up > 0) & (np.abs(down) + np.abs(up) > 2 * least) & (bent > 0.5 * EDGE)
        )
    return found


def _shifted(depth: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours before and after along an axis; a border pixel is its own."""
    pad = [(1, 1) if a == axis else (0, 0) for a in (0, 1)]
    wide = np.pad(depth, pad, mode="edge")
    length = depth.shape[axis]
    return wide.take(range(length), axis), wide.take(range(2, length + 2), axis)


def _inverse(depth: np.ndarray) -> np.ndarray:
    return np.divide(1.0, depth, out=np.zeros_like(depth), where=depth > 0)


def nearest_around(depth: np.ndarray) -> np.ndarray:
    """The nearest surface in the 3 x 3 pixels around each; 0 where one of them is unknown."""
    lowest = cv2.erode(depth, np.ones((_AROUND, _AROUND), np.uint8), borderValue=np.inf)
    return np.asarray(lowest)
