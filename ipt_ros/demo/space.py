"""The demo's look at `~/imagined_space`: switch it on, take what a planner would get, compare it
with the truth, switch it off and see that it is taken back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, QoSProfile

from ipt_model.spatial import maps
from ipt_ros.client import Asker, AskTimeout, write_parameter
from ipt_ros.conversions import grid_to_array
from ipt_ros.demo.robot import Robot
from ipt_ros.mask.imagined_space import HIGHEST

#: Colours of a claim in the picture: surely free, surely occupied.
FREE_RGB, OCCUPIED_RGB = (206, 236, 214), (214, 90, 20)
WAIT_S, TAKE_BACK_S = 20.0, 5.0


@dataclass(frozen=True)
class SpaceRecord:
    """What stood on the topic. claims: cells; the means are of the mask, 0 to 90, over claims
    where the truth is occupied or free, NaN without any. taken_back_s: from switching it off to an
    empty mask, NaN when that never came.
    """

    claims: int
    mean_where_occupied: float
    mean_where_free: float
    highest: int
    seen_cells_touched: int
    waited_s: float
    taken_back_s: float


@dataclass(frozen=True)
class Space:
    """The record with its pictures, H x W x 3 uint8; no pictures when no mask came."""

    record: SpaceRecord
    known: np.ndarray | None = None
    mask: np.ndarray | None = None
    truth: np.ndarray | None = None


class SpaceWatch:
    """Listens to the mask, from before it is switched on. side_m: of the map that it shows."""

    def __init__(
        self, asker: Asker, robot: Robot, truth: maps.OccupancyGrid, side_m: float
    ) -> None:
        self._asker, self._robot, self._truth, self._side_m = asker, robot, truth, side_m
        self._mask: maps.OccupancyGrid | None = None
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        topic = f"{asker.target}/imagined_space"
        asker.node.create_subscription(OccupancyGrid, topic, self._hear, latched)

    def _hear(self, message: Any) -> None:
        self._mask = grid_to_array(message)

    def look(self) -> Space:
        began = time.monotonic()
        # of before: what is seen meanwhile may not have reached the mask
        known = self._robot.map
        write_parameter(self._asker, "imagined_space", True)
        came = self._wait(self._claims, WAIT_S)
        waited_s = time.monotonic() - began
        mask, pose = self._mask, self._robot.pose
        ended = time.monotonic()
        write_parameter(self._asker, "imagined_space", False)
        gone = self._wait(lambda: not self._claims(), TAKE_BACK_S)
        taken_back_s = time.monotonic() - ended if gone else float("nan")
        if not came or mask is None:
            nan = float("nan")
            return Space(SpaceRecord(0, nan, nan, -1, 0, waited_s, taken_back_s))
        claimed = mask.cells >= 0
        here = mask.centres()
        true = self._truth.values(here)
        seen = known.values(here) != maps.UNKNOWN
        record = SpaceRecord(
            claims=int(claimed.sum()),
            mean_where_occupied=_mean(mask.cells[claimed & (true >= maps.OCCUPIED // 2)]),
            mean_where_free=_mean(mask.cells[claimed & (true == maps.FREE)]),
            highest=int(mask.cells.max()),
            seen_cells_touched=int((claimed & seen).sum()),
            waited_s=waited_s,
            taken_back_s=taken_back_s,
        )
        x, y = (float(v) for v in here[claimed].mean(axis=0))
        view = maps.MapView.around(x, y, self._side_m, 256)
        robot = (pose.x, pose.y, pose.yaw)
        before = maps.draw_map(known, view, robot=robot)
        return Space(
            record,
            before,
            draw_claims(before, mask, view),
            maps.draw_map(self._truth, view, robot=robot),
        )

    def _claims(self) -> bool:
        return self._mask is not None and bool((self._mask.cells >= 0).any())

    def _wait(self, ready: Any, timeout_s: float) -> bool:
        try:
            self._robot.wait_until(ready, "imagined space", timeout_s)
        except AskTimeout:
            return False
        return True


def draw_claims(picture: np.ndarray, mask: maps.OccupancyGrid, view: maps.MapView) -> np.ndarray:
    """The map's picture with the mask's claims painted over what is unknown."""
    claims = mask.values(view.pixel_centres())
    share = np.clip(claims, 0, HIGHEST)[..., None] / HIGHEST
    colour = (1 - share) * np.array(FREE_RGB) + share * np.array(OCCUPIED_RGB)
    return np.where((claims >= 0)[..., None], colour.astype(np.uint8), picture)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
