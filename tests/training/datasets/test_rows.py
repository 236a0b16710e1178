"""Rows: ours and the public sets', what is refused, and how one row serves every
supervision.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ipt_model.question import Question, Task
from ipt_model.wording.prompts import SYSTEM_ANSWER, SYSTEM_THINK, Picture, PromptStyle
from ipt_training.datasets.parquet import CorruptShardError, Dataset, encode_shard, write_file
from ipt_training.datasets.schema import (
    PUBLISHED_COLUMNS,
    ImageFormatError,
    Row,
    SchemaError,
    decode_image,
    encode_image,
    example_from_row,
)
from ipt_training.datasets.supervision import (
    SUPERVISIONS,
    row_from_example,
    supervise,
    supervise_row,
)
from ipt_training.example import Example, ExampleError

THINK = SYSTEM_THINK.format(image_end="</image_end>")


def picture(seed: int, size: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def example(seed: int, task: Task = Task.PATH) -> Example:
    return Example(
        question=Question(
            task,
            (picture(seed), picture(seed + 1000)),
            f"Which one, number {seed}?",
            ("red", "green", "blue", "pink"),
        ),
        answer_index=seed % 4,
        true_view=picture(seed + 2000),
        think="Here's what's on my left.",
        reasoning="It is there, so it is it.",
        variant="map",
        subcategory="left",
        scene_seed=seed,
        facts={"numbers": [1.5, 2], "text": "ü"},
    )


def row(seed: int) -> Row:
    return row_from_example(example(seed), index=seed, split="train", level="room")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    for shard in range(2):
        rows = [row(i) for i in range(100 * shard, 100 * shard + 100)]
        write_file(tmp_path / f"part-{shard}.parquet", encode_shard(rows))
    return Dataset(tmp_path)


def public_file(path: Path, **columns: Any) -> Path:
    """A file as the public sets have it, built by hand from the schema's description."""
    values = {
        "image_list": [[encode_image(picture(1)), encode_image(picture(2), "jpeg")]],
        "instruction_list": [[THINK + "Will the sofa be closer?\n(A) Closer\n(B) Further"]],
        "output_text_list": [
            ["<think>I look.</think><image_start>", "<image_end><answer>B</answer>"]
        ],
        "num_input_images": pa.array([1], pa.int32()),
        **columns,
    }
    pq.write_table(pa.table(values), path)
    return path


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_formats_give_the_picture_back(image_format: str) -> None:
    image = picture(5, 40)
    assert (decode_image(encode_image(image, image_format)) == image).all()


def test_jpeg_is_near_and_smaller() -> None:
    smooth = np.tile(np.linspace(0, 255, 128).astype(np.uint8)[:, None, None], (1, 128, 3))
    data = encode_image(smooth, "jpeg")
    assert np.abs(decode_image(data).astype(int) - smooth).mean() < 3


def test_bytes_that_are_no_picture_are_named() -> None:
    with pytest.raises(ImageFormatError, match="not a readable"):
        decode_image(b"GIF89a...")
    with pytest.raises(ImageFormatError, match="0 bytes"):
        decode_image(b"")
    with pytest.raises(ImageFormatError, match="'bmp' is not one of png"):
        encode_image(picture(0), "bmp")


def test_an_example_survives_storage(dataset: Dataset) -> None:
    assert len(dataset) == 200
    for index in (0, 99, 100, 199, -1):
        found, made = example_from_row(dataset[index]), example(index % 200)
        assert found.question.text == made.question.text
        assert found.question.options == made.question.options
        assert (found.answer, found.think, found.reasoning) == (
            made.answer,
            made.think,
            made.reasoning,
        )
        assert found.facts == made.facts
        for a, b in zip(found.question.images, made.question.images, strict=True):
            assert (a == b).all()
        assert (found.true_view == made.true_view).all()
    with pytest.raises(IndexError, match="row 200 of a dataset of 200"):
        dataset[200]


