"""The simulated robot drives as told, stops in time and never goes through anything."""

import math
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipt_ros.simulator.robot import PoseError, Robot, RobotLimits
from ipt_training.houses.generator import make_scene
from ipt_training.scenes.grids import occupancy

LIMITS = RobotLimits(max_speed=1.0, max_turn=2.0, radius_m=0.2, command_timeout_s=0.5)
ROOM = make_scene(0)
HOUSE = make_scene(1, level="house")
FINE_M = 0.02
TRUTH = {scene.level: occupancy(scene, FINE_M) for scene in (ROOM, HOUSE)}


def nearest_solid_m(scene, x, y):
    """From the truth's cells, not from the rectangles that the robot keeps away from."""
    grid = TRUTH[scene.level]
    centres = grid.centres()[grid.cells == 100]
    return np.hypot(*(centres - (x, y)).T).min()


@lru_cache
def openest_place():
    x0, y0, x1, y1 = ROOM.rooms[0].interior
    places = [(x, y) for x in np.arange(x0, x1, 0.2) for y in np.arange(y0, y1, 0.2)]
    x, y = max(places, key=lambda p: nearest_solid_m(ROOM, *p))
    assert nearest_solid_m(ROOM, x, y) > 0.7
    return x, y


def in_the_open(yaw=0.0):
    robot = Robot(ROOM, LIMITS)
    x, y = openest_place()
    robot.put(float(x), float(y), yaw)
    return robot


@given(st.floats(-1, 1), st.floats(-2, 2), st.floats(-3, 3))
@settings(max_examples=50)
def test_it_follows_the_arc_of_its_command(speed, turn, yaw):
    robot = in_the_open(yaw)
    x, y = robot.x, robot.y
    for step in range(1, 5):  # kept up by new commands; 0.4 s in all
        robot.command(speed, turn, 0.1 * (step - 1))
        robot.advance(0.1 * step)
    angle = 0.4 * turn
    chord = 0.4 * speed * (math.sin(angle / 2) / (angle / 2) if abs(angle) > 1e-6 else 1.0)
    assert robot.x == pytest.approx(x + chord * math.cos(yaw + angle / 2), abs=2e-4)
    assert robot.y == pytest.approx(y + chord * math.sin(yaw + angle / 2), abs=2e-4)
    assert math.cos(robot.yaw - yaw - angle) == pytest.approx(1.0)
    assert (robot.speed, robot.turn) == (speed, turn)


def test_it_stops_when_commands_stop_however_late_it_is_looked_at():
    robot = in_the_open()
    x = robot.x
    robot.command(0.8, 0.0, 10.0)
    robot.advance(13.0)
    assert robot.x - x == pytest.approx(0.8 * LIMITS.command_timeout_s)
    assert robot.speed == 0.0
    robot.advance(20.0)
    assert robot.x - x == pytest.approx(0.4)


def test_the_time_before_a_command_is_driven_as_before_and_time_never_goes_back():
    robot = in_the_open()
    x = robot.x
    robot.command(0.5, 0.0, 0.0)
    robot.command(-0.5, 0.0, 0.2)
    robot.advance(0.3)
    assert robot.x - x == pytest.approx(0.1 - 0.05)
    robot.advance(0.1)
    assert robot.x - x == pytest.approx(0.05)


def test_commands_are_held_to_the_limits_and_nan_is_refused():
    robot = in_the_open()
    robot.command(9.0, -9.0, 0.0)
    robot.advance(0.01)
    assert (robot.speed, robot.turn) == (1.0, -2.0)
    for bad in ((math.nan, 0.0), (0.0, math.inf)):
        with pytest.raises(ValueError, match="expected finite numbers"):
            robot.command(*bad, 0.1)


