"""Public benchmark files: a table of questions with their pictures in base64, one row each.

In: a TSV as VLMEvalKit reads it: `question`, `answer` (a letter or the words), `A`, `B`, ... with
the options, `image` (one picture or a list of them), perhaps `index`, `category`, and
`gt_thought_image`, the true view. Out: `Example`s, a block at a time, so that files of gigabytes
pass. Every fault names the row and the column.
"""

from __future__ import annotations

import ast
import base64
import binascii
import csv
import hashlib
import json
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ipt_model.question import Question, QuestionError, Task
from ipt_training.datasets.schema import ImageFormatError, decode_image
from ipt_training.example import NO_VIEW, Example

#: The largest field: a list of pictures of some megapixels each.
LARGEST_FIELD = 1 << 30
NEEDED = ("question", "answer", "image")
VIEW, THOUGHT = "gt_thought_image", "gt_thought_desc"
#: Where a question of several pictures says which comes when.
_PLACE = re.compile(r"\s*<image_(\d+)>\s*")


class BenchmarkFileError(ValueError):
    """A file or a row that cannot be asked; the message says which and why."""


class BenchmarkFile:
    """The questions of one file, in its order. task: what they count as, which decides the think
    sentence and the calibration."""

    def __init__(self, path: Path, task: Task = Task.FREE) -> None:
        self.path, self.task = path, task
        self.columns = self._columns()
        self.count = sum(1 for _ in self._rows())
        if not self.count:
            raise BenchmarkFileError(f"{path}: has no rows")

    @property
    def has_views(self) -> bool:
        """Whether the true views are in it."""
        return VIEW in self.columns

    def digest(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def blocks(self, size: int, most: int) -> Iterator[list[Example]]:
        """The first `most` examples, `size` at a time."""
        block: list[Example] = []
        for number, row in zip(range(most), self._rows(), strict=False):
            block.append(self._example(number, row))
            if len(block) == size:
                yield block
                block = []
        if block:
            yield block

    def _columns(self) -> list[str]:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                found = next(_reader(file), [])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BenchmarkFileError(f"{self.path}: cannot be read: {error}") from error
        if missing := [name for name in NEEDED if name not in found]:
            raise BenchmarkFileError(
                f"{self.path}: lacks the columns {', '.join(missing)}; found "
                f"{', '.join(found[:12]) or 'none'}. Are they separated by tabs?"
            )
        if not {"A", "B"} <= set(found):
            raise BenchmarkFileError(f"{self.path}: expected columns A and B with the options")
        return found

    def _rows(self) -> Iterator[dict[str, str]]:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = _reader(file)
                next(rows)
                for number, row in enumerate(rows):
                    if not row:
                        continue
                    if len(row) != len(self.columns):
                        raise BenchmarkFileError(
                            f"{self.path}, row {number}: expected {len(self.columns)} columns, "
                            f"found {len(row)}"
                        )
                    yield dict(zip(self.columns, row, strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BenchmarkFileError(f"{self.path}: cannot be read: {error}") from error

    def _example(self, number: int, row: Mapping[str, str]) -> Example:
        where = f"{self.path}, row {row.get('index') or number}"
        letters = [c for c in string.ascii_uppercase if row.get(c, "").strip()]
        if letters != list(string.ascii_uppercase[: len(letters)]) or len(letters) < 2:
            raise BenchmarkFileError(f"{where}: expected options in A, B, ..., found {letters}")
        options = tuple(row[c].strip() for c in letters)
        pictures = [_decoded(text, f"{where}, image") for text in _listed(row["image"])]
        order = [int(k) - 1 for k in _PLACE.findall(row["question"])]
        if order:
            if sorted(order) != list(range(len(pictures))):
                raise BenchmarkFileError(
                    f"{where}: the question places pictures {[k + 1 for k in order]}, the row has "
                    f"{len(pictures)}"
                )
            pictures = [pictures[k] for k in order]
        view = _decoded(row[VIEW], f"{where}, {VIEW}") if row.get(VIEW) else NO_VIEW
        try:
            question = Question(
                self.task, tuple(pictures), _PLACE.sub(" ", row["question"]).strip(), options
            )
        except QuestionError as error:
            raise BenchmarkFileError(f"{where}: {error}") from error
        return Example(
            question,
            _place_of(row["answer"].strip(), letters, options, where),
            view,
            row.get(THOUGHT, ""),
            "",
            variant=self.path.stem,
            subcategory=row.get("category", "") or "all",
            scene_seed=0,
        )


def _reader(file: object) -> Iterator[list[str]]:
    csv.field_size_limit(LARGEST_FIELD)
    return csv.reader(file, delimiter="\t", strict=True)  # type: ignore[arg-type]


def _listed(text: str) -> list[str]:
    """The pictures of a cell: one, or a list as Python or JSON writes it."""
    if not text.lstrip().startswith("["):
        return [text]
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
    return [text]


def _decoded(text: str, where: str) -> np.ndarray:
    try:
        data = base64.b64decode(text.strip().partition("base64,")[2] or text, validate=True)
        return decode_image(data)
    except (binascii.Error, ValueError) as error:
        kind = "picture" if isinstance(error, ImageFormatError) else "base64"
        raise BenchmarkFileError(
            f"{where}: not a {kind}: {error}"
            if kind == "picture"
            else f"{where}: not base64 ({error}); it begins with {text[:16]!r}"
        ) from error


def _place_of(answer: str, letters: list[str], options: tuple[str, ...], where: str) -> int:
    """The right option, said by letter or in words."""
    if answer.upper() in letters:
        return letters.index(answer.upper())
    found = [k for k, option in enumerate(options) if option.casefold() == answer.casefold()]
    if len(found) != 1:
        raise BenchmarkFileError(
            f"{where}: answer {answer[:40]!r} is none of the letters {letters} or options "
            f"{list(options)}"
        )
    return found[0]
