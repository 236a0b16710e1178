"""What the camera of a robot would see of a thing, in truth: how much of the picture it fills, and
the picture itself.

In: a scene, poses of the robot's base. Out: shares and RGB. This is the referee: it says when a
thing is found and what a view would have shown; no arm but the oracles asks it where to go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ipt_model.spatial.lens import Pinhole
from ipt_ros.conversions import planar_matrix
from ipt_ros.navigation.masks import PICTURE_PX, Pose
from ipt_ros.navigation.robot import BASE_FROM_OPTICAL
from ipt_ros.navigation.stage import FOV_RAD, HEIGHT, WIDTH
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.projection import image_shares
from ipt_training.scenes.scene import Scene

#: A thing is found when it fills so much of the picture: a chair, from about 5 m.
FOUND_SHARE = 0.005
#: The robot's camera, and the same with as many pixels as the shipped model draws.
EYE = Camera.from_fov(WIDTH, HEIGHT, FOV_RAD)
DRAWN = Camera.from_fov(PICTURE_PX, round(PICTURE_PX * HEIGHT / WIDTH), FOV_RAD)


def eye_at(robot: Pose) -> np.ndarray:
    """4 x 4, world from the optical camera of a robot."""
    return planar_matrix(*robot) @ BASE_FROM_OPTICAL


class Sight:
    """Of one scene; drawn on one core."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._number = scene, len(scene.objects)
        self._renderer = Renderer(scene, threads=1)

    def place(self, thing: int) -> tuple[float, float]:
        """Where it stands, m."""
        x, y, _ = self._scene.objects[thing].position
        return x, y

    def share(self, world_from_camera: np.ndarray, lens: Pinhole, thing: int) -> float:
        """How much of the picture an object fills. lens: of the size of EYE."""
        camera = Camera(EYE.width, EYE.height, lens.fx, lens.fy, lens.cx, lens.cy)
        return float(self._shares([world_from_camera], camera)[0, thing])

    def shares(self, robots: Sequence[Pose], thing: int) -> np.ndarray:
        """N: the same from several poses."""
        return np.asarray(self._shares([eye_at(robot) for robot in robots], EYE)[:, thing])

    def _shares(self, eyes: Sequence[np.ndarray], camera: Camera) -> np.ndarray:
        return image_shares(self._renderer.cast_views(eyes, camera).instance, self._number)

    def picture(self, robot: Pose) -> np.ndarray:
        """H x W x 3 uint8, as large as the model draws."""
        return self._renderer.render(eye_at(robot), DRAWN).rgb


def facing(at: tuple[float, float], thing: tuple[float, float]) -> Pose:
    """Stand at a place and look at another."""
    return (*at, math.atan2(thing[1] - at[1], thing[0] - at[0]))
