"""Ctrl-C and SIGTERM as one exception, for programs that start others and tidy up after them.

Not a KeyboardInterrupt: rclpy and libraries in between catch that one. Nodes have `run` instead.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """SIGINT or SIGTERM."""


#: Signals heard inside `undisturbed`; None outside of it.
_heard: list[int] | None = None
#: Whether Interrupted was raised.
_raised = False


def interruptible() -> None:
    """From now on the first signal raises Interrupted, in the main thread; others while it is
    dealt with are of the same impatience. One that was held back while this program started comes
    now.
    """
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _interrupt(number: int, _: Any) -> None:
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    if _heard is not None:
        _heard.append(number)
        return
    global _raised
    _raised = True
    raise Interrupted(number)


@contextmanager
def undisguised() -> Iterator[None]:
    """What a library made an error of its own of is Interrupted again behind the block."""
    try:
        yield
    except Exception as error:
        if _raised:
            raise Interrupted from error
        raise


@contextmanager
def undisturbed() -> Iterator[None]:
    """Interrupted comes behind the block: a process is started and noted, or neither; a native
    library is loaded, which broken off would fail in a way of its own.
    """
    global _heard
    _heard = heard = []
    try:
        yield
    finally:
        _heard = None
    if heard:
        raise Interrupted(heard[0])


@contextmanager
def held_back() -> Iterator[None]:
    """Processes started inside hear of signals only once they ask for them: Ctrl-C reaches all
    processes of a terminal, and one that still imports would end with a traceback. So does this
    one, behind the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