def test_stored_rows_are_rows_of_the_published_schema(dataset: Dataset) -> None:
    file = pq.ParquetFile(dataset.path / "part-0.parquet")
    for column in PUBLISHED_COLUMNS:
        assert file.schema_arrow.field(column.name).type == column.type
    stored = dataset[3]
    assert stored.instructions == (
        THINK + "Which one, number 3?\n(A) red\n(B) green\n(C) blue\n(D) pink",
    )
    assert stored.outputs == (
        "<think>Here's what's on my left.</think><image_start>",
        "<image_end><answer>D</answer>",
    )
    assert stored.num_input_images == 2
    assert len(stored.images) == 3


def test_shuffled_readers_share_every_row_once(dataset: Dataset) -> None:
    epochs = [list(dataset.shuffled(seed)) for seed in (1, 1, 2)]
    assert epochs[0] == epochs[1] != epochs[2]
    assert sorted(epochs[0]) == list(range(200))
    parts = [list(dataset.shuffled(4, rank=r, world_size=3)) for r in range(3)]
    assert sorted(i for part in parts for i in part) == list(range(200))
    with pytest.raises(ValueError, match="rank: expected 0 to 1, got 2"):
        list(dataset.shuffled(0, rank=2, world_size=2))


def test_columns_without_pictures(dataset: Dataset) -> None:
    assert dataset.column("scene_seed") == list(range(200))
    assert len(dataset.digest()) == 64
    assert dataset.facts == {}


def test_public_rows_train_every_variant_that_they_can(tmp_path: Path) -> None:
    stored = Dataset(public_file(tmp_path / "public.parquet"))[0]
    assert stored.own == {}
    style = PromptStyle()
    ipt = supervise_row(stored, "ipt", style)
    assert ipt.prompt[0] == Picture(0)
    assert (ipt.inputs[0] == picture(1)).all()
    assert ipt.target[0] == "<think>I look.</think><image_start>"
    assert isinstance(ipt.target[1], np.ndarray) and ipt.flow_loss and ipt.vae_inputs
    label = supervise_row(stored, "label", style)
    assert label.target == ("<answer>B</answer>",)
    assert label.prompt[1] == SYSTEM_ANSWER + "Will the sofa be closer?\n(A) Closer\n(B) Further"
    assert not label.flow_loss and not label.vae_inputs and label.example is None
    with pytest.raises(SchemaError, match="no reasoning in words"):
        supervise_row(stored, "text_cot", style)
    with pytest.raises(SchemaError, match="only its texts and pictures"):
        example_from_row(stored)


def test_public_text_rows_without_a_drawing(tmp_path: Path) -> None:
    path = public_file(
        tmp_path / "text.parquet",
        image_list=[[encode_image(picture(1))]],
        output_text_list=[["<think>Near.</think><answer>A</answer>"]],
    )
    stored = Dataset(path)[0]
    found = supervise_row(stored, "text_cot", PromptStyle())
    assert found.target == ("<think>Near.</think><answer>A</answer>",)
    assert supervise_row(stored, "label", PromptStyle()).target == ("<answer>A</answer>",)
    with pytest.raises(SchemaError, match="one drawn picture"):
        supervise_row(stored, "ipt", PromptStyle())


