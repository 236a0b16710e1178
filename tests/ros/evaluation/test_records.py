"""A run that was stopped goes on: what is kept of episodes, and what the file forgives."""

from dataclasses import replace

import pytest
from test_scores import record

from ipt_ros.evaluation.records import (
    MaskScore,
    PictureScore,
    Records,
    RecordsError,
    line_of,
    record_from,
)

FULL = record(
    p_left=0.75,
    picture=PictureScore(21.5, 0.25, None, 30.0),
    mask=MaskScore(4, 1, 3, 2, 45.0, None),
    model_hash="sha256:1",
    times_s={"total": 0.5},
    share_seen=0.25,
)


def test_a_line_gives_its_record_back():
    assert record_from(line_of(FULL)) == FULL
    assert "\n" not in line_of(record(question="two\nlines"))
    assert record_from(line_of(replace(FULL, times_s={"total": float("nan")}))).times_s == {
        "total": None
    }


def test_what_is_finished_is_known_again(tmp_path):
    path = tmp_path / "new" / "episodes.jsonl"
    first = Records(path)
    for number in range(3):
        first.add(record(number=number))
    again = Records(path)
    assert list(again.finished) == ["0", "1", "2"]
    again.add(record(number=3))
    assert len(Records(path).finished) == 4


def test_the_half_of_a_line_that_a_killed_process_left_is_dropped(tmp_path):
    path = tmp_path / "episodes.jsonl"
    Records(path).add(record(number=0))
    whole = path.read_bytes()
    path.write_bytes(whole + line_of(record(number=1)).encode()[:40])
    kept = Records(path)
    assert list(kept.finished) == ["0"]
    kept.add(record(number=1))
    assert path.read_bytes().startswith(whole) and list(Records(path).finished) == ["0", "1"]


def test_a_file_of_something_else_is_named_with_its_line(tmp_path):
    path = tmp_path / "episodes.jsonl"
    path.write_text(line_of(FULL) + '\n{"colour": 1}\n')
    with pytest.raises(RecordsError, match=r"episodes\.jsonl, line 2"):
        Records(path)


def test_answers_of_two_models_do_not_mix(tmp_path):
    kept = Records(tmp_path / "episodes.jsonl")
    kept.add(FULL)
    kept.add(record(number=1))  # an error tells of no model
    with pytest.raises(RecordsError, match="another model"):
        kept.add(replace(FULL, id="2", model_hash="sha256:2"))
    assert "2" not in kept.finished
