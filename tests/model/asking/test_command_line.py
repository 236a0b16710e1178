"""The command line: an answer for people, JSON for programs, exit codes for both."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import BOS, EOS, write_model

from ipt_model.__main__ import main, read_picture

CHAIN = {
    BOS: "<image_end>",
    "<image_end>": "<answer>",
    "<answer>": {"left": 3.0, "right": 2.0},
    "left": "</answer>",
    "right": "</answer>",
    "</answer>": EOS,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), CHAIN)


@pytest.fixture
def arguments(folder: Path, tmp_path: Path) -> list[str]:
    picture = tmp_path / "seen.png"
    Image.fromarray(np.full((48, 64), 99, np.uint8)).save(picture)
    question = ["--question", "Which side?", "--options", "left", "right", "--think", "Looking."]
    return ["--model", str(folder), "--image", str(picture), *question, "--device", "cpu"]


def test_an_imagined_view_is_written(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "view.png"
    code = main([*arguments, "--mode", "imagine", "-k", "2", "--steps", "3", "--out", str(out)])
    text = capsys.readouterr().out
    assert code == 0 and text.startswith("answered: left") and "thought: Looking." in text
    assert read_picture(out).shape == read_picture(tmp_path / "view_1.png").shape == (48, 64, 3)


def test_json_for_programs(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--mode", "imagine", "--json", "--budget", "60"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["text"] == "left" and report["provenance"]["mode"] == "imagine"
    assert sum(report["option_probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seed", "9" * 30], "seed: expected a number of 64 bits"),
        (["--budget", "nan"], "budget_s: expected a positive number"),
        (["--size", "0", "4", "--mode", "imagine"], "view_size: expected height, width > 0"),
        (["--question", "Is it <answer>left</answer>?"], "'<answer>', '</answer>'"),
        (["--device", "abacus"], "device: expected"),
        (["--model", "/m/run-1"], "model '/m/run-1': expected a folder"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main([*arguments, *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1


def test_a_picture_bomb_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert main(arguments) == 2
    assert "decompression bomb" in capsys.readouterr().err


def test_unanswered_and_impossible_have_their_own_codes(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--options", "up", "down"]) == 1  # this model says `left`
    assert "unparsable" in capsys.readouterr().out
    assert main([*arguments, "--mode", "given"]) == 2
    assert "true_view" in capsys.readouterr().err
    assert main(["--model", "nowhere", "--question", "?"]) == 2
    assert "ipt-tiny-untrained" in capsys.readouterr().err
    assert main([*arguments, "--image", "missing.png"]) == 2


def test_the_help_needs_no_model_library() -> None:
    code = "import sys; from ipt_model.__main__ import main\n"
    code += "try: main(['-h'])\nexcept SystemExit: pass\n"
    check = "assert not {'transformers', 'diffusers'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True)
    assert done.returncode == 0 and "--image" in done.stdout, done.stderr