def test_large_lists_of_other_writers_are_read(tmp_path: Path) -> None:
    images = pa.array([[encode_image(picture(1))]], pa.large_list(pa.large_binary()))
    path = public_file(
        tmp_path / "large.parquet",
        image_list=images,
        output_text_list=[["<answer>A</answer>"]],
    )
    assert len(Dataset(path)[0].images) == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"num_input_images": ["one"]}, "num_input_images has type string"),
        ({"image_list": [["text"]]}, "image_list has type list"),
        ({"rotation": [3]}, "unknown columns rotation"),
    ],
)
def test_files_of_another_schema_are_refused(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    path = public_file(tmp_path / "odd.parquet", **columns)
    with pytest.raises(SchemaError, match=message):
        Dataset(path)


def test_unknown_columns_can_be_left_out(tmp_path: Path) -> None:
    path = public_file(tmp_path / "more.parquet", rotation=[3])
    assert Dataset(path, ignore_unknown=True)[0].own == {}


def test_missing_columns_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image_list": [[b"x"]]}), tmp_path / "part.parquet")
    with pytest.raises(SchemaError, match="lacks instruction_list, output_text_list, num_input"):
        Dataset(tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"num_input_images": [5]}, "expected 0 to 2"),
        ({"output_text_list": [["one", "two", "three"]]}, "1 drawn pictures need 1 or 2"),
        ({"instruction_list": pa.array([[]], pa.list_(pa.string()))}, "asks nothing"),
        ({"instruction_list": pa.array([None], pa.list_(pa.string()))}, "value is null"),
    ],
)
def test_rows_that_contradict_themselves_are_named(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    path = public_file(tmp_path / "odd.parquet", **columns)
    with pytest.raises(SchemaError, match=message):
        Dataset(path)[0]


def test_damaged_files_say_what_to_do(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \*\.parquet file"):
        Dataset(tmp_path / "nowhere")
    whole = (dataset.path / "part-0.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptShardError, match=r"not a whole parquet file.*Delete it and run"):
        Dataset(tmp_path)
    (tmp_path / "half.parquet").unlink()
    broken = bytearray(whole)
    broken[1000:30_000] = bytes(29_000)
    (tmp_path / "part-0.parquet").write_bytes(bytes(broken))
    with pytest.raises(CorruptShardError, match=r"part-0\.parquet: row group"):
        list(Dataset(tmp_path))


@pytest.mark.parametrize("answer_style", ["letter", "word"])
@pytest.mark.parametrize("supervision", list(SUPERVISIONS))
def test_every_supervision_from_the_same_row(supervision: str, answer_style: str) -> None:
    made = example(2)
    style = PromptStyle(answer_style=answer_style)  # type: ignore[arg-type]
    sample = supervise(made, supervision, style, wrong=picture(9))  # type: ignore[arg-type]
    name = "C" if answer_style == "letter" else "blue"
    texts = [t for t in sample.target if isinstance(t, str)]
    drawn = [t for t in sample.target if not isinstance(t, str)]
    assert texts[-1].endswith(f"<answer>{name}</answer>")
    draws = supervision in ("ipt", "mixed", "ipt_wrong", "given")
    assert len(drawn) == int(draws)
    assert sample.flow_loss == (draws and supervision != "given")
    assert sample.vae_inputs == (supervision not in ("label", "text_cot"))
    if drawn:
        assert (drawn[0] == (picture(9) if supervision == "ipt_wrong" else made.true_view)).all()
    system = THINK if draws or supervision == "text_cot" else SYSTEM_ANSWER
    assert isinstance(sample.prompt[-1], str) and sample.prompt[-1].startswith(system)
    if supervision == "text_cot":
        assert texts == [f"<think>{made.reasoning}</think><answer>{name}</answer>"]


@pytest.mark.parametrize(("options", "answer"), [((), 0), (("a", "b"), 2), (("a", "b"), -1)])
def test_rows_without_a_right_option_are_named(options: tuple[str, ...], answer: int) -> None:
    stored = row(0)
    own = {**stored.own, "options": list(options), "answer_index": answer}
    with pytest.raises(ExampleError, match=rf"one of the options .* got {answer}"):
        example_from_row(replace(stored, own=own))


def test_requests_no_supervision_can_serve(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="'labels' is not one of label, text_cot"):
        supervise_row(dataset[0], "labels", PromptStyle())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs `wrong`"):
        supervise(example(0), "ipt_wrong", PromptStyle())


def test_facts_are_plain_json(dataset: Dataset) -> None:
    assert json.loads(dataset[0].own["facts"])["numbers"] == [1.5, 2]
