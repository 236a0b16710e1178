"""A disc-shaped robot with differential drive among the furniture of a scene. Knows nothing of
ROS.

In: speed commands with their time, poses to be put at. Out: where the robot is. Metres, radians,
seconds of simulated time; the world frame of the scene.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ipt_training.scenes.scene import Scene
from ipt_training.scenes.standing import Furniture, start_pose

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


class Robot:
    """Moves as commanded until the command times out or something is in the way."""

    def __init__(self, scene: Scene, limits: RobotLimits, time_s: float = 0.0) -> None:
        self.limits = limits
        self._furniture = Furniture(scene, limits.height_m)
        self.x, self.y, self.yaw = start_pose(scene, self._furniture, limits.radius_m)
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


def _wrapped(angle: float) -> float:
    return math.atan2(math.sin(angle), math.cos(angle))
