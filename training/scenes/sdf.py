"""A scene as a Gazebo world: every solid a static visual and collision, at the pose the scene
says.

In: a `Scene`. Out: SDF 1.11 text (Gazebo Harmonic or newer, which know cones). The ceiling is
left out so that one can look in; robots are spawned by the launch file.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ipt_training.scenes.scene import Primitive, Scene

_SYSTEMS = (
    ("gz-sim-physics-system", "gz::sim::systems::Physics"),
    ("gz-sim-user-commands-system", "gz::sim::systems::UserCommands"),
    ("gz-sim-scene-broadcaster-system", "gz::sim::systems::SceneBroadcaster"),
    ("gz-sim-sensors-system", "gz::sim::systems::Sensors"),
)


def world_sdf(scene: Scene, name: str) -> str:
    """The world as XML text. Object i is the static model "<name>_<i>", with spaces as
    underscores.
    """
    root = ET.Element("sdf", version="1.11")
    world = ET.SubElement(root, "world", name=name)
    for file, system in _SYSTEMS:
        plugin = ET.SubElement(world, "plugin", filename=file, name=system)
        if system.endswith("Sensors"):
            ET.SubElement(plugin, "render_engine").text = "ogre2"
    look = ET.SubElement(world, "scene")
    grey = _numbers((scene.ambient,) * 3)
    ET.SubElement(look, "ambient").text = f"{grey} 1"
    ET.SubElement(look, "background").text = "0.82 0.86 0.9 1"
    ET.SubElement(look, "shadows").text = "true"
    for i, lamp in enumerate(scene.lights):
        light = ET.SubElement(world, "light", type="directional", name=f"light_{i}")
        ET.SubElement(light, "cast_shadows").text = "true" if i == 0 else "false"
        strength = _numbers((lamp.intensity,) * 3)
        ET.SubElement(light, "diffuse").text = f"{strength} 1"
        ET.SubElement(light, "specular").text = "0.05 0.05 0.05 1"
        # SDF wants the way the light travels
        ET.SubElement(light, "direction").text = _numbers(tuple(-v for v in lamp.direction))
    _floor(world, scene)
    _house(world, scene)
    for i, thing in enumerate(scene.objects):
        model = _model(
            world, f"{thing.name.replace(' ', '_')}_{i}", (*thing.position, 0, 0, thing.yaw)
        )
        link = ET.SubElement(model, "link", name="link")
        for k, part in enumerate(thing.primitives):
            _solid(link, f"part_{k}", part)
    ET.indent(root)
    return '<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _floor(world: ET.Element, scene: Scene) -> None:
    model = _model(world, "floor", (0, 0, 0, 0, 0, 0))
    link = ET.SubElement(model, "link", name="link")
    collision = ET.SubElement(link, "collision", name="ground")
    plane = ET.SubElement(ET.SubElement(collision, "geometry"), "plane")
    ET.SubElement(plane, "normal").text = "0 0 1"
    ET.SubElement(plane, "size").text = "100 100"
    thick = 0.02
    for i, room in enumerate(scene.rooms):
        centre = (0.5 * (room.x_min + room.x_max), 0.5 * (room.y_min + room.y_max), -thick / 2)
        size = (room.x_max - room.x_min, room.y_max - room.y_min, thick)
        slab = Primitive("box", size, centre, room.floor_colour)
        _solid(link, f"room_{i}", slab, collide=False)


def _house(world: ET.Element, scene: Scene) -> None:
    model = _model(world, "walls", (0, 0, 0, 0, 0, 0))
    link = ET.SubElement(model, "link", name="link")
    for i, wall in enumerate(scene.walls):
        colour = scene.rooms[wall.room].wall_colour
        for k, (centre, size) in enumerate(wall.boxes()):
            _solid(link, f"wall_{i}_{k}", Primitive("box", size, centre, colour))
    for i, fixture in enumerate(scene.fixtures):
        for k, part in enumerate(fixture.primitives):
            label = f"{fixture.kind.replace(' ', '_')}_{i}_{k}"
            _solid(link, label, part, collide=False)


def _model(world: ET.Element, name: str, pose: tuple[float, ...]) -> ET.Element:
    model = ET.SubElement(world, "model", name=name)
    ET.SubElement(model, "static").text = "true"
    ET.SubElement(model, "pose").text = _numbers(pose)
    return model


def _solid(link: ET.Element, name: str, part: Primitive, collide: bool = True) -> None:
    for kind in ("collision", "visual") if collide else ("visual",):
        element = ET.SubElement(link, kind, name=f"{name}_{kind}")
        ET.SubElement(element, "pose").text = _numbers((*part.position, *part.rpy))
        shape = ET.SubElement(ET.SubElement(element, "geometry"), part.shape)
        if part.shape == "box":
            ET.SubElement(shape, "size").text = _numbers(part.size)
        else:
            ET.SubElement(shape, "radius").text = _numbers((part.size[0] / 2,))
            if part.shape != "sphere":
                ET.SubElement(shape, "length").text = _numbers((part.size[2],))
        if kind == "visual":
            material = ET.SubElement(element, "material")
            rgba = _numbers(tuple(c / 255 for c in part.colour)) + " 1"
            ET.SubElement(material, "ambient").text = rgba
            ET.SubElement(material, "diffuse").text = rgba
            ET.SubElement(material, "specular").text = "0.05 0.05 0.05 1"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:.5f}".rstrip("0").rstrip(".") for v in values)
