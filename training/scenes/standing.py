"""Where a disc-shaped robot can stand among the furniture of a scene, and where it starts.

In: a `Scene`, the robot's height and radius. Out: distances on the floor, and a start pose. Things
count with the rectangle that they stand on. Metres and radians, the world frame of the scene.
Nothing here drives.
"""

from __future__ import annotations

import math

import numpy as np

from ipt_training.scenes.scene import Scene, SceneError


class Furniture:
    """Distances on the floor to everything the robot can bump into, exact for rectangles."""

    def __init__(self, scene: Scene, robot_height_m: float) -> None:
        self._scene = scene
        boxes = [
            (centre[:2], 0.0, (0.5 * size[0], 0.5 * size[1]), "a wall")
            for wall in scene.walls
            for centre, size in wall.boxes()
            if centre[2] - 0.5 * size[2] < robot_height_m  # not the lintel of a door
        ]
        boxes += [
            (
                thing.position[:2],
                thing.yaw,
                (0.5 * thing.footprint[0], 0.5 * thing.footprint[1]),
                f"the {thing.name}",
            )
            for thing in scene.objects
        ]
        self._centre = np.array([b[0] for b in boxes], float).reshape(-1, 2)
        yaw = np.array([b[1] for b in boxes])
        self._cos, self._sin = np.cos(yaw), np.sin(yaw)
        self._half = np.array([b[2] for b in boxes], float).reshape(-1, 2)
        self._names = [b[3] for b in boxes]

    def distances(self, x: float, y: float) -> np.ndarray:
        """To every wall and object, m; 0 inside."""
        dx, dy = x - self._centre[:, 0], y - self._centre[:, 1]
        u = np.abs(self._cos * dx + self._sin * dy) - self._half[:, 0]
        v = np.abs(self._cos * dy - self._sin * dx) - self._half[:, 1]
        return np.hypot(np.maximum(u, 0.0), np.maximum(v, 0.0))

    def clearance(self, x: float, y: float) -> float:
        """To the nearest of them, m; 0 inside or out of the house."""
        if self._scene.room_at(x, y) is None:
            return 0.0
        return float(self.distances(x, y).min(initial=math.inf))

    def obstacle(self, x: float, y: float, radius_m: float) -> str | None:
        """What keeps a disc from standing here, in words; None when it fits."""
        if self._scene.room_at(x, y) is None:
            x0, y0, x1, y1 = self._scene.bounds
            return f"outside the house (x {x0:.1f} to {x1:.1f}, y {y0:.1f} to {y1:.1f} m)"
        distances = self.distances(x, y)
        nearest = int(np.argmin(distances))
        if distances[nearest] >= radius_m:
            return None
        return f"{distances[nearest]:.2f} m from {self._names[nearest]}"


def start_pose(scene: Scene, furniture: Furniture, radius_m: float) -> tuple[float, float, float]:
    """x, y, yaw far from the middle of the first room and looking there, so that most of it is
    seen; SceneError where the room is full.
    """
    x0, y0, x1, y1 = scene.rooms[0].interior
    middle = (0.5 * (x0 + x1), 0.5 * (y0 + y1))
    margin = radius_m + 0.1  # also keeps it out of doorways
    places = [
        (float(x), float(y))
        for x in np.arange(x0 + margin, x1 - margin, 0.1)
        for y in np.arange(y0 + margin, y1 - margin, 0.1)
        if furniture.clearance(float(x), float(y)) >= margin
    ]
    if not places:
        raise SceneError(f"scene {scene.seed}: no free place in room 0 for the robot")
    x, y = max(places, key=lambda p: math.dist(p, middle))
    return x, y, math.atan2(middle[1] - y, middle[0] - x)
