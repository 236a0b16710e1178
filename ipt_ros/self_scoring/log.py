"""Keeps (views, question, imagined view, true view) as training rows on disk, within a
stated number of bytes.

Each pair is on disk at once: the newest shard is written anew, whole or not at all, until it is
full. The oldest shard goes first; files of other names are never touched. The rows are those of
`ipt_model.wording.rows`, which every reader of datasets takes.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipt_model.question import Answer, Question
from ipt_model.wording.prompts import think_sentence
from ipt_ros.self_scoring.compare import ImaginedView, Score

if TYPE_CHECKING:
    from ipt_model.wording.rows import Row

#: A full shard is not written again.
SHARD_ROWS, SHARD_BYTES = 16, 8 << 20
PREFIX = "self-score-"


class PairLogError(OSError):
    """The log cannot be written; the message says where and why."""


class PairLog:
    def __init__(self, folder: str | Path, most_bytes: int) -> None:
        """Refuses what would fail later: no pyarrow, or a folder that cannot be written."""
        try:
            import ipt_model.wording.rows  # noqa: F401  needs pyarrow, which the robot does without
        except ImportError as error:
            raise PairLogError(
                f"self_scoring_log writes parquet files, for which pyarrow is missing ({error}): "
                "pip install pyarrow, or leave self_scoring_log empty"
            ) from error
        self.folder = Path(folder).expanduser()
        self._most = most_bytes
        self._shard_bytes = min(SHARD_BYTES, most_bytes // 4)
        self._rows: list[Row] = []
        self._path: Path | None = None
        self.written = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".{PREFIX}probe"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise PairLogError(f"self_scoring_log: {self.folder}: {error.strerror}") from error

    @property
    def n_bytes(self) -> int:
        """On disk, of this log's own shards."""
        return sum(p.stat().st_size for p in self.shards())

    def shards(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob(f"{PREFIX}*.parquet"))

    def append(self, row: Row) -> None:
        """Put a row on disk. After a PairLogError the row waits in memory for the next call."""
        from ipt_model.wording.rows import StorageError, encode_shard, write_file

        self._rows.append(row)
        data = encode_shard(self._rows)
        if len(data) > self._shard_bytes and len(self._rows) > 1:
            self._begin_shard([row])
            data = encode_shard(self._rows)
        if len(data) > self._most:
            self._begin_shard([])
            raise PairLogError(
                f"one pair takes {len(data)} bytes, more than all of self_scoring_log_bytes "
                f"({self._most})"
            )
        if self._path is None:
            # stamps of simulated time begin anew with every run, the wall clock does not
            self._path = self.folder / f"{PREFIX}{time.time_ns():020d}.parquet"
        try:
            self._make_room(len(data))
            write_file(self._path, data)
        except (StorageError, OSError) as error:
            # what is left waiting must not grow either
            del self._rows[:-SHARD_ROWS]
            why = error.__cause__ or error
            raise PairLogError(
                f"self_scoring_log: could not write {self._path}: {why}; scoring goes on, pairs "
                "are lost until there is room"
            ) from error
        self.written += 1
        if len(self._rows) >= SHARD_ROWS or len(data) > self._shard_bytes:
            self._begin_shard([])

    def _begin_shard(self, rows: list[Row]) -> None:
        self._rows, self._path = rows, None

    def _make_room(self, n_bytes: int) -> None:
        others = [p for p in self.shards() if p != self._path]
        total = n_bytes + sum(p.stat().st_size for p in others)
        while others and total > self._most:
            oldest = others.pop(0)
            total -= oldest.stat().st_size
            oldest.unlink()


def training_row(
    imagined: ImaginedView,
    question: Question,
    truth: np.ndarray,
    world_from_truth: np.ndarray,
    label: Answer,
    score: Score,
    index: int,
) -> Row:
    """One pair as a row.

    question: put anew for the pose of the truth. truth: H x W x 3 uint8, the picture to draw.
    label: what the model says when it is shown the truth: the best that is known without a human.
    The imagined picture goes into the facts, for whoever wants to learn from the difference.
    """
    from ipt_model.wording.rows import encode_image, stored_row

    think = think_sentence(question)
    facts = {
        "source": "robot",
        "label_source": "the model, shown the true view",
        "label_confidence": label.confidence,
        "stated_answer": imagined.stated,
        "stated_confidence": imagined.confidence,
        "imagined_png": base64.b64encode(encode_image(imagined.picture)).decode(),
        "pose_before": imagined.view.world_from_camera.tolist(),
        "pose_imagined": imagined.world_from_camera.tolist(),
        "pose_after": world_from_truth.tolist(),
        "model_hash": imagined.model_hash,
        "seed": imagined.seed,
        **{f"score_{name}": value for name, value in asdict(score).items()},
    }
    # JSON knows no NaN
    facts = {k: None if isinstance(v, float) and v != v else v for k, v in facts.items()}
    own: dict[str, Any] = {
        "example_index": index,
        "task": question.task.value,
        "variant": "pose" if len(question.images) == 1 else "pose+anchored",
        "subcategory": label.text,
        "question": question.text,
        "options": list(question.options),
        "think": think,
        "reasoning": "",
        "scene_seed": -1,
        "split": "train",
        "level": "robot",
        "facts": json.dumps(facts, sort_keys=True, separators=(",", ":")),
    }
    answer: int | str = label.text
    if question.options:
        answer = own["answer_index"] = question.options.index(label.text)
    return stored_row(question, truth, think, answer, own)
