"""Public data in and out: rows of all four kinds are trained on and asked; what is written is what
public loaders read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_runs import small_settings

from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.styles import read_style, with_entries
from ipt_model.wording.prompts import PromptStyle
from ipt_training.commands.convert import main
from ipt_training.commands.evaluate import main as evaluate
from ipt_training.commands.train import train
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.public import (
    any_example,
    public_row,
    split_options,
    system_prompt_of,
)
from ipt_training.datasets.schema import (
    PUBLISHED_COLUMNS,
    SchemaError,
    decode_image,
    encode_image,
    example_from_row,
)
from ipt_training.datasets.supervision import supervise_row

RNG = np.random.default_rng(3)
#: Other words than ours; the tags are what they are known by.
THINK = (
    "\nThink in steps. Words go inside <think> </think>, pictures inside <image_start> "
    "</image_end>. At the end comes <answer> the answer </answer>."
)
ANSWER = "\nOnly the answer, in <answer></answer> tags.\n"
QUESTIONS = {
    "pet": ("Will it be left?\n(A) left\n(B) right", "Will it be left?", ("left", "right")),
    "mvc": ("How many chairs? A) 2 B) 3 C) 4", "How many chairs?", ("2", "3", "4")),
}


def pictures(count: int) -> list[bytes]:
    made = [RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(count)]
    return [encode_image(picture) for picture in made]


def rows_of(kind: str, count: int) -> list[dict[str, Any]]:
    """Rows as the public release has them: ipt, answeronly, textcot, or both of mixed."""
    if kind == "mixed":
        return rows_of("ipt", count - count // 2) + rows_of("answeronly", count // 2)
    asked = QUESTIONS["mvc"][0]
    thought = "<think>One here, two there.</think>"
    outputs = {
        "ipt": [f"{thought}<image_start>", "<image_end><answer>B</answer>"],
        "answeronly": ["<answer>B</answer>"],
        "textcot": [f"{thought}<answer>B</answer>"],
    }[kind]
    system = ANSWER if kind == "answeronly" else THINK + "\n"
    return [
        {
            "image_list": pictures(2 + (kind == "ipt")),
            "instruction_list": [system + asked],
            "output_text_list": outputs,
            "num_input_images": 2,
        }
        for _ in range(count)
    ]


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    table = pa.Table.from_pylist(rows, schema=PUBLISHED_COLUMNS)
    pq.write_table(table, folder / "chunk_0.parquet")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "supervision"),
    [("ipt", "ipt"), ("answeronly", "label"), ("textcot", "text_cot"), ("mixed", "mixed")],
)
def test_every_kind_trains_validates_and_is_asked(
    vae, trained, tmp_path, kind: str, supervision: str
) -> None:
    data = write(tmp_path / "data", rows_of(kind, 16))
    settings = small_settings(
        data,
        vae,
        supervision=supervision,
        examples=16,
        loss={"auxiliary": 0.0},
        data={"validation": str(data)},
        run={"validate": 1, "validation_examples": 4},
    )
    outcome = train(settings, tmp_path / "run")
    assert outcome.finished and (tmp_path / "run" / "best").is_dir()
    out = tmp_path / "out"
    run = ["--model", str(trained), "--data", str(data), "--out", str(out), "--flow-steps", "2"]
    assert evaluate([*run, "--no-latency", "--device", "cpu"]) == 0
    modes = json.loads((out / "evaluation.json").read_text())["tasks"]["free"]["modes"]
    assert ("given" in modes) == (kind in ("ipt", "mixed"))
    expected = {"answeronly", "ipt"} if kind == "mixed" else {kind}
    assert set(modes["answer"]["by_subcategory"]) == expected


@pytest.mark.parametrize("style", [PromptStyle(), PromptStyle(system_think="Mine.\n")])
def test_mixed_never_gives_one_prompt_two_targets(tmp_path: Path, style: PromptStyle) -> None:
    """Whatever the words of the stored prompt to think are."""
    row = Dataset(write(tmp_path / "data", rows_of("ipt", 1)))[0]
    drawn, answered = (supervise_row(row, "mixed", style, draw=d) for d in (True, False))
    assert drawn.prompt[:-1] == answered.prompt[:-1]
    assert drawn.prompt[-1] == THINK + "\n" + QUESTIONS["mvc"][0]
    assert answered.prompt[-1] == style.system(draws=False) + QUESTIONS["mvc"][0]
    # rows that were made to be answered keep their prompt
    row = Dataset(write(tmp_path / "more", rows_of("answeronly", 1)))[0]
    for draw in (True, False):
        sample = supervise_row(row, "mixed", style, draw=draw)
        assert sample.prompt[-1] == ANSWER + QUESTIONS["mvc"][0] and not sample.flow_loss


def test_system_prompts_are_known_by_their_tags() -> None:
    asked = QUESTIONS["pet"][0]
    for system in (THINK + "\n", ANSWER, PromptStyle().system(draws=True), ""):
        assert system_prompt_of(system + asked) == system


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((stored, (words, options)) for stored, words, options in QUESTIONS.values()),
        (
            "Which?\nOptions:\nA. a box\nB. two\nPlease select the correct answer from the "
            "options above. \n",
            ("Which?", ("a box", "two")),
        ),
        ("Is vitamin B) good?", ("Is vitamin B) good?", ())),
        ("No options", ("No options", ())),
        ("Odd\n(A) one\n(C) two", ("Odd\n(A) one\n(C) two", ())),
    ],
)
def test_options_are_read_however_they_are_written(
    text: str, expected: tuple[str, tuple[str, ...]]
) -> None:
    assert split_options(text) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction_list": ["No options"]}, "no options that could be read"),
        ({"output_text_list": ["<answer>D</answer>"]}, "none of its options"),
        ({"output_text_list": ["no tags"]}, "none of its options"),
    ],
)
def test_rows_that_cannot_be_asked_say_why(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    (row,) = rows_of("answeronly", 1)
    dataset = Dataset(write(tmp_path / "data", [{**row, **change}]))
    with pytest.raises(SchemaError, match=said):
        any_example(dataset[0])


# -- out
@pytest.mark.parametrize("layout", ["ipt", "answeronly", "textcot"])
@pytest.mark.parametrize("name", ["bagel", "ipt-mvc"])
def test_our_rows_leave_in_public_layouts(data, tmp_path, capsys, layout: str, name: str) -> None:
    out = tmp_path / "out"
    run = ["out", str(data), str(out), "--layout", layout, "--style", name]
    if name != "bagel":
        with pytest.warns(UserWarning, match="ipt-style import"):
            assert main(run) == 0
    else:
        assert main(run) == 0
    table = pq.read_table(out / "chunk_0.parquet")
    assert table.schema.names == PUBLISHED_COLUMNS.names
    info = json.loads((out / "parquet_info.json").read_text())
    path = out / "chunk_0.parquet"
    assert info[path.name] == info[str(path.resolve())]
    assert info[path.name]["num_rows"] == len(Dataset(data)) == table.num_rows
    assert (out / "look.html").stat().st_size > 10_000
    for row, stored in zip(Dataset(out), Dataset(data), strict=True):
        example, found = example_from_row(stored), any_example(row)
        assert len(row.images) - row.num_input_images == (layout == "ipt")
        assert found.question.options == example.question.options
        assert found.answer == example.answer
        assert np.array_equal(found.question.images[0], example.question.images[0])
        if layout == "ipt":
            assert np.array_equal(found.true_view, example.true_view)
            assert found.think == example.think
        if layout == "textcot":
            assert found.reasoning == example.reasoning
    # the same again is the same file
    before = path.stat().st_mtime_ns
    if name == "bagel":
        assert main(run) == 0 and path.stat().st_mtime_ns == before


@pytest.mark.parametrize("trainer", ["thinkmorph", "bagel"])
def test_other_trainers_get_rows_of_one_picture_in_their_words(
    data, tmp_path, capsys, trainer: str
) -> None:
    """Both would take a second input picture for one that is to be drawn."""
    out = tmp_path / "out"
    run = ["out", str(data), str(out), "--trainer", trainer]
    assert main(run) == 0
    single = [e for e in map(example_from_row, Dataset(data)) if len(e.question.images) == 1]
    assert 0 < len(single) < len(Dataset(data))
    said = capsys.readouterr().out
    assert f"{len(Dataset(data)) - len(single)} left out for their number of pictures" in said
    rows = pq.read_table(out / "chunk_0.parquet").to_pylist()
    assert len(rows) == len(single)
    for row, example in zip(rows, single, strict=True):
        assert len(row["image_list"]) == 2, "the view, and the one to draw"
        (asked,) = row["instruction_list"]
        asked = asked[0] if trainer == "bagel" else asked
        assert asked.startswith(example.question.text.strip()) and "<think>" not in asked
        assert ("output_text_list" in row) == (trainer == "thinkmorph")
    if trainer == "bagel":
        assert main([*run[:2], str(tmp_path / "x"), *run[3:], "--layout", "textcot"]) == 2
        assert "takes the layout ipt alone" in capsys.readouterr().err


def test_what_a_layout_needs_is_asked_for(tmp_path: Path) -> None:
    example = any_example(Dataset(write(tmp_path / "d", rows_of("answeronly", 1)))[0])
    for layout, said in (("ipt", "no true view"), ("textcot", "no reasoning")):
        with pytest.raises(SchemaError, match=said):
            public_row(example, layout, PromptStyle())


# -- in
def hub(folder: Path, task: str, **changes: Any) -> Path:
    """Raw columns as they are downloaded: pictures with their names, missing frames null."""
    stored, _, options = QUESTIONS[task]

    def cell(data: bytes) -> dict[str, Any]:
        return {"bytes": data, "path": "x.png"}

    rows = []
    for _ in range(5):
        frames = {f"frame_{k}": cell(pictures(1)[0]) if k < 3 else None for k in range(8)}
        row = {
            "mvc": {
                "question": stored,
                "answer": "B",
                **frames,
                "topdown_map": cell(*pictures(1)),
            },
            "pet": {
                "question_no_arrow": "Will it be left?",
                "answer": "A",
                "answer_choices": json.dumps(options),
                "marked_image_no_arrow": cell(*pictures(1)),
                "new_perspective": cell(*pictures(1)),
            },
        }[task]
        rows.append({**row, **changes})
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-0.parquet")
    return folder


@pytest.mark.parametrize("task", ["mvc", "pet"])
def test_the_hubs_columns_become_rows(tmp_path, capsys, task: str) -> None:
    out = tmp_path / "out"
    run = ["hub", str(hub(tmp_path / "raw", task)), str(out), "--task", task]
    assert main(run) == 0
    assert "5 rows" in capsys.readouterr().out and (out / "look.html").exists()
    _, words, options = QUESTIONS[task]
    for row in Dataset(out):
        example = any_example(row)
        assert example.question.options == options
        assert example.answer_index == (1 if task == "mvc" else 0)
        assert len(row.inputs) == (3 if task == "mvc" else 1) and len(row.drawn) == 1
        assert decode_image(row.drawn[0]).shape == (64, 64, 3)
        assert words in row.instructions[0] and "(A)" in row.instructions[0], "options are told"
    written = (out / "chunk_0.parquet").read_bytes()
    assert main(run) == 0 and (out / "chunk_0.parquet").read_bytes() == written


def test_options_stand_as_the_style_says(tmp_path: Path) -> None:
    style = with_entries(AskingStyle(), read_style("ipt-mvc")).prompt
    example = any_example(Dataset(write(tmp_path / "d", rows_of("ipt", 1)))[0])
    row = public_row(example, "ipt", style)
    assert row.instructions[0].endswith(QUESTIONS["mvc"][0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": "Z"}, "answer 'Z' is none of"),
        ({"question": "How many chairs?"}, "without options"),
    ],
)
def test_a_row_of_the_hub_that_cannot_be_is_named_and_nothing_is_left(
    tmp_path, capsys, changes: dict[str, Any], said: str
) -> None:
    raw = hub(tmp_path / "raw", "mvc", **changes)
    assert main(["hub", str(raw), str(tmp_path / "out"), "--task", "mvc"]) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_the_wrong_set_is_refused_and_missing_pictures_are_counted(tmp_path, capsys) -> None:
    raw = hub(tmp_path / "raw", "mvc", topdown_map=None)
    run = ["hub", str(raw), str(tmp_path / "out"), "--task", "mvc"]
    assert main([*run[:-1], "pet"]) == 2
    assert "lacks question_no_arrow" in capsys.readouterr().err
    assert main(["hub", str(tmp_path), str(tmp_path), "--task", "mvc"]) == 2
    assert main(["hub", str(tmp_path / "none"), str(tmp_path / "x"), "--task", "mvc"]) == 2
    assert "found none" in capsys.readouterr().err
