"""What gazebo_eval.launch.py needs to know of a world file before Gazebo reads it: its name,
whether a robot stands in it, where one would start, and where the camera sits.

In: a name or path, and the package's folder of worlds. Out: plain values, or a `WorldFileError`
that says what to do. Metres and radians. Knows nothing of launch.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL

#: Of the robot, in every world.
ROBOT = "robot"
#: What image_bridge carries: the same names in Gazebo and in ROS.
IMAGE_TOPICS = ("camera/image", "camera/depth_image")


class WorldFileError(ValueError):
    """A file that is not there or says something else than it should."""


@dataclass(frozen=True)
class GazeboWorld:
    """A world file. start: x, y, yaw out of the truth beside it; None where there is none."""

    path: Path
    name: str
    has_robot: bool
    start: tuple[float, float, float] | None


@dataclass(frozen=True)
class MountedCamera:
    """Where a robot's file has its camera. base_from_optical: 4 x 4."""

    base_frame: str
    optical_frame: str
    base_from_optical: np.ndarray


def find_world(given: str, shipped: Path) -> GazeboWorld:
    """The world of a name in `shipped`, or of a path that ends with .sdf."""
    path = Path(given).expanduser().absolute()
    if not given.endswith(".sdf"):
        path = shipped / f"{given}.sdf"
    if not path.is_file():
        there = sorted(p.stem for p in shipped.glob("*.sdf") if p.stem != ROBOT)
        raise WorldFileError(
            f"world {given!r}: there is no {path}; give the path of an .sdf file, or one of "
            f"{', '.join(there)}"
        )
    root = _parsed(path)
    worlds = root.findall("world")
    if len(worlds) != 1:
        raise WorldFileError(f"{path}: expected one world, found {len(worlds)}")
    has_robot = root.find(f"world/model[@name='{ROBOT}']") is not None
    return GazeboWorld(path, worlds[0].get("name", ""), has_robot, _start(path))


def start_from(world: GazeboWorld, arguments: Mapping[str, str]) -> tuple[float, float, float]:
    """Where the robot is spawned. arguments: x, y, yaw as they were typed; an empty one leaves the
    truth's, or 0 where there is no truth.
    """
    values = []
    for name, known in zip(("x", "y", "yaw"), world.start or (0.0, 0.0, 0.0), strict=True):
        typed = arguments[name]
        try:
            value = float(typed) if typed else known
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise WorldFileError(f"{name}: expected a finite number, got {typed!r}")
        values.append(value)
    return values[0], values[1], values[2]


def gazebo_arguments(world: GazeboWorld, gui: bool, verbosity: str) -> str:
    """For `gz sim`, as a shell reads them: ros_gz_sim starts it through one."""
    window = "" if gui else "-s --headless-rendering "
    return f"-r {window}-v {verbosity} {shlex.quote(str(world.path))}"


def mounted_camera(path: Path) -> MountedCamera:
    """The camera of the robot in a file, its own or a world's."""
    root = _parsed(path)
    link = root.find(f".//model[@name='{ROBOT}']/link")
    sensor = None if link is None else link.find("sensor[@type='rgbd_camera']")
    if link is None or sensor is None:
        raise WorldFileError(f"{path}: there is no model {ROBOT!r} with an rgbd_camera in it")
    try:
        pose = [float(v) for v in (sensor.findtext("pose") or "0 0 0 0 0 0").split()]
        base_from_camera = from_xyz_rpy(*pose)
    except (TypeError, ValueError) as error:
        raise WorldFileError(f"{path}: the camera's pose is not six numbers: {error}") from error
    frame = sensor.findtext("gz_frame_id") or sensor.findtext("frame_id")
    if not frame:
        raise WorldFileError(f"{path}: the camera has no gz_frame_id")
    return MountedCamera(link.get("name", ""), frame, base_from_camera @ BODY_FROM_OPTICAL)


def _parsed(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise WorldFileError(f"{path}: {error}") from error


def _start(world: Path) -> tuple[float, float, float] | None:
    path = world.with_suffix(".json")
    if not path.is_file():
        return None
    try:
        x, y, yaw = (float(v) for v in json.loads(path.read_text())["robot"]["start"])
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise WorldFileError(f"{path}: expected the truth of {world.name}: {error!r}") from error
    return x, y, yaw
