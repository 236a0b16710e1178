"""The simulated world as its sensors give it: one robot, one RGB-D camera, one map. ROS-free.

In: a scene, the values of `sim_node`'s parameters, the time. Out: frames that belong together:
where the robot was, what the camera saw from there, the map so far.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.maps import OccupancyGrid
from ipt_model.spatial.observed_map import ObservedMap
from ipt_ros.conversions import planar_matrix
from ipt_ros.parameters.table import Values
from ipt_ros.simulator.robot import Robot, RobotLimits
from ipt_training.houses.generator import make_scene
from ipt_training.houses.looks import dressed
from ipt_training.rendering.embree import Renderer, TopDown
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.scene import Scene, SceneError


@dataclass(frozen=True)
class Motion:
    """Where the robot was and how it moved: m and rad in the world, m/s and rad/s in its own
    frame.
    """

    stamp_ns: int
    x: float
    y: float
    yaw: float
    speed: float
    turn: float


@dataclass(frozen=True)
class RgbdFrame:
    """What the camera saw. rgb: H x W x 3 uint8; None where only depth was asked for. depth_m: H x
    W float32, 0 for no return.
    """

    motion: Motion
    rgb: np.ndarray | None
    depth_m: np.ndarray


class SimulatedTime:
    """Nanoseconds that never go back: the wall clock's at start, or 1 s, and from there steadily
    on.
    """

    def __init__(self, simulated: bool, real_time_factor: float = 1.0) -> None:
        # 0 is 'not yet known' to every node that runs with use_sim_time
        self._start_ns = 1_000_000_000 if simulated else time.time_ns()
        self._began_ns = time.monotonic_ns()
        self._factor = real_time_factor

    def now_ns(self) -> int:
        return self._start_ns + int((time.monotonic_ns() - self._began_ns) * self._factor)


class SteppedTime:
    """Nanoseconds that go on when they are told to."""

    def __init__(self) -> None:
        self._now_ns = 1_000_000_000

    def now_ns(self) -> int:
        return self._now_ns

    def step(self, by_s: float) -> None:
        self._now_ns += round(by_s * 1e9)


def scene_at(path: str) -> Scene:
    """Read a scene that `Scene.to_dict` wrote; SceneError says what is wrong with the file."""
    try:
        data = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SceneError(f"scene {path}: {error}") from error
    if not isinstance(data, dict):
        raise SceneError(f"scene {path}: expected a JSON object")
    return Scene.from_dict(data)


class Simulation:
    """One scene with one robot in it. Not for several threads at once."""

    def __init__(self, values: Values, time_ns: int) -> None:
        made = (
            scene_at(values.scene) if values.scene else make_scene(values.seed, level=values.level)
        )
        self.scene = dressed(made, values.look)
        self.camera = Camera.from_fov(values.width, values.height, values.horizontal_fov)
        self._renderer = Renderer(self.scene, threads=values.render_threads)
        self._depth_max = values.depth_max
        self._camera_height = values.camera_z
        self.robot = Robot(self.scene, self._limits(values), time_ns / 1e9)
        base_from_camera = from_xyz_rpy(
            values.camera_x, values.camera_y, values.camera_z, 0.0, values.camera_pitch, 0.0
        )
        self.base_from_optical = base_from_camera @ BODY_FROM_OPTICAL
        self._map = ObservedMap(
            self.scene.bounds, values.map_resolution, self.robot.limits.height_m
        )

    def _limits(self, values: Values) -> RobotLimits:
        return RobotLimits(
            max_speed=values.max_speed,
            max_turn=values.max_turn,
            radius_m=values.robot_radius,
            height_m=max(1.3, values.camera_z + 0.05),
            command_timeout_s=values.command_timeout,
        )

    def use(self, values: Values) -> None:
        """Take over parameters that may change while running."""
        self._depth_max = values.depth_max
        self.robot.limits = self._limits(values)

    def move(self, stamp_ns: int) -> Motion:
        """The robot at this time; time only goes on."""
        robot = self.robot
        robot.advance(stamp_ns / 1e9)
        return Motion(stamp_ns, robot.x, robot.y, robot.yaw, robot.speed, robot.turn)

    def look(self, stamp_ns: int, colour: bool = True) -> RgbdFrame:
        """The picture at this time."""
        motion = self.move(stamp_ns)
        eye = self.world_from_camera(motion)
        if colour:
            view = self._renderer.render(eye, self.camera)
            rgb, depth = view.rgb, view.depth_m
        else:
            rgb, depth = None, self._renderer.cast_views([eye], self.camera).depth_m[0]
        return RgbdFrame(motion, rgb, np.where(depth <= self._depth_max, depth, np.float32(0.0)))

    def map_with(self, frame: RgbdFrame) -> OccupancyGrid:
        """The map after this frame."""
        motion = frame.motion
        self._map.add_footprint(motion.x, motion.y, self.robot.limits.radius_m)
        self._map.add(frame.depth_m, self.camera, self.world_from_camera(motion))
        return self._map.grid()

    def world_from_camera(self, motion: Motion) -> np.ndarray:
        """4 x 4, of the optical frame."""
        return planar_matrix(motion.x, motion.y, motion.yaw) @ self.base_from_optical

    def top_down(self) -> TopDown:
        """The world from above without its ceiling."""
        return self._renderer.top_down()
