"""One training row, and the bytes of a shard of rows: what the datasets and the robot both write.

A row keeps its pictures encoded, so that shuffling and counting never decode them. The four
published columns (`PUBLISHED_COLUMNS`) are all that a public training code needs; ours
(`OWN_COLUMNS`) restore the whole example and are optional on reading. Needs pyarrow, which
inference does without: import this module where rows are written or read, nowhere else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..question import Question
from ..spatial.recalled import RecalledView
from .prompts import Picture, PromptStyle, answer_text, option_names, prompt_parts, think_text

#: How rows are stored, whatever a later checkpoint prefers.
STORED = PromptStyle()

#: Rows decoded together. Small, so that shuffling within a few groups needs little memory.
ROWS_PER_GROUP = 64


PUBLISHED_COLUMNS = pa.schema(
    [
        ("image_list", pa.list_(pa.binary())),  # the inputs, then the view to draw
        ("instruction_list", pa.list_(pa.string())),
        ("output_text_list", pa.list_(pa.string())),  # two parts around the drawn view
        ("num_input_images", pa.int64()),
    ]
)

OWN_COLUMNS = pa.schema(
    [
        ("example_index", pa.int64()),
        ("task", pa.string()),
        ("variant", pa.string()),
        ("subcategory", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer_index", pa.int64()),
        ("think", pa.string()),
        ("reasoning", pa.string()),
        ("scene_seed", pa.int64()),
        ("split", pa.string()),
        ("level", pa.string()),
        ("facts", pa.string()),  # JSON: poses, distances, counts, grids
    ]
)


#: Only in files with a row that has them: what was seen before of the view to draw.
RECALLED_COLUMNS = pa.schema(
    [
        ("recalled_image", pa.binary()),  # PNG, of one colour where not seen
        ("recalled_seen", pa.binary()),  # PNG of one bit a pixel, white where seen
        ("share_seen", pa.float64()),
        ("recalled_filled", pa.binary()),  # PNG without holes; null: carried in from the edges
    ]
)


class SchemaError(ValueError):
    """The columns of a file, or the values of a row, are not those of the schema."""


class ImageFormatError(ValueError):
    """A stored picture cannot be read, or a format was asked for that is not known."""


#: PNG decodes fastest. Lossless WebP is a third smaller and ten times slower to write: for data
#: that travel. JPEG is a fifth of the size and not exact: for fine-tuning on photographs at 512 px
#: and more, never for the tiny model, whose instance-sized details are two pixels wide.
IMAGE_FORMATS = {
    "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]),
    "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),  # above 100 is OpenCV's lossless mode
    "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]),
}


def encode_image(rgb: np.ndarray, image_format: str = "png") -> bytes:
    """H x W x 3 uint8 RGB to the bytes of a picture file."""
    if image_format not in IMAGE_FORMATS:
        raise ImageFormatError(
            f"image format {image_format!r} is not one of {', '.join(IMAGE_FORMATS)}"
        )
    suffix, options = IMAGE_FORMATS[image_format]
    done, data = cv2.imencode(suffix, rgb[:, :, ::-1], options)
    if not done:
        raise ImageFormatError(f"could not encode {rgb.shape} {rgb.dtype} as {image_format}")
    return data.tobytes()


def decode_image(data: bytes) -> np.ndarray:
    """The bytes of a PNG, JPEG or WebP file to H x W x 3 uint8 RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise ImageFormatError(
            f"{len(data)} bytes starting {data[:8]!r} are not a readable PNG, JPEG or WebP picture"
        )
    return np.ascontiguousarray(image[:, :, ::-1])


def encode_recalled(view: RecalledView) -> dict[str, Any]:
    """`RECALLED_COLUMNS` of a recalled view; its depth and stamps are not stored."""
    done, mask = cv2.imencode(
        ".png", 255 * view.seen.astype(np.uint8), [cv2.IMWRITE_PNG_BILEVEL, 1]
    )
    if not done:
        raise ImageFormatError(f"could not encode a mask of shape {view.seen.shape}")
    return {
        "recalled_image": encode_image(view.rgb),
        "recalled_seen": mask.tobytes(),
        "share_seen": view.share_seen,
        "recalled_filled": None if view.filling is None else encode_image(view.filling),
    }


