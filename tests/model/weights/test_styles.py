"""Asking styles by name, the prompts that are read from elsewhere, and which weights are meant."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_models import BOS, EOS, small_style, write_model

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Outcome, Question, Task
from ipt_model.weights.asking_style import AskingStyle, AskingStyleError
from ipt_model.weights.checkpoint import CheckpointError
from ipt_model.weights.loading import UNTRAINED, load
from ipt_model.weights.styles import published_prompts, read_style, style_names, with_entries
from ipt_model.weights.styles.command import main
from ipt_model.wording.prompts import PromptStyle, prompt_parts

RNG = np.random.default_rng(0)
ASKED = Question(
    Task.COUNTING,
    tuple(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2)),
    "How many chairs?",
    ("2", "3"),
)
#: What a clone holds: constants among code that must not run.
SOURCE = """
import missing_package
raise SystemExit("executed")
VLM_THINK = ("\\nThink of it. "
             "Then answer.")
OTHER = 3
def f(): VLM_THINK = "not this one"
"""
ANSWER_SOURCE = 'ANSWER_ONLY_SYSTEM_PROMPT = """\nAnswer at once.\n"""\n'


@pytest.fixture
def clone(tmp_path: Path) -> list[str]:
    files = {"prepare_datasets.py": SOURCE, "inferencer.py": ANSWER_SOURCE}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in files]


@pytest.mark.parametrize("name", style_names())
def test_every_style_fits_a_checkpoint(name: str) -> None:
    style = with_entries(AskingStyle(), read_style(name))
    assert AskingStyle.from_dict(style.to_dict()) == style
    assert style.image_sizes.vit.max_size == (980 if name == "bagel" else 518)
    assert style.prompt.published == name.startswith("ipt-")
    # what a training shows beside the pictures' ViT tokens is shown in every mode
    assert ("vae" in style.inputs.answer) == name.startswith("ipt-")


def test_a_style_keeps_calibration_and_stays_within_the_tables() -> None:
    own = small_style(temperature={Task.PATH: {Mode.ANSWER: 2.0}})
    style = with_entries(own, read_style("ipt-mvc"))
    assert style.temperature == own.temperature and style.model_id == own.model_id
    assert style.image_sizes == own.image_sizes, "smaller than the style's own"


@pytest.mark.parametrize(
    ("options", "ending"),
    [
        ("lines", "How many chairs?\n(A) 2\n(B) 3"),
        ("inline", "How many chairs? A) 2 B) 3"),
        (
            "block",
            "How many chairs?\nOptions:\nA. 2\nB. 3\n"
            "Please select the correct answer from the options above. \n",
        ),
    ],
)
def test_how_options_are_written(options: str, ending: str) -> None:
    style = PromptStyle(options=options, system_think="Think.\n")
    *pictures, text = prompt_parts(ASKED, style, draws=True)
    assert text == "Think.\n" + ending and len(pictures) == 2


def test_pictures_may_be_marked_in_the_question() -> None:
    style = PromptStyle(order="system_first", markers=True, options="block", system_think="T")
    *_, text = prompt_parts(ASKED, style, draws=True)
    assert text.startswith("<img><|image_1|></img> <img><|image_2|></img> How many chairs?\n")


def test_prompts_are_read_as_constants_and_nothing_runs(clone: list[str]) -> None:
    assert published_prompts(clone) == {
        "system_think": "\nThink of it. Then answer.\n",
        "system_answer": "\nAnswer at once.\n",
    }
    assert set(published_prompts(clone[:1])) == {"system_think"}
    with pytest.raises(AskingStyleError, match=r"expected a text constant VLM_THINK.*ANSWER_ONLY"):
        published_prompts(clone[1:])


def test_the_command_writes_a_style_and_the_prompts(
    tmp_path: Path, clone: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model(tmp_path / "model", style=small_style(prompt=PromptStyle()))
    assert main(["write", str(folder), "--style", "ipt-mvc"]) == 0
    assert "ipt-style import" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="tuned on the published system prompts"):
        load(folder, "cpu")
    froms = [part for file in clone for part in ("--from", file)]
    assert main(["import", str(folder), *froms]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(folder, "cpu")
    assert loaded.style.prompt.options == "inline"
    assert prompt_parts(ASKED, loaded.style.prompt, draws=False)[-1] == (
        "\nAnswer at once.\nHow many chairs? A) 2 B) 3"
    )
    capsys.readouterr()
    assert main(["show", str(folder)]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"]["system_think"].startswith("\nThink")
    assert main(["list"]) == 0 and "ipt-pet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["write", "FOLDER", "--style", "ipt-xyz"], "expected one of"),
        (["write", "FOLDER", "--style", "BROKEN"], "not JSON"),
        (["write", "FOLDER", "--style", "LIST"], "expected an object"),
        (["write", "FOLDER", "--style", "UNKNOWN"], "unknown entries"),
        (["import", "FOLDER", "--from", "MISSING"], "cannot be read as Python"),
        (["import", "FOLDER", "--from", "BROKEN"], "cannot be read as Python"),
        (["show", "MISSING"], "expected a checkpoint folder"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    folder = write_model(tmp_path / "model")
    before = (folder / "ipt.json").read_bytes()
    contents = {"BROKEN": "{(", "LIST": "[]", "UNKNOWN": '{"promt": {}}'}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    places = {"FOLDER": folder, "MISSING": tmp_path / "nowhere"}
    places |= {name: tmp_path / name for name in contents}
    assert main([str(places.get(a, a)) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert (folder / "ipt.json").read_bytes() == before


def test_a_style_may_be_given_at_loading(tmp_path: Path) -> None:
    entries = tmp_path / "own.json"
    entries.write_text('{"prompt": {"options": "block"}, "text_temperature": 0.3}')
    loaded = load(UNTRAINED, "cpu", style=entries)
    assert (loaded.style.prompt.options, loaded.style.text_temperature) == ("block", 0.3)
    assert loaded.style.model_id == UNTRAINED


# -- which weights
def test_a_folder_with_two_weights_asks_which(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a")
    other = write_model(tmp_path / "b", seed=1)
    (folder / "model.safetensors").write_bytes((other / "ema.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"has both .*weights='ema'.*weights='model'"):
        load(folder, "cpu")
    found = {name: load(folder, "cpu", weights=name) for name in ("ema", "model")}
    for name, source in (("ema", write_model(tmp_path / "c")), ("model", other)):
        words = found[name].model.get_input_embeddings().weight
        assert words.equal(load(source, "cpu").model.get_input_embeddings().weight)
    assert found["ema"].model_hash != found["model"].model_hash
    with pytest.raises(CheckpointError, match="expected ema or model, got 'best'"):
        load(folder, "cpu", weights="best")
    (folder / "ema.safetensors").unlink()
    assert load(folder, "cpu").model is not None, "one alone needs no choice"
    with pytest.raises(CheckpointError, match=r"expected ema\.safetensors"):
        load(folder, "cpu", weights="ema")


def test_a_checkpoint_that_cannot_draw_says_how_to_load_it(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from ipt_model.weights.checkpoint import is_drawing

    folder = write_model(tmp_path)
    tensors = load_file(folder / "ema.safetensors")
    save_file({n: t for n, t in tensors.items() if not is_drawing(n)}, folder / "ema.safetensors")
    with pytest.raises(CheckpointError, match=r"no weights for drawing.*parts='answer'"):
        load(folder, "cpu")
    style = AskingStyle.load(folder)
    replace(style, inputs=replace(style.inputs, answer=("vit",))).save(folder)
    assert load(folder, "cpu", parts="answer").codec is None
    save_file(tensors, folder / "ema.safetensors")
    (folder / "ae.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"ae\.safetensors \(the VAE\).*parts='answer'"):
        load(folder, "cpu")


def test_half_a_download_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    weights = folder / "ema.safetensors"
    data = weights.read_bytes()
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(CheckpointError, match=r"ema\.safetensors: is a Git LFS pointer"):
        load(folder, "cpu")
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"ema\.safetensors"):
        load(folder, "cpu")
    weights.unlink()
    index = {"weight_map": {"x": "ema-00001-of-00002.safetensors"}}
    (folder / "ema.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"ema-00001-of-00002\.safetensors"):
        load(folder, "cpu")


# -- replies
#: A model that goes on after its answer, as published ones do.
RAMBLES = {
    BOS: "<answer>",
    "<answer>": "A",
    "A": "</answer>",
    "</answer>": "<answer>",
}


def test_writing_stops_with_the_first_closed_answer(tmp_path: Path) -> None:
    style = small_style(
        prompt=PromptStyle(answer_style="letter"), max_answer_tokens=200, max_think_tokens=200
    )
    imaginer = Imaginer.from_pretrained(write_model(tmp_path, RAMBLES, style), "cpu")
    for question in (ASKED, replace(ASKED, options=())):
        answer = imaginer.ask(question, Mode.ANSWER)
        assert answer.outcome is Outcome.ANSWERED
        assert answer.reply == "<answer>A</answer>"
    assert imaginer.ask(ASKED, Mode.ANSWER).option_probabilities[0] > 0.99


def test_words_by_chance_are_those_of_the_seed(tmp_path: Path) -> None:
    even = {"A": 30.0, "B": 30.0}
    chain = {**RAMBLES, "<answer>": even, "B": "</answer>", "</answer>": EOS}
    style = small_style(prompt=PromptStyle(answer_style="letter"), text_temperature=1.0)
    imaginer = Imaginer.from_pretrained(write_model(tmp_path, chain, style), "cpu")
    asked = [imaginer.ask(ASKED, Mode.ANSWER, seed=seed) for seed in range(40)]
    again = [imaginer.ask(ASKED, Mode.ANSWER, seed=seed) for seed in range(40)]
    replies = [one.reply for one in asked]
    assert replies == [one.reply for one in again]
    written = [reply.count("<answer>A</answer>") for reply in replies]
    assert 8 < sum(written) < 32
    # probabilities are never counted from samples
    assert all(one.option_probabilities == pytest.approx((0.5, 0.5)) for one in asked)


def test_a_checkpoint_that_wants_to_say_something_else_is_named(tmp_path: Path) -> None:
    chain = {BOS: "<think>", "<think>": "Use", "Use": "</think>", "</think>": EOS}
    imaginer = Imaginer.from_pretrained(write_model(tmp_path, chain), "cpu")
    with pytest.warns(UserWarning, match="asked in its own style"):
        imaginer.ask(ASKED, Mode.ANSWER)
