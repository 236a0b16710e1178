"""What one row of a dataset is: the published columns, and ours beside them.

A row keeps its pictures encoded, so that shuffling and counting never decode them. The four
published columns (`PUBLISHED_COLUMNS`) are all that a public training code needs; ours
(`OWN_COLUMNS`) restore the whole `Example` and are optional on reading. Nothing here knows about
files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from ipt_model.question import Question, Task
from ipt_training.example import Example

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


def check_columns(schema: pa.Schema, source: str, *, ignore_unknown: bool = False) -> list[str]:
    """Refuse a file without the published columns, with wrong types, or with columns nobody knows.

    Returns the names to read: the published columns and those of ours that are present.
    """
    missing = [name for name in PUBLISHED_COLUMNS.names if name not in schema.names]
    if missing:
        raise SchemaError(
            f"{source}: lacks {', '.join(missing)}; expected the columns "
            f"{', '.join(PUBLISHED_COLUMNS.names)}, found {', '.join(schema.names) or 'none'}"
        )
    known = {f.name: f.type for f in [*PUBLISHED_COLUMNS, *OWN_COLUMNS]}
    for column in schema:
        expected = known.get(column.name)
        if expected is not None and not _same_kind(column.type, expected):
            raise SchemaError(
                f"{source}: column {column.name} has type {column.type}, expected {expected}"
            )
    unknown = [name for name in schema.names if name not in known]
    if unknown and not ignore_unknown:
        raise SchemaError(
            f"{source}: unknown columns {', '.join(unknown)}; read with ignore_unknown=True "
            "to leave them out"
        )
    return [name for name in schema.names if name in known]


def _same_kind(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether a column can be read as expected: other writers use large lists and narrower
    integers.
    """
    if pa.types.is_list(expected):
        is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
        return is_list and _same_kind(found.value_type, expected.value_type)
    if pa.types.is_integer(expected):
        return bool(pa.types.is_integer(found))
    if pa.types.is_string(expected):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    return bool(pa.types.is_binary(found) or pa.types.is_large_binary(found))


def row_from_record(record: dict[str, Any]) -> Row:
    """A record as Arrow gives it (one dict of columns) to a `Row`."""
    for name in PUBLISHED_COLUMNS.names:
        if record.get(name) is None:
            raise SchemaError(f"{name}: the value is null")
    own = {k: v for k, v in record.items() if k in OWN_COLUMNS.names and v is not None}
    return Row(
        images=tuple(record["image_list"]),
        instructions=tuple(record["instruction_list"]),
        outputs=tuple(record["output_text_list"]),
        num_input_images=int(record["num_input_images"]),
        own=own,
    )


def record_from_row(row: Row) -> dict[str, Any]:
    """The other way: what Arrow writes."""
    return {
        "image_list": list(row.images),
        "instruction_list": list(row.instructions),
        "output_text_list": list(row.outputs),
        "num_input_images": row.num_input_images,
        **{name: row.own.get(name) for name in OWN_COLUMNS.names},
    }


def own_columns(example: Example, *, index: int, split: str, level: str) -> dict[str, Any]:
    """Our columns of an example; with the pictures they are all that `example_from_row` needs."""
    question = example.question
    return {
        "example_index": index,
        "task": question.task.value,
        "variant": example.variant,
        "subcategory": example.subcategory,
        "question": question.text,
        "options": list(question.options),
        "answer_index": example.answer_index,
        "think": example.think,
        "reasoning": example.reasoning,
        "scene_seed": example.scene_seed,
        "split": split,
        "level": level,
        "facts": json.dumps(example.facts, sort_keys=True, separators=(",", ":")),
    }


def example_from_row(row: Row) -> Example:
    """The example a row of ours was made from, pictures decoded."""
    absent = [name for name in OWN_COLUMNS.names if name not in row.own]
    if absent:
        raise SchemaError(
            f"the row lacks {', '.join(absent)}, so only its texts and pictures can be used "
            "(ipt_training.datasets.supervision.supervise_row), not the example behind it"
        )
    own = row.own
    return Example(
        question=Question(
            task=Task(own["task"]),
            images=tuple(decode_image(data) for data in row.inputs),
            text=own["question"],
            options=tuple(own["options"]),
        ),
        answer_index=int(own["answer_index"]),
        imagination=decode_image(row.drawn[0]),
        think=own["think"],
        reasoning=own["reasoning"],
        variant=own["variant"],
        subcategory=own["subcategory"],
        scene_seed=int(own["scene_seed"]),
        facts=json.loads(own["facts"]),
    )
