"""A scene as a world of SDFormat: what is seen, what is run into, lights, and Gazebo's systems.

In: a `Scene` and a name. Out: the text of the .sdf file, equal for equal scenes. Every object is a
static model at its own pose, with its parts as the scene has them. Walls and what hangs on them
are two models. Floors of rooms have one colour each: patterns, shadows on the floor and the
dimming with distance are of our own pictures alone.
"""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from ipt_training.scenes.scene import Primitive, Scene, SceneError
from ipt_training.worlds.elements import (
    add,
    add_material,
    add_plane,
    add_plugin,
    add_pose,
    add_shape,
    add_solid,
    document,
    listed,
    number,
    sizes,
)
from ipt_training.worlds.names import (
    CEILING,
    FIXTURES,
    FLOOR,
    WALLS,
    checked_world_name,
    model_names,
)
from ipt_training.worlds.robot import RobotBuild, robot_model

#: The camera's period of the default robot is 25 of them.
STEP_S = 0.0025
_FLOOR_M = 0.1
_CEILING_RGB = (237, 236, 232)


def world_sdf(
    scene: Scene,
    name: str,
    robot: RobotBuild | None = None,
    start: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> str:
    """The file's text. robot: stands in the world at `start` (x, y, yaw); None: to be spawned."""
    if not scene.rooms:
        raise SceneError(f"world {name!r}: the scene has no rooms, so nobody could stand in it")
    world = Element("world", name=checked_world_name(name))
    _physics(world)
    lights = _lights(world, scene)
    _floor(world, scene)
    _walls(world, scene)
    for thing, model in zip(scene.objects, object_models(scene, lights), strict=True):
        link = _static(world, model, thing.position, (0.0, 0.0, thing.yaw))
        for i, part in enumerate(thing.primitives):
            add_solid(link, f"part_{i}", part, f"the {thing.name}, part {i}")
        if not thing.primitives:
            raise SceneError(f"the {thing.name}: it has no parts")
    _ceiling(world, scene)
    if robot is not None:
        world.append(robot_model(robot, start))
    return document(world)


def robot_sdf(robot: RobotBuild) -> str:
    """The text of the robot's own file."""
    return document(robot_model(robot))


def object_models(scene: Scene, lights: tuple[str, ...] | None = None) -> list[str]:
    """The model name of every object, in the scene's order."""
    if lights is None:
        lights = tuple(_light_name(i) for i in range(len(scene.lights)))
    return model_names((thing.name for thing in scene.objects), lights)


def _light_name(index: int) -> str:
    return f"light_{index}"


def _physics(world: Element) -> None:
    physics = add(world, "physics", name="steps", type="ode")
    add(physics, "max_step_size", number(STEP_S, "world"))
    add(physics, "real_time_factor", "1")
    add(physics, "real_time_update_rate", number(1 / STEP_S, "world"))
    add_plugin(world, "gz-sim-physics-system", "Physics")
    add_plugin(world, "gz-sim-user-commands-system", "UserCommands")
    add_plugin(world, "gz-sim-scene-broadcaster-system", "SceneBroadcaster")  # for the window
    add_plugin(world, "gz-sim-sensors-system", "Sensors", render_engine="ogre2")


def _lights(world: Element, scene: Scene) -> tuple[str, ...]:
    if not 0 <= scene.ambient < math.inf:
        raise SceneError(f"ambient {scene.ambient}: expected a strength from 0 up")
    look = add(world, "scene")
    ambient = number(min(1.0, scene.ambient), "ambient")
    add(look, "ambient", f"{ambient} {ambient} {ambient} 1")
    add(look, "background", "0.15 0.155 0.165 1")
    add(look, "shadows", "0")
    names = []
    for i, lamp in enumerate(scene.lights):
        what = _light_name(i)
        names.append(what)
        towards = listed((-v for v in lamp.direction), f"{what}, direction")
        if math.hypot(*lamp.direction) < 1e-6 or not 0 <= lamp.intensity < math.inf:
            raise SceneError(
                f"{what}: expected a direction and a strength from 0 up, got {lamp.direction}, "
                f"{lamp.intensity}"
            )
        light = add(world, "light", name=what, type="directional")
        # far lamps shine through the ceiling, as in our own pictures
        add(light, "cast_shadows", "0")
        strength = number(min(1.0, lamp.intensity), what)
        add(light, "diffuse", f"{strength} {strength} {strength} 1")
        add(light, "specular", "0 0 0 1")
        add(light, "direction", towards)
    return tuple(names)


def _static(
    world: Element,
    name: str,
    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0),
    rpy: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Element:
    """A model that stays where it is; its only link."""
    model = add(world, "model", name=name)
    add(model, "static", "1")
    add_pose(model, xyz, rpy, f"pose of {name}")
    return add(model, "link", name="link")


def _floor(world: Element, scene: Scene) -> None:
    """One plane a room to look at, one slab to stand on."""
    link = _static(world, FLOOR)
    for i, room in enumerate(scene.rooms):
        what = f"room {i}"
        visual = add(link, "visual", name=f"room_{i}")
        middle = (0.5 * (room.x_min + room.x_max), 0.5 * (room.y_min + room.y_max), 0.0)
        add_pose(visual, middle, (0.0, 0.0, 0.0), what)
        add_plane(visual, (room.x_max - room.x_min, room.y_max - room.y_min), True, what)
        add_material(visual, room.floor_colour, f"{what}, colour of the floor")
    (x, y), size = _middle(scene)
    slab = Primitive("box", (*size, _FLOOR_M), (x, y, -0.5 * _FLOOR_M), (0, 0, 0))
    collision = add(link, "collision", name="slab")
    add_pose(collision, slab.position, slab.rpy, "floor")
    add_shape(collision, slab, "floor")


def _ceiling(world: Element, scene: Scene) -> None:
    """A plane that is seen from below, so that people can look in from above."""
    (height,) = sizes((scene.wall_height_m,), "wall_height_m")
    link = _static(world, CEILING)
    (x, y), size = _middle(scene)
    visual = add(link, "visual", name="plane")
    add_pose(visual, (x, y, height), (0.0, 0.0, 0.0), "ceiling")
    add_plane(visual, size, False, "ceiling")
    add_material(visual, _CEILING_RGB, "ceiling")


def _middle(scene: Scene) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of the rectangle around all rooms: the middle and the full size, m."""
    x0, y0, x1, y1 = scene.bounds
    return (0.5 * (x0 + x1), 0.5 * (y0 + y1)), (x1 - x0, y1 - y0)


def _walls(world: Element, scene: Scene) -> None:
    if scene.walls:
        link = _static(world, WALLS)
        for i, wall in enumerate(scene.walls):
            colour = scene.rooms[wall.room].wall_colour
            what = f"wall {i}"
            sizes((wall.x_max - wall.x_min, wall.y_max - wall.y_min, wall.height_m), what)
            for j, (centre, size) in enumerate(wall.boxes()):
                add_solid(link, f"wall_{i}_{j}", Primitive("box", size, centre, colour), what)
    if any(fixture.primitives for fixture in scene.fixtures):
        link = _static(world, FIXTURES)
        for i, fixture in enumerate(scene.fixtures):
            for j, part in enumerate(fixture.primitives):
                add_solid(link, f"fixture_{i}_{j}", part, f"{fixture.kind} {i}, part {j}")
