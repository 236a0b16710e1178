"""A progress line for long work: `rich` on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

#: Between two plain lines in a log file, seconds.
EVERY_S = 15.0


class Watch:
    """Shows how far some work of `total` steps is; a context manager."""

    def __init__(self, title: str, total: int, show: bool = True) -> None:
        self.title, self.total, self.show = title, total, show
        self._said = 0.0
        self._progress = None
        if show and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[said]}"),
                console=Console(stderr=True),
            )
            self._task = self._progress.add_task(title, total=total, said="")

    def tell(self, done: int, text: str = "") -> None:
        """`done` steps are finished; text says how it goes."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, said=text)
        elif self.show and (time.monotonic() - self._said > EVERY_S or done == self.total):
            self._said = time.monotonic()
            print(f"{self.title} {done}/{self.total}  {text}", file=sys.stderr, flush=True)

    def __enter__(self) -> Watch:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
