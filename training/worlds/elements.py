"""Pieces of SDFormat: numbers, poses, shapes and colours as XML elements.

In: plain numbers of a scene. Out: `Element`s of SDFormat 1.9. Numbers are written to a nanometre,
so the four decimals of a scene come back as they were. Whatever is no number, size or colour is a
SceneError that says where it stood. Nothing here knows a scene or a robot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ipt_training.scenes.scene import SHAPES, Primitive, SceneError

#: Every Gazebo that ROS 2 Jazzy or a later one works with understands it.
SDF_VERSION = "1.9"
#: Beside every world: SDFormat 1.9 has no cone, so cones are this mesh, stretched.
CONE_FILE = "cone.obj"
#: Nothing in a world is thinner.
THINNEST_M = 1e-6


def number(value: float, what: str) -> str:
    """As short as it can be written; SceneError unless it is finite."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise SceneError(f"{what}: expected a finite number, got {value!r}")
    text = repr(round(float(value), 9) + 0.0)  # + 0.0: no -0
    return text.removesuffix(".0")


def listed(values: Iterable[float], what: str) -> str:
    return " ".join(number(v, what) for v in values)


def sizes(values: Iterable[float], what: str) -> list[float]:
    """The lengths; SceneError unless all of them are lengths."""
    lengths = list(values)
    for length in lengths:
        number(length, what)
        if length < THINNEST_M:
            raise SceneError(f"{what}: expected lengths of at least {THINNEST_M} m, got {lengths}")
    return lengths


def add(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    element = SubElement(parent, tag, attributes)
    element.text = text
    return element


def add_pose(parent: Element, xyz: Iterable[float], rpy: Iterable[float], what: str) -> None:
    """Left out where the frames are the same."""
    values = [*xyz, *rpy]
    text = listed(values, what)
    if any(part != "0" for part in text.split()):
        add(parent, "pose", text)


def add_shape(parent: Element, part: Primitive, what: str) -> None:
    """The geometry of a solid at the origin of its parent."""
    if part.shape not in SHAPES:
        raise SceneError(f"{what}: shape must be one of {SHAPES}, got {part.shape!r}")
    x, y, z = sizes(part.size, f"{what}, size of the {part.shape}")
    if part.shape != "box" and (x != y or (part.shape == "sphere" and y != z)):
        raise SceneError(f"{what}: a {part.shape} is round, got the size {part.size}")
    geometry = add(parent, "geometry")
    if part.shape == "box":
        add(add(geometry, "box"), "size", listed((x, y, z), what))
    elif part.shape == "sphere":
        add(add(geometry, "sphere"), "radius", number(0.5 * x, what))
    elif part.shape == "cylinder":
        cylinder = add(geometry, "cylinder")
        add(cylinder, "radius", number(0.5 * x, what))
        add(cylinder, "length", number(z, what))
    else:
        mesh = add(geometry, "mesh")
        add(mesh, "uri", CONE_FILE)
        add(mesh, "scale", listed((x, y, z), what))


def add_plane(parent: Element, size: tuple[float, float], up: bool, what: str) -> None:
    """A rectangle around the origin that is seen from above, or from below."""
    plane = add(add(parent, "geometry"), "plane")
    add(plane, "normal", "0 0 1" if up else "0 0 -1")
    add(plane, "size", listed(sizes(size, what), what))


def add_material(parent: Element, rgb: Iterable[float], what: str) -> None:
    """rgb: 0-255. Without gloss: the scenes' own pictures have none."""
    values = list(rgb)
    text = listed((round(v / 255, 6) for v in values), what)
    if len(values) != 3 or not all(0 <= v <= 255 for v in values):
        raise SceneError(f"{what}: expected red, green and blue of 0 to 255, got {values}")
    material = add(parent, "material")
    for kind in ("ambient", "diffuse"):
        add(material, kind, f"{text} 1")


def add_solid(link: Element, name: str, part: Primitive, what: str) -> None:
    """A solid of a link, to be seen and to be run into."""
    for kind in ("visual", "collision"):
        # all that a link holds must have different names
        element = add(link, kind, name=name if kind == "visual" else f"{name}_collision")
        add_pose(element, part.position, part.rpy, f"{what}, pose")
        add_shape(element, part, what)
        if kind == "visual":
            add_material(element, part.colour, f"{what}, colour")


def add_plugin(parent: Element, library: str, system: str, **settings: str) -> Element:
    plugin = add(parent, "plugin", filename=library, name=f"gz::sim::systems::{system}")
    for name, value in settings.items():
        add(plugin, name, value)
    return plugin


def document(content: Element) -> str:
    """The text of a file that holds one world or one model."""
    root = Element("sdf", version=SDF_VERSION)
    root.append(content)
    ElementTree.indent(root, " ")
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
