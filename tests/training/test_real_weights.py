"""The page about the real weights, typed as it stands, on small random checkpoints in the layouts
that public folders have."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import write_small_dataset
from training_pages import ROOT, write_benchmark, write_clone, write_hub, write_photo

from ipt_model.__main__ import main as ask
from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Question, Task
from ipt_model.weights.asking_style import FILE_NAME
from ipt_model.weights.checkpoint import CheckpointError
from ipt_model.weights.styles.command import main as style
from ipt_training.commands.convert import main as convert
from ipt_training.commands.evaluate import main as evaluate
from ipt_training.commands.train import main as train

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs" / "real_weights.md").read_text()
PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "ipt-style": style,
    "ipt-eval": evaluate,
    "ipt-convert": convert,
    "ipt-train": train,
    "python": lambda words: ask(words[2:]),
}
#: Of no use without a network, a GPU or an installed ROS.
ELSEWHERE = ("pip", "huggingface-cli", "make", "ros2")
#: What makes a step small; everything else is as on the page.
SMALLER = {
    "ipt-eval": ["--flow-steps", "2", "--no-latency", "--device", "cpu"],
    "ipt-train": [
        f"--override={change}"
        for change in (
            "examples=2",
            "batch.examples=2",
            "data.validation=''",
            "data.workers=0",
            "model.style.image_sizes.vae={max_size: 64, min_size: 32, stride: 16}",
            "model.style.image_sizes.vit={max_size: 64, min_size: 32, stride: 16}",
        )
    ],
    "python": ["--steps", "2", "--device", "cpu"],
}


def commands() -> list[list[str]]:
    """The shell lines of the page, in order."""
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def public_folder(source: Path, folder: Path, layout: str) -> Path:
    """A checkpoint as it is downloaded: no `ipt.json`, and the weights in that layout."""
    shutil.copytree(source, folder)
    (folder / FILE_NAME).unlink()
    tensors = load_file(folder / "ema.safetensors")
    if layout == "without tables":
        kept = {n: t for n, t in tensors.items() if not n.endswith("pos_embed.pos_embed")}
        save_file(kept, folder / "ema.safetensors")
    if layout in ("sharded", "both"):
        names = sorted(tensors)
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        index = {}
        for k, some in enumerate(halves, 1):
            file = f"model-{k:05d}-of-00002.safetensors"
            save_file({n: tensors[n].to(torch.bfloat16) for n in some}, folder / file)
            index.update(dict.fromkeys(some, file))
        text = json.dumps({"metadata": {}, "weight_map": index})
        (folder / "model.safetensors.index.json").write_text(text)
    if layout == "sharded":
        (folder / "ema.safetensors").unlink()
    return folder


LAYOUTS = ("released", "without tables", "sharded", "both")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_public_layout_answers_in_every_mode(trained, tmp_path, layout: str) -> None:
    folder = public_folder(trained, tmp_path / "model", layout)
    if layout == "both":
        with pytest.raises(CheckpointError, match="weights='model'"):
            Imaginer.from_pretrained(folder, "cpu")
    imaginer = Imaginer.from_pretrained(
        folder, "cpu", style="bagel", weights="model" if layout == "both" else ""
    )
    picture = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8).numpy()
    question = Question(Task.FREE, (picture,), "Which side?", ("left", "right"), picture)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in (Mode.ANSWER, Mode.IMAGINE, Mode.GIVEN):
            answer = imaginer.ask(question, mode, flow_steps=2)
            assert (len(answer.imagined_views) == 1) == (mode is Mode.IMAGINE)


@pytest.mark.filterwarnings("ignore")
def test_the_page_can_be_typed_as_it_stands(trained, tmp_path, monkeypatch, capsys) -> None:
    models = {
        "/models/BAGEL-7B-MoT": public_folder(trained, tmp_path / "bagel", "released"),
        "/models/mvc-mixed": public_folder(trained, tmp_path / "mvc", "both"),
    }
    monkeypatch.chdir(tmp_path)
    write_clone(tmp_path)
    write_benchmark(tmp_path / "MVC_AI2Thor.tsv")
    write_hub(tmp_path / "RAW")
    write_small_dataset(tmp_path / "runs" / "data" / "train", 8)
    write_photo(tmp_path / "room.png")
    shutil.copytree(ROOT / "config", tmp_path / "config")
    recipe = tmp_path / "config" / "training" / "bagel_lora.yaml"
    text = recipe.read_text()
    for name, folder in models.items():
        text = text.replace(name, str(folder))
    recipe.write_text(text)
    typed = []
    for program, *words in commands():
        if program in ELSEWHERE:
            continue
        words = [str(models.get(word, word)) for word in words]
        if program == "ipt-convert":
            shutil.rmtree(tmp_path / "OUT", ignore_errors=True)
        if program == "ipt-train":
            words += ["--out", "run", "--override", f"model.init={models['/models/BAGEL-7B-MoT']}"]
        words += SMALLER.get(program, [])
        ended = PROGRAMS[program](words)
        said = capsys.readouterr()
        # the untrained model's reply cannot be read, which the command says with 1
        expected = (0, 1) if program == "python" else (0,)
        assert ended in expected, (program, words, said.err)
        typed.append(program)
    assert {*typed} == {*PROGRAMS}
    report = json.loads((tmp_path / "tested" / "evaluation.json").read_text())
    found = report["tasks"]["counting"]["modes"]
    assert set(found) == {"answer", "imagine", "given"}
    assert all("published" in mode for mode in found.values())
    own = json.loads((models["/models/mvc-mixed"] / FILE_NAME).read_text())
    assert own["prompt"]["options"] == "inline" and own["prompt"]["system_think"]
    assert (tmp_path / "run" / "final" / "ema.safetensors").exists()


@pytest.mark.filterwarnings("ignore")
def test_the_nodes_parameters_reach_the_model(trained, tmp_path, monkeypatch) -> None:
    sys_path = list(sys.path)
    loading = pytest.importorskip("ipt_ros.answering.loading")
    folder = public_folder(trained, tmp_path / "mvc", "both")
    threads = torch.get_num_threads()
    values = SimpleNamespace(
        model=str(folder), device="cpu", dtype="float32", quantization="none", cpu_threads=1,
        model_parts="all", model_weights="model", asking_style="ipt-mvc",
    )  # fmt: skip
    try:
        imaginer = loading._load(values)
    finally:
        torch.set_num_threads(threads)
        sys.path[:] = sys_path
    assert imaginer.style.prompt.options == "inline"
