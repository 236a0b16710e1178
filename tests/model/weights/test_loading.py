"""What loading refuses, what it picks by itself, and the models that come with the package."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import GOLDEN
from tiny_models import small_config, small_style, write_model

from ipt_model.asking.imaginer import Imaginer
from ipt_model.network.config import BagelConfig
from ipt_model.network.transforms import ImageSizes
from ipt_model.question import Mode, Question, Task
from ipt_model.weights import loading
from ipt_model.weights.asking_style import AskingStyle, AskingStyleError
from ipt_model.weights.loading import ModelNotFoundError, hash_folder, pick_dtype, sizes_of_tables
from ipt_model.weights.presets import make_tokenizer, preset_folder
from ipt_model.wording.phrasing import (
    Motion,
    clearance_question,
    counting_question,
    perspective_question,
)
from ipt_model.wording.tokenizer import Tokenizer, TokenizerError

IMAGE = np.full((64, 64, 3), 99, np.uint8)
QUESTION = Question(Task.FREE, (IMAGE,), "Which way?", ("left", "right"), think="Looking.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(ModelNotFoundError, match=r"'no-such-model'.*ipt-tiny-untrained"):
        Imaginer.from_pretrained("no-such-model")


def test_a_path_means_that_folder_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hyphens may stand for underscores in the names of shipped models only."""
    monkeypatch.chdir(tmp_path)
    for name in ("run_1", "runs_of_may/run_1", "ipt_tiny_2"):
        (tmp_path / name).mkdir(parents=True)
    shipped = loading.find_folder("ipt-tiny")
    assert shipped == loading.find_folder("ipt_tiny") and shipped.name == "ipt_tiny"
    for wrong in (
        tmp_path / "run-1",
        "run-1",
        "./run-1",
        "runs-of-may/run-1",
        "ipt-tiny-2",
        "../weights/ipt_tiny",
        "__pycache__",
        "_tiny",
        "",
        " ",
    ):
        with pytest.raises(ModelNotFoundError):
            loading.find_folder(wrong)
    assert loading.find_folder("run_1").resolve() == tmp_path / "run_1"
    (tmp_path / "run-1").mkdir()
    assert loading.find_folder(tmp_path / "run-1") == tmp_path / "run-1"
    assert loading.find_folder("./ipt_tiny_2").resolve() == tmp_path / "ipt_tiny_2"
    for wrong in ("ipt-tiny", "../presets/ipt_tiny", str(preset_folder("ipt_tiny")), ""):
        with pytest.raises(FileNotFoundError, match="ipt_tiny"):
            preset_folder(wrong)


def test_the_untrained_model_is_honest_and_the_same_everywhere() -> None:
    one, two = (Imaginer.from_pretrained("ipt-tiny-untrained", "cpu") for _ in range(2))
    assert one.model_id == "ipt-tiny-untrained"
    assert one.model_hash == two.model_hash
    answer = one.ask(QUESTION, Mode.IMAGINE, flow_steps=2)
    assert answer.provenance.model_id == "ipt-tiny-untrained"
    again = two.ask(QUESTION, Mode.IMAGINE, flow_steps=2)
    np.testing.assert_array_equal(answer.imagined_views[0], again.imagined_views[0])


@pytest.mark.parametrize(("name", "patch"), [("ipt-tiny", 16), ("ipt-tiny-finer", 8)])
def test_a_shipped_model_draws_and_answers_through_its_own_patches(name: str, patch: int) -> None:
    imaginer = Imaginer.from_pretrained(name, "cpu")
    assert imaginer.model_id == name and imaginer._open.model.config.vit.patch == patch
    asked = counting_question("red things", (1, 2, 3, 4))
    question = Question(Task.COUNTING, (IMAGE,) * 4, asked.text, asked.options, think="Looking.")
    answer = imaginer.ask(question, Mode.IMAGINE, flow_steps=2)
    assert answer.text in asked.options and answer.imagined_views[0].shape == (64, 64, 3)
    assert sum(answer.option_probabilities) == pytest.approx(1, abs=1e-3)


def test_loading_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Imaginer.from_pretrained("ipt-tiny-untrained", "cpu")
    assert torch.equal(torch.rand(3), expected)


def test_the_preset_fits_its_limits() -> None:
    imaginer = Imaginer.from_pretrained("ipt-tiny-untrained", "cpu")
    loaded = imaginer._open
    assert loaded.codec is not None
    trainable = [
        p for m in (loaded.model, loaded.codec) for p in m.parameters() if p.requires_grad
    ]
    assert 2 * sum(p.numel() for p in trainable) < 20e6, "20 MB in half precision"
    sizes = imaginer.style.image_sizes
    assert sizes.vae_picture(IMAGE).shape == sizes.vit_picture(IMAGE).shape == (64, 64, 3)


def test_the_presets_tokenizer_is_made_by_its_script() -> None:
    folder = preset_folder("ipt_tiny")
    stored = json.loads((folder / "tokenizer.json").read_text())
    made = make_tokenizer.make()
    assert stored["model"]["vocab"] == json.loads(made._backend.to_str())["model"]["vocab"]
    config = BagelConfig.from_folder(folder)
    assert len(made) <= config.llm.vocab and vars(made.special) == vars(config.tokens)
    for word in (" left", "left", " crates", "closer", " degrees", "yes"):
        assert len(made.encode(word)) == 1, word
    for text, most in (
        (clearance_question(template=3).text, 1),
        (perspective_question("side", "blue ball", Motion(1, 0, 1), marker=True).text, 6),
        (perspective_question("distance", "red cone", Motion(-1.2, 0.4, 1.05)).text, 14),
        (counting_question("crate", (1, 2, 3, 4), template=7).text, 3),
    ):
        assert len(made.encode(text)) <= most and made.decode(made.encode(text)) == text
    with pytest.raises(FileNotFoundError, match="ipt_tiny"):
        preset_folder("huge")


