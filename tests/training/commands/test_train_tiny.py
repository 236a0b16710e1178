"""The small model's stages: their commands are real, fit together, and are not done twice."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

import pytest

from ipt_training.commands.dataset import parser as dataset_parser
from ipt_training.commands.dataset import plan_of
from ipt_training.commands.tiny import command as train_tiny
from ipt_training.commands.tiny.command import main
from ipt_training.commands.tiny.making import DATASET, SCALES, TRAIN
from ipt_training.commands.tiny.stages import stages
from ipt_training.recipe.settings import TrainingRecipe
from ipt_training.shell.stages import Command, Stage

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "config" / "training"
JUDGING = ["calibration", "memory-calibration", "evaluation", "memory-evaluation", "release"]


class Parsed(Exception):
    """A command got past its arguments."""


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def stop_after(self, arguments=None, namespace=None):
        raise Parsed(parse(self, arguments, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop_after)


def all_stages(scale: str) -> list[Stage]:
    return stages(SCALES[scale], RECIPES, processes=2)


def settings_of(command: Command) -> TrainingRecipe:
    recipe, _, _, *changes = command.arguments
    return TrainingRecipe.load(recipe, [change.removeprefix("--override=") for change in changes])


@pytest.mark.parametrize("scale", SCALES)
def test_every_command_takes_its_arguments(scale: str, parse_only: None) -> None:
    commands = [command for stage in all_stages(scale) for command in stage.commands]
    assert len(commands) == 85
    for command in commands:
        with pytest.raises(Parsed):
            importlib.import_module(command.module).main(list(command.arguments))


@pytest.mark.parametrize("scale", SCALES)
def test_every_stage_finds_what_it_needs(scale: str) -> None:
    """Folders that a recipe or a command reads were written by an earlier stage."""
    made: set[str] = set()
    for stage in all_stages(scale):
        for command in stage.commands:
            if command.module == TRAIN:
                settings = settings_of(command)
                model, data = settings.model, settings.data
                needed = [model.init, model.vae, model.vit, data.train, data.validation, data.own]
                needed += data.mix
            else:
                words = dict(zip(command.arguments, command.arguments[1:], strict=False))
                options = ("--data", "--validation", "--model", "--run", "--evaluation", "--init")
                needed = [words.get(option, "") for option in options]
            wanted = {str(Path(n)) for n in needed if n and not n.startswith("preset:")}
            assert wanted <= made, stage.name
        if stage.after:
            assert str(Path(stage.after).parent) in made
        for output in stage.outputs:
            made |= {output, *map(str, Path(output).parents)}


def test_the_full_scale_changes_no_recipe() -> None:
    runs = [s.commands[0] for s in all_stages("full") if s.commands[0].module == TRAIN]
    assert [settings_of(run).name for run in runs] == [
        "base_tiny", "tiny_mixed", "ship_tiny", "own_tiny",
        "memory_tiny", "memory_more_tiny", "counts_tiny", "settle_tiny", "counts_mixed_tiny",
        "finish_tiny", "finer_looks_tiny", "finer_first_tiny", "finer_counts_tiny", "finer_tiny",
        "finer_more_tiny", "finer_long_tiny", "finer_longer_tiny", "finer_kinds_tiny",
        "finer_kinds_tasks_tiny", "finer_settle_tiny",
    ]  # fmt: skip
    assert all(len(run.arguments) == 3 and run.processes == 2 for run in runs)


def write_proofs(folder: Path) -> None:
    """As if every stage had been done, in order."""
    for stage in all_stages("full"):
        for output in stage.outputs:
            path, first = folder / output, stage.commands[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            facts: dict = {}
            if first.module == DATASET:
                plan = plan_of(dataset_parser().parse_args(first.arguments))
                facts = {"plan_digest": plan.digest()}
            elif first.module == TRAIN:
                facts = {"training": {"settings": settings_of(first).digest()}}
            path.write_text(json.dumps(facts))
        if stage.name in ("finish", "finer-settle"):
            (folder / Path(stage.outputs[0]).with_name("ema.safetensors")).touch()


def to_do(folder: Path) -> list[str]:
    return [stage.name for stage in all_stages("full") if not stage.done(folder)]


def test_only_what_lacks_is_done(tmp_path: Path) -> None:
    assert to_do(tmp_path) == [stage.name for stage in all_stages("full")]
    write_proofs(tmp_path)
    assert to_do(tmp_path) == []
    (tmp_path / "runs/own/own-000.npz").unlink()
    (tmp_path / "runs/vae/vae.json").unlink()
    assert to_do(tmp_path) == ["vae", "own-views"]


def test_what_was_made_from_another_request_is_not_taken_for_done(tmp_path: Path) -> None:
    write_proofs(tmp_path)
    (tmp_path / "dataset_out/dataset.json").write_text('{"plan_digest": "of another plan"}')
    (tmp_path / "runs/base/final/ipt.json").write_text('{"training": {"settings": "other"}}')
    assert to_do(tmp_path) == ["data", "base"]


@pytest.mark.parametrize(("run", "prefix"), [("finish", ""), ("finer_settle", "finer-")])
def test_a_new_model_is_calibrated_asked_and_released_again(
    run: str, prefix: str, tmp_path: Path
) -> None:
    write_proofs(tmp_path)
    (tmp_path / f"runs/{run}/final/ema.safetensors").touch()
    done = []
    while lacking := to_do(tmp_path):
        done.append(lacking[0])
        stage = next(s for s in all_stages("full") if s.name == lacking[0])
        for output in stage.outputs:
            (tmp_path / output).touch()
    assert done == [prefix + name for name in JUDGING]


def run_main(monkeypatch, tmp_path, *arguments: str) -> list[str]:
    """Names of the stages that the command runs, none of them really."""
    ran: list[str] = []
    monkeypatch.setattr(train_tiny, "run", lambda stage, *_: ran.append(stage.name))
    assert main(["--folder", str(tmp_path), "--recipes", str(RECIPES), *arguments]) == 0
    return ran


def test_stages_can_be_named(monkeypatch, tmp_path, capsys) -> None:
    write_proofs(tmp_path)
    assert run_main(monkeypatch, tmp_path) == []
    assert "71/71 finer-release: done" in capsys.readouterr().out
    assert run_main(monkeypatch, tmp_path, "--only", "vae") == ["vae"]
    last = ["finer-" + name for name in JUDGING]
    assert run_main(monkeypatch, tmp_path, "--from", "finer-calibration") == last
    assert main(["--recipes", str(RECIPES), "--only", "vea"]) == 2
    assert "no stage 'vea'; expected one of data, validation-data" in capsys.readouterr().err


def test_looking_runs_nothing(monkeypatch, tmp_path, capsys) -> None:
    assert run_main(monkeypatch, tmp_path, "--list") == []
    assert "own-views" in capsys.readouterr().out
    assert run_main(monkeypatch, tmp_path, "--dry-run", "--from", "own-views") == []
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 75 and said[0].endswith("--out runs/own --part 0/2")
    write_proofs(tmp_path)
    assert run_main(monkeypatch, tmp_path, "--dry-run") == []
    assert capsys.readouterr().out == ""


def test_the_recipes_are_asked_for_where_they_are_not(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--list"]) == 2
    assert "--recipes: no folder config/training" in capsys.readouterr().err
