"""The robot that drives in exported worlds: a model of SDFormat with the size, camera, frames and
topics of the embedded simulator's robot.

In: a `RobotBuild`; its defaults are those of the simulator's parameters (a test compares them).
Out: the model. The frame base_link lies on the floor under the middle, as the simulator has it.
Metres, radians. Nothing here knows a scene.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from ipt_training.scenes.scene import Primitive, SceneError
from ipt_training.worlds.elements import (
    add,
    add_material,
    add_plugin,
    add_pose,
    add_shape,
    number,
    sizes,
)
from ipt_training.worlds.names import ROBOT

#: Its looks and its weight; the simulator's robot has neither.
_BODY_RGB, _WHEEL_RGB = (90, 94, 102), (40, 40, 44)
_BODY_KG, _WHEEL_KG = 12.0, 0.6
#: Of the robot's own parts, and what its camera sees: everything else.
_OWN, _OTHERS = 2, 0xFFFFFFFD
_TOPIC = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z0-9_]+)*")


@dataclass(frozen=True)
class RobotBuild:
    """As `sim_node`'s parameters of the same names. Topics are Gazebo's, without a leading slash.

    radius, height: of the cylinder that meets the furniture, m. wheels: prefix of the odometry of
    the wheels, which drifts and starts at zero; `odom` is the truth.
    """

    radius: float = 0.2
    height: float = 1.3
    camera_x: float = 0.1
    camera_y: float = 0.0
    camera_z: float = 1.2
    camera_pitch: float = 0.25
    width: int = 320
    height_px: int = 240
    horizontal_fov: float = 1.57
    depth_max: float = 10.0
    rate: float = 16.0
    odom_rate: float = 30.0
    max_speed: float = 1.0
    max_turn: float = 2.0
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    camera_frame: str = "camera_optical_frame"
    camera: str = "camera"
    odom: str = "odom"
    tf: str = "tf"
    cmd_vel: str = "cmd_vel"
    wheels: str = "wheels"

    def __post_init__(self) -> None:
        sizes((self.radius, self.height), "robot, radius and height")
        for name in ("camera_x", "camera_y", "camera_z", "camera_pitch"):
            number(getattr(self, name), f"robot, {name}")
        for name in ("depth_max", "rate", "odom_rate", "max_speed", "max_turn"):
            number(getattr(self, name), f"robot, {name}")
            if getattr(self, name) <= 0:
                raise SceneError(f"robot, {name}: expected more than 0")
        if not 0.1 <= self.horizontal_fov < math.pi:
            raise SceneError(f"robot, horizontal_fov {self.horizontal_fov}: expected 0.1 to pi")
        if self.width < 1 or self.height_px < 1:
            raise SceneError(f"robot, pictures of {self.width} x {self.height_px} pixels")
        for name in ("odom_frame", "base_frame", "camera_frame"):
            if not re.fullmatch(r"\w[\w/.-]*", getattr(self, name)):
                raise SceneError(f"robot, {name} {getattr(self, name)!r}: expected a frame's name")
        for name in ("camera", "odom", "tf", "cmd_vel", "wheels"):
            if not _TOPIC.fullmatch(getattr(self, name)):
                raise SceneError(f"robot, {name} {getattr(self, name)!r}: expected a topic's name")


def robot_model(build: RobotBuild, pose: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Element:
    """The `<model>`. pose: x, y, yaw in the world."""
    model = Element("model", name=ROBOT)
    add_pose(model, (pose[0], pose[1], 0.0), (0.0, 0.0, pose[2]), "robot, pose")
    r = build.radius
    wheel, half_track, width = 0.4 * r, 0.75 * r, 0.2 * r  # all within the disc
    _base(model, build)
    for side, y in (("left", half_track), ("right", -half_track)):
        _wheel(model, side, y, wheel, width, build.base_frame)
    add_plugin(
        model,
        "gz-sim-diff-drive-system",
        "DiffDrive",
        left_joint="left_wheel_joint",
        right_joint="right_wheel_joint",
        wheel_separation=number(2 * half_track, "robot"),
        wheel_radius=number(wheel, "robot"),
        max_linear_velocity=number(build.max_speed, "robot"),
        min_linear_velocity=number(-build.max_speed, "robot"),
        max_angular_velocity=number(build.max_turn, "robot"),
        min_angular_velocity=number(-build.max_turn, "robot"),
        topic=build.cmd_vel,
        odom_topic=f"{build.wheels}/odom",
        tf_topic=f"{build.wheels}/tf",
        odom_publish_frequency=number(build.odom_rate, "robot"),
        frame_id=build.odom_frame,
        child_frame_id=build.base_frame,
    )
    add_plugin(
        model,
        "gz-sim-odometry-publisher-system",
        "OdometryPublisher",
        odom_frame=build.odom_frame,
        robot_base_frame=build.base_frame,
        odom_topic=build.odom,
        tf_topic=build.tf,
        odom_publish_frequency=number(build.odom_rate, "robot"),
        dimensions="2",
    )
    return model


def _base(model: Element, build: RobotBuild) -> None:
    """The body, what it stands on, and the camera. Its mass lies low: it must not tip over."""
    r, h = build.radius, build.height
    link = add(model, "link", name=build.base_frame)
    _inertia(link, _BODY_KG, (0.0, 0.0, 0.5 * r), 0.25 * r * r + r * r / 12, 0.5 * r * r)
    clear = 0.2 * r  # over the floor
    body = Primitive("cylinder", (2 * r, 2 * r, h - clear), (0, 0, 0.5 * (h + clear)), _BODY_RGB)
    collision = add(link, "collision", name="body_collision")
    add_pose(collision, body.position, body.rpy, "robot")
    add_shape(collision, body, "robot, body")
    for name, x in (("front_caster", 0.75 * r), ("back_caster", -0.75 * r)):
        ball = Primitive("sphere", (0.3 * r,) * 3, (x, 0.0, 0.15 * r), _WHEEL_RGB)
        collision = add(link, "collision", name=f"{name}_collision")
        add_pose(collision, ball.position, ball.rpy, "robot")
        add_shape(collision, ball, f"robot, {name}")
        friction = add(add(add(collision, "surface"), "friction"), "ode")
        for coefficient in ("mu", "mu2"):
            add(friction, coefficient, "0")
        _looks(link, name, ball)
    # seen by people only: the simulator's camera does not see its robot either
    low = Primitive("cylinder", (2 * r, 2 * r, r), (0.0, 0.0, clear + 0.5 * r), _BODY_RGB)
    _looks(link, "body", low)
    mast = max(build.camera_z - clear - r, 0.01)
    at = (build.camera_x - 0.04, build.camera_y, clear + r + 0.5 * mast)
    _looks(link, "mast", Primitive("box", (0.03, 0.03, mast), at, _BODY_RGB))
    _camera(link, build)


def _camera(link: Element, build: RobotBuild) -> None:
    sensor = add(link, "sensor", name="camera", type="rgbd_camera")
    at = (build.camera_x, build.camera_y, build.camera_z)
    add_pose(sensor, at, (0.0, build.camera_pitch, 0.0), "robot, camera")
    add(sensor, "always_on", "1")
    add(sensor, "update_rate", number(build.rate, "robot"))
    add(sensor, "topic", build.camera)
    # the first is read by releases that came after SDFormat 1.9, the second by those before; each
    # passes over the other
    for tag in ("frame_id", "gz_frame_id"):
        add(sensor, tag, build.camera_frame)
    camera = add(sensor, "camera", name="camera")
    add(camera, "horizontal_fov", number(build.horizontal_fov, "robot"))
    image = add(camera, "image")
    add(image, "width", str(build.width))
    add(image, "height", str(build.height_px))
    add(image, "format", "R8G8B8")
    # colour is seen as far as there is something; depth ends where the simulator's does
    clip = add(camera, "clip")
    add(clip, "near", "0.02")
    add(clip, "far", "100")
    depth_camera = add(camera, "depth_camera")
    add(depth_camera, "output", "depths")
    clip = add(depth_camera, "clip")
    add(clip, "near", "0.02")
    add(clip, "far", number(build.depth_max, "robot"))
    add(camera, "visibility_mask", str(_OTHERS))


def _wheel(
    model: Element, side: str, y: float, radius: float, width: float, base_frame: str
) -> None:
    name = f"{side}_wheel"
    link = add(model, "link", name=name)
    add_pose(link, (0.0, y, radius), (-0.5 * math.pi, 0.0, 0.0), "robot, wheel")
    across = 0.25 * radius * radius + width * width / 12
    _inertia(link, _WHEEL_KG, (0.0, 0.0, 0.0), across, 0.5 * radius * radius)
    tyre = Primitive("cylinder", (2 * radius, 2 * radius, width), (0, 0, 0), _WHEEL_RGB)
    add_shape(add(link, "collision", name="tyre_collision"), tyre, "robot, wheel")
    _looks(link, "tyre", tyre)
    joint = add(model, "joint", name=f"{name}_joint", type="revolute")
    add(joint, "parent", base_frame)
    add(joint, "child", name)
    axis = add(joint, "axis")
    add(axis, "xyz", "0 0 1")  # of the wheel, whose z axis is the robot's y
    limit = add(axis, "limit")
    add(limit, "lower", "-1e16")
    add(limit, "upper", "1e16")


def _looks(link: Element, name: str, part: Primitive) -> None:
    visual = add(link, "visual", name=name)
    add_pose(visual, part.position, part.rpy, "robot")
    add_shape(visual, part, f"robot, {name}")
    add_material(visual, part.colour, "robot")
    add(visual, "visibility_flags", str(_OWN))


def _inertia(
    link: Element, mass_kg: float, centre: tuple[float, float, float], across: float, along: float
) -> None:
    """Of a cylinder about z. across, along: moments of 1 kg, m2."""
    inertial = add(link, "inertial")
    add_pose(inertial, centre, (0.0, 0.0, 0.0), "robot")
    add(inertial, "mass", number(mass_kg, "robot"))
    inertia = add(inertial, "inertia")
    for axis, moment in (("ixx", across), ("iyy", across), ("izz", along)):
        add(inertia, axis, number(mass_kg * moment, "robot"))
    for axis in ("ixy", "ixz", "iyz"):
        add(inertia, axis, "0")
