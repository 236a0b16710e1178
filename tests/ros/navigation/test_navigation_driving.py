"""Drives in the embedded simulator, without ROS: they arrive, they go on where they were stopped,
and the same errand is driven the same way.
"""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from stepped_body import SteppedBody

from ipt_model.spatial.maps import FREE, UNKNOWN, OccupancyGrid
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.navigation import course
from ipt_ros.navigation.course import Helpers, drive, load_bank, nearness, save_bank, visit
from ipt_ros.navigation.driving import MASK_STEPS, Driver
from ipt_ros.navigation.errands.episodes import CELL_M, errands_of, true_map
from ipt_ros.navigation.errands.houses import house_of
from ipt_ros.navigation.masks import Recorded
from ipt_ros.navigation.moving import ARRIVED_M, KNOWN_M, off_course
from ipt_ros.navigation.planning.arms import ARMS
from ipt_ros.navigation.records import Records, all_records
from ipt_ros.navigation.running import in_rounds

ARM = {arm.name: arm for arm in ARMS}
HELPERS = Helpers(None, [], PictureGeometry())


@pytest.fixture(scope="module")
def house():
    return house_of(850002)


@pytest.fixture(scope="module")
def errands(house):
    return errands_of(house, 4)


@pytest.fixture(scope="module")
def truth(house):
    return true_map(house)


@pytest.fixture
def body(house, tmp_path):
    return SteppedBody(house, tmp_path)


@pytest.mark.parametrize("name", ["free", "forbidden", "flat", "oracle"])
def test_it_arrives_and_touches_nothing(house, errands, truth, body, name):
    record = drive(house, truth, errands[3], ARM[name], body, HELPERS)
    assert (record["outcome"], record["contacts"]) == ("arrived", 0)
    end = np.array(record["track"][-1][:2])
    assert np.hypot(*(end - errands[3].goal)) <= ARRIVED_M + 0.01
    assert record["driven_m"] > 0.8 * errands[3].oracle_m
    assert record["time_s"] == 0.5 * (len(record["track"]) - 1)


def test_who_knows_the_map_drives_less_where_the_errand_is_relevant(house, errands, truth, body):
    lengths = {
        name: drive(house, truth, errands[2], ARM[name], body, HELPERS)["driven_m"]
        for name in ("free", "oracle")
    }
    assert lengths["oracle"] < lengths["free"] / 1.1


def test_the_same_errand_is_driven_the_same_way_whatever_was_driven_before(
    house, errands, truth, body
):
    first = drive(house, truth, errands[3], ARM["flat"], body, HELPERS)
    drive(house, truth, errands[0], ARM["oracle"], body, HELPERS)
    assert drive(house, truth, errands[3], ARM["flat"], body, HELPERS) == first


def test_masks_are_asked_for_every_two_seconds_and_change_the_way(house, errands, truth, tmp_path):
    nothing = SteppedBody(house, tmp_path)
    plain = drive(house, truth, errands[0], ARM["imagined"], nothing, HELPERS)
    steps = len(plain["track"]) - 1
    # the first four steps are the turn at the start
    assert nothing.asked == 1 + (steps - 1 - 4) // MASK_STEPS
    assert plain["masks"] == 0
    flat = drive(house, truth, errands[0], ARM["flat"], nothing, HELPERS)
    assert plain["track"] == flat["track"]
    walls = SteppedBody(house, tmp_path, np.full(truth.cells.shape, 0, np.int8))
    other = drive(house, truth, errands[0], ARM["imagined"], walls, HELPERS)
    assert other["masks"] == walls.asked > 0
    assert other["track"] != flat["track"]


def test_it_knows_a_metre_around_its_start_and_nothing_behind_walls(house, errands, truth, body):
    driver = Driver(body, truth, house.changed.bounds, errands[3], ARM["flat"], None)
    seen = driver.seen()
    away = np.hypot(*np.moveaxis(truth.centres() - errands[3].start[:2], -1, 0))
    assert np.array_equal(seen.cells != UNKNOWN, away <= KNOWN_M)
    driver.run()
    known = driver.seen().cells
    assert 0.02 < (known != UNKNOWN).mean() < 0.9
    free = known == FREE
    assert (truth.cells[free] == FREE).mean() > 0.97


