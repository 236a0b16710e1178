"""Runs the package's executables as processes of their own and talks to them over DDS.

`Process` starts an installed executable in a domain, keeps what it prints, ends and reaps it.
`Peer` is a node of the test with a thread that spins it: it collects messages, calls services,
sends goals. Everything waits for something that happens, with a time limit; nothing sleeps for a
fixed time.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

PACKAGE = "imaginative_perception"
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=50)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: A loaded machine starts a process and imports torch in this time, s.
PATIENCE_S = 60.0


class Process:
    """One node in a process of its own, killed and reaped at the end whatever happened."""

    def __init__(
        self,
        executable: str,
        domain_id: int,
        log: Path,
        parameters: Mapping[str, Any] | None = None,
        ros_arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """parameters: as `name: value`. ros_arguments: more of what follows --ros-args."""
        path = Path(get_package_prefix(PACKAGE)) / "lib" / PACKAGE / executable
        command = [str(path), "--ros-args"]
        for name, value in (parameters or {}).items():
            command += ["-p", f"{name}:={_yaml(value)}"]
        self.name, self.log = executable, log
        self._output = log.open("wb")
        self._process = subprocess.Popen(
            command + list(ros_arguments),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "ROS_DOMAIN_ID": str(domain_id),
                "ROS_LOG_DIR": str(log.parent),
                "PYTHONUNBUFFERED": "1",
                **(environment or {}),
            },
            start_new_session=True,  # so that everything it starts can be ended with it
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for_print(self, text: str, timeout_s: float = PATIENCE_S) -> str:
        """What it printed, once `text` is in it."""

        def check() -> str | None:
            printed = self.printed()
            assert text in printed or self.returncode is None, f"ended early:\n{printed}"
            return printed if text in printed else None

        return until(check, f"{self.name} prints {text!r}", timeout_s)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Its return code once it has ended by itself."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still runs after {timeout_s} s; it printed:\n{self.printed()}"
            ) from None

    def terminate(self, number: int = SIGTERM) -> tuple[int, float]:
        """The signal; return code, and how long it took to end, s."""
        began = time.monotonic()
        self.signal(number)
        return self.wait(), time.monotonic() - began

    def close(self) -> None:
        """End it and all that it started, at once, and free what shared memory it held."""
        held = _shared_memory(self._process.pid)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, SIGKILL)
        self._process.wait(PATIENCE_S)
        self._output.close()
        for lock in held:
            for file in (lock, lock.with_name(lock.name.removesuffix("_el"))):
                file.unlink(missing_ok=True)


def _shared_memory(pid: int) -> list[Path]:
    """The locks of a process' own segments of Fast DDS: 35 MB each that stay until the machine
    starts anew when the process is killed."""
    held = []
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            file = descriptor.readlink()
            if file.match("/dev/shm/fastrtps_*_el") and not file.match("*/fastrtps_port*"):
                held.append(file)
    return held


class Collected:
    """The messages of one topic, as they arrive."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.messages: list[Any] = []
        self.times_s: list[float] = []
        self._new = threading.Condition()

    def __call__(self, message: Any) -> None:
        with self._new:
            self.messages.append(message)
            self.times_s.append(time.monotonic())
            self._new.notify_all()

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def newest(self) -> Any:
        return self.messages[-1]

    def clear(self) -> None:
        with self._new:
            self.messages.clear()
            self.times_s.clear()

    def wait(self, count: int = 1, timeout_s: float = PATIENCE_S) -> list[Any]:
        """The messages, once there are `count`."""
        with self._new:
            done = self._new.wait_for(lambda: len(self.messages) >= count, timeout_s)
        assert done, f"{self.topic}: {len(self)} of {count} messages in {timeout_s} s"
        return list(self.messages)

    def wait_more(self, count: int = 1, timeout_s: float = PATIENCE_S) -> list[Any]:
        """The next `count` messages from now on."""
        have = len(self)
        return self.wait(have + count, timeout_s)[have:]

    def wait_for(
        self, wanted: Callable[[Any], bool], timeout_s: float = PATIENCE_S, since: int = 0
    ) -> Any:
        """The first message for which `wanted` is true, from index `since` on."""
        found: list[Any] = []
        looked = since

        def look() -> bool:
            nonlocal looked
            while looked < len(self.messages) and not found:
                if wanted(self.messages[looked]):
                    found.append(self.messages[looked])
                looked += 1
            return bool(found)

        with self._new:
            done = self._new.wait_for(look, timeout_s)
        assert done, (
            f"{self.topic}: none of {len(self)} messages in {timeout_s} s was the wanted one"
        )
        return found[0]


