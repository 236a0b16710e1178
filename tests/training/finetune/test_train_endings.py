"""How training ends before its end: diverged, stopped, refused. Each keeps what was good, says in
one line what happened and has its own exit code.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from small_runs import parts_of, small_settings

from ipt_model.weights.checkpoint import CheckpointError, save_folder
from ipt_training.commands import draw_own, release, study, train_vae, train_vit
from ipt_training.commands.train import main, train
from ipt_training.finetune.checkpoints import checkpoint_folders
from ipt_training.finetune.divergence import DivergenceError
from ipt_training.finetune.losses import LossModule
from ipt_training.finetune.trainer import Trainer, make_accelerator
from ipt_training.folder_lock import LOCK_FILE, only_writer
from ipt_training.processes import Stopped

pytestmark = pytest.mark.slow(30)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def recipe_file(settings, path: Path) -> Path:
    path.write_text(yaml.safe_dump(settings.to_dict()))
    return path


def one_line(text: str, command: str) -> bool:
    return text.startswith(f"{command}: ") and text.count("\n") == 1


# -- diverged
def poison(monkeypatch, showing: int, spoil) -> None:
    """Spoils the losses of the batch with this showing."""
    forward = LossModule.forward

    def poisoned(self, batch):
        parts = forward(self, batch)
        return spoil(self, parts) if showing in batch.showings else parts

    monkeypatch.setattr(LossModule, "forward", poisoned)


def not_a_number(module, parts):
    return parts * torch.tensor([1.0, math.nan, 1.0])


def steep(module, parts):
    """The losses stay; their gradient is none."""
    return parts + (next(module.parameters()).sum() * 0).sqrt()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (not_a_number, "step 3: the losses mse are not finite (norm nan)"),
        (steep, "step 3: the gradient is not finite (norm nan)"),
    ],
)
def test_a_run_that_diverges_stops_and_keeps_the_last_good_checkpoint(
    data, vae, tmp_path, monkeypatch, capsys, spoil, said
) -> None:
    settings = small_settings(data, vae, examples=40, batch={"tokens": 800}, run={"save": 1})
    out = tmp_path / "run"
    poison(monkeypatch, 2 * 8 + 3, spoil)
    source = parts_of(settings, tmp_path / "twin")[1].source
    row = source.name(2 * 8 + 3)
    code = main([str(recipe_file(settings, tmp_path / "a.yaml")), "--out", str(out)])
    text = capsys.readouterr().err
    last = text.strip().splitlines()[-1]
    assert code == 1 and "Traceback" not in text
    assert last.startswith("ipt-train: ") and said in last and row + "," in last + ","
    assert "step-00000002 stays the newest checkpoint" in last
    assert [p.name for p in checkpoint_folders(out)] == ["step-00000001", "step-00000002"]
    assert not (out / "final").exists() and not (out / "best").exists()
    named = {n for n in range(2 * 8, 3 * 8) if source.name(n) in last}
    assert len(named) == 8 if spoil is steep else len(named) < 8, "the batch, not the whole step"
    good = contents(checkpoint_folders(out)[-1])
    monkeypatch.undo()
    assert train(settings, out).finished, "it goes on from there"
    train(settings, tmp_path / "whole")
    a, b = (contents(checkpoint_folders(tmp_path / n)[-1]) for n in ("run", "whole"))
    assert a == b and good != a


def test_weights_that_are_no_numbers_are_never_written(data, vae, tmp_path) -> None:
    settings = small_settings(data, vae)
    start, _ = parts_of(settings, tmp_path)
    trainer = Trainer(settings, start, tmp_path, make_accelerator(settings))
    trainer.save()
    trainer.export(tmp_path / "best")
    before = contents(tmp_path)
    with torch.no_grad():
        next(iter(trainer.average.values.values())).view(-1)[0] = math.inf
        dict(start.model.named_parameters())["llm2vae.weight"][0, 0] = math.nan
    for write in (trainer.save, lambda: trainer.export(tmp_path / "best")):
        with pytest.raises(DivergenceError, match="not finite"):
            write()
    with pytest.raises(CheckpointError, match=r"not finite: llm2vae\.weight"):
        save_folder(tmp_path / "best", start.model)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["ipt-train-vae", "ipt-train-vit"])
def test_parts_that_diverge_write_nothing(data, tmp_path, capsys, command) -> None:
    out = tmp_path / "part"
    own = {
        "ipt-train-vae": ["--data", str(data), "--crop", "16"],
        "ipt-train-vit": ["--pictures", "40", "--workers", "1"],
    }[command]
    run = train_vae.main if command == "ipt-train-vae" else train_vit.main
    more = ["--out", str(out), "--steps", "30", "--batch", "4", "--rate", "1e30", "--warmup", "1"]
    assert run([*own, *more]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"{command}: step ") and "not finite" in last
    assert ("row" if command == "ipt-train-vae" else "picture") in last
    assert not out.exists()


# -- stopped
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_has_a_checkpoint_and_goes_on_to_the_same_bytes(
    data, vae, tmp_path, monkeypatch, capsys, number, code
) -> None:
    settings = small_settings(data, vae, examples=40)
    recipe = recipe_file(settings, tmp_path / "a.yaml")
    step = Trainer.train_step

    def interrupted(self, batches, began):
        if self.step == 1:
            os.kill(os.getpid(), number)
        return step(self, batches, began)

    before = signal.getsignal(number)
    monkeypatch.setattr(Trainer, "train_step", interrupted)
    assert main([str(recipe), "--out", str(tmp_path / "parts")]) == code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"stopped by {number.name} with a checkpoint of step 2; run the same" in last
    monkeypatch.undo()
    assert signal.getsignal(number) is before
    assert [p.name for p in checkpoint_folders(tmp_path / "parts")] == ["step-00000002"]
    assert main([str(recipe), "--out", str(tmp_path / "parts")]) == 0
    assert main([str(recipe), "--out", str(tmp_path / "whole")]) == 0
    for part in ("final", "checkpoints/step-00000005"):
        assert contents(tmp_path / "parts" / part) == contents(tmp_path / "whole" / part)


def test_a_second_signal_ends_it_at_once(data, vae, tmp_path) -> None:
    def twice(report):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match=r"^stopped$"):
        train(small_settings(data, vae), tmp_path, on_step=twice)
    assert not checkpoint_folders(tmp_path)


def test_stopping_all_its_processes_stops_the_run_in_words(data, vae, tmp_path) -> None:
    """As a terminal and a service manager do: workers that load data hear the signal too."""
    settings = small_settings(data, vae, examples=80_000, data={"workers": 1})
    recipe, out = recipe_file(settings, tmp_path / "a.yaml"), tmp_path / "run"
    command = [sys.executable, "-m", "ipt_training.commands.train", str(recipe), "--out", str(out)]
    run = subprocess.Popen(
        [*command, "--threads", "1"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 240
    while not (out / "log.jsonl").is_file() and run.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGTERM)
    said = run.communicate(timeout=120)[1]
    assert run.returncode == 143, said
    assert "Traceback" not in said and "run the same command to go on" in said
    assert len(checkpoint_folders(out)) == 1


def test_what_a_killed_run_left_half_written_goes(data, vae, tmp_path) -> None:
    for name in ("checkpoints/.step-00000009.77.tmp", ".final.77.tmp"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    train(small_settings(data, vae), tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


# -- refused
def test_a_second_run_in_the_same_folder_is_refused(data, vae, tmp_path, capsys) -> None:
    recipe = recipe_file(small_settings(data, vae), tmp_path / "a.yaml")
    out = tmp_path / "run"
    with only_writer(out):
        before = contents(out)
        assert main([str(recipe), "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert one_line(said, "ipt-train") and "another command is writing there" in said
        assert contents(out) == before
    assert main([str(recipe), "--out", str(out)]) == 0


def test_a_changed_recipe_leaves_everything_as_it_was(data, vae, tmp_path, capsys) -> None:
    recipe, out = recipe_file(small_settings(data, vae), tmp_path / "a.yaml"), tmp_path / "run"
    assert main([str(recipe), "--out", str(out)]) == 0
    before = contents(out)
    capsys.readouterr()
    assert main([str(recipe), "--out", str(out), "--override", "optimiser.rate=0.5"]) == 2
    said = capsys.readouterr().err
    assert one_line(said, "ipt-train") and "made with other settings" in said
    assert contents(out) == before


def test_without_a_log_there_is_none(data, vae, tmp_path) -> None:
    settings = small_settings(data, vae, run={"log": 0})
    assert train(settings, tmp_path).finished
    assert not (tmp_path / "log.jsonl").exists()


NONSENSE = [
    (["--override", "nonsense"], "expected section.name=value"),
    (["--override", "run.log={"], "the value is no YAML"),
    (["--override", "run.log=-1"], "run.log: expected 0 or more"),
    (["--override", "optimiser.rate=.nan"], "optimiser.rate: expected a finite number"),
    (["--override", "optimiser.rate=nan"], "optimiser.rate: expected a finite number"),
    (["--override", "optimiser.clip=0"], "optimiser.clip: expected a positive number"),
    (["--override", "optimiser.betas=[0.9, 1.0]"], "optimiser.betas: expected 0 up to below 1"),
    (["--override", "data.workers=-1"], "data.workers: expected 0 or more"),
    (["--override", "data.train=/nowhere"], "/nowhere: no *.parquet file"),
    (["--override", "data.tasks=[chess]"], "no row of the tasks ['chess']"),
    (["--override", "data.own=/nowhere"], "/nowhere"),
    (["--override", "model.init=preset:huge"], "preset 'huge': expected one of"),
    (["--override", "model.init=/nowhere"], "model '/nowhere': expected a folder"),
    (["--override", "model.vae=/nowhere"], "/nowhere"),
    (["--override", "model.llm_config={hidden_size: wide}"], "model: no architecture"),
    (["--override", "model.llm_config={num_attention_heads: 0}"], "model: no architecture"),
    (["--override", "model.style={flow: {points: many}}"], "model.style: "),
    (
        ["--override", "data.train=''", "--override", "data.fresh={colour: 1}"],
        "data.fresh: ",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), NONSENSE)
def test_nonsense_is_refused_in_one_line(data, vae, tmp_path, capsys, arguments, words) -> None:
    recipe = recipe_file(small_settings(data, vae), tmp_path / "a.yaml")
    assert main([str(recipe), "--out", str(tmp_path / "run"), *arguments]) == 2
    said = capsys.readouterr().err
    assert one_line(said, "ipt-train") and words in said
    assert not [p for p in tmp_path.glob("run/*") if p.name != LOCK_FILE]


def test_recipes_and_folders_that_are_none_are_refused_in_one_line(
    data, vae, tmp_path, capsys
) -> None:
    recipe = recipe_file(small_settings(data, vae), tmp_path / "a.yaml")
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "keys.yaml").write_text("1: 2\nname: x\n")
    for arguments, words in (
        ([recipe, "--out", recipe], "a.yaml is a file; expected a folder"),
        ([recipe, "--out", recipe / "x" / "y"], "a.yaml is a file; expected a folder"),
        ([tmp_path / "no.yaml"], "cannot be read"),
        ([tmp_path], "cannot be read"),
        ([binary], "cannot be read"),
        ([tmp_path / "list.yaml"], "expected a mapping, found list"),
        ([tmp_path / "keys.yaml"], "unknown ['1']"),
    ):
        assert main([str(a) for a in arguments]) == 2
        said = capsys.readouterr().err
        assert one_line(said, "ipt-train") and words in said, said
    for option in (["--minutes", "nan"], ["--minutes", "-1"], ["--threads", "-1"]):
        with pytest.raises(SystemExit) as ended:
            main([str(recipe), *option])
        assert ended.value.code == 2 and "expected" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["ipt-train-vae", "ipt-train-vit"])
def test_parts_refuse_nonsense_in_one_line(data, vae, tmp_path, capsys, command) -> None:
    run = train_vae.main if command == "ipt-train-vae" else train_vit.main
    first = ["--data", str(data)] if command == "ipt-train-vae" else []
    out = ["--out", str(tmp_path / "part")]
    file = tmp_path / "file"
    file.write_text("x")
    cases = [
        ([*out, "--steps", "0"], "steps: expected at least 1"),
        ([*out, "--batch", "-3"], "batch: expected at least 1"),
        ([*out, "--rate", "nan"], "rate: expected a positive number"),
        ([*out, "--preset", "huge"], "preset 'huge': expected one of"),
        ([*out, "--device", "abacus"], "device: expected"),
        ([*out, "--recipe", str(tmp_path / "no.yaml")], "cannot be read"),
        (["--out", str(file)], "is a file; expected a folder"),
    ]
    if first:
        cases += [
            ([*out, "--data", str(tmp_path)], "no *.parquet file"),
            ([*out, "--crop", "0"], "crop: expected at least 8"),
            ([*out, "--crop", "300"], "no cut-out of 300 fits"),
            ([*out, "--precision", "fine"], "precision: expected float32 or bfloat16"),
        ]
    else:
        cases += [
            ([*out, "--level", "castle"], "level: expected one of"),
            ([*out, "--pictures", "0"], "pictures: expected at least 1"),
        ]
    for arguments, words in cases:
        assert run([*first, *arguments]) == 2, arguments
        said = capsys.readouterr().err
        assert one_line(said, command) and words in said, said
    assert not (tmp_path / "part").exists()


def test_the_models_of_a_refused_run_are_not_even_built(data, vae, tmp_path, monkeypatch) -> None:
    train(small_settings(data, vae, examples=8), tmp_path)
    monkeypatch.setattr("ipt_training.commands.train.build", lambda *_, **__: pytest.fail("built"))
    with pytest.raises(ValueError, match="other settings"):
        train(small_settings(data, vae, examples=8, seed=3), tmp_path)


def test_other_commands_refuse_nonsense_in_one_line(data, tmp_path, capsys) -> None:
    file, out = tmp_path / "file", tmp_path / "out"
    file.write_text("[]")
    made = [f"data/{split}/dataset.json" for split in ("train", "validation", "test")]
    for name in (*made, "vae/ae.safetensors"):  # what a study would make first
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("{}")
    for command, run, arguments, words in (
        ("ipt-draw-own", draw_own.main, ["--model", "no", "--data", data], "model 'no'"),
        (
            "ipt-draw-own",
            draw_own.main,
            ["--model", "ipt-tiny-untrained", "--data", tmp_path],
            "no *.parquet file",
        ),
        (
            "ipt-draw-own",
            draw_own.main,
            ["--model", "ipt-tiny-untrained", "--data", data, "--device", "abacus"],
            "device: expected",
        ),
        ("ipt-release", release.main, ["--run", file, "--evaluation", tmp_path], "directory"),
        ("ipt-release", release.main, ["--run", file, "--evaluation", file], "ipt-eval wrote"),
        (
            "ipt-study",
            study.main,
            ["--recipe", file, "--data", tmp_path / "data", "--vae", tmp_path / "vae"],
            "expected a mapping, found list",
        ),
    ):
        assert run([*map(str, arguments), "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert one_line(said, command) and words in said, said
        assert run([*map(str, arguments), "--out", str(file)]) == 2
        assert "is a file; expected a folder" in capsys.readouterr().err
    for option in (["--seeds", "1,x"], ["--threads", "-1"]):
        with pytest.raises(SystemExit) as ended:
            study.main(option)
        assert ended.value.code == 2 and "expected" in capsys.readouterr().err


@pytest.mark.slow
def test_all_processes_stop_where_one_diverges(data, vae, tmp_path) -> None:
    """The second has showing 1 of every step; the first hears of it before it updates anything."""
    settings = small_settings(data, vae, examples=24, run={"save": 1})
    recipe, out = recipe_file(settings, tmp_path / "a.yaml"), tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", str(Path(__file__).with_name("diverging_run.py"))]
    done = subprocess.run(
        [*command, str(8 + 1), str(recipe), "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _path()},
        capture_output=True,
        text=True,
        timeout=400,
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("ipt-train: ")]
    assert done.returncode == 1 and len(said) == 1, done.stderr[-4000:]
    row = parts_of(settings, tmp_path / "twin")[1].source.name(8 + 1)
    assert "step 2: the losses mse are not finite" in said[0] and row + "," in said[0] + ","
    assert [p.name for p in checkpoint_folders(out)] == ["step-00000001"]


def _path() -> str:
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
