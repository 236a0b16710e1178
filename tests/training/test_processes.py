"""Processes beside a command, and the signals that they and it hear."""

from __future__ import annotations

import signal
import threading
import time

from ipt_training.processes import signals_held


def test_signals_that_another_thread_takes_wait_for_the_end_of_the_block() -> None:
    """A mask is a thread's own, and Python acts on a signal in the main thread whoever took it."""
    told: list[int] = []
    done = threading.Event()
    other = threading.Thread(target=done.wait, daemon=True)
    before = signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    other.start()
    try:
        with signals_held(signal.SIGINT):
            signal.pthread_kill(other.ident, signal.SIGINT)
            for _ in range(1000):
                time.sleep(0)  # the interpreter acts on signals between steps
            assert told == []
        assert told == [signal.SIGINT]
        signal.raise_signal(signal.SIGINT)
        assert told == [signal.SIGINT] * 2, "whoever heard before hears again"
    finally:
        signal.signal(signal.SIGINT, before)
        done.set()
