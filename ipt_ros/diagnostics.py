"""Keeps the node's health and publishes it on /diagnostics: at a rate, and at once when something
goes wrong.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipt_ros.texts import cut

if TYPE_CHECKING:
    from rclpy.node import Node

OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"


class Diagnostics:
    """`status(name, level, message, **values)` is kept until replaced; `publish` sends all that
    are kept.
    """

    def __init__(self, node: Node, refresh: Callable[[], None], rate_hz: float) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.clock import Clock, ClockType

        self._node = node
        self._refresh = refresh
        self._statuses: dict[str, tuple[bytes, str, dict[str, Any]]] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # health is told most of all when simulated time stands still
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(1.0 / rate_hz, self.publish, clock=steady)

    def set_rate(self, rate_hz: float) -> None:
        self._timer.timer_period_ns = int(1e9 / rate_hz)

    def status(self, name: str, level: bytes, message: str, **values: Any) -> None:
        self._statuses[name] = (level, message, values)

    def publish(self) -> None:
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

        self._refresh()
        # with its namespace: two robots are two
        node = self._node.get_fully_qualified_name()
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        for name, (level, message, values) in list(self._statuses.items()):
            array.status.append(
                DiagnosticStatus(
                    level=level,
                    name=f"{node}: {name}",
                    message=cut(message),
                    hardware_id=node,
                    values=[KeyValue(key=k, value=cut(v)) for k, v in values.items()],
                )
            )
        self._publisher.publish(array)

    def destroy(self) -> None:
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)


class Rate:
    """Events a second over the last few seconds, from times on the monotonic clock."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._counts: deque[tuple[float, int]] = deque()

    def at(self, count: int) -> float:
        """Tell the total so far; returns the rate, Hz."""
        now = time.monotonic()
        self._counts.append((now, count))
        while now - self._counts[0][0] > self._window_s:
            self._counts.popleft()
        then, before = self._counts[0]
        return (count - before) / (now - then) if now > then else 0.0
