"""The arms: what each takes unknown cells for, and the costs that its planner goes by.

In: the map that was seen, the true one, the mask that stands. Out: what every cell counts. All
else about a drive is the same in every arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ipt_ros.navigation.errands.episodes import PLANNED_RADIUS_M
from ipt_ros.navigation.planning.costs import as_seen, costmap_of, filtered, navfn

Mask = Literal["", "inpainted", "network", "imagined", "shuffled", "true"]


@dataclass(frozen=True)
class Arm:
    """mask: who says what unknown cells may hold; empty: nobody."""

    name: str
    words: str
    unknown: Literal["free", "forbidden", "flat", "known"] = "flat"
    mask: Mask = ""


ARMS = (
    Arm("free", "unknown is free", unknown="free"),
    Arm("forbidden", "unknown is forbidden", unknown="forbidden"),
    Arm("flat", "unknown costs the same everywhere (Nav2 today)"),
    Arm("inpainted", "filled from the nearest walls", mask="inpainted"),
    Arm("network", "filled by a small U-Net", mask="network"),
    Arm("imagined", "imagined mask", mask="imagined"),
    Arm("shuffled", "imagined mask of another errand", mask="shuffled"),
    Arm("truth", "a mask that is true", mask="true"),
    Arm("oracle", "the true map", unknown="known"),
)
BASELINE, ORACLE = "flat", "oracle"


def counts_for(
    arm: Arm,
    seen: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray | None,
    resolution_m: float,
) -> np.ndarray:
    """H x W, infinite where the planner must not go. seen, truth, mask: H x W int8."""
    if arm.unknown == "known":
        return navfn(costmap_of(truth, resolution_m, PLANNED_RADIUS_M))
    cells = as_seen(seen) if arm.unknown == "free" else seen
    costs = costmap_of(cells, resolution_m, PLANNED_RADIUS_M, arm.unknown != "free")
    if mask is not None:
        costs = filtered(costs, mask)
    return navfn(costs, allow_unknown=arm.unknown != "forbidden")
