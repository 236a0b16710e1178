"""Runs stages one after another, each once: a finished stage is not repeated, and one whose input
is new is. Knows no more of a stage than its name.

In: what decides a stage's outcome, and the work. Out: what the work found, kept as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class StageError(RuntimeError):
    """A stage that failed; the message says which, and what its command printed last."""


@dataclass(frozen=True)
class Stage:
    """A finished stage. facts: what it found, JSON. repeated: it ran now."""

    name: str
    seconds: float
    facts: dict[str, Any]
    repeated: bool


class Stages:
    """The chain in a folder; each stage leaves `stages/NAME.json`."""

    def __init__(self, out: Path, say: Callable[[str], None] = print) -> None:
        self._folder = out / "stages"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._say = say
        self._before = 0
        self.done: list[Stage] = []

    def run(
        self, name: str, inputs: dict[str, Any], work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """The facts of a stage. inputs: whatever its outcome depends on beside the stages before
        it."""
        # a stage that ran anew makes what follows from it run anew
        wanted = json.loads(json.dumps({"inputs": inputs, "after": self._before}))
        path = self._folder / f"{name}.json"
        kept = _read(path)
        repeated = kept is None or kept["wanted"] != wanted
        if repeated:
            self._say(f"{name} ...")
            began = time.monotonic()
            facts = work()
            kept = {
                "wanted": wanted,
                "facts": facts,
                "seconds": round(time.monotonic() - began, 1),
                "ended_ns": time.time_ns(),
            }
            part = path.with_suffix(".part")
            part.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            part.replace(path)
        assert kept is not None
        self._before = kept["ended_ns"]
        self.done.append(Stage(name, kept["seconds"], kept["facts"], repeated))
        said = f"{kept['seconds']:.0f} s" + ("" if repeated else ", done before")
        self._say(f"{name}: {said}")
        return dict(kept["facts"])


def _read(path: Path) -> dict[str, Any] | None:
    """What a stage left; None where it left nothing that can be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def start(
    module: str, arguments: Sequence[str], log: Path, processes: int = 1
) -> subprocess.Popen[bytes]:
    """A command of the training package in a process of its own, or in several that train
    together; what it prints goes to `log`."""
    together = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    more = together if processes > 1 else []
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", *more, f"ipt_training.commands.{module}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                **({"OMP_NUM_THREADS": "1"} if more else {}),
            },
        )


def command(module: str, arguments: Sequence[str], log: Path, processes: int = 1) -> None:
    """Run a command to its end; StageError when it fails."""
    finish([start(module, arguments, log, processes)], [log])


def finish(processes: Sequence[subprocess.Popen[bytes]], logs: Sequence[Path]) -> None:
    """Wait for all; StageError for the first that failed. None is left running."""
    try:
        for process, log in zip(processes, logs, strict=True):
            code = process.wait()
            if code:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
                raise StageError(f"{log.stem} ended with {code}; {log} ends with\n{tail}")
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait()