class Peer:
    """A node of the test, spun by a thread."""

    def __init__(self, context: Any, name: str = "tester") -> None:
        self.node = Node(name, context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self._stop.set()
        self._executor.wake()
        self._thread.join(10)
        self._executor.shutdown(5)
        self.node.destroy_node()

    def collect(self, kind: Any, topic: str, qos: QoSProfile = RELIABLE) -> Collected:
        collected = Collected(topic)
        self.node.create_subscription(kind, topic, collected, qos)
        self._executor.wake()
        return collected

    def publisher(self, kind: Any, topic: str, qos: QoSProfile = RELIABLE, peers: int = 1) -> Any:
        """A publisher that at least `peers` subscribers have found."""
        publisher = self.node.create_publisher(kind, topic, qos)
        until(lambda: publisher.get_subscription_count() >= peers, f"{topic} has subscribers")
        return publisher

    def call(self, kind: Any, name: str, request: Any, timeout_s: float = PATIENCE_S) -> Any:
        """The answer of a service, which may yet have to come up."""
        client = self.node.create_client(kind, name)
        try:
            until(client.service_is_ready, f"service {name} is there", timeout_s)
            return self.result(client.call_async(request), f"service {name} answers", timeout_s)
        finally:
            self.node.destroy_client(client)

    def action(self, kind: Any, name: str, timeout_s: float = PATIENCE_S) -> ActionClient:
        """A client of an action that is being served."""
        deep = QoSProfile(depth=200)  # a burst overruns the default of 10 on this side too
        client = ActionClient(
            self.node,
            kind,
            name,
            goal_service_qos_profile=deep,
            result_service_qos_profile=deep,
            cancel_service_qos_profile=deep,
        )
        self._executor.wake()
        until(client.server_is_ready, f"action {name} is there", timeout_s)
        return client

    def result(self, future: Any, what: str, timeout_s: float = PATIENCE_S) -> Any:
        """What the future brings."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        self._executor.wake()
        assert done.wait(timeout_s), f"not within {timeout_s} s: {what}"
        return future.result()

    def there(self, call: Callable[[], Any]) -> Any:
        """What `call` returns, run on the thread that spins: rclpy's action client notes a request
        only after sending it, and takes a reply that comes in between for a stranger's.
        """
        return self.result(self._executor.create_task(call), "the spinning thread is free")

    def send_goal(
        self, client: ActionClient, goal: Any, on_feedback: Callable[[Any], None] | None = None
    ) -> Any:
        """The future of the goal's handle."""
        return self.there(
            lambda: client.send_goal_async(
                goal, feedback_callback=lambda m: on_feedback and on_feedback(m.feedback)
            )
        )

    def start_goal(
        self,
        client: ActionClient,
        goal: Any,
        on_feedback: Callable[[Any], None] | None = None,
        timeout_s: float = PATIENCE_S,
    ) -> tuple[Any, Any]:
        """An accepted goal's handle, and the future of its end (status, result)."""
        sent = self.send_goal(client, goal, on_feedback)
        handle = self.result(sent, "the goal is accepted or rejected", timeout_s)
        assert handle.accepted, "the goal was rejected"
        return handle, self.there(handle.get_result_async)

    def run_goal(
        self,
        client: ActionClient,
        goal: Any,
        on_feedback: Callable[[Any], None] | None = None,
        timeout_s: float = PATIENCE_S,
    ) -> tuple[int, Any]:
        """Send a goal and wait: GoalStatus and result. A rejected goal is an AssertionError."""
        _, ended = self.start_goal(client, goal, on_feedback, timeout_s)
        answer = self.result(ended, "the goal ends", timeout_s)
        return answer.status, answer.result

    def cancel_goal(self, handle: Any) -> Any:
        return self.result(self.there(handle.cancel_goal_async), "the goal is cancelled")

    def wait_for_node(self, name: str, timeout_s: float = PATIENCE_S) -> None:
        until(lambda: name in self.node.get_node_names(), f"node {name} is there", timeout_s)


def until(check: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """The first true value of `check`, which is asked 50 times a second."""
    deadline = time.monotonic() + timeout_s
    never = threading.Event()
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        never.wait(0.02)


def takes_less(limit_s: float, attempt: Callable[[], float], tries: int = 3) -> None:
    """`attempt` returns how long something took, s: under the limit once in three times.

    A machine that is busy with other things makes one attempt late, what is slow makes all.
    """
    took: list[float] = []
    while not took or took[-1] >= limit_s:
        assert len(took) < tries, f"took {took} s, expected less than {limit_s} s"
        took.append(attempt())


@contextmanager
def running(executable: str, domain_id: int, folder: Path, **options: Any) -> Iterator[Process]:
    """A `Process` whose output is shown when the test fails."""
    number = len(list(folder.glob(f"{executable}*.txt")))
    process = Process(executable, domain_id, folder / f"{executable}{number}.txt", **options)
    try:
        yield process
    except BaseException:
        print(f"--- {executable} printed:\n{process.printed()}")
        raise
    finally:
        process.close()


@contextmanager
def peer(domain_id: int, name: str = "tester") -> Iterator[Peer]:
    """A `Peer` with a context of its own in the domain."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    one = Peer(context, name)
    try:
        yield one
    finally:
        one.close()
        rclpy.try_shutdown(context=context)


def _yaml(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(
        list(value) if isinstance(value, tuple) else value, default_flow_style=True, width=10_000
    )
    return text.replace("\n...", "").strip()
