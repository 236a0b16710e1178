"""A robot program's side of the four actions: ask, follow the feedback, cancel, get the result.
Used by the command line, the demo and the tests.

Spins in a thread of its own, so every call here simply waits, with a limit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rclpy.action import ActionClient
from rclpy.action.graph import get_action_names_and_types
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

SERVERS = {
    "AskSpatial": "ask_spatial",
    "CountObjects": "count_objects",
    "ImagineView": "imagine_view",
    "TracePath": "trace_path",
}


class AskTimeout(RuntimeError):
    """Nobody answered in time; the text says who was asked and how long was waited."""


class AskRefused(RuntimeError):
    """The goal was not accepted; the text says by whom."""


#: Between two looks of a Waiter, s.
LOOK_S = 0.02


class Waiter:
    """Waits for something that happens elsewhere, by a clock that nobody sets or stops: a robot's
    own may be a simulator's, and may die.

    clock: seconds that only go on. pause: waits so many of them."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Any] = time.sleep,
    ) -> None:
        self.clock, self.pause = clock, pause

    def until(self, ready: Callable[[], Any], what: str, timeout_s: float) -> Any:
        """The first true value of `ready`, or an AskTimeout that says what was waited for."""
        deadline = self.clock() + timeout_s
        while True:
            value = ready()
            if value:
                return value
            if self.clock() >= deadline:
                raise AskTimeout(f"{what}: not within {timeout_s:.0f} s")
            self.pause(LOOK_S)


@dataclass
class RunningGoal:
    """A goal under way. feedback: the stages heard so far, previews included."""

    handle: Any
    result: Any
    feedback: list[Any] = field(default_factory=list)


class Asker:
    def __init__(self, target: str = "ipt_node", context: Any = None, name: str = "asker") -> None:
        self.node = Node(name, context=context)
        self.target = target
        self._clients: dict[str, ActionClient] = {}
        self._closing = False
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            with contextlib.suppress(ExternalShutdownException):
                self._executor.spin()
        except Exception:
            # on a busy machine it may wake up when what it waited for is gone already
            if not self._closing:
                raise

    def close(self) -> None:
        self._closing = True
        self._executor.shutdown()
        self._thread.join(timeout=5.0)
        for client in self._clients.values():
            client.destroy()
        self.node.destroy_node()

    def _there(self, call: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """What `call` returns, run on the thread that spins.

        rclpy's action client notes a request only after it was sent: from another thread the reply
        can come in between, is taken for a stranger's and lost.
        """
        return self.wait(self._executor.create_task(call), timeout_s, what)

    def wait(self, future: Any, timeout_s: float, what: str) -> Any:
        """The result of any rclpy future, without spinning here."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout_s):
            raise AskTimeout(f"{what}: no reply within {timeout_s:.0f} s")
        return future.result()

    def call(self, kind: Any, service: str, request: Any, timeout_s: float = 10.0) -> Any:
        """The reply of any service."""
        client = self.node.create_client(kind, service)
        try:
            if not client.wait_for_service(timeout_s):
                raise AskTimeout(f"no service {service} within {timeout_s:.0f} s")
            sent = self._there(lambda: client.call_async(request), timeout_s, service)
            return self.wait(sent, timeout_s, service)
        finally:
            self.node.destroy_client(client)

    def _topic(self, action: Any) -> str:
        return f"{self.target}/{SERVERS[action.__name__]}"

    def reach(self, action: Any, timeout_s: float = 10.0) -> ActionClient:
        """Wait for the server of an action."""
        topic = self._topic(action)
        client = self._clients.get(topic)
        if client is None:
            client = self._clients[topic] = ActionClient(self.node, action, topic)
        if not client.wait_for_server(timeout_s):
            others = self.servers_of(action)
            hint = f"there is {', '.join(others)}" if others else "is ipt_node running?"
            raise AskTimeout(
                f"no action server {self.node.resolve_service_name(topic)} within "
                f"{timeout_s:.0f} s; {hint}"
            )
        return client

    def servers_of(self, action: Any) -> list[str]:
        """All servers of this action that are known by now, whatever their namespace."""
        kind = f"imaginative_perception/action/{action.__name__}"
        known = get_action_names_and_types(self.node)  # clients count too
        return sorted(
            name
            for name, kinds in known
            if kind in kinds and self.node.count_publishers(f"{name}/_action/status")
        )

    def start(
        self,
        action: Any,
        goal: Any,
        timeout_s: float = 10.0,
        on_feedback: Callable[[Any], None] | None = None,
    ) -> RunningGoal:
        """Send a goal and return once it was accepted."""
        client, topic = self.reach(action, timeout_s), self._topic(action)
        heard: list[Any] = []

        def listen(message: Any) -> None:
            heard.append(message.feedback)
            if on_feedback is not None:
                on_feedback(message.feedback)

        sent = self._there(
            lambda: client.send_goal_async(goal, feedback_callback=listen), timeout_s, topic
        )
        handle = self.wait(sent, timeout_s, topic)
        if not handle.accepted:
            raise AskRefused(f"{topic} did not accept the goal")
        return RunningGoal(handle, self._there(handle.get_result_async, timeout_s, topic), heard)

    def finish(self, goal: RunningGoal, timeout_s: float = 60.0) -> Any:
        """The result message of a goal; its end state is in `.status`, the fields in `.result`."""
        return self.wait(goal.result, timeout_s, "goal")

    def cancel(self, goal: RunningGoal, timeout_s: float = 10.0) -> None:
        sent = self._there(goal.handle.cancel_goal_async, timeout_s, "cancel")
        self.wait(sent, timeout_s, "cancel")

    def ask(self, action: Any, goal: Any, timeout_s: float = 60.0) -> Any:
        """Start and finish: the result's fields."""
        return self.finish(self.start(action, goal), timeout_s).result


def read_parameters(asker: Asker, names: Sequence[str], timeout_s: float = 10.0) -> dict[str, Any]:
    """Parameters of the node that is asked; AskTimeout where it is not there."""
    from rcl_interfaces.srv import GetParameters
    from rclpy.parameter import parameter_value_to_python

    service = f"{asker.target}/get_parameters"
    request = GetParameters.Request(names=list(names))
    values = asker.call(GetParameters, service, request, timeout_s).values
    return {n: parameter_value_to_python(v) for n, v in zip(names, values, strict=True)}


def write_parameter(asker: Asker, name: str, value: Any, timeout_s: float = 10.0) -> None:
    """Set a live parameter of the node that is asked; ValueError with its reason where refused."""
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    service = f"{asker.target}/set_parameters"
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    (result,) = asker.call(SetParameters, service, request, timeout_s).results
    if not result.successful:
        raise ValueError(f"{name}: {result.reason}")
