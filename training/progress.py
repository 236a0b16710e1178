"""A progress line for long work: `rich` on a terminal, now and then a plain line elsewhere. Both
tell how long it will still take, once that can be told."""

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
        self._began: tuple[float, int] | None = None
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
        now = time.monotonic()
        self._began = self._began or (now, done)
        if self._progress is not None:
            self._progress.update(self._task, completed=done, said=text)
        elif self.show and (now - self._said > EVERY_S or done == self.total):
            self._said = now
            said = f"{self.title} {done}/{self.total}  {self._left(now, done)}{text}"
            print(said, file=sys.stderr, flush=True)

    def _left(self, now: float, done: int) -> str:
        """By the speed since the first word: what an earlier run left is not this run's."""
        began, before = self._began or (now, done)
        if done <= before or done >= self.total:
            return ""
        seconds = round((now - began) * (self.total - done) / (done - before))
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours:02d}:{minutes:02d}:{seconds % 60:02d} left  "

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
