"""What became of every drive, one JSON line each, so that a run that was stopped goes on.

A line is written when a drive has ended, in the order of the run. A last line that was cut short
is dropped. Several processes write files of their own into one folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Records:
    """Those of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.finished: dict[tuple[str, str], dict[str, Any]] = {}
        if path.exists():
            text = path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                path.write_text(whole, encoding="utf-8")
            for line in whole.splitlines():
                record = json.loads(line)
                self.finished[record["errand"], record["arm"]] = record

    def add(self, record: dict[str, Any]) -> None:
        self.finished[record["errand"], record["arm"]] = record
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def all_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Of every process, in the order of their files."""
    for path in sorted(folder.glob("drives*.jsonl")):
        yield from Records(path).finished.values()
