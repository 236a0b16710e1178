"""What SIGINT (Ctrl-C) and SIGTERM mean to a program of this package.

While it starts, until there is anything to tidy up: `end_at_once`. Then nodes have `run`, and
programs that start others and tidy up after them are `interruptible`: for them both signals are
one exception. Not a KeyboardInterrupt: rclpy and libraries in between catch that one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
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


def end_at_once(status: int) -> None:
    """From now on a signal ends this process, without a word and with this exit status. One that
    was held back while it was started comes now.

    No exception: raised in the middle of an import it is made an error of, or printed and lost.
    """

    def end(*_: Any) -> None:
        # what was printed is told, unless it is being printed just now
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(status)

    for number in SIGNALS:
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, the first signal raises Interrupted, in the main thread, and behind the block it is
    one again, whatever error a library has made of it. From then on signals mean nothing: they are
    of the same impatience, and what is left is tidying up. Without one, they mean behind the block
    what they meant before it.
    """
    global _raised
    _raised = False
    before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        yield
    except Exception as error:
        if _raised:
            raise Interrupted from error
        raise
    finally:
        if not _raised:
            for number, handler in before.items():
                signal.signal(number, handler)


def _interrupt(number: int, _: Any) -> None:
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    if _heard is not None:
        _heard.append(number)
        return
    _raise(number)


def _raise(number: int) -> None:
    global _raised
    _raised = True
    raise Interrupted(number)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Interrupted comes behind the block: a process is started and noted, or neither; a native
    library is loaded, which broken off would fail in a way of its own.
    """
    global _heard
    heard: list[int] = []
    _heard = heard
    try:
        yield
    finally:
        _heard = None
        if heard:
            _raise(heard[0])


@contextmanager
def held_back() -> Iterator[None]:
    """Processes started inside hear of signals only once they ask for them: Ctrl-C reaches all
    processes of a terminal, and one whose interpreter still starts would end with a traceback. So
    does this one, behind the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
