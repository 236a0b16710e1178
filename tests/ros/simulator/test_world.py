"""The simulated sensors agree with the scene, and the map never contradicts the truth."""

import math

import numpy as np
import pytest
from scipy import ndimage

from ipt_ros.parameters.sim_node import LOOKS, SIM_PARAMETERS, check_together
from ipt_ros.parameters.table import checked, defaults
from ipt_ros.simulator.world import SimulatedTime, Simulation
from ipt_training.houses import looks
from ipt_training.houses.generator import make_scene
from ipt_training.houses.looks import dressed
from ipt_training.scenes.camera import camera_pose
from ipt_training.scenes.grids import occupancy

SMALL = {"width": 160, "height": 120}


def simulation(**changes):
    values = checked(SIM_PARAMETERS, defaults(SIM_PARAMETERS), SMALL | changes, check_together)
    return Simulation(values, 0)


def wander(world, number, seed=0):
    """Frames from random places where the robot fits."""
    rng = np.random.default_rng(seed)
    x0, y0, x1, y1 = world.scene.bounds
    frames = []
    while len(frames) < number:
        try:
            world.robot.put(rng.uniform(x0, x1), rng.uniform(y0, y1), rng.uniform(-3, 3))
        except ValueError:
            continue
        frames.append(world.look(len(frames)))
    return frames


def test_the_camera_is_where_its_mount_says():
    world = simulation(camera_x=0.15, camera_z=0.9, camera_pitch=0.3)
    motion = world.move(0)
    c, s = math.cos(motion.yaw), math.sin(motion.yaw)
    expected = camera_pose(motion.x + 0.15 * c, motion.y + 0.15 * s, motion.yaw, 0.9, 0.3)
    np.testing.assert_allclose(world.world_from_camera(motion), expected, atol=1e-12)


def test_a_look_changes_the_pictures_and_no_distance_to_walls():
    usual, other = (simulation(level="house", look=look) for look in LOOKS)
    assert usual.scene == make_scene(0, "house") and other.scene == dressed(
        usual.scene, "workshop"
    )
    assert usual.move(0) == other.move(0)
    before, after = usual.look(1), other.look(1)
    assert np.abs(before.rgb.astype(int) - after.rgb).mean() > 20
    # most of a picture is wall and floor, which stay where they are but for a coat of paint
    assert np.median(np.abs(before.depth_m - after.depth_m)) < 0.02


def test_the_table_offers_every_look_there_is():
    assert LOOKS == looks.LOOKS


@pytest.mark.parametrize("level", ["room", "house"])
def test_depth_ends_on_the_surfaces_of_the_scene(level):
    world = simulation(level=level, depth_max=60.0)
    solid = ndimage.binary_dilation(occupancy(world.scene, 0.05).cells == 100)
    x0, y0 = world.scene.bounds[:2]
    for frame in wander(world, 5):
        assert frame.rgb.shape == (120, 160, 3) and frame.rgb.std() > 5
        v, u = np.nonzero(frame.depth_m)
        assert len(u) > 0.99 * frame.depth_m.size  # a room is closed on all sides
        camera, pose = world.camera, world.world_from_camera(frame.motion)
        rays = np.stack(
            [(u + 0.5 - camera.cx) / camera.fx, (v + 0.5 - camera.cy) / camera.fy, np.ones(len(u))]
        )
        points = pose[:3, :3] @ (rays * frame.depth_m[v, u]) + pose[:3, 3:]
        assert points[2].min() > -1e-3 and points[2].max() < world.scene.wall_height_m + 1e-3
        standing = (points[2] > 0.03) & (points[2] < 1.29)
        column = ((points[0, standing] - x0) / 0.05).astype(int)
        row = ((points[1, standing] - y0) / 0.05).astype(int)
        assert solid[row, column].all()


def test_beyond_its_range_the_camera_returns_nothing():
    frame = simulation(depth_max=2.0).look(0)
    assert 0 < frame.depth_m.max() <= 2.0
    assert 0.02 < (frame.depth_m == 0).mean() < 0.98


@pytest.mark.parametrize(("level", "seed"), [("room", 0), ("room", 6), ("house", 4), ("house", 5)])
def test_the_map_grows_and_never_contradicts_the_truth(level, seed):
    """The truth's cells are occupied when any part of them is, a camera sees parts: the border may
    differ by one cell."""
    world = simulation(level=level, seed=seed)
    truth = occupancy(world.scene, 0.05).cells == 100
    depth_inside = ndimage.distance_transform_edt(truth)
    to_solid = ndimage.distance_transform_edt(~truth)
    known = np.zeros(truth.shape, bool)
    for frame in wander(world, 12):
        cells = world.map_with(frame).cells
        assert cells.shape == truth.shape
        assert (cells[known] != -1).all(), "something known was forgotten"
        known = cells != -1
        assert depth_inside[cells == 0].max() <= 1.5
        assert to_solid[cells == 100].max() <= 1.5
    free, occupied = cells == 0, cells == 100
    assert (free & truth).sum() < 0.01 * free.sum()
    assert (occupied & ~truth).sum() < 0.005 * occupied.sum()
    assert 0.2 < known.mean() < 1.0
    assert occupied.sum() > 100


def test_one_view_leaves_unknown_what_is_hidden():
    world = simulation(seed=3)
    frame = world.look(0)
    cells = world.map_with(frame).cells
    assert (cells == -1).mean() > 0.2
    row = int((frame.motion.y - world.scene.bounds[1]) / 0.05)
    column = int((frame.motion.x - world.scene.bounds[0]) / 0.05)
    assert cells[row, column] == 0, "the robot stands here"
    # behind the robot nothing was seen
    back = (
        frame.motion.x - 0.35 * math.cos(frame.motion.yaw),
        frame.motion.y - 0.35 * math.sin(frame.motion.yaw),
    )
    row, column = (
        (b - o) / 0.05 for b, o in zip(back[::-1], world.scene.bounds[1::-1], strict=True)
    )
    assert cells[int(row), int(column)] == -1


def test_simulated_time_starts_at_one_second_and_only_goes_on():
    clock = SimulatedTime(simulated=True, real_time_factor=20.0)
    stamps = [clock.now_ns() for _ in range(1000)]
    assert stamps[0] >= 1_000_000_000 and stamps == sorted(stamps)
    assert stamps[-1] < 60_000_000_000


def test_the_world_from_above_shows_the_whole_house():
    world = simulation(level="house")
    x0, y0, x1, y1 = world.scene.bounds
    height, width = world.top_down().rgb.shape[:2]
    assert width == pytest.approx((x1 - x0) / 0.05, abs=1)
    assert height == pytest.approx((y1 - y0) / 0.05, abs=1)
