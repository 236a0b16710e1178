"""Drives over DDS with a real simulator and a real node: equal seeds give equal drives, and lock
step gives what the simulator gives without ROS.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from stepped_body import SteppedBody

from ipt_model.spatial.maps import UNKNOWN, OccupancyGrid
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.client import AskTimeout
from ipt_ros.mask.imagined_space import HIGHEST
from ipt_ros.navigation.course import Helpers, drive
from ipt_ros.navigation.errands.episodes import errands_of, true_map
from ipt_ros.navigation.errands.houses import house_of
from ipt_ros.navigation.planning.arms import ARMS
from ipt_ros.navigation.stage import Stage

pytestmark = pytest.mark.slow(40)
ARM = {arm.name: arm for arm in ARMS}
HELPERS = Helpers(None, [], PictureGeometry())


@pytest.fixture(scope="module")
def run(ros_domain, tmp_path_factory):
    """One node and one simulator, met."""
    folder, house = tmp_path_factory.mktemp("navigation"), house_of(850002)
    with Stage("ipt-tiny", folder / "scene.json", ros_domain + 2) as stage:
        stage.enter(house)
        yield SimpleNamespace(
            robot=stage.robot, stage=stage, house=house, folder=folder, truth=true_map(house)
        )


@pytest.fixture(scope="module")
def errand(run):
    """A short one."""
    return min(errands_of(run.house, 4), key=lambda e: e.oracle_m)


def test_equal_seeds_give_equal_drives_with_imagined_masks(run, errand):
    drives = [
        drive(run.house, run.truth, errand, ARM["imagined"], run.robot, HELPERS) for _ in range(2)
    ]
    assert drives[0]["outcome"] == "arrived" and drives[0]["masks"] > 1
    assert json.dumps(drives[0]) == json.dumps(drives[1])
    # a simulator and a robot that begin anew
    run.stage.enter(run.house)
    again = drive(run.house, run.truth, errand, ARM["imagined"], run.robot, HELPERS)
    assert json.dumps(again) == json.dumps(drives[0])


def test_lock_step_over_topics_is_the_simulator_step_by_step(run, errand):
    over = drive(run.house, run.truth, errand, ARM["flat"], run.robot, HELPERS)
    body = SteppedBody(run.house, run.folder)
    assert over == drive(run.house, run.truth, errand, ARM["flat"], body, HELPERS)


def test_the_mask_is_that_of_the_map_that_was_sent(run, errand):
    look = run.robot.put(errand.start)
    shape = np.full(run.truth.cells.shape, UNKNOWN, np.int8)
    masks = []
    for known in (3.0, 4.0, 3.0):
        away = np.hypot(*np.moveaxis(run.truth.centres() - errand.start[:2], -1, 0))
        cells = np.where(away < known, run.truth.cells, shape).astype(np.int8)
        grid = OccupancyGrid(cells, run.truth.resolution_m, run.truth.origin_xy)
        mask = run.robot.imagined(grid, look)
        assert mask is not None and mask.shape == cells.shape and mask.max() <= HIGHEST
        assert (mask[cells != UNKNOWN] == -1).all()
        masks.append(mask)
    assert np.array_equal(masks[0], masks[2]) and not np.array_equal(masks[0], masks[1])


def test_a_mask_of_a_view_that_is_gone_is_refused(run, errand):
    first = run.robot.put(errand.start)
    shape = OccupancyGrid(
        np.full(run.truth.cells.shape, UNKNOWN, np.int8),
        run.truth.resolution_m,
        run.truth.origin_xy,
    )
    run.robot.step(0.0, 0.5)
    with pytest.raises(AskTimeout, match="newer one has come"):
        run.robot.imagined(shape, first)
