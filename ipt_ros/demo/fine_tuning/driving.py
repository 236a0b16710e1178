"""Drives a tour: along ways from place to place, once round at each. Knows no ROS.

In: where the robot is and when, as odometry tells. Out: speed and turn to command. A robot that
gets nowhere backs up, and if that does not help goes on to the next place.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ipt_ros.demo.fine_tuning.route import Route

#: m/s and rad/s on the way, rad/s when looking around, in simulated time.
SPEED, TURN, LOOK_TURN = 0.7, 1.5, 1.2
#: Turn for each radian that the heading is off, 1/s: on a busy machine a command acts late, by
#: half a simulated second and more, and a stronger pull would swing.
PULL = 1.0
#: The point on the way that is steered at is this far ahead, and a place this near is reached, m.
AHEAD_M, REACHED_M = 0.5, 0.25
#: A heading so far off is turned to on the spot, rad.
ASIDE_RAD = 0.7
#: Whoever moved less than this in so many seconds on the way is stuck, s, m, rad.
STUCK_S, STUCK_M, STUCK_RAD = 4.0, 0.1, 0.5
#: It backs up once, so fast and for so long, m/s and s; if that does not help, it skips the place.
BACK_SPEED, BACK_S = -0.3, 1.5


@dataclass(frozen=True)
class Command:
    """m/s ahead, rad/s to the left."""

    speed: float = 0.0
    turn: float = 0.0


@dataclass(frozen=True)
class _Pose:
    x: float
    y: float
    yaw: float
    time_s: float


@dataclass
class Tour:
    """Where to, in which order. reached, skipped: numbers of places so far."""

    route: Route
    places: Sequence[tuple[float, float]]
    reached: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    _way: np.ndarray | None = None
    _turned: float | None = None
    _backed_up: bool = False
    _back_until_s: float = -math.inf
    _lately: deque[_Pose] = field(default_factory=deque)

    @property
    def number(self) -> int:
        """Of the place that is driven to, or looked around at."""
        return len(self.reached) + len(self.skipped)

    @property
    def done(self) -> bool:
        return self.number >= len(self.places)

    def step(self, x: float, y: float, yaw: float, time_s: float) -> Command:
        """What to do now. time_s: only goes on."""
        if self.done:
            return Command()
        here = _Pose(x, y, yaw, time_s)
        before = self._lately[-1] if self._lately else here
        self._lately.append(here)
        stuck = self._stuck()
        if self._turned is not None and not stuck:
            return self._look_around(math.remainder(yaw - before.yaw, 2 * math.pi))
        if stuck:
            if self._backed_up or self._turned is not None:
                self.skipped.append(self.number)
                self._next()
                return Command()
            self._backed_up, self._back_until_s = True, time_s + BACK_S
            self._way = None
            self._lately.clear()
        if time_s < self._back_until_s:
            return Command(speed=BACK_SPEED)
        return self._follow(here)

    def _next(self) -> None:
        self._way, self._turned, self._backed_up = None, None, False
        self._lately.clear()

    def _look_around(self, turned: float) -> Command:
        assert self._turned is not None
        self._turned += turned
        if self._turned < 2 * math.pi:
            return Command(turn=LOOK_TURN)
        self.reached.append(self.number)
        self._next()
        return Command()

    def _follow(self, here: _Pose) -> Command:
        if self._way is None:
            self._way = self.route.way((here.x, here.y), self.places[self.number])
        away = np.hypot(*(self._way - (here.x, here.y)).T)
        if away[-1] < REACHED_M:
            self._turned = 0.0
            return Command(turn=LOOK_TURN)
        # what lies behind is done with, so that a way that comes back is not cut short
        self._way = self._way[int(np.argmin(away[:20])) :]
        away = np.hypot(*(self._way - (here.x, here.y)).T)
        aim = self._aim(here, away)
        off = math.remainder(math.atan2(aim[1] - here.y, aim[0] - here.x) - here.yaw, 2 * math.pi)
        turn = max(-TURN, min(TURN, PULL * off))
        if abs(off) > ASIDE_RAD:
            return Command(turn=turn)
        slower = min(1.0, 0.2 + float(away[-1])) * math.cos(off) ** 2
        return Command(SPEED * slower, turn)

    def _aim(self, here: _Pose, away: np.ndarray) -> np.ndarray:
        """The farthest point of the way up to AHEAD_M that nothing stands before, else the next:
        a robot that cuts corners bumps into them."""
        assert self._way is not None
        beyond = np.flatnonzero(away >= AHEAD_M)
        last = int(beyond[0]) if len(beyond) else len(self._way) - 1
        for k in range(last, 0, -1):
            if self.route.clear((here.x, here.y), (self._way[k, 0], self._way[k, 1])):
                return self._way[k]
        return self._way[min(1, last)]

    def _stuck(self) -> bool:
        lately = self._lately
        while lately[-1].time_s - lately[0].time_s > STUCK_S + 1:
            lately.popleft()
        first, last = lately[0], lately[-1]
        if last.time_s - first.time_s < STUCK_S:
            return False
        moved = max(math.hypot(p.x - first.x, p.y - first.y) for p in lately)
        turned = max(abs(math.remainder(p.yaw - first.yaw, 2 * math.pi)) for p in lately)
        return moved < STUCK_M and turned < STUCK_RAD
