"""What is true of an exported world, as JSON for whoever evaluates a robot in it.

In: a `Scene`, the names of its models, the robot and where it starts. Out: a dict of plain JSON
and its text, one entry a line. Metres and radians in the frame of the world; the map is that of
`grids.occupancy`. `docs/simulation.md` describes every entry.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from ipt_model.spatial.maps import FREE, OCCUPIED, OccupancyGrid
from ipt_training.scenes.grids import occupancy
from ipt_training.scenes.scene import Scene, SceneError
from ipt_training.worlds.names import ROBOT
from ipt_training.worlds.robot import RobotBuild
from ipt_training.worlds.world import object_models

FORMAT = 1
MAP_RESOLUTION_M = 0.05


def truth_of(
    scene: Scene, name: str, robot: RobotBuild, start: tuple[float, float, float]
) -> dict[str, Any]:
    """Everything about the world; plain JSON."""
    unique = scene.unique_names()
    objects = [
        {
            "model": model,
            "name": thing.name,
            "category": thing.category,
            "colour": thing.colour,
            "part_colours": list(dict.fromkeys(part.colour for part in thing.primitives)),
            "position": thing.position,
            "yaw": thing.yaw,
            "size": (*thing.footprint, thing.height_m),
            "tall": thing.tall,
            "room": thing.room,
            "unique": thing.name in unique,
        }
        for thing, model in zip(scene.objects, object_models(scene), strict=True)
    ]
    truth = {
        "format": FORMAT,
        "world": name,
        "level": scene.level,
        "seed": scene.seed,
        "bounds": scene.bounds,
        "wall_height": scene.wall_height_m,
        "rooms": [(r.x_min, r.y_min, r.x_max, r.y_max) for r in scene.rooms],
        "doors": [asdict(door) for door in scene.doors],
        "objects": objects,
        "robot": {"model": ROBOT, "start": [round(v, 6) for v in start], **asdict(robot)},
        "map": _runs(occupancy(scene, MAP_RESOLUTION_M)),
    }
    plain: dict[str, Any] = json.loads(json.dumps(truth, allow_nan=False))
    return plain


def truth_text(truth: dict[str, Any]) -> str:
    """JSON with one entry a line, and one object a line."""
    lines = []
    for key, value in truth.items():
        if key == "objects" and value:
            inner = ",\n  ".join(json.dumps(one) for one in value)
            lines.append(f' "{key}": [\n  {inner}\n ]')
        else:
            lines.append(f' "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def map_of(truth: dict[str, Any]) -> OccupancyGrid:
    """The true map of a world; SceneError where it does not fill its own size."""
    data = truth["map"]
    shape = (data["height"], data["width"])
    runs = np.array(data["runs"], np.int64)
    if (runs < 0).any() or runs.sum() != shape[0] * shape[1]:
        raise SceneError(
            f"map of {truth['world']}: {runs.sum()} cells for {shape[1]} x {shape[0]}"
        )
    kinds = np.where(np.arange(len(runs)) % 2 == 0, FREE, OCCUPIED).astype(np.int8)
    cells = np.repeat(kinds, runs).reshape(shape)
    return OccupancyGrid(cells, data["resolution"], tuple(data["origin"]))


def _runs(grid: OccupancyGrid) -> dict[str, Any]:
    """Row by row from the lowest y: lengths of free and occupied stretches in turn, free first."""
    flat = grid.cells.reshape(-1)
    ends = np.flatnonzero(np.append(flat[1:] != flat[:-1], True)) + 1
    runs = np.diff(ends, prepend=0).tolist()
    height, width = grid.cells.shape
    return {
        "resolution": grid.resolution_m,
        "origin": list(grid.origin_xy),
        "width": width,
        "height": height,
        "runs": runs if flat[0] == FREE else [0, *runs],
    }
