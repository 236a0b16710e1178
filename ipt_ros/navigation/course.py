"""All drives of some houses: every errand in every arm, what each drive was like, line by line.

Houses are visited in rounds, so that whatever is finished is balanced: a round takes one
decision-relevant and one ordinary errand of every house, each in all arms before the next.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ipt_model.spatial.maps import OccupancyGrid
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.wording.rows import write_file
from ipt_ros.navigation.driving import Driver, ErrandDrive, MaskOf
from ipt_ros.navigation.errands.episodes import Errand, true_map
from ipt_ros.navigation.errands.houses import House
from ipt_ros.navigation.masks import (
    Pose,
    Recorded,
    by_inpainting,
    by_network,
    by_truth,
    moved,
    nth,
)
from ipt_ros.navigation.moving import ROBOT_HEIGHT_M, ROBOT_RADIUS_M, Body, Look
from ipt_ros.navigation.planning.arms import ARMS, Arm
from ipt_ros.navigation.records import Records
from ipt_training.filling.network import FillingNetwork
from ipt_training.scenes.standing import Furniture

#: Errands of a house in a round.
IN_A_ROUND = 2
#: Nearer than this to a thing or a wall is a near-collision, m; looked at every so often.
NEAR_M, EVERY_M = ROBOT_RADIUS_M + 0.05, 0.05


class Sensing(Body, Protocol):
    def imagined(self, grid: OccupancyGrid, look: Look) -> np.ndarray | None:
        """What the node publishes on `~/imagined_space`."""


@dataclass(frozen=True)
class Helpers:
    """What masks are made of besides the node. bank: masks of drives elsewhere, one list each."""

    network: FillingNetwork | None
    bank: Sequence[Sequence[Recorded | None]]
    pictures: PictureGeometry


def mask_of(
    arm: Arm, errand: Errand, truth: OccupancyGrid, body: Sensing, helpers: Helpers
) -> MaskOf | None:
    """Who tells this arm what unknown cells may hold."""
    if arm.mask == "imagined":
        return body.imagined
    if arm.mask == "inpainted":
        return lambda grid, look: by_inpainting(grid, look.robot, helpers.pictures)
    if arm.mask == "true":
        return lambda grid, look: by_truth(grid, look.robot, helpers.pictures, truth)
    if arm.mask == "network":
        network = helpers.network
        assert network is not None
        return lambda grid, look: by_network(network, grid, look.robot, helpers.pictures)
    if arm.mask == "shuffled":
        return _Shuffled(errand, helpers.bank)
    return None


class _Shuffled:
    """The masks of one drive elsewhere, in their order, each said of where the robot is now."""

    def __init__(self, errand: Errand, bank: Sequence[Sequence[Recorded | None]]) -> None:
        number = int(errand.id.partition("/")[2])
        rng = np.random.default_rng([errand.house, number, 0x5F])
        self._masks = bank[int(rng.integers(len(bank)))]
        self._next = 0

    def __call__(self, grid: OccupancyGrid, look: Look) -> np.ndarray | None:
        recorded = nth(self._masks, self._next)
        self._next += 1
        return None if recorded is None else moved(recorded, grid, look.robot)


def drive(
    house: House, truth: OccupancyGrid, errand: Errand, arm: Arm, body: Sensing, helpers: Helpers
) -> dict[str, Any]:
    """One line of the records."""
    asks = mask_of(arm, errand, truth, body, helpers)
    driver = Driver(body, truth, house.changed.bounds, errand, arm, asks)
    found = driver.run()
    return record_of(house, errand, arm, found)


def record_of(house: House, errand: Errand, arm: Arm, found: ErrandDrive) -> dict[str, Any]:
    least, near = nearness(house, found.track)
    return {
        "errand": errand.id,
        "house": errand.house,
        "relevant": errand.relevant,
        "change": errand.change,
        "oracle_m": errand.oracle_m,
        "arm": arm.name,
        **found.to_dict(),
        "near": near,
        "least_m": least,
        "track": [[round(v, 2) for v in at] for at in found.track],
    }


def nearness(house: House, track: Sequence[Pose]) -> tuple[float, int]:
    """The least clearance on a way, m, and how many stretches of it were a near-collision."""
    furniture = Furniture(house.changed, ROBOT_HEIGHT_M)
    least, near, was = math.inf, 0, False
    for (x0, y0, _), (x1, y1, _) in pairwise(track):
        steps = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / EVERY_M))
        for share in np.linspace(0.0, 1.0, steps, endpoint=False):
            away = furniture.clearance(x0 + share * (x1 - x0), y0 + share * (y1 - y0))
            near += away < NEAR_M and not was
            was = away < NEAR_M
            least = min(least, away)
    return round(least, 3), near


def visit(
    house: House,
    errands: Sequence[Errand],
    body: Sensing,
    helpers: Helpers,
    records: Records,
    tell: Callable[[str], Any],
) -> None:
    """Every drive of these errands that is left."""
    truth = true_map(house)
    for errand in errands:
        for arm in ARMS:
            if (errand.id, arm.name) in records.finished:
                continue
            began = time.monotonic()
            record = drive(house, truth, errand, arm, body, helpers)
            records.add(record)
            tell(
                f"{errand.id} {arm.name}: {record['outcome']}, {record['driven_m']:.1f} m of "
                f"{errand.oracle_m:.1f} m, {time.monotonic() - began:.1f} s"
            )


def left(errands: Sequence[Errand], records: Records) -> int:
    return sum((e.id, arm.name) not in records.finished for e in errands for arm in ARMS)


# -- the bank of masks of other errands -----------------------------------------------------------


def recorded_drives(
    house: House, errands: Sequence[Errand], body: Sensing
) -> list[list[Recorded | None]]:
    """The masks of a drive by imagination, of every errand."""
    truth, imagined = true_map(house), ARMS[[a.name for a in ARMS].index("imagined")]
    drives = []
    for errand in errands:
        masks: list[Recorded | None] = []

        def keep(
            grid: OccupancyGrid, look: Look, masks: list[Recorded | None] = masks
        ) -> np.ndarray | None:
            cells = body.imagined(grid, look)
            if cells is None:
                masks.append(None)
            else:
                masks.append(Recorded(cells, grid.resolution_m, grid.origin_xy, look.robot))
            return cells

        Driver(body, truth, house.changed.bounds, errand, imagined, keep).run()
        drives.append(masks)
    return drives


def save_bank(path: Path, drives: Sequence[Sequence[Recorded | None]]) -> None:
    """All at once: a file that is there is whole."""
    plain = [[None if m is None else _plain(m) for m in masks] for masks in drives]
    write_file(path, json.dumps(plain).encode())


def load_bank(path: Path) -> list[list[Recorded | None]]:
    def read(one: dict[str, Any]) -> Recorded:
        cells = np.array(one["cells"], np.int8)
        return Recorded(cells, one["resolution_m"], tuple(one["origin"]), tuple(one["robot"]))

    drives = json.loads(path.read_text(encoding="utf-8"))
    return [[None if m is None else read(m) for m in masks] for masks in drives]


def _plain(mask: Recorded) -> dict[str, Any]:
    return {
        "cells": mask.cells.tolist(),
        "resolution_m": mask.resolution_m,
        "origin": list(mask.origin_xy),
        "robot": list(mask.robot),
    }
