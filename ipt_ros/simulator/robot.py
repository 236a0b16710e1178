"""A disc-shaped robot with differential drive among the furniture of a scene. Knows nothing of
ROS.

In: speed commands with their time, poses to be put at. Out: where the robot is. Metres, radians,
seconds of simulated time; the world frame of the scene.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ipt_training.scenes.scene import Scene

#: Longest motion between two looks at the furniture.
_STEP_M, _STEP_RAD, _STEP_S = 0.02, 0.05, 0.05


class PoseError(ValueError):
    """A place where the robot cannot stand; the message says what stands there."""


@dataclass(frozen=True)
class RobotLimits:
    """What the robot is built for: m/s, rad/s, m, s."""

    max_speed: float = 1.0
    max_turn: float = 2.0
    radius_m: float = 0.2
    height_m: float = 1.3
    command_timeout_s: float = 0.5


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


class Robot:
    """Moves as commanded until the command times out or something is in the way."""

    def __init__(self, scene: Scene, limits: RobotLimits, time_s: float = 0.0) -> None:
        self.limits = limits
        self._furniture = Furniture(scene, limits.height_m)
        self.x, self.y, self.yaw = self._start(scene)
        #: What it does now: m/s forward, rad/s to the left. Blocked is 0 forward.
        self.speed, self.turn = 0.0, 0.0
        self._command = (0.0, 0.0)
        self._until_s = -math.inf
        self._time_s = time_s

    def command(self, speed: float, turn: float, time_s: float) -> None:
        """Drive so from now on, within the limits; ValueError for NaN."""
        if not (math.isfinite(speed) and math.isfinite(turn)):
            raise ValueError(f"speed {speed}, turn {turn}: expected finite numbers")
        self.advance(time_s)
        limits = self.limits
        self._command = (
            min(limits.max_speed, max(-limits.max_speed, speed)),
            min(limits.max_turn, max(-limits.max_turn, turn)),
        )
        self._until_s = time_s + limits.command_timeout_s

    def put(self, x: float, y: float, yaw: float) -> None:
        """Stand here at once and forget the command; PoseError when something is in the way."""
        if not all(math.isfinite(v) for v in (x, y, yaw)):
            raise PoseError(f"x {x}, y {y}, yaw {yaw}: expected finite numbers")
        found = self._furniture.obstacle(x, y, self.limits.radius_m)
        if found is not None:
            raise PoseError(
                f"x {x:.2f}, y {y:.2f}: {found}; the robot needs {self.limits.radius_m:.2f} m"
            )
        self.x, self.y, self.yaw = x, y, _wrapped(yaw)
        self.speed = self.turn = 0.0
        self._command, self._until_s = (0.0, 0.0), -math.inf

    def advance(self, time_s: float) -> None:
        """Move up to this time."""
        begin, self._time_s = self._time_s, max(self._time_s, time_s)
        driven = max(0.0, min(self._time_s, self._until_s) - begin)
        if driven > 0.0:
            speed, turn = self._command
            steps = math.ceil(
                max(
                    abs(speed) * driven / _STEP_M,
                    abs(turn) * driven / _STEP_RAD,
                    driven / _STEP_S,
                )
            )
            for _ in range(steps):
                self._step(speed, turn, driven / steps)
        if self._time_s >= self._until_s:
            self.speed = self.turn = 0.0

    def _step(self, speed: float, turn: float, dt: float) -> None:
        middle = self.yaw + 0.5 * turn * dt
        x = self.x + speed * dt * math.cos(middle)
        y = self.y + speed * dt * math.sin(middle)
        # a disc can always turn
        if self._furniture.clearance(x, y) >= self.limits.radius_m:
            self.x, self.y, self.speed = x, y, speed
        else:
            self.speed = 0.0
        self.yaw = _wrapped(self.yaw + turn * dt)
        self.turn = turn

    def _start(self, scene: Scene) -> tuple[float, float, float]:
        """Far from the middle of the first room and looking there, so that most of it is seen."""
        x0, y0, x1, y1 = scene.rooms[0].interior
        middle = (0.5 * (x0 + x1), 0.5 * (y0 + y1))
        margin = self.limits.radius_m + 0.1  # also keeps it out of doorways
        places = [
            (float(x), float(y))
            for x in np.arange(x0 + margin, x1 - margin, 0.1)
            for y in np.arange(y0 + margin, y1 - margin, 0.1)
            if self._furniture.clearance(float(x), float(y)) >= margin
        ]
        if not places:
            raise PoseError(f"scene {scene.seed}: no free place in room 0 for the robot")
        x, y = max(places, key=lambda p: math.dist(p, middle))
        return x, y, math.atan2(middle[1] - y, middle[0] - x)


def _wrapped(angle: float) -> float:
    return math.atan2(math.sin(angle), math.cos(angle))
