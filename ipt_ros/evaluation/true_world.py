"""The world as it is: what a robot at any place would see of it, and where it fits through.

In: the truth about a world (`training/worlds`). Out: shares of pictures, maps and distances that
questions are made of and answers are held against. Knows nothing of ROS or of the model. Poses are
x, y in m and yaw in rad, of the robot's base unless said otherwise, in the frame of the world.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ipt_model.spatial.maps import OccupancyGrid
from ipt_model.spatial.observed_map import ObservedMap
from ipt_ros.conversions import planar_matrix
from ipt_ros.evaluation.episodes import Pose
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import clearance_m
from ipt_training.scenes.projection import image_centres, image_shares
from ipt_training.scenes.scene import CEILING, FLOOR
from ipt_training.tasks.geometry import ObjectTable
from ipt_training.tasks.seen.remembered import AskedPoints
from ipt_training.worlds.reading import scene_of
from ipt_training.worlds.truth import map_of

#: Width of the small pictures that are cast to look what is in view, pixels.
GLANCE_PX = 96
#: Headings over which a turn on the spot is looked at.
HEADINGS = 12
#: Two depths of one pixel are the same within this, m.
SAME_DEPTH_M = 0.05


class TrueWorld:
    def __init__(self, truth: dict[str, Any]) -> None:
        self.truth = truth
        self.name: str = truth["world"]
        self.scene = scene_of(truth)
        self.renderer = Renderer(self.scene)
        self.map: OccupancyGrid = map_of(truth)
        self.table = ObjectTable.of(self.scene)
        self.robot: dict[str, Any] = truth["robot"]
        self.unique = [self.scene.is_unique(i) for i in range(len(self.scene.objects))]

    @cached_property
    def lens(self) -> Camera:
        """The robot's camera at its full size."""
        robot = self.robot
        return Camera.from_fov(robot["width"], robot["height_px"], robot["horizontal_fov"])

    @cached_property
    def glance(self) -> Camera:
        robot = self.robot
        height = round(GLANCE_PX * robot["height_px"] / robot["width"])
        return Camera.from_fov(GLANCE_PX, height, robot["horizontal_fov"])

    def body_at(self, base: Pose) -> Pose:
        """Where the camera's body stands and looks when the base stands there."""
        robot = self.robot
        at = planar_matrix(*base)[:2] @ (robot["camera_x"], robot["camera_y"], 0.0, 1.0)
        return float(at[0]), float(at[1]), base[2]

    def base_of(self, body: Pose) -> Pose:
        robot = self.robot
        at = planar_matrix(*body)[:2] @ (-robot["camera_x"], -robot["camera_y"], 0.0, 1.0)
        return float(at[0]), float(at[1]), body[2]

    def eye(self, base: Pose) -> np.ndarray:
        """World from optical camera, 4 x 4."""
        robot = self.robot
        return camera_pose(*self.body_at(base), robot["camera_z"], robot["camera_pitch"])

    def in_view(self, bases: Sequence[Pose]) -> tuple[np.ndarray, np.ndarray]:
        """P x N: the share of the picture that each object fills, and where its visible part lies
        from 0 at the left border to 1; NaN where it is out of sight.
        """
        hits = self.renderer.cast_views([self.eye(base) for base in bases], self.glance)
        number = len(self.scene.objects)
        columns = [image_centres(one, number)[:, 0] / self.glance.width for one in hits.instance]
        return image_shares(hits.instance, number), np.stack(columns)

    def around(self, base: Pose) -> list[Pose]:
        """The poses of a turn on the spot."""
        turns = 2 * math.pi * np.arange(HEADINGS) / HEADINGS
        return [(base[0], base[1], base[2] + float(turn)) for turn in turns]

    def distances(self, base: Pose) -> np.ndarray:
        """N: from the camera to the middle of each object over the floor, m."""
        x, y, _ = self.body_at(base)
        return np.asarray(np.hypot(*(self.table.xy - (x, y)).T))

    def share_seen(self, then: Pose, before: Sequence[Pose]) -> float:
        """How much of the view from `then` shows surfaces that were in view from the others."""
        asked = AskedPoints.of_view(self.renderer, self.eye(then), self.lens)
        seen = np.zeros(len(asked.points), bool)
        for base in before:
            seen |= asked.seen_from(self.renderer, self.eye(base), self.lens)
        return float(seen.sum() / max(1, asked.total))

    def map_from(self, bases: Sequence[Pose]) -> OccupancyGrid:
        """What a robot knows of the map that looked from these places, and stands at the last."""
        robot = self.robot
        seen = ObservedMap(self.scene.bounds, self.map.resolution_m, robot["height"])
        for base in bases:
            depth = self.depth_from(base)
            seen.add(np.where(depth <= robot["depth_max"], depth, 0), self.lens, self.eye(base))
        seen.add_footprint(bases[-1][0], bases[-1][1], robot["radius"])
        return seen.grid()

    def depth_from(self, base: Pose) -> np.ndarray:
        """H x W float32, m along the optical axis, of the robot's camera."""
        return self.renderer.cast_views([self.eye(base)], self.lens).depth_m[0]

    def room_along(self, line: np.ndarray) -> np.ndarray:
        """N: from each point of a path (N x 2) to the nearest thing or wall, m."""
        row, column = self.map.indices(line)
        found = np.zeros(len(line))
        inside = self.map.inside(row, column)
        found[inside] = self._clearance[row[inside], column[inside]]
        return found

    @cached_property
    def _clearance(self) -> np.ndarray:
        return clearance_m(self.map)

    def agreement(self, depth_m: np.ndarray, base: Pose) -> float:
        """Share of the walls and things before a camera there whose depth is the true one. Floors
        look the same in every world and count nothing.
        """
        hits = self.renderer.cast_views([self.eye(base)], self.lens)
        true = hits.depth_m[0]
        if depth_m.shape != true.shape:
            return 0.0
        standing = (hits.instance[0] != FLOOR) & (hits.instance[0] != CEILING) & (true > 0)
        standing &= true <= self.robot["depth_max"]
        same = np.abs(np.nan_to_num(depth_m, posinf=0.0) - true) <= SAME_DEPTH_M
        return float(same[standing].mean()) if standing.any() else 0.0
