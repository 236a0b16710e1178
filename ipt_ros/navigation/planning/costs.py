"""What a cell costs a planner: Nav2's costmap of what was seen, its KeepoutFilter, NavFn's rule.

In: an observed map and a mask, both in the convention of nav_msgs. Out: costs of a costmap (0 to
255), and what NavFn counts for a cell. Numbers are those of nav2_costmap_2d and
nav2_navfn_planner with their default parameters; docs/nav2.md has the table. Knows nothing of
where a mask comes from.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN

#: Costs of nav2_costmap_2d.
FREE_SPACE, INSCRIBED, LETHAL, NO_INFORMATION = 0, 253, 254, 255
#: NavFn: a free cell counts NEUTRAL, others NEUTRAL + FACTOR * cost, DEAREST at most.
NEUTRAL, FACTOR, DEAREST = 50, 0.8, 253
#: Of the inflation layer: how far it reaches beyond an obstacle, m, and how fast it falls, 1/m.
INFLATION_M, FALL = 0.55, 3.0


def costmap_of(
    cells: np.ndarray, resolution_m: float, radius_m: float, track_unknown: bool = True
) -> np.ndarray:
    """H x W uint8: obstacles with their inflation. radius_m: of the disc that must not touch them.

    track_unknown: unknown cells are NO_INFORMATION unless a known obstacle is nearer than the
    radius; else they are free.
    """
    occupied = cells == OCCUPIED
    costs = np.zeros(cells.shape, np.uint8)
    if occupied.any():
        # from the middle of a cell to the nearest edge of an occupied one, about
        away = (ndimage.distance_transform_edt(~occupied) - 0.5) * resolution_m
        falling = (INSCRIBED - 1) * np.exp(-FALL * np.maximum(0.0, away - radius_m))
        costs = np.where(away <= INFLATION_M + radius_m, falling, 0.0).astype(np.uint8)
        costs[away < radius_m] = INSCRIBED
        costs[occupied] = LETHAL
    if track_unknown:
        costs[(cells == UNKNOWN) & (costs < INSCRIBED)] = NO_INFORMATION
    return costs


def mask_cost(mask: np.ndarray) -> np.ndarray:
    """What KeepoutFilter makes of a mask, H x W uint8; NO_INFORMATION where it says nothing."""
    scaled = np.floor(np.clip(mask, 0, 100) * (LETHAL / 100.0) + 0.5)
    return np.where(mask < 0, NO_INFORMATION, scaled).astype(np.uint8)


def filtered(costs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """KeepoutFilter: the mask's cost where the costmap is unknown or lower."""
    wanted = mask_cost(mask)
    writes = (wanted != NO_INFORMATION) & ((costs == NO_INFORMATION) | (costs < wanted))
    return np.where(writes, wanted, costs).astype(np.uint8)


def navfn(costs: np.ndarray, allow_unknown: bool = True) -> np.ndarray:
    """What each cell counts on a path, H x W float64; infinite where the robot must not be."""
    counts = np.minimum(np.floor(NEUTRAL + FACTOR * costs), DEAREST)
    counts[costs >= INSCRIBED] = math.inf
    counts[costs == NO_INFORMATION] = DEAREST if allow_unknown else math.inf
    return np.asarray(counts, np.float64)


def as_seen(cells: np.ndarray) -> np.ndarray:
    """Unknown cells taken for free."""
    return np.where(cells == UNKNOWN, FREE, cells).astype(np.int8)
