"""A node that keeps a mask, and the robot and planner around it, for tests of the mask's contract
over DDS.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import LATCHED, PATIENCE_S, Collected, peer, running, until
from nav_msgs.msg import OccupancyGrid
from robot_input import RobotInput

PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": [0.1, 0.0, 1.2, 0.0, 0.25, 0.0],
    "imagined_space": True,
    "imagined_space_period_s": 0.5,
    # longer than any test waits for an all-clear: a timeout must not do another clause's work
    "imagined_space_timeout_s": 60.0,
    "imagined_space_imaginations": 2,
    "flow_steps": 2,
    "view_max_age_s": 0.6,
    # an untrained drawing agrees with nothing: let it through, the contract must hold for any
    "min_map_agreement": 0.0,
}


@contextlib.contextmanager
def life_of_a_node(
    domain: int, folder: Path, environment: dict[str, str] | None = None, **parameters: Any
) -> Iterator[Any]:
    """The node, its masks, somebody who tests, and a robot that works."""
    parameters = {**PARAMETERS, **parameters}
    with (
        running(
            "ipt_node", domain, folder, parameters=parameters, environment=environment
        ) as process,
        peer(domain) as tester,
    ):
        process.wait_for_print("ready:")
        masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
        robot = RobotInput(tester)
        try:
            yield process, tester, masks, robot
        finally:
            robot.close()


def standing(masks: Collected) -> Collected:
    until(lambda: len(masks) and claims(masks.newest), "a mask that claims something stands", 30)
    return masks


def cells(message: OccupancyGrid) -> np.ndarray:
    return np.array(message.data, np.int8).reshape(message.info.height, message.info.width)


def claims(message: OccupancyGrid) -> bool:
    return message.info.width == 100 and bool((cells(message) != -1).any())


def is_clear(message: OccupancyGrid) -> bool:
    return bool((cells(message) == -1).all())


def taken_back(masks: Collected, since: int, timeout_s: float = PATIENCE_S) -> OccupancyGrid:
    """An all-clear comes, and nothing after it while what was wrong stays wrong."""
    cleared = masks.wait_for(is_clear, timeout_s, since)
    time.sleep(1.2)  # two rounds of imagining
    assert is_clear(masks.newest)
    return cleared


def claimed_x(message: OccupancyGrid) -> tuple[float, float]:
    """From where to where in x the mask claims something, m in its own frame."""
    columns = np.flatnonzero((cells(message) != -1).any(axis=0))
    west = message.info.origin.position.x
    return west + columns[0] * message.info.resolution, west + (
        columns[-1] + 1
    ) * message.info.resolution
