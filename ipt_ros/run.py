"""Runs one node until SIGINT or SIGTERM, and lets nothing that arrives end it before.

A node may take part in this by methods of these names:

- `report(error, during)`: an exception left a callback; the node goes on.
- `last_word()`: the first act upon a signal, in another thread, whatever the executor is doing:
  what others must hear before anything else (an all-clear).
- `close()`: on the executor's thread, while publishers still work. Then callbacks run on for as
  long as `owes()` is true, `GOODBYE_S` at most.

rclpy's own handler shuts the context down first, and then nothing can be published any more; hence
this one. A second signal ends the process at once, but only a second after the first was dealt
with: impatient people, systemd and `ros2 launch` without a terminal send two within milliseconds.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from ipt_ros.parameters.help import node_help
from ipt_ros.parameters.table import ParameterError
from ipt_ros.spinning import GOODBYE_S, Faults, spin_once
from ipt_ros.texts import MOST_INSIDE, cut

#: A second signal is meant as one after this, s.
INSISTING_S = 1.0


def run_node(
    name: str, make_node: Callable[[], Any], refusals: tuple[type[Exception], ...] = ()
) -> NoReturn:
    """Make the node, spin it, end the process. name: of the executable. refusals: what `make_node`
    raises when it is asked for something that cannot be; that is told in one line.
    """
    import rclpy
    from rclpy.exceptions import NameValidationException, ParameterException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    stop = Stop()
    _on_signals(stop.signalled)
    try:
        read_arguments(name)
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # of rcl, about arguments that it cannot read
        leave(2, f"{name}: {_first_line(error)}")
    expected: tuple[type[Exception], ...] = (
        *refusals,
        ParameterError,
        NameValidationException,
        ParameterException,
    )
    try:
        node = make_node()
    except expected as error:
        rclpy.try_shutdown()
        leave(1, f"{name}: {_first_line(error)}")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    faults = Faults(getattr(node, "report", None) or _log(node))
    stop.spinning(executor, getattr(node, "last_word", None))
    while rclpy.ok() and not stop.asked.is_set():
        spin_once(executor, faults)
    with faults.guarding():
        _say_goodbye(node, executor, faults)
    executor.shutdown(timeout_sec=0.2)
    with faults.guarding():
        node.destroy_node()
    rclpy.try_shutdown()
    leave(0)


def _say_goodbye(node: Any, executor: Any, faults: Faults) -> None:
    if hasattr(node, "close"):
        node.close()
    if hasattr(node, "owes"):
        until = time.monotonic() + GOODBYE_S
        while node.owes() and time.monotonic() < until:
            spin_once(executor, faults, timeout_s=0.02)


def leave(code: int, why: str = "") -> NoReturn:
    """End the process at once: after a clean end nothing is left to do, and taking an interpreter
    down that has torch in it takes seconds.
    """
    if why:
        print(why, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Stop:
    """What signals mean. The first has the node's last word said and ends the spinning; one that
    comes a second after that, or later, insists.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        insist: Callable[[], Any] = lambda: os._exit(1),
    ) -> None:
        self.asked = threading.Event()
        self._clock, self._insist = clock, insist
        self._asked_at = 0.0
        self._executor: Any = None
        self._last_word: Callable[[], None] | None = None

    def spinning(self, executor: Any, last_word: Callable[[], None] | None) -> None:
        """From now on there is somebody to stop; a signal that came before was kept."""
        self._executor, self._last_word = executor, last_word

    def signalled(self) -> None:
        """In the thread of the signals: of one after another, never of two at once."""
        if self.asked.is_set():
            if self._clock() - self._asked_at >= INSISTING_S:
                self._insist()
            return
        try:
            if self._last_word is not None:
                self._last_word()
        finally:
            self._asked_at = self._clock()
            self.asked.set()
            if self._executor is not None:
                # wake() does not end spin_once, a task does
                self._executor.create_task(lambda: None)


def _on_signals(signalled: Callable[[], None]) -> None:
    """Call `signalled` in a thread for SIGINT and SIGTERM; those that came together are one.

    The main thread waits inside rcl, where Python's own handlers do not run; CPython's C handler
    writes to the wakeup socket at once, whichever thread the signal was delivered to.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        with writer:
            while reader.recv(64):
                signalled()

    threading.Thread(target=wait, name="signals", daemon=True).start()


def read_arguments(name: str) -> None:
    """Everything a node takes stands behind --ros-args."""
    from rclpy.utilities import remove_ros_args

    given = remove_ros_args(args=sys.argv)[1:]
    if "-h" in given or "--help" in given:
        print(node_help(name))
        leave(0)
    if given:
        leave(
            2,
            f"{name}: unknown argument {cut(given[0], MOST_INSIDE)!r}; parameters are given as "
            f"--ros-args -p NAME:=VALUE ({name} --help lists them)",
        )


def _log(node: Any) -> Callable[[Exception, str], Any]:
    return lambda error, during: node.get_logger().error(
        f"{during}: {type(error).__name__}: {error}"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return cut(lines[0]) if lines else type(error).__name__
