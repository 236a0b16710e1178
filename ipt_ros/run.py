"""Runs one node until SIGINT or SIGTERM, then lets it say goodbye while its publishers still work.

rclpy's own handler shuts the context down first, and then nothing can be published any more: a
node that owes
others a last message (an all-clear mask) would stay silent. Here the node's `close` runs before
the shutdown.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any


def run_node(make_node: Callable[[], Any]) -> int:
    """Spin the node; its optional `close()` is called once, on a signal or when spinning ends."""
    # Before any thread exists, so that every thread inherits the mask and one alone waits for the
    # signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = make_node()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stop = threading.Event()

    def wait_for_signal() -> None:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
        stop.set()
        executor.wake()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
        os._exit(1)  # asked twice: whatever hangs, end it

    threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
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