@pytest.mark.parametrize("scene", [ROOM, HOUSE], ids=["room", "house"])
def test_it_never_drives_into_anything(scene):
    rng = np.random.default_rng(4)
    robot, now, moved = Robot(scene, LIMITS), 0.0, 0.0
    margin = LIMITS.radius_m - 0.75 * FINE_M  # to the middle of a cell that is covered in part
    stopped = 0
    for _ in range(300):
        before = (robot.x, robot.y)
        robot.command(float(rng.uniform(-0.3, 1)), float(rng.uniform(-1.5, 1.5)), now)
        now += 0.4
        robot.advance(now)
        moved += math.dist(before, (robot.x, robot.y))
        stopped += robot.speed == 0.0
        assert nearest_solid_m(scene, robot.x, robot.y) >= margin
    assert moved > 5.0 and stopped > 10  # it did drive, and things were in its way


def test_against_a_wall_it_still_turns():
    robot = in_the_open(math.pi)
    for step in range(100):
        robot.command(1.0, 0.0, 0.1 * step)
    assert robot.speed == 0.0
    x, yaw = robot.x, robot.yaw
    robot.command(1.0, 1.0, 10.0)
    robot.advance(10.2)
    assert robot.yaw != yaw and abs(robot.x - x) < 0.05


def test_it_is_put_only_where_it_fits():
    robot = in_the_open()
    before = (robot.x, robot.y, robot.yaw)
    thing = ROOM.objects[0]
    x0, y0, x1, y1 = ROOM.rooms[0].interior
    for x, y, words in (
        (*thing.position[:2], f"from the {thing.name}; the robot needs 0.20 m"),
        (x0 + 0.1, 0.5 * (y0 + y1), "0.10 m from a wall"),
        (x1 + 5.0, 0.0, "outside the house"),
        (math.nan, 0.0, "expected finite numbers"),
    ):
        with pytest.raises(PoseError, match=words):
            robot.put(x, y, 0.0)
    assert (robot.x, robot.y, robot.yaw) == before


def test_being_put_ends_the_command():
    robot = in_the_open()
    robot.command(1.0, 0.0, 0.0)
    robot.put(robot.x, robot.y, 0.0)
    x = robot.x
    robot.advance(0.4)
    assert robot.x == x


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("level", ["room", "house"])
def test_it_starts_where_it_fits_and_looks_into_the_room(level, seed):
    scene = make_scene(seed, level=level)
    robot = Robot(scene, LIMITS)
    room = scene.rooms[0]
    assert room.contains(robot.x, robot.y, LIMITS.radius_m)
    robot.put(robot.x, robot.y, robot.yaw)
    ahead = (robot.x + math.cos(robot.yaw), robot.y + math.sin(robot.yaw))
    assert room.contains(*ahead)


def test_it_goes_through_doors():
    centres = [(0.5 * (r.x_min + r.x_max), 0.5 * (r.y_min + r.y_max)) for r in HOUSE.rooms]
    grid = occupancy(HOUSE, 0.05)
    free = [_near(grid, c) for c in centres]
    path = _way(grid, free[0], free[-1])
    # the robot keeps away from the rectangle around a round thing, the path from the thing
    robot = Robot(HOUSE, RobotLimits(radius_m=0.15))
    for x, y in path:
        robot.put(float(x), float(y), 0.0)
    assert HOUSE.room_at(robot.x, robot.y) == len(HOUSE.rooms) - 1


def _way(grid, start, goal):
    """Places from start to goal where a robot of 0.3 m fits, found breadth first."""
    from ipt_training.scenes.grids import passable

    free = passable(grid, 0.3)
    (begin, end) = (tuple(int(i) for i in grid.indices(np.array(xy))) for xy in (start, goal))
    before, edge = {begin: begin}, [begin]
    while end not in before:
        cells = [((r + a, c + b), (r, c)) for r, c in edge for a in (-1, 0, 1) for b in (-1, 0, 1)]
        before |= {new: old for new, old in cells if free[new] and new not in before}
        edge = list({new for new, old in cells if before.get(new) == old and new != old})
    way = [end]
    while way[-1] != begin:
        way.append(before[way[-1]])
    return [grid.centres()[cell] for cell in way[::-1]]


def _near(grid, point):
    from ipt_training.scenes.grids import passable

    places = grid.centres()[passable(grid, 0.35)]
    x, y = places[np.hypot(*(places - point).T).argmin()]
    return float(x), float(y)
