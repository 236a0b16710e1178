"""A finished stage is not repeated, and what follows from one that ran anew is."""

from __future__ import annotations

import pytest

from ipt_ros.demo.fine_tuning.stages import StageError, Stages, command


def chain(out, inputs=(1, 2), fails=False):
    """(names that ran, what was said) of two stages."""
    ran, lines = [], []
    stages = Stages(out, lines.append)

    def work(name):
        def do():
            ran.append(name)
            if fails and name == "second":
                raise StageError("broken")
            return {"made by": name}

        return do

    for name, given in zip(("first", "second"), inputs, strict=True):
        assert stages.run(name, {"given": given}, work(name)) == {"made by": name}
    assert [s.repeated for s in stages.done] == [s.name in ran for s in stages.done]
    return ran, lines


def test_each_stage_runs_once(tmp_path):
    ran, lines = chain(tmp_path)
    assert ran == ["first", "second"] and lines[1].startswith("first: 0 s")
    assert chain(tmp_path) == ([], ["first: 0 s, done before", "second: 0 s, done before"])


def test_new_input_repeats_a_stage_and_what_follows(tmp_path):
    chain(tmp_path)
    assert chain(tmp_path, (1, 3))[0] == ["second"]
    assert chain(tmp_path, (5, 3))[0] == ["first", "second"]


def test_a_stage_that_failed_or_was_cut_off_runs_again(tmp_path):
    with pytest.raises(StageError):
        chain(tmp_path, fails=True)
    assert chain(tmp_path)[0] == ["second"]
    (tmp_path / "stages" / "second.json").write_text("{")
    assert chain(tmp_path)[0] == ["second"]


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path):
    with pytest.raises(StageError, match=r"bag ended with 2(.|\n)*expected 0 to 1"):
        command("bag", ["convert", "a", "--out", "b", "--held-out", "7"], tmp_path / "bag.log")
