"""Long work as a list of stages: done in order, passed over where their output is there.

A stage is one command, or several that run together, each a process of its own in folder
`folder`. What the commands do is not known here, only the files that prove them done.

Ctrl-C, SIGTERM and SIGHUP are passed on to the command once, which may save what it has; a second
one ends it at once. No process outlives its stage.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

#: How long a command may take to end after it was told to: a step and a checkpoint.
PATIENCE_S = 120.0
POLL_S = 0.1


@dataclass(frozen=True)
class Command:
    """`python -m module arguments`; under torchrun where `processes` is not 0."""

    module: str
    arguments: tuple[str, ...]
    processes: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The command line, without the interpreter."""
        if not self.processes:
            return ("-m", self.module, *self.arguments)
        run = ("-m", "torch.distributed.run", "--nproc-per-node", str(self.processes))
        return (*run, "-m", self.module, *self.arguments)

    def __str__(self) -> str:
        return shlex.join(("python", *self.words))


@dataclass(frozen=True)
class Stage:
    """outputs: files that are there, whole, when it is done; the last thing that it writes.
    commands: started together. after: a file that must not be newer than the outputs; empty where
    an older input is no reason to work again. as_asked: whether the outputs are of this very
    request, given that they are there."""

    name: str
    what: str
    outputs: tuple[str, ...]
    commands: tuple[Command, ...]
    after: str = ""
    as_asked: Callable[[Path], bool] = lambda folder: True

    def done(self, folder: Path) -> bool:
        """Whether there is nothing to do."""
        paths = [folder / output for output in self.outputs]
        if not all(path.is_file() for path in paths):
            return False
        if self.after:
            source = folder / self.after
            oldest = min(path.stat().st_mtime_ns for path in paths)
            if not source.is_file() or source.stat().st_mtime_ns > oldest:
                return False
        return self.as_asked(folder)


class StageError(RuntimeError):
    """A command of a stage failed; the message says which and how."""


class Stopped(KeyboardInterrupt):
    """The work was told to stop, by signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def stop_heard() -> Iterator[None]:
    """Inside the block, signals that ask this process to end raise `Stopped`."""

    def hear(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {
        n: signal.signal(n, hear) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(stage: Stage, folder: Path, environment: dict[str, str] | None = None) -> None:
    """Do a stage, whether or not it was done. environment: added to this process's."""
    folder.mkdir(parents=True, exist_ok=True)
    children: list[subprocess.Popen[bytes]] = []
    try:
        for command in stage.commands:
            # in a session of its own, a terminal's Ctrl-C reaches it through this process alone:
            # a command with workers would otherwise hear it several times
            child = subprocess.Popen(
                (sys.executable, *command.words),
                cwd=folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
            children.append(child)
        _wait(stage, children)
    except BaseException:
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and any(child.poll() is None for child in children):
            time.sleep(POLL_S)
        raise
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # workers that outlive their command
            child.wait()


def _wait(stage: Stage, children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until all ended well or one did not."""
    while True:
        codes = [child.poll() for child in children]
        for command, code in zip(stage.commands, codes, strict=True):
            if code:
                raise StageError(f"{stage.name}: ended with {code}: {command}")
        if None not in codes:
            return
        time.sleep(POLL_S)
