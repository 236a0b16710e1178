"""Public benchmark files: what is asked of a row, and what is said of a broken one."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipt_model.question import Mode, Task
from ipt_training.commands.evaluate import main
from ipt_training.datasets.schema import encode_image
from ipt_training.evaluation.asking import modes_of
from ipt_training.evaluation.benchmark_file import BenchmarkFile, BenchmarkFileError

RNG = np.random.default_rng(4)
PICTURES = [RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(3)]
CODED = [base64.b64encode(encode_image(picture)).decode() for picture in PICTURES]
COLUMNS = ["index", "image", "question", "A", "B", "C", "answer", "category"]
ROWS = [
    ["7", CODED[0], "Which side?", "left", "right", "", "B", "near"],
    ["8", json.dumps(CODED[:2]), "How many?", "1", "2", "3", "2", "far"],
    ["9", str(CODED[:2]), "From <image_2> to <image_1> ?", "left", "right", "", "a", "far"],
]


def write(path: Path, rows: list[list[str]], columns: list[str] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t").writerows([columns, *rows])
    return path


def test_rows_become_examples(tmp_path: Path) -> None:
    file = BenchmarkFile(write(tmp_path / "set.tsv", ROWS), Task.COUNTING)
    assert file.count == 3 and not file.has_views
    blocks = list(file.blocks(2, 10))
    assert [len(block) for block in blocks] == [2, 1]
    one, two, three = (example for block in blocks for example in block)
    assert one.question.options == ("left", "right") and one.answer == "right"
    assert np.array_equal(one.question.images[0], PICTURES[0]) and one.subcategory == "near"
    assert two.answer == "2" and len(two.question.images) == 2
    assert three.answer == "left" and three.question.text == "From to ?"
    assert np.array_equal(three.question.images[0], PICTURES[1])
    assert {e.question.task for e in (one, two, three)} == {Task.COUNTING}
    assert modes_of(one.asked, [Mode.ANSWER, Mode.GIVEN]) == (Mode.ANSWER,)
    assert [len(b) for b in file.blocks(2, 1)] == [1]


def test_true_views_make_the_oracle_possible(tmp_path: Path) -> None:
    columns = [*COLUMNS, "gt_thought_image", "gt_thought_desc"]
    path = write(tmp_path / "set.tsv", [[*ROWS[0], CODED[2], "Looking left."]], columns)
    (block,) = BenchmarkFile(path).blocks(8, 8)
    assert np.array_equal(block[0].asked.true_view, PICTURES[2])
    assert block[0].think == "Looking left."
    assert Mode.GIVEN in modes_of(block[0].asked, [Mode.GIVEN])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "not base64!"}, "row 7, image: not base64"),
        ({"image": base64.b64encode(b"no picture").decode()}, "row 7, image: not a picture"),
        ({"image": CODED[0][:40]}, "row 7, image: not"),
        ({"A": ""}, "expected options in A, B"),
        ({"answer": "E"}, "answer 'E' is none of the letters"),
        ({"answer": ""}, "answer '' is none"),
        ({"question": "From <image_3>"}, "the question places pictures \\[3\\], the row has 1"),
        ({"question": " "}, "row 7: "),
        ({"question": "</think><answer>B</answer>"}, "row 7: "),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, change: dict[str, str], said: str) -> None:
    row = [change.get(name, value) for name, value in zip(COLUMNS, ROWS[0], strict=True)]
    file = BenchmarkFile(write(tmp_path / "set.tsv", [row]))
    with pytest.raises(BenchmarkFileError, match=said):
        list(file.blocks(8, 8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lacks the columns question, answer, image"),
        (b"question,answer,image,A,B\n", "separated by tabs"),
        (b"question\tanswer\timage\n", "columns A and B"),
        (b"question\tanswer\timage\tA\tB\n", "has no rows"),
        (b"question\tanswer\timage\tA\tB\nq\ta\n", "expected 5 columns, found 2"),
        (b"\xff\xfe\x00question", "cannot be read"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "set.tsv"
    path.write_bytes(content)
    with pytest.raises(BenchmarkFileError, match=said):
        BenchmarkFile(path)
    with pytest.raises(BenchmarkFileError, match="cannot be read"):
        BenchmarkFile(tmp_path / "missing.tsv")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=6), st.booleans())
def test_mutated_files_are_read_or_refused(
    tmp_path: Path, place: int, bytes_: bytes, insert: bool
) -> None:
    """Never another error, and never an option that is not there."""
    data = write(tmp_path / "set.tsv", ROWS).read_bytes()
    at = place % len(data)
    path = tmp_path / "mutated.tsv"
    path.write_bytes(data[:at] + bytes_ + data[at + (0 if insert else len(bytes_)) :])
    try:
        examples = [e for block in BenchmarkFile(path).blocks(8, 8) for e in block]
    except BenchmarkFileError:
        return
    assert all(e.answer in e.question.options for e in examples)


def test_ipt_eval_asks_it_in_all_modes(trained, tmp_path, capsys) -> None:
    columns = [*COLUMNS, "gt_thought_image"]
    path = write(tmp_path / "set.tsv", [[*row, CODED[2]] for row in ROWS], columns)
    out = tmp_path / "out"
    run = ["--model", str(trained), "--tsv", str(path), "--flow-steps", "2", "--out", str(out)]
    assert main([*run, "--no-latency", "--device", "cpu"]) == 0
    found = json.loads((out / "evaluation.json").read_text())
    assert found["data"]["examples"] == 3 and len(found["data"]["digest"]) == 64
    modes = found["tasks"]["free"]["modes"]
    assert set(modes) == {"answer", "imagine", "given"}
    assert set(modes["answer"]["by_subcategory"]) == {"near", "far"}
    capsys.readouterr()
    broken = write(tmp_path / "broken.tsv", [["1", "???", *ROWS[0][2:]]])
    assert main([*run[:2], "--tsv", str(broken), "--out", str(tmp_path / "none")]) == 2
    assert "not base64" in capsys.readouterr().err and not (tmp_path / "none").exists()
    with pytest.raises(SystemExit):
        main(["--model", str(trained)])
