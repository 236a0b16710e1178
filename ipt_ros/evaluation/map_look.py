"""Looks at `~/imagined_space` from one stand: switches it on, waits for claims, scores them
against the true map, switches it off. Walls are scored as they were drawn, not as wide as planners
are told.

The mask never speaks of a cell that was seen, so its claims are all of unseen ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, QoSProfile

from ipt_model.spatial import maps
from ipt_ros.client import Asker, AskTimeout, Waiter, read_parameters, write_parameter
from ipt_ros.conversions import grid_to_array
from ipt_ros.demo.space import draw_claims
from ipt_ros.evaluation.records import MaskScore
from ipt_ros.evaluation.scores import mask_score

#: Width of the pictures of the page, pixels, and the side of the world that they show, m.
PICTURE_PX, SIDE_M = 224, 8.0
GONE_S = 10.0
WIDENING = "imagined_space_widening_m"


class MapLook:
    def __init__(self, asker: Asker, waiter: Waiter, timeout_s: float) -> None:
        self._asker, self._waiter = asker, waiter
        self._timeout_s = timeout_s
        self._mask: maps.OccupancyGrid | None = None
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        topic = f"{asker.target}/imagined_space"
        asker.node.create_subscription(OccupancyGrid, topic, self._hear, latched)

    def _hear(self, message: Any) -> None:
        self._mask = grid_to_array(message)

    def look(self, truth: maps.OccupancyGrid) -> tuple[MaskScore | None, dict[str, np.ndarray]]:
        """The score with pictures of the claims and of the truth; None where none were made in
        time, which is the guard's right.
        """
        # nothing of the stand before
        self._waiter.until(lambda: self._claims() is None, "an empty mask", GONE_S)
        wide_m = read_parameters(self._asker, [WIDENING])[WIDENING]
        write_parameter(self._asker, WIDENING, 0.0)
        write_parameter(self._asker, "imagined_space", True)
        try:
            mask = self._waiter.until(self._claims, "imagined space", self._timeout_s)
        except AskTimeout:
            mask = None
        finally:
            write_parameter(self._asker, "imagined_space", False)
            write_parameter(self._asker, WIDENING, wide_m)
        if mask is None:
            return None, {}
        claimed = mask.cells >= 0
        true = truth.values(mask.centres())
        known = claimed & (true != maps.UNKNOWN)
        score = mask_score(mask.cells[known].astype(float), true[known] >= maps.OCCUPIED // 2)
        return score, self._pictures(mask, claimed, truth)

    def _claims(self) -> maps.OccupancyGrid | None:
        mask = self._mask
        return mask if mask is not None and bool((mask.cells >= 0).any()) else None

    def _pictures(
        self, mask: maps.OccupancyGrid, claimed: np.ndarray, truth: maps.OccupancyGrid
    ) -> dict[str, np.ndarray]:
        x, y = (float(v) for v in mask.centres()[claimed].mean(axis=0))
        view = maps.MapView.around(x, y, SIDE_M, PICTURE_PX)
        empty = maps.OccupancyGrid(
            np.full((1, 1), maps.UNKNOWN, np.int8), SIDE_M, (x - 0.5 * SIDE_M, y - 0.5 * SIDE_M)
        )
        return {
            "claims: green free, orange occupied": draw_claims(
                maps.draw_map(empty, view), mask, view
            ),
            "the true map": maps.draw_map(truth, view),
        }
