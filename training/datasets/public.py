"""Rows as public training codes write and read them: three layouts, the Hub's raw columns, and the
question behind a row that is nothing but texts and pictures.

In: rows or files. Out: `Example`s, or parquet files with the published columns alone. System
prompts are recognised by the tags that they name, whatever their words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ipt_model.question import Question, QuestionError, Task
from ipt_model.wording.extraction import read_answer
from ipt_model.wording.prompts import (
    THINK_CLOSE,
    THINK_OPEN,
    Picture,
    PromptStyle,
    answer_text,
    option_names,
    prompt_parts,
    think_sentence,
    think_text,
)
from ipt_training.datasets.parquet import INFO_FILE, Dataset, write_file
from ipt_training.datasets.schema import (
    OWN_COLUMNS,
    PUBLISHED_COLUMNS,
    Row,
    SchemaError,
    decode_image,
    encode_image,
    example_from_row,
    record_from_row,
)
from ipt_training.example import NO_VIEW, Example

#: What an exported row teaches.
Layout = Literal["ipt", "answeronly", "textcot"]
LAYOUTS: tuple[Layout, ...] = ("ipt", "answeronly", "textcot")
#: Whose trainer reads the files. ThinkMorph's takes one input picture and says its prompt itself;
#: BAGEL's own takes a picture, a list of ways to ask, and the picture to draw.
Trainer = Literal["published", "thinkmorph", "bagel"]
TRAINERS: tuple[Trainer, ...] = ("published", "thinkmorph", "bagel")
BAGEL_COLUMNS = pa.schema(
    [
        ("image_list", pa.list_(pa.binary())),
        ("instruction_list", pa.list_(pa.list_(pa.string()))),
    ]
)
#: Rows of one output file; a file that is there is not made again.
ROWS_PER_FILE = 2048

#: A line that names the answer's tags is no question: those of askers hold no tags.
_SYSTEM = re.compile(r"\A\s*[^\n]*<answer>[^\n]*\n")
#: How options stand behind a question: on lines, as published evaluations list them, in the line.
_OPTIONS = (
    re.compile(r"\s*\n\(([A-H])\) ([^\n]+)"),
    re.compile(r"\s*\n([A-H])\. ([^\n]+)"),
    re.compile(r"\s([A-H])\) (.+?)(?=\s[A-H]\) |\s*\Z)", re.DOTALL),
)
_BLOCK = re.compile(r"\nOptions:(?=\n)|\nPlease select the correct answer[^\n]*\s*\Z")
_THOUGHT = re.compile(re.escape(THINK_OPEN) + "(.*?)" + re.escape(THINK_CLOSE), re.DOTALL)


def system_prompt_of(instruction: str) -> str:
    """The system prompt that opens an instruction; empty where none does."""
    found = _SYSTEM.match(instruction)
    return found.group(0) if found else ""


def any_example(row: Row) -> Example:
    """The example behind a row: of ours whole, of a public one as far as its texts say."""
    if set(OWN_COLUMNS.names) <= set(row.own):
        return example_from_row(row)
    instruction = "".join(row.instructions)
    text, options = split_options(instruction[len(system_prompt_of(instruction)) :].strip())
    if len(options) < 2:
        raise SchemaError(f"the row's question has no options that could be read: {text[:60]!r}")
    said = row.outputs[-1]
    index = _chosen(said, options)
    if index is None:
        raise SchemaError(f"the row's answer {said[-40:]!r} is none of its options {options}")
    thought = _THOUGHT.search("".join(row.outputs))
    drawn = bool(row.drawn)
    images = tuple(decode_image(data) for data in row.inputs)
    try:
        question = Question(Task.FREE, images, text, options)
    except QuestionError as error:
        raise SchemaError(f"the row cannot be asked: {error}") from error
    words = thought.group(1) if thought else ""
    return Example(
        question,
        index,
        decode_image(row.drawn[0]) if drawn else NO_VIEW,
        think=words if drawn else think_sentence(question),
        reasoning="" if drawn else words,
        variant="public",
        subcategory="ipt" if drawn else ("textcot" if thought else "answeronly"),
        scene_seed=0,
    )


def _chosen(reply: str, options: tuple[str, ...]) -> int | None:
    """Which option a stored answer names, by letter or in words."""
    by_letter = read_answer(reply, tuple("ABCDEFGH"[: len(options)])).index
    return by_letter if by_letter is not None else read_answer(reply, options).index


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """A question's own words and its options, however they are written; none where they do not
    count on from A."""
    plain = _BLOCK.sub("", text)
    for pattern in _OPTIONS:
        found = pattern.findall(plain)
        if found and [letter for letter, _ in found] == list("ABCDEFGH"[: len(found)]):
            return pattern.sub("", plain).strip(), tuple(words.strip() for _, words in found)
    return text, ()


# -- out
def public_row(
    example: Example,
    layout: Layout,
    style: PromptStyle,
    image_format: str = "png",
    trainer: Trainer = "published",
) -> Row:
    """An example as a public trainer reads it, asked in this style."""
    question = example.question
    draws = layout == "ipt"
    if trainer != "published":
        style = replace(style, system_think="", system_answer="")
    texts = prompt_parts(question, style, draws=layout != "answeronly")
    name = option_names(question, style.answer_style)[example.answer_index]
    images = [*question.images, *([example.true_view] if draws else [])]
    outputs: tuple[str, ...] = (answer_text(name, drawn=False),)
    if draws:
        if not example.true_view.size:
            raise SchemaError("layout ipt: the example has no true view")
        outputs = (think_text(example.think), answer_text(name, drawn=True))
    elif layout == "textcot":
        if not example.reasoning:
            raise SchemaError("layout textcot: the example has no reasoning in words")
        outputs = (f"{THINK_OPEN}{example.reasoning}{THINK_CLOSE}{outputs[0]}",)
    return Row(
        images=tuple(encode_image(picture, image_format) for picture in images),
        instructions=("".join(t for t in texts if not isinstance(t, Picture)),),
        outputs=outputs,
        num_input_images=len(question.images),
    )


def export_dataset(
    dataset: Dataset,
    out: Path,
    layout: Layout,
    style: PromptStyle,
    image_format: str = "png",
    trainer: Trainer = "published",
    on_rows: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """Write a dataset for a public trainer; files that are there already are kept. (rows written,
    rows left out because the trainer takes one input picture alone)."""
    if trainer == "bagel" and layout != "ipt":
        raise SchemaError("layout: BAGEL's trainer only draws, so it takes the layout ipt alone")

    def rows(block: range) -> Iterator[Row]:
        for k in block:
            example = any_example(dataset[k])
            if trainer != "published" and len(example.question.images) != 1:
                continue
            yield public_row(example, layout, style, image_format, trainer)

    blocks = (
        rows(range(first, min(first + ROWS_PER_FILE, len(dataset))))
        for first in range(0, len(dataset), ROWS_PER_FILE)
    )
    count = _write_files(out, blocks, on_rows, trainer)
    return count, len(dataset) - count


def _record(row: Row, trainer: Trainer) -> dict[str, Any]:
    record = record_from_row(row)
    if trainer == "bagel":
        asked = [list(row.instructions)]
        return {"image_list": record["image_list"], "instruction_list": asked}
    return {name: record[name] for name in PUBLISHED_COLUMNS.names}


def _write_files(
    out: Path,
    blocks: Iterator[Iterator[Row]],
    on_rows: Callable[[int], None] | None,
    trainer: Trainer = "published",
) -> int:
    out.mkdir(parents=True, exist_ok=True)
    schema = BAGEL_COLUMNS if trainer == "bagel" else PUBLISHED_COLUMNS
    count = 0
    for number, block in enumerate(blocks):
        path = out / f"chunk_{number}.parquet"
        if not path.exists():
            table = pa.Table.from_pylist([_record(row, trainer) for row in block], schema=schema)
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, row_group_size=256, compression="zstd")
            write_file(path, sink.getvalue().to_pybytes())
        rows = pq.ParquetFile(path).metadata.num_rows
        count += rows
        if on_rows is not None:
            on_rows(rows)
    write_public_info(out)
    return count


def write_public_info(folder: Path) -> None:
    """`parquet_info.json` by file name and by whole path: public loaders look for either."""
    info: dict[str, dict[str, int]] = {}
    for path in sorted(folder.glob("*.parquet")):
        footer = pq.ParquetFile(path).metadata
        facts = {"num_row_groups": footer.num_row_groups, "num_rows": footer.num_rows}
        info[path.name] = info[str(path.resolve())] = facts
    write_file(folder / INFO_FILE, (json.dumps(info, indent=1) + "\n").encode())


# -- in
def convert_hub(
    raw: Path,
    out: Path,
    task: Literal["mvc", "pet"],
    style: PromptStyle,
    on_rows: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """The Hub's own columns to rows to train on: (rows written, rows left out because a picture is
    missing). A file of the Hub gives a file here; one that is there already is kept."""
    files = _hub_files(raw)
    left = [0]

    def rows(path: Path) -> Iterator[Row]:
        file = pq.ParquetFile(path)
        _check_hub(file.schema_arrow.names, task, path)
        for batch in file.iter_batches(batch_size=64):
            for record in batch.to_pylist():
                row = _hub_row(record, task, style, path)
                if row is None:
                    left[0] += 1
                else:
                    yield row

    return _write_files(out, (rows(path) for path in files), on_rows), left[0]


def hub_rows(raw: Path) -> int:
    """How many rows the downloaded files have."""
    return sum(pq.ParquetFile(path).metadata.num_rows for path in _hub_files(raw))


def _hub_files(raw: Path) -> list[Path]:
    files = sorted(p for p in raw.rglob("*.parquet") if not p.name.startswith("chunk_"))
    if not files:
        raise SchemaError(f"{raw}: expected parquet files as downloaded, found none")
    return files


def _check_hub(names: Sequence[str], task: str, path: Path) -> None:
    needed = {
        "mvc": ("question", "answer", "frame_0", "topdown_map"),
        "pet": ("question_no_arrow", "answer", "marked_image_no_arrow", "new_perspective"),
    }[task]
    if missing := [name for name in needed if name not in names]:
        raise SchemaError(
            f"{path}: lacks {', '.join(missing)}, which the {task} set has; found "
            f"{', '.join(names[:10])}"
        )


def _hub_row(record: dict[str, Any], task: str, style: PromptStyle, path: Path) -> Row | None:
    if task == "mvc":
        frames = [_bytes(record.get(f"frame_{k}")) for k in range(8)]
        view, text = _bytes(record["topdown_map"]), str(record["question"])
    else:
        frames = [_bytes(record["marked_image_no_arrow"])]
        view, text = _bytes(record["new_perspective"]), str(record["question_no_arrow"])
    images = [data for data in frames if data]
    if not images or not view:
        return None
    words, options = split_options(text)
    if not options and record.get("answer_choices"):
        given = record["answer_choices"]
        words, options = text, tuple(json.loads(given) if isinstance(given, str) else given)
    if len(options) < 2:
        raise SchemaError(f"{path}: a question without options to choose from: {text[:60]!r}")
    chosen = _chosen(f"<answer>{record['answer']}</answer>", options)
    if chosen is None:
        raise SchemaError(f"{path}: answer {record['answer']!r} is none of {list(options)}")
    # the pictures themselves pass as they are; the words need only their number
    asked = Question(
        Task.COUNTING if task == "mvc" else Task.PERSPECTIVE,
        (decode_image(images[0]),) * len(images),
        words,
        options,
    )
    texts = [t for t in prompt_parts(asked, style, draws=True) if not isinstance(t, Picture)]
    name = option_names(asked, style.answer_style)[chosen]
    return Row(
        images=(*images, view),
        instructions=("".join(texts),),
        outputs=(think_text(think_sentence(asked)), answer_text(name, drawn=True)),
        num_input_images=len(images),
    )


def _bytes(cell: Any) -> bytes:
    """Of a picture, which the Hub stores with its name."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return data or b""
