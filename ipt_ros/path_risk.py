"""How risky each pose of a path is, from what was seen and, where nothing was seen, from an
imagined map.

Observation always wins: a cell that was seen is as it was seen. ROS-free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ipt_model.maps import OCCUPIED, UNKNOWN, OccupancyGrid


@dataclass(frozen=True)
class PathRisk:
    """risk: N float64, probability that the pose is blocked; NaN where neither sight nor
    imagination tells.

    seen_blocked: index of the first pose that touches a cell seen occupied, or None.
    all_seen: every cell that the robot would sweep was seen.
    """

    risk: np.ndarray
    seen_blocked: int | None
    all_seen: bool


def path_risk(
    grid: OccupancyGrid, path_xy: np.ndarray, radius_m: float, imagined: np.ndarray | None
) -> PathRisk:
    """imagined: probability of occupied per cell of the grid (H x W), NaN where the drawing does
    not reach.
    """
    reach = math.ceil(radius_m / grid.resolution_m) + 1
    steps = np.arange(-reach, reach + 1)
    dr, dc = (d.ravel() for d in np.meshgrid(steps, steps, indexing="ij"))
    height, width = grid.cells.shape
    rows, columns = grid.indices(path_xy)
    risk = np.full(len(path_xy), np.nan)
    seen_blocked: int | None = None
    all_seen = True
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        r, c = row + dr, column + dc
        # any part of the cell within the radius counts
        x = grid.origin_xy[0] + (c + 0.5) * grid.resolution_m - path_xy[i, 0]
        y = grid.origin_xy[1] + (r + 0.5) * grid.resolution_m - path_xy[i, 1]
        half = 0.5 * grid.resolution_m
        touched = np.hypot(np.maximum(np.abs(x) - half, 0), np.maximum(np.abs(y) - half, 0))
        r, c = r[touched <= radius_m], c[touched <= radius_m]
        inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
        values = np.full(r.shape, UNKNOWN, np.int8)
        values[inside] = grid.cells[r[inside], c[inside]]
        unknown = values == UNKNOWN
        chance = np.where(values >= OCCUPIED // 2, 1.0, 0.0)
        if unknown.any():
            all_seen = False
            guess = np.full(r.shape, np.nan)
            if imagined is not None:
                guess[inside] = imagined[r[inside], c[inside]]
            chance = np.where(unknown, guess, chance)
        if (chance[~unknown] == 1.0).any():
            risk[i] = 1.0
            if seen_blocked is None:
                seen_blocked = i
        elif not np.isnan(chance).all():
            known_share = float(np.mean(~np.isnan(chance)))
            # too little of the disc is known or imagined to speak of it
            risk[i] = float(np.nanmax(chance)) if known_share > 0.5 else np.nan
    return PathRisk(risk, seen_blocked, all_seen)
