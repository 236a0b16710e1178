"""The golden numbers of the reference: every case passes, and the program that says so can also
fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_up import GOLDEN
from safetensors.torch import load_file, save_file

from ipt_model.weights.verify import Verifier, main

#: What this implementation reaches; the program itself allows 2e-5 and, for drawn latents, 5e-5.
USUAL = 5e-6


@pytest.fixture(scope="module")
def results():
    return list(Verifier(GOLDEN).run())


def test_every_golden_case_passes(results):
    assert [r.case for r in results if not r.passed] == []


def test_errors_are_rounding_not_near_misses(results):
    floats = [r for r in results if r.tolerance > 0 and "picture" not in r.case]
    assert max(r.error for r in floats) < USUAL, max(floats, key=lambda r: r.error)


def test_every_kind_of_case_is_compared(results, golden_cases):
    cases, _ = golden_cases
    names = [r.case for r in results]
    for kind in cases:
        assert any(n.split(".")[0] == kind for n in names), kind
    for kind in ("generate", "greedy", "turn"):
        for case in cases[kind]:
            assert any(n.startswith(f"{kind}.{case['name']}") for n in names), case["name"]
    assert sum(n.startswith("train.gradients.") for n in names) == len(cases["train"]["gradients"])


def copy_with(tmp_path: Path, file: str, name: str, change) -> Path:
    """The golden folder with one tensor changed."""
    folder = tmp_path / "changed"
    shutil.copytree(GOLDEN, folder)
    tensors = load_file(folder / file)
    tensors[name] = change(tensors[name])
    save_file(tensors, folder / file)
    return folder


@pytest.mark.parametrize(
    ("file", "name", "caught"),
    [
        ("ema.safetensors", "language_model.model.norm_moe_gen.weight", "generate.t2i_nocfg"),
        ("ema.safetensors", "language_model.model.norm.weight", "greedy.text_only.logits"),
        ("cases.safetensors", "gen.edit_channel_3br", "generate.edit_channel_3br"),
        ("cases.safetensors", "train.mse", "train.mse"),
    ],
)
def test_a_wrong_number_is_caught(tmp_path, file, name, caught):
    folder = copy_with(tmp_path, file, name, lambda t: t + 1e-3 * t.abs().max())
    failed = {r.case for r in Verifier(folder).run() if not r.passed}
    assert caught in failed


def test_exit_status_is_one_for_a_failing_case(tmp_path, capsys):
    folder = copy_with(tmp_path, "cases.safetensors", "time.embed", lambda t: t * 1.001)
    assert main([str(folder)]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_exit_status_is_two_for_an_unusable_folder(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    shutil.copytree(GOLDEN, tmp_path / "bare")
    tensors = load_file(tmp_path / "bare" / "cases.safetensors")
    del tensors["vit.pixels"]
    save_file(tensors, tmp_path / "bare" / "cases.safetensors")
    assert main([str(tmp_path / "bare")]) == 2
    assert "vit.pixels" in capsys.readouterr().err


def test_an_unknown_kind_of_case_is_not_passed_over(tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(GOLDEN, folder)
    (folder / "cases.json").write_text(json.dumps({"telepathy": {}}))
    (result,) = Verifier(folder).run()
    assert not result.passed


@pytest.mark.slow
def test_the_command_line_writes_its_table_as_json(tmp_path):
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "ipt_model.weights.verify", str(GOLDEN), "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())["results"]
    assert len(results) == done.stdout.count("pass") - 1  # the last line sums up
    assert all(r["passed"] for r in results)


def test_tolerance_would_notice_lost_precision(golden_cases):
    """Half precision anywhere would show: what it does to the numbers is far above what is
    allowed."""
    _, tensors = golden_cases
    expected = tensors["gen.t2i_nocfg"]
    error = (expected.bfloat16().float() - expected).abs().max() / expected.abs().max()
    assert error > 1e-3
    assert torch.isfinite(expected).all()
