"""Embree pictures against geometry: depth, instances, marks and maps say what the scene says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import occupancy
from ipt_training.scenes.mark import FloorMark
from ipt_training.scenes.projection import image_centres, image_shares, project, unproject
from ipt_training.scenes.scene import CEILING, FLOOR, NOTHING, WALL, SceneError

CAMERA = Camera.from_fov(64, 64, 1.4)


def test_floor_and_ceiling_depths_are_exact(viewpoints) -> None:
    scene = make_scene(11, "house")
    renderer = Renderer(scene)
    for pose in viewpoints(scene, 6):
        view = renderer.render(pose, CAMERA)
        points = unproject(view.depth_m, CAMERA, pose)
        assert np.abs(points[..., 2][view.instance == FLOOR]).max(initial=0) < 1e-3
        ceiling = points[..., 2][view.instance == CEILING] - scene.wall_height_m
        assert np.abs(ceiling).max(initial=0) < 2e-3
        assert not (view.instance == NOTHING).any()  # a house is closed
        assert (view.depth_m > 0).all()


def test_every_hit_lies_on_its_object(viewpoints) -> None:
    for seed in range(30):
        scene = make_scene(seed, "house")
        pose = viewpoints(scene, 1)[0]
        view = Renderer(scene).render(pose, CAMERA)
        points = unproject(view.depth_m, CAMERA, pose)
        for i in np.unique(view.instance[view.instance >= 0]):
            thing = scene.objects[i]
            d = points[view.instance == i] - np.array(thing.position)
            c, s = math.cos(thing.yaw), math.sin(thing.yaw)
            u, v = c * d[:, 0] + s * d[:, 1], c * d[:, 1] - s * d[:, 0]
            slack = 0.003
            assert np.abs(u).max() <= thing.footprint[0] / 2 + slack
            assert np.abs(v).max() <= thing.footprint[1] / 2 + slack
            assert -slack <= d[:, 2].min() and d[:, 2].max() <= thing.height_m + slack


def test_distance_to_a_wall_is_analytic() -> None:
    scene = make_scene(5, "room", objects=1)
    x0, y0, x1, y1 = scene.rooms[0].interior
    renderer = Renderer(scene)
    mid = (0.5 * (x0 + x1), 0.5 * (y0 + y1))
    origins = np.array([[*mid, 2.2]] * 4)  # above anything but a wall
    ways = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], float)
    hits = renderer.cast(origins, ways)
    expected = [x1 - mid[0], mid[0] - x0, y1 - mid[1], mid[1] - y0]
    np.testing.assert_allclose(hits.depth_m, expected, atol=1e-4)
    assert (hits.instance == WALL).all()


def test_a_ball_is_where_its_centre_projects_and_as_large_as_it_should() -> None:
    checked = 0
    for seed in range(60):
        scene = make_scene(seed, "room")
        renderer = Renderer(scene)
        x0, y0, _, _ = scene.rooms[0].interior
        for i, thing in enumerate(scene.objects):
            if thing.category != "ball":
                continue
            r = thing.height_m / 2
            centre = np.array([*thing.position[:2], r])
            eye = np.array([x0 + 0.3, y0 + 0.3, 1.0])
            yaw = math.atan2(centre[1] - eye[1], centre[0] - eye[0])
            pose = camera_pose(*eye[:2], yaw, 1.0, 0.15)
            camera = Camera.from_fov(192, 192, 1.4)
            view = renderer.render(pose, camera)
            pixel, depth = project(centre, camera, pose)
            distance = np.linalg.norm(centre - eye)
            # solid angle of a ball near the optical axis
            expected = math.pi * (camera.fx * r / depth) ** 2
            seen = (view.instance == i).sum()
            if seen < 0.9 * expected:  # partly hidden
                continue
            checked += 1
            found = image_centres(view.instance, len(scene.objects))[i]
            assert np.abs(found - pixel).max() < 0.08 * camera.fx * r / depth + 1
            assert abs(seen / expected - 1) < 0.25
            row, col = int(pixel[1]), int(pixel[0])
            ray = np.linalg.norm(
                [(col + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy, 1.0]
            )
            assert abs(view.depth_m[row, col] * ray - (distance - r)) < 0.02
    assert checked > 20


def test_mark_is_red_flat_and_changes_nothing_else() -> None:
    scene = make_scene(5, "room", objects=1)
    x0, y0, x1, y1 = scene.rooms[0].interior
    mark = FloorMark(0.5 * (x0 + x1), 0.5 * (y0 + y1), yaw=0.4)
    renderer = Renderer(scene)
    pose = camera_pose(mark.x - 1.4, mark.y, 0.0, 1.2, 0.6)
    camera = Camera.from_fov(128, 128, 1.4)
    plain, painted = renderer.render(pose, camera), renderer.render(pose, camera, [mark])
    np.testing.assert_array_equal(plain.depth_m, painted.depth_m)
    np.testing.assert_array_equal(plain.instance, painted.instance)
    changed = (plain.rgb != painted.rgb).any(-1)
    points = unproject(painted.depth_m, camera, pose)[changed]
    assert np.abs(points[:, 2]).max() < 1e-3
    assert np.hypot(points[:, 0] - mark.x, points[:, 1] - mark.y).max() < 0.45
    r, g, b = painted.rgb[changed].astype(int).T
    red = (r > g + 60) & (r > b + 60)
    assert red.mean() > 0.7
    # two bars of 0.15 x 0.6 m, crossing
    above = renderer.top_down(resolution_m=0.01, marks=[mark])
    pixels = above.rgb.astype(int)
    area = ((pixels[..., 0] > 150) & (pixels[..., 1] < 70) & (pixels[..., 2] < 70)).sum() * 1e-4
    assert abs(area - (2 * 0.15 * 0.6 - 0.15**2)) < 0.01


def test_many_poses_in_one_cast_equal_single_pictures(viewpoints) -> None:
    scene = make_scene(8, "house")
    renderer = Renderer(scene)
    poses = viewpoints(scene, 4)
    hits = renderer.cast_views(poses, CAMERA)
    for k, view in enumerate(renderer.render_many(poses, CAMERA)):
        single = renderer.render(poses[k], CAMERA)
        np.testing.assert_array_equal(view.depth_m, single.depth_m)
        np.testing.assert_array_equal(view.instance, single.instance)
        assert np.abs(view.rgb.astype(int) - single.rgb).max() <= 1
        np.testing.assert_array_equal(hits.instance[k], single.instance)
        np.testing.assert_array_equal(hits.depth_m[k], single.depth_m)
    assert renderer.render_many([], CAMERA) == []


def test_shares_and_sees_agree_with_the_picture(viewpoints) -> None:
    scene = make_scene(21, "room")
    renderer = Renderer(scene)
    for pose in viewpoints(scene, 8):
        view = renderer.render(pose, CAMERA)
        shares = image_shares(view.instance, len(scene.objects))
        for i in range(len(scene.objects)):
            assert shares[i] == (view.instance == i).mean()
        points = unproject(view.depth_m, CAMERA, pose).reshape(-1, 3)[::37]
        assert renderer.sees(points, pose).all()
        behind = points + (points - pose[:3, 3]) * 0.3
        assert not renderer.sees(behind, pose).any()


def test_top_down_agrees_with_occupancy_and_scene() -> None:
    for seed in range(12):
        scene = make_scene(seed, "house")
        above = Renderer(scene).top_down(resolution_m=0.05)
        grid = occupancy(scene, 0.05, slab_m=(0.02, 10.0))
        # row 0 of the picture is the highest y, of the grid the lowest
        instance, height = above.instance[::-1], above.height_m[::-1]
        assert instance.shape == grid.cells.shape
        solid = (instance >= 0) | (instance == WALL)
        assert (grid.cells[solid & (height > 0.03)] == 100).all()
        # a cell counts as occupied when only its edge is touched: free pixels can be at most one
        # cell from a solid
        free = (instance == FLOOR) & (grid.cells == 100)
        grown = np.zeros_like(solid)
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                grown |= np.roll(solid | (instance == NOTHING), (dr, dc), (0, 1))
        assert not (free & ~grown).any()
        for i, thing in enumerate(scene.objects):
            col, row = above.pixel_of(np.array(thing.position[:2])).astype(int)
            assert above.instance[row, col] == i
            assert above.height_m[row, col] <= thing.height_m + 1e-3


def test_edges_are_smooth_but_instances_are_not_mixed(viewpoints) -> None:
    """Colour at an edge lies between its neighbours; a picture four times finer, averaged, is
    nearly the same.
    """
    scene = make_scene(30, "house")
    renderer = Renderer(scene)
    fine_camera = Camera.from_fov(256, 256, 1.4)
    for pose in viewpoints(scene, 3):
        coarse = renderer.render(pose, CAMERA).rgb.astype(float)
        fine = renderer.render(pose, fine_camera).rgb.astype(float)
        mean = fine.reshape(64, 4, 64, 4, 3).mean((1, 3))
        one_ray = fine[2::4, 2::4]
        assert np.abs(coarse - mean).mean() < 0.6 * np.abs(one_ray - mean).mean()


def test_bad_requests() -> None:
    renderer = Renderer(make_scene(1))
    with pytest.raises(SceneError, match="finite 4 x 4"):
        renderer.render(np.eye(3), CAMERA)
    pose = np.eye(4)
    pose[0, 3] = np.nan
    with pytest.raises(SceneError, match="finite 4 x 4"):
        renderer.render(pose, CAMERA)
    with pytest.raises(SceneError, match="rectangle with an area"):
        renderer.top_down((0.0, 0.0, 0.0, 1.0))
