"""Occupancy: the truth covers every solid, and what is seen never contradicts it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.grids import (
    clearance_m,
    observed,
    occupancy,
    passable,
    reachable,
)
from ipt_training.scenes.scene import SceneError
from ipt_training.scenes.solids import footprints_of


def _open_grid(h: int = 40, w: int = 60, res: float = 0.1) -> OccupancyGrid:
    cells = np.full((h, w), FREE, np.int8)
    cells[[0, -1]] = OCCUPIED
    cells[:, [0, -1]] = OCCUPIED
    return OccupancyGrid(cells, res, (-1.0, 2.0))


def test_truth_covers_every_point_of_every_footprint() -> None:
    rng = np.random.default_rng(3)
    for seed in range(30):
        scene = make_scene(seed, "room")
        grid = occupancy(scene, 0.07)
        for thing in scene.objects:
            part = thing.primitives[0]
            r = 0.499 * part.size[0]
            if part.shape == "box":
                u, v = rng.uniform(-r, r, 200), rng.uniform(-r, r, 200)
            else:
                a, q = rng.uniform(0, 2 * np.pi, 200), 0.97 * r * np.sqrt(rng.uniform(0, 1, 200))
                u, v = q * np.cos(a), q * np.sin(a)
            c, s = math.cos(thing.yaw), math.sin(thing.yaw)
            x, y = thing.position[0] + c * u - s * v, thing.position[1] + s * u + c * v
            assert (grid.values(np.stack([x, y], -1)) == OCCUPIED).all()


def test_truth_is_not_much_larger_than_the_footprints() -> None:
    for seed in range(20):
        scene = make_scene(seed, "room")
        x0, y0, x1, y1 = scene.rooms[0].interior
        grid = occupancy(scene, 0.05)
        fine = occupancy(scene, 0.01)
        inside = (x1 - x0) * (y1 - y0)
        taken = (fine.cells == OCCUPIED).sum() * 1e-4
        room = scene.rooms[0]
        walls = (room.x_max - room.x_min) * (room.y_max - room.y_min) - inside
        area = 0.0
        for thing in scene.objects:
            size = thing.primitives[0].size
            area += size[0] * size[1] * (1 if thing.primitives[0].shape == "box" else math.pi / 4)
        assert abs(taken - walls - area) < 0.06 * (walls + area)
        assert (grid.cells == OCCUPIED).sum() * 25e-4 > taken - 0.1


def test_slab_decides_what_is_in_the_way() -> None:
    scene = make_scene(2, "house", rooms=2)
    door = scene.doors[0]
    below = np.array([door.x, door.y])
    assert occupancy(scene).values(below) == FREE  # the lintel is above the robot
    assert occupancy(scene, slab_m=(2.1, 2.3)).values(below) == OCCUPIED
    coarse = occupancy(scene, solids=footprints_of(scene)).cells == OCCUPIED
    assert coarse[occupancy(scene).cells == OCCUPIED].all()
    with pytest.raises(SceneError, match="positive length"):
        occupancy(scene, 0.0)


def test_what_is_seen_agrees_with_the_truth(viewpoints) -> None:
    camera = Camera.from_fov(96, 72, 1.5)
    wrong = seen = 0
    for seed in range(12):
        scene = make_scene(seed, "house")
        truth = occupancy(scene, 0.05)
        renderer = Renderer(scene)
        poses = viewpoints(scene, 3)
        views = renderer.render_many(poses, camera)
        part = observed(truth, [(v.depth_m, camera, p) for v, p in zip(views, poses, strict=True)])
        assert set(np.unique(part.cells)) <= {FREE, OCCUPIED, UNKNOWN}
        # everything seen as occupied is: the truth counts every touched cell
        assert (truth.cells[part.cells == OCCUPIED] == OCCUPIED).mean() > 0.995
        # a cell seen free may still hold something behind what the rays passed; rarely
        wrong += int((truth.cells[part.cells == FREE] == OCCUPIED).sum())
        seen += int((part.cells == FREE).sum())
        assert (part.cells == UNKNOWN).any()
    assert wrong < 0.08 * seen


def test_nothing_is_known_behind_a_wall(viewpoints) -> None:
    scene = make_scene(2, "house", rooms=2)
    walls = tuple(type(w)(**{**w.__dict__, "openings": ()}) for w in scene.walls)
    closed = type(scene)(**{**scene.__dict__, "walls": walls, "fixtures": ()})
    truth = occupancy(closed, 0.05)
    camera = Camera.from_fov(64, 64, 1.4)
    for pose in viewpoints(closed, 6):
        view = Renderer(closed).render(pose, camera)
        part = observed(truth, [(view.depth_m, camera, pose)])
        here = closed.room_at(*pose[:2, 3])
        other = closed.rooms[1 - here]
        x0, y0, x1, y1 = other.interior
        corners = np.array([[x0 + 0.1, y0 + 0.1], [x1 - 0.1, y1 - 0.1]])
        (r0, r1), (c0, c1) = truth.indices(corners)
        assert (part.cells[r0:r1, c0:c1] == UNKNOWN).all()


def test_clearance_is_the_distance_to_the_wall() -> None:
    grid = _open_grid()
    clear = clearance_m(grid)
    assert clear[0, 5] == 0
    assert clear[3, 30] == pytest.approx(0.25)
    assert not passable(grid, 0.3)[3, 30]
    assert passable(grid, 0.2)[3, 30]


def test_unknown_blocks_unless_told_otherwise() -> None:
    grid = _open_grid()
    grid.cells[:, 30:34] = UNKNOWN
    assert passable(grid, unknown_blocks=False)[20, 32]
    assert not reachable(grid, (0.0, 3.5))[20, 50]
    assert reachable(grid, (0.0, 3.5))[20, 10]
    assert not reachable(grid, (-0.95, 2.05)).any()


@pytest.mark.parametrize("seed", range(8))
def test_every_two_rooms_are_joined(seed: int) -> None:
    scene = make_scene(seed, "house", rooms=4)
    grid = occupancy(scene, 0.1)
    free = passable(grid, 0.3)
    spots = []
    for room in scene.rooms:
        xy = grid.centres()[free]
        inside = np.array([room.contains(x, y, 0.4) for x, y in xy])
        spots.append(xy[inside][len(xy[inside]) // 2])
    reach = reachable(grid, tuple(spots[0]))
    assert sum(bool(reach[grid.indices(spot)]) for spot in spots[1:]) >= len(spots) - 2
