"""From a stored row to the `Example` behind it, and what columns a file may have.

The row itself and its columns live in `ipt_model.wording.rows`, because the robot writes rows too;
they are offered here as well. Nothing here knows about files.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from ipt_model.question import Question, Task
from ipt_model.wording.rows import (
    IMAGE_FORMATS,
    OWN_COLUMNS,
    PUBLISHED_COLUMNS,
    RECALLED_COLUMNS,
    ImageFormatError,
    Row,
    SchemaError,
    decode_image,
    decode_recalled,
    encode_image,
    encode_recalled,
    record_from_row,
)
from ipt_training.example import Example

__all__ = [
    "IMAGE_FORMATS",
    "OWN_COLUMNS",
    "PUBLISHED_COLUMNS",
    "RECALLED_COLUMNS",
    "RECORDED",
    "ImageFormatError",
    "Row",
    "SchemaError",
    "check_columns",
    "decode_image",
    "encode_image",
    "example_from_row",
    "own_columns",
    "record_from_row",
    "row_from_record",
]


#: The level of rows that a robot saw; others have that of their scene.
RECORDED = "recorded"


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
    known = {f.name: f.type for f in [*PUBLISHED_COLUMNS, *OWN_COLUMNS, *RECALLED_COLUMNS]}
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
    if pa.types.is_floating(expected):
        return bool(pa.types.is_floating(found))
    if pa.types.is_string(expected):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    return bool(pa.types.is_binary(found) or pa.types.is_large_binary(found))


def row_from_record(record: dict[str, Any]) -> Row:
    """A record as Arrow gives it (one dict of columns) to a `Row`."""
    for name in PUBLISHED_COLUMNS.names:
        if record.get(name) is None:
            raise SchemaError(f"{name}: the value is null")
    ours = {*OWN_COLUMNS.names, *RECALLED_COLUMNS.names}
    own = {k: v for k, v in record.items() if k in ours and v is not None}
    return Row(
        images=tuple(record["image_list"]),
        instructions=tuple(record["instruction_list"]),
        outputs=tuple(record["output_text_list"]),
        num_input_images=int(record["num_input_images"]),
        own=own,
    )


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
        **({} if example.recalled is None else encode_recalled(example.recalled)),
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
    recalled = decode_recalled(own)
    return Example(
        question=Question(
            task=Task(own["task"]),
            images=tuple(decode_image(data) for data in row.inputs),
            text=own["question"],
            options=tuple(own["options"]),
            recalled=recalled,
        ),
        answer_index=int(own["answer_index"]),
        true_view=decode_image(row.drawn[0]),
        think=own["think"],
        reasoning=own["reasoning"],
        variant=own["variant"],
        subcategory=own["subcategory"],
        scene_seed=int(own["scene_seed"]),
        facts=json.loads(own["facts"]),
        recalled=recalled,
    )
