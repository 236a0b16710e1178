"""Processes that work beside a command, and how both hear that it is over.

Workers are spawned (a forked open3d hangs) and end at once when their command is stopped, fails or
is killed. Ctrl-C reaches every process of a terminal; only the command itself is to act on it, so
workers are started with these signals held back.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from types import FrameType, TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def signals_held(
    *numbers: signal.Signals, put_off: Collection[signal.Signals] = ()
) -> Iterator[None]:
    """Processes started inside the block never see these signals; this one does, afterwards.
    put_off: this one acts on them afterwards too, and the started ones as they would."""
    resource_tracker.ensure_running()  # it lets signals through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    # the mask is this thread's own: another may take the signal, and Python then acts on it here,
    # perhaps between the start of a process and what it is told
    heard: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        every = (*numbers, *put_off)
        handlers = {n: h for n in every if (h := signal.getsignal(n)) is not None}
    for number in handlers:
        signal.signal(number, lambda told, _: heard.append(told))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for late in dict.fromkeys(heard):
            signal.raise_signal(late)


class WorkerPool(ProcessPoolExecutor):
    """Spawned workers for one block: left by an exception, it ends them where they are.

    begin: called in each worker before its first task.
    """

    def __init__(
        self, workers: int, begin: Callable[..., None] | None = None, *arguments: Any
    ) -> None:
        context = get_context("spawn")
        # held open by this process alone: however it ends, workers then read the end
        theirs, self._lifeline = context.Pipe(duplex=False)
        self._theirs = theirs
        super().__init__(workers, context, _begin, (theirs, begin, arguments))

    def submit(self, task: Callable[..., T], /, *args: Any, **more: Any) -> Future[T]:
        # It is here that workers are started. One whose start was broken off prints a traceback.
        # SIGTERM must stay open to them: a broken pool ends the others with it.
        with signals_held(signal.SIGINT, put_off=(signal.SIGTERM,)):
            return super().submit(task, *args, **more)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            if kind is not None:
                for process in dict(self._processes or {}).values():
                    process.kill()  # also those that are still starting
                self.shutdown(cancel_futures=True)
            return super().__exit__(kind, error, trace)
        finally:
            self._lifeline.close()
            self._theirs.close()


def _begin(lifeline: Connection, begin: Callable[..., None] | None, arguments: Any) -> None:
    threading.Thread(target=_leave_with, args=(lifeline,), daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _leave_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)


class Stopped(KeyboardInterrupt):
    """The command was told to stop. `signal` is what told it; the text says how things stand."""

    def __init__(self, number: int, text: str = "stopped") -> None:
        super().__init__(text)
        self.signal = number


class StopRequest:
    """Hears SIGINT and SIGTERM inside its block, in the main thread; elsewhere it hears nothing.

    They raise `Stopped` at once, but inside `deferred()` the first one is only noted in `signal`,
    for a loop that looks there after every step.
    """

    HEARD = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal = 0
        self._deferred = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {n: signal.signal(n, self._hear) for n in self.HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _hear(self, number: int, _: FrameType | None) -> None:
        first, self.signal = not self.signal, number
        if not (first and self._deferred):
            raise Stopped(number)