def test_near_collisions_are_stretches_of_a_way(house, truth):
    from ipt_training.scenes.grids import clearance_m

    room = clearance_m(truth)
    row, column = (int(v) for v in np.unravel_index(room.argmax(), room.shape))
    x, y = truth.centres()[row, column]
    least, near = nearness(house, [(x, y, 0.0), (x + 0.1, y, 0.0)])
    assert least > 0.5 and near == 0
    wall = house.changed.rooms[0]
    track = [(wall.x_min + 0.06 + 0.22, y0, 0.0) for y0 in (wall.y_min + 1.0, wall.y_min + 1.2)]
    least, near = nearness(house, track)
    assert least <= 0.23 and near == 1


def test_a_run_that_was_killed_goes_on_with_the_same_bytes(house, errands, tmp_path, monkeypatch):
    monkeypatch.setattr(course, "ARMS", (ARM["flat"], ARM["oracle"]))
    whole, cut = tmp_path / "a" / "drives-1.jsonl", tmp_path / "b" / "drives-1.jsonl"
    told, some = [], errands[1:4:2]
    visit(house, some, SteppedBody(house, tmp_path), HELPERS, Records(whole), told.append)
    text = whole.read_text()
    assert len(told) == len(text.splitlines()) == 4
    lines = text.splitlines(keepends=True)
    cut.parent.mkdir()
    cut.write_text(lines[0] + lines[1][: len(lines[1]) // 2])  # killed in the middle of a line
    records = Records(cut)
    assert len(records.finished) == 1
    visit(house, some, SteppedBody(house, tmp_path), HELPERS, records, told.append)
    assert cut.read_text() == text
    assert list(all_records(cut.parent)) == [json.loads(line) for line in lines]


def test_the_bank_of_masks_is_read_as_it_was_written(tmp_path):
    cells = np.arange(-1, 5, dtype=np.int8).reshape(2, 3)
    drives = [[Recorded(cells, CELL_M, (1.0, 2.0), (0.1, 0.2, 0.3)), None], []]
    save_bank(tmp_path / "bank.json", drives)
    ((one, nothing), none) = load_bank(tmp_path / "bank.json")
    assert np.array_equal(one.cells, cells) and one.cells.dtype == np.int8
    assert (one.resolution_m, one.origin_xy, one.robot) == (CELL_M, (1.0, 2.0), (0.1, 0.2, 0.3))
    assert nothing is None and none == []
    grid = OccupancyGrid(np.full((5, 5), UNKNOWN, np.int8), CELL_M, (0.0, 0.0))
    assert grid.cells.shape == (5, 5)


@pytest.mark.parametrize("yaw", [math.pi, -math.pi, math.pi - 1e-9, -math.pi + 1e-9])
def test_right_behind_is_on_the_left_whatever_the_last_digit_says(yaw):
    assert off_course((0.0, 0.0, yaw), (1.0, 0.0)) == pytest.approx(math.pi)
    assert off_course((0.0, 0.0, 0.0), (0.0, -1.0)) == pytest.approx(-0.5 * math.pi)


def test_houses_are_visited_in_rounds_each_by_its_own_part(tmp_path):
    """Three houses of four tasks, two in a round; the second of two parts has the middle house."""
    done, made = [], []

    def coming():
        for seed in (7, 8, 9):
            made.append(seed)
            yield SimpleNamespace(seed=seed), [f"{seed}/{k}" for k in range(4)]

    stage = SimpleNamespace(enter=lambda house: 0, robot=SimpleNamespace(stamp_ns=10**9))

    def go(part, left=lambda turn: True):
        chosen = SimpleNamespace(part=part, out=tmp_path)
        in_rounds(chosen, coming(), 3, 4, 2, stage, left, lambda house, turn: done.extend(turn))

    go((0, 2))
    assert done == ["7/0", "7/1", "9/0", "9/1", "7/2", "7/3", "9/2", "9/3"] and made == [7, 8, 9]
    done.clear()
    go((1, 2), left=lambda turn: turn[0] != "8/0")
    assert done == ["8/2", "8/3"]
    (line,) = (tmp_path / "clock-2-of-2.jsonl").read_text().splitlines()
    assert json.loads(line)["house"] == 8 and json.loads(line)["simulated_s"] == 1.0
