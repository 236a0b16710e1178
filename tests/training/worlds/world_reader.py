"""A reader of world files that shares no code with what writes them: XML, poses by scipy, rays by
open3d. And Gazebo's own parser, where it is installed.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.spatial.transform import Rotation


def floats(element, tag, default=""):
    text = element.findtext(tag, default)
    return tuple(float(v) for v in text.split())


def matrix(element):
    """4 x 4 of an element's own <pose>."""
    pose = floats(element, "pose") or (0.0,) * 6
    result = np.eye(4)
    result[:3, :3] = Rotation.from_euler("xyz", pose[3:]).as_matrix()
    result[:3, 3] = pose[:3]
    return result


@dataclass
class Solid:
    """One visual or collision. size: as a primitive's; of a plane x, y and the sign of its normal.
    pose: x, y, z, roll, pitch, yaw in its link. world: 4 x 4.
    """

    model: str
    name: str
    kind: str
    shape: str
    size: tuple
    pose: tuple
    world: np.ndarray
    rgb: tuple | None


def shape_of(geometry):
    (shape,) = geometry
    if shape.tag == "box":
        return "box", floats(shape, "size")
    if shape.tag == "sphere":
        return "sphere", (2 * floats(shape, "radius")[0],) * 3
    if shape.tag == "cylinder":
        (radius,), (length,) = floats(shape, "radius"), floats(shape, "length")
        return "cylinder", (2 * radius, 2 * radius, length)
    if shape.tag == "plane":
        return "plane", (*floats(shape, "size"), floats(shape, "normal")[2])
    assert shape.tag == "mesh" and shape.findtext("uri") == "cone.obj"
    return "cone", floats(shape, "scale")


def read_text(text):
    """The solids of a world's or robot's text."""
    found = []
    for model in ElementTree.fromstring(text).iter("model"):
        for link in model.findall("link"):
            for element in [*link.findall("visual"), *link.findall("collision")]:
                colour = element.find("material")
                rgb = floats(colour, "diffuse")[:3] if colour is not None else None
                found.append(
                    Solid(
                        model.get("name"),
                        element.get("name"),
                        element.tag,
                        *shape_of(element.find("geometry")),
                        floats(element, "pose") or (0.0,) * 6,
                        matrix(model) @ matrix(link) @ matrix(element),
                        None if rgb is None else tuple(round(v * 255) for v in rgb),
                    )
                )
    return found


class WorldView:
    """Depth pictures of a world file, by rays through open3d's own shapes."""

    def __init__(self, world: Path, robot: Path):
        import open3d

        self.o3d = open3d
        self.scene = open3d.t.geometry.RaycastingScene(nthreads=1)
        self.models = []
        for solid in read_text(world.read_text()):
            if solid.kind == "visual":
                mesh = open3d.t.geometry.TriangleMesh.from_legacy(self.mesh(solid, world.parent))
                self.scene.add_triangles(mesh)
                self.models.append(solid.model)
        sensor = ElementTree.fromstring(robot.read_text()).find("model/link/sensor")
        self.base_from_camera = matrix(sensor)
        camera = sensor.find("camera")
        self.width = int(camera.findtext("image/width"))
        self.height = int(camera.findtext("image/height"))
        self.focal = 0.5 * self.width / math.tan(0.5 * float(camera.findtext("horizontal_fov")))

    def mesh(self, solid, folder):
        make = self.o3d.geometry.TriangleMesh
        x, y, z = solid.size
        if solid.shape == "box":
            mesh = make.create_box(x, y, z).translate((-x / 2, -y / 2, -z / 2))
        elif solid.shape == "sphere":
            mesh = make.create_sphere(x / 2, resolution=60)
        elif solid.shape == "cylinder":
            mesh = make.create_cylinder(x / 2, z, resolution=120)
        elif solid.shape == "plane":
            mesh = make.create_box(x, y, 1e-6).translate((-x / 2, -y / 2, 0.0))
        else:
            mesh = self.o3d.io.read_triangle_mesh(str(folder / "cone.obj"))
            points = np.asarray(mesh.vertices) * solid.size
            mesh.vertices = self.o3d.utility.Vector3dVector(points)
        return mesh.transform(solid.world)

    def look(self, x, y, yaw):
        """Depth along the view (H x W, m, inf for nothing) and the model seen at each pixel, for
        the robot's base at x, y, yaw.
        """
        base = np.eye(4)
        base[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
        base[:3, 3] = (x, y, 0.0)
        eye = base @ self.base_from_camera
        v, u = np.mgrid[: self.height, : self.width] + 0.5
        ahead = np.ones_like(u)
        left = (0.5 * self.width - u) / self.focal
        up = (0.5 * self.height - v) / self.focal
        ways = np.stack([ahead, left, up], -1) @ eye[:3, :3].T
        rays = np.concatenate([np.broadcast_to(eye[:3, 3], ways.shape), ways], -1)
        tensor = self.o3d.core.Tensor.from_numpy(rays.astype(np.float32))
        hits = self.scene.cast_rays(tensor, nthreads=1)
        seen = np.minimum(hits["geometry_ids"].numpy(), len(self.models))
        return hits["t_hit"].numpy(), np.array([*self.models, ""])[seen]


# -- Gazebo's own parser --------------------------------------------------------------------------


@cache
def program():
    """`gz`, or `ign`, its name before; None where neither has the subcommand `sdf`."""
    for name in ("gz", "ign"):
        if shutil.which(name):
            asked = subprocess.run([name, "sdf", "--versions"], capture_output=True, check=False)
            if asked.returncode == 0 and asked.stdout.strip():
                return name
    return None


def parser(*arguments):
    """What `gz sdf` says to these arguments; skips where there is none."""
    if program() is None:
        pytest.skip(
            "SDFormat's parser is not installed (apt: ignition-tools libsdformat-dev sdformat-sdf)"
        )
    command = [program(), "sdf", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def refusal(path):
    """Why the parser does not take a file; empty if it does."""
    done = parser("-k", str(path))
    if done.returncode == 0 and "Valid." in done.stdout and "Error" not in done.stdout:
        return ""
    return done.stdout + done.stderr


def unknown_to(specification, element, where=""):
    """Elements and attributes that the description of SDFormat does not have; the parser passes
    over them in silence.
    """
    where = f"{where}/{element.tag}"
    if specification.find("element[@copy_data]") is not None:
        return []
    attributes = {a.get("name") for a in specification.findall("attribute")}
    found = [f"{where}@{a}" for a in element.keys() if a not in attributes]  # noqa: SIM118
    known = {e.get("name"): e for e in specification.findall("element") if e.get("name")}
    for child in element:
        if child.tag in known:
            found += unknown_to(known[child.tag], child, where)
        else:
            found.append(f"{where}/{child.tag}")
    return found