def test_a_foreign_tokenizer_is_refused(folder: Path) -> None:
    Tokenizer.train(["other words"], 300).save(folder)
    Imaginer.from_pretrained(folder, "cpu")  # smaller, with the same controls: allowed
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for entry in tokenizer["added_tokens"][:4]:
        vocabulary = tokenizer["model"]["vocab"]
        vocabulary[entry["content"]] = entry["id"] = {0: 1, 1: 0}.get(entry["id"], entry["id"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(TokenizerError, match="another model's"):
        Imaginer.from_pretrained(folder, "cpu")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"vae": {"max_size": 128}}, r"image_sizes\.vae.*up to 64"),
        ({"vit": {"stride": 14, "min_size": 14, "max_size": 56}}, r"image_sizes\.vit.*stride 16"),
    ],
)
def test_picture_sizes_beyond_the_tables_are_refused(
    folder: Path, entry: dict[str, dict[str, int]], message: str
) -> None:
    style = small_style().to_dict()
    for name, values in entry.items():
        style["image_sizes"][name].update(values)
    AskingStyle.from_dict(style).save(folder)
    with pytest.raises(AskingStyleError, match=message):
        Imaginer.from_pretrained(folder, "cpu")


def test_half_a_model_refuses_what_needs_the_other_half(folder: Path) -> None:
    with pytest.raises(AskingStyleError, match="parts='all'"):
        Imaginer.from_pretrained(folder, "cpu", parts="answer")


def test_sizes_without_a_style_follow_the_tables(tmp_path: Path) -> None:
    assert sizes_of_tables(BagelConfig()) == ImageSizes()
    sizes = sizes_of_tables(small_config())
    assert (sizes.vae.min_size, sizes.vae.max_size, sizes.vae.stride) == (32, 64, 16)
    assert (sizes.vit.min_size, sizes.vit.max_size, sizes.vit.stride) == (16, 64, 16)
    plain = write_model(tmp_path / "plain")
    (plain / "ipt.json").unlink()
    imaginer = Imaginer.from_pretrained(plain, "cpu")
    assert imaginer.style.image_sizes == sizes and imaginer.model_id == "plain"


def test_the_golden_folder_can_be_asked(tmp_path: Path) -> None:
    """The reference's own miniature, given a tokenizer whose controls are its four ids."""
    folder = tmp_path / "golden"
    shutil.copytree(GOLDEN, folder, ignore=shutil.ignore_patterns("cases*"))
    config = json.loads((folder / "special_tokens.json").read_text())
    tokenizer = Tokenizer.train(["Which way? left right <answer>"], 300)
    tokenizer.save(folder)
    moved = json.loads((folder / "tokenizer.json").read_text())
    names = dict(zip(range(4), (config[k] for k in config), strict=True))
    for entry in moved["added_tokens"]:
        entry["id"] = names.get(entry["id"], entry["id"])
        if entry["content"] in moved["model"]["vocab"]:
            moved["model"]["vocab"][entry["content"]] = entry["id"]
    (folder / "tokenizer.json").write_text(json.dumps(moved))
    AskingStyle(max_answer_tokens=4, max_think_tokens=4).save(folder)
    with pytest.raises(AskingStyleError, match="image_sizes"):
        Imaginer.from_pretrained(folder, "cpu")
    (folder / "ipt.json").unlink()
    imaginer = Imaginer.from_pretrained(folder, "cpu")
    short = dataclasses.replace(imaginer._open.style, max_answer_tokens=4, max_think_tokens=4)
    imaginer = Imaginer(dataclasses.replace(imaginer._open, style=short))
    view = imaginer.ask(QUESTION, Mode.IMAGINE, flow_steps=2).imagined_views[0]
    assert view.shape == (64, 64, 3) and view.std() > 0


def test_the_hash_tells_weights_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, same, other = (write_model(tmp_path / str(i), seed=i // 2) for i in range(3))
    assert hash_folder(one) == hash_folder(same) != hash_folder(other)
    assert hash_folder(one).startswith("sha256:")
    monkeypatch.setattr(loading, "HASHED_WHOLE", 1000)
    assert hash_folder(one) == hash_folder(same) != hash_folder(other)
    assert hash_folder(one).startswith("sha256-sampled:")


def test_number_formats() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert pick_dtype("auto", cpu, 10**9) is torch.float32
    assert pick_dtype("auto", cpu, 58 * 10**9) is torch.bfloat16
    assert pick_dtype("auto", cuda, 10**6) is torch.bfloat16
    assert pick_dtype("float16", cpu, 0) is pick_dtype(torch.float16, cpu, 0) is torch.float16
    with pytest.raises(ValueError, match="float12"):
        pick_dtype("float12", cpu, 0)


def test_bfloat16_runs_on_the_cpu(folder: Path) -> None:
    full = Imaginer.from_pretrained(folder, "cpu").ask(QUESTION, Mode.IMAGINE)
    half = Imaginer.from_pretrained(folder, "cpu", dtype="bfloat16").ask(QUESTION, Mode.IMAGINE)
    difference = np.abs(full.imagined_views[0].astype(float) - half.imagined_views[0])
    assert 0 < difference.mean() < 10
