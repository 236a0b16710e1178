"""Runs one node until SIGINT or SIGTERM, then lets it say goodbye while its publishers still work.

rclpy's own handler shuts the context down first, and then nothing can be published any more: a
node that owes others a last message (an all-clear mask) would stay silent. Here the node's `close`
runs before the shutdown.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any


def run_node(make_node: Callable[[], Any]) -> int:
    """Spin the node; its optional `close()` is called once, on a signal or when spinning ends."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = make_node()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stop = threading.Event()

    def signalled() -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: whatever hangs, end it
        stop.set()
        executor.wake()

    _on_signals(signalled)
    try:
        while rclpy.ok() and not stop.is_set():
            executor.spin_once()
    finally:
        if hasattr(node, "close"):
            node.close()
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _on_signals(signalled: Callable[[], None]) -> None:
    """Call `signalled` in a thread for every SIGINT and SIGTERM.

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
            while reader.recv(1):
                signalled()

    threading.Thread(target=wait, name="signals", daemon=True).start()
