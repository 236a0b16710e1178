"""What is kept of every finished episode, and the file that a stopped run goes on from.

One JSON object a line, written as soon as the episode ends. A line that a killed process left half
written is dropped. Plain values only: the same file gives the same report at any time.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

#: How an episode ended.
ANSWERED, WITHHELD, UNPARSABLE, LATE, ERROR, TIMEOUT, REFUSED = (
    "answered",
    "withheld",
    "unparsable",
    "out of budget",
    "error",
    "timeout",
    "refused",
)
OUTCOMES = (ANSWERED, WITHHELD, UNPARSABLE, LATE, ERROR, TIMEOUT, REFUSED)


class RecordsError(ValueError):
    """A file that holds something else, or answers of another model; the text says which."""


@dataclass(frozen=True)
class PictureScore:
    """How near an imagined view came to the true one. Errors are root mean squares of the pixels'
    values from 0 to 255; None where there is no such pixel.
    """

    psnr_db: float
    seen_share: float
    error_seen: float | None
    error_imagined: float | None


@dataclass(frozen=True)
class MaskScore:
    """The imagined space of one stand over the unseen cells that it makes a claim about.

    both, either: cells claimed occupied (45 or more of 90) and truly so, or one of both. occupied:
    truly occupied ones. cost_occupied, cost_free: mean of the mask there; None without such cells.
    """

    cells: int
    both: int
    either: int
    occupied: int
    cost_occupied: float | None
    cost_free: float | None


@dataclass(frozen=True)
class Record:
    """One episode. said: what the node answered, empty where it did not. would_say: what it would
    have said, empty where the reply does not tell. probabilities: one per option, or empty.
    share_seen: of the asked view or path, by the truth. times_s: seconds by stage.
    """

    id: str
    world: str
    task: str
    kind: str
    action: str
    question: str
    options: tuple[str, ...]
    truth: str
    outcome: str
    said: str = ""
    would_say: str = ""
    probabilities: tuple[float, ...] = ()
    reason: str = ""
    error_code: int = 0
    share_seen: float | None = None
    mode: str = ""
    model_id: str = ""
    model_hash: str = ""
    times_s: dict[str, float] = field(default_factory=dict)
    picture: PictureScore | None = None
    mask: MaskScore | None = None

    @property
    def right(self) -> bool:
        """Whether an answer was given and is the true one."""
        return self.outcome == ANSWERED and self.said == self.truth

    @property
    def would_be_right(self) -> bool:
        return bool(self.would_say) and self.would_say == self.truth


def line_of(record: Record) -> str:
    """JSON knows neither NaN nor infinity."""
    return json.dumps(_plain(asdict(record)), allow_nan=False)


def record_from(line: str) -> Record:
    data = json.loads(line)
    known = {f.name for f in fields(Record)}
    if not isinstance(data, dict) or not set(data) <= known:
        raise RecordsError(f"expected the record of an episode, got {line[:80]!r}")
    data["options"] = tuple(data["options"])
    data["probabilities"] = tuple(data["probabilities"])
    for name, kind in (("picture", PictureScore), ("mask", MaskScore)):
        if data.get(name) is not None:
            data[name] = kind(**data[name])
    return Record(**data)


class Records:
    """The file of a run. finished: by the id of the episode."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.finished: dict[str, Record] = {}
        whole = self._read()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size != whole:
            with path.open("r+b") as file:
                file.truncate(whole)

    def _read(self) -> int:
        """Take in all whole lines; the length that they have together, bytes."""
        data = self._path.read_bytes() if self._path.exists() else b""
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].decode("utf-8").splitlines(), 1):
            try:
                record = record_from(line)
            except (ValueError, TypeError, KeyError) as error:
                raise RecordsError(f"{self._path}, line {number}: {error}") from error
            self.finished[record.id] = record
        return whole

    def add(self, record: Record) -> None:
        """Refused where the answers before it came from another model."""
        others = {r.model_hash for r in self.finished.values() if r.model_hash}
        if record.model_hash and others - {record.model_hash}:
            raise RecordsError(
                f"{self._path} holds answers of another model; give another folder (out), or "
                "remove the file"
            )
        self.finished[record.id] = record
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line_of(record) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