def decode_recalled(own: Mapping[str, Any]) -> RecalledView | None:
    """The inverse, its depth 0 everywhere; None where a row has no such columns."""
    needed = ("recalled_image", "recalled_seen", "share_seen")
    absent = [name for name in needed if own.get(name) is None]
    if len(absent) == len(needed):
        return None
    if absent:
        raise SchemaError(f"{', '.join(absent)}: the value is null beside the others")
    rgb, seen = decode_image(own["recalled_image"]), decode_image(own["recalled_seen"])
    if rgb.shape != seen.shape:
        raise SchemaError(
            f"recalled_seen: expected the size of its picture {rgb.shape[:2]}, got "
            f"{seen.shape[:2]}"
        )
    stored = own.get("recalled_filled")
    filling = None if stored is None else decode_image(stored)
    if filling is not None and filling.shape != rgb.shape:
        raise SchemaError(
            f"recalled_filled: expected the size of its picture {rgb.shape[:2]}, got "
            f"{filling.shape[:2]}"
        )
    nowhere = np.zeros(rgb.shape[:2], np.float32)
    return RecalledView(rgb, nowhere, seen[..., 0] > 127, filling=filling)


@dataclass(frozen=True)
class Row:
    """One stored row, pictures still encoded.

    images: the input pictures, then the drawn view where there is one. own: our columns; empty for
    rows of a public set.
    """

    images: tuple[bytes, ...]
    instructions: tuple[str, ...]
    outputs: tuple[str, ...]
    num_input_images: int
    own: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.num_input_images <= len(self.images):
            raise SchemaError(
                f"num_input_images: expected 0 to {len(self.images)} (the length of image_list), "
                f"got {self.num_input_images}"
            )
        drawn = len(self.images) - self.num_input_images
        if len(self.outputs) not in (drawn, drawn + 1) or not self.outputs:
            raise SchemaError(
                f"output_text_list: {drawn} drawn pictures need {drawn} or {drawn + 1} parts of "
                f"text around them, got {len(self.outputs)}"
            )
        if not self.instructions:
            raise SchemaError("instruction_list: the row asks nothing (empty list)")

    @property
    def inputs(self) -> tuple[bytes, ...]:
        return self.images[: self.num_input_images]

    @property
    def drawn(self) -> tuple[bytes, ...]:
        return self.images[self.num_input_images :]


def record_from_row(row: Row) -> dict[str, Any]:
    """The other way: what Arrow writes."""
    return {
        "image_list": list(row.images),
        "instruction_list": list(row.instructions),
        "output_text_list": list(row.outputs),
        "num_input_images": row.num_input_images,
        **{name: row.own.get(name) for name in (*OWN_COLUMNS.names, *RECALLED_COLUMNS.names)},
    }


def stored_row(
    question: Question,
    view: np.ndarray,
    think: str,
    answer: int | str,
    own: dict[str, Any],
    image_format: str = "png",
) -> Row:
    """A question with the view to draw and the answer, in the ipt layout.

    answer: index of the right option; the words themselves where there are no options.
    """
    texts = prompt_parts(question, STORED, draws=True)
    name = answer
    if isinstance(answer, int):
        name = option_names(question, STORED.answer_style)[answer]
    return Row(
        images=tuple(encode_image(p, image_format) for p in (*question.images, view)),
        instructions=tuple(t for t in texts if not isinstance(t, Picture)),
        outputs=(think_text(think), answer_text(str(name), drawn=True)),
        num_input_images=len(question.images),
        own=own,
    )


class StorageError(OSError):
    """The disk did not take the data; whatever was finished before is still valid."""


def write_file(path: Path, data: bytes) -> None:
    """Put `data` under `path`: temporary name, fsync, rename: no half file is ever seen."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if full else error.strerror or str(error)
        raise StorageError(
            f"{path}: could not write {len(data)} bytes: {why}. Finished shards stay valid: "
            "make room and run the same command again to go on."
        ) from error


def encode_shard(rows: Sequence[Row], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a parquet file with these rows; equal rows and metadata give equal bytes."""
    remembers = any(set(RECALLED_COLUMNS.names) & set(row.own) for row in rows)
    more = RECALLED_COLUMNS if remembers else ()
    schema = pa.schema([*PUBLISHED_COLUMNS, *OWN_COLUMNS, *more], metadata=metadata or {})
    table = pa.Table.from_pylist([record_from_row(row) for row in rows], schema=schema)
    sink = pa.BufferOutputStream()
    # The pictures are compressed already; dictionaries of them would only cost memory.
    texts = [
        name
        for name in ("task", "variant", "subcategory", "split", "level", "question", "think")
        if name in schema.names
    ]
    with pq.ParquetWriter(
        sink, schema, compression="zstd", use_dictionary=texts, write_page_checksum=True
    ) as writer:
        writer.write_table(table, row_group_size=ROWS_PER_GROUP)
    return sink.getvalue().to_pybytes()
