"""The study from end to end at its smallest, and the arithmetic of its table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ipt_training.commands import study
from ipt_training.commands.study import Size, main
from ipt_training.evaluation.study_table import Asked, cell, markdown

ROOT = Path(__file__).parents[3]


@pytest.mark.slow(30)
def test_a_study_trains_asks_and_writes_its_table(data, tmp_path, monkeypatch) -> None:
    tiny = Size(
        {"train": 24, "validation": 8, "test": 8},
        base=16,
        examples=16,
        per_task=2,
        seeds=(0, 1),
        overrides=(
            *study.SIZES["small"].overrides,
            "batch.examples=8",
            "run.validate=2",
            "run.validation_examples=4",
        ),
        vae=("--steps", "2", "--crop", "16", "--batch", "4"),
        vit=("--pictures", "16", "--steps", "2", "--workers", "1"),
    )
    monkeypatch.setitem(study.SIZES, "small", tiny)
    arguments = ["--out", str(tmp_path), "--recipe", str(ROOT / study.RECIPE)]
    arguments += ["--supervisions", "label,hidden", "--threads", "1"]
    assert main(arguments) == 0
    found = json.loads((tmp_path / "study.json").read_text())
    assert [(r["supervision"], r["seed"]) for r in found["runs"]] == [
        ("label", 0), ("hidden", 0), ("label", 1), ("hidden", 1)
    ]  # fmt: skip
    assert set(found["data"]) == {"train", "validation", "test"}
    for run in found["runs"]:
        assert set(run["tasks"]["path"]["modes"]) == {"answer", "imagine", "given"}
    table = (tmp_path / "study.md").read_text()
    assert table.count("| label:") == table.count("| hidden:") == 5 and "2 seeds" in table
    recipes = [(tmp_path / f"{arm}-0" / "recipe.yaml").read_text() for arm in ("label", "hidden")]
    assert ["inputs: 1.0" in recipe for recipe in recipes] == [False, True]
    hashes = {r["checkpoint"]["hash"] for r in found["runs"]}
    assert len(hashes) == 4 and found["base"] not in hashes
    before = (tmp_path / "label-0" / "result.json").stat().st_mtime_ns
    # seeds that nobody trained are left out on demand
    assert main([*arguments, "--seeds", "0,7", "--finished"]) == 0
    found = json.loads((tmp_path / "study.json").read_text())
    assert [r["seed"] for r in found["runs"]] == [0, 0]
    # nothing is done twice; a base that is given is asked as well
    assert main([*arguments, "--base", str(tmp_path / "base" / "final")]) == 0
    found = json.loads((tmp_path / "study.json").read_text())
    assert found["runs"][0]["checkpoint"]["hash"] == found["base"]
    assert (tmp_path / "study.md").read_text().count("| *where all begin* |") == 5
    assert (tmp_path / "label-0" / "result.json").stat().st_mtime_ns == before


def made_up(supervision: str, seed: int, shares: dict[str, float], n: int = 100) -> dict:
    return {
        "supervision": supervision,
        "seed": seed,
        "checkpoint": {"validation": None},
        "tasks": {
            task: {
                "chance": 0.5,
                "modes": {
                    mode: {
                        "accuracy": {"share": share, "n": n},
                        "unparsable": {"share": 0.0},
                    }
                    for mode in ("answer", "imagine", "given")
                },
            }
            for task, share in shares.items()
        },
    }


def test_intervals_are_over_seeds_or_else_over_examples() -> None:
    runs = [made_up("label", k, {"path": p}) for k, p in enumerate((0.6, 0.7, 0.8))]
    three = cell(runs, "label", "answer", Asked("path"))
    assert three.mean == pytest.approx(0.7) and (three.seeds, three.n) == (3, 100)
    assert three.half == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)
    one = cell(runs[:1], "label", "answer", Asked("path"))
    assert one.half == pytest.approx(1.96 * math.sqrt(0.24 / 100))


def test_tasks_weigh_alike_in_the_mean() -> None:
    run = made_up("label", 0, {"path": 0.4, "counting": 0.8})
    assert cell([run], "label", "given", Asked()).mean == pytest.approx(0.6)
    assert cell([run], "label", "given", Asked()).n == 200
    assert "60.0 ±" in markdown([run], 10) and "n = 200" in markdown([run], 10)


def test_differences_are_paired_by_seed() -> None:
    shares = {"label_vae": (0.5, 0.7), "mixed": (0.6, 0.82)}
    runs = [
        made_up(supervision, seed, {"path": share})
        for supervision, both in shares.items()
        for seed, share in enumerate(both)
    ]
    table = markdown(runs, 10)
    # 0.10 and 0.12 apart: 11 points, half-width 12.706 * 1.0
    assert "| mixed/answer less label_vae/answer | +11.0 ± 12.7 |" in table
    assert "ipt_wrong" not in table and table.count("## ") == 1


def test_questions_with_a_memory_are_told_apart_and_recalled() -> None:
    """Without a memory nothing is recalled, so that column is not there."""
    runs = [made_up("mixed", seed, {"path": 0.5}) for seed in (0, 1)]
    for run in runs:
        modes = run["tasks"]["path"]["modes"]
        modes["recall"] = {"accuracy": {"share": 0.9, "n": 60}, "unparsable": {"share": 0.0}}
        for mode, found in modes.items():
            with_memory = {
                "ego+memory": {"share": 0.8, "n": 20},
                "map+memory": {"share": 1.0, "n": 60},
            }
            without = {"map": {"share": 0.25, "n": 20}}
            found["by_variant"] = with_memory if mode == "recall" else with_memory | without
    table = markdown(runs, 10)
    assert table.count("## ") == 2
    plain, memory = table.split("## path, with a memory")
    assert "without a memory (n = 20" in plain and "25.0 ±" in plain and "recall" not in plain
    assert "95.0 ±" in memory and "| answer | imagine | recall | given |" in memory
    assert "mixed/recall less mixed/answer | +0.0" in memory


def test_the_head_says_which_checkpoint_and_a_row_how_many_seeds_where_they_are_fewer() -> None:
    runs = [made_up(name, 0, {"path": 0.5}) for name in ("label", "mixed")]
    runs.append(made_up("label", 1, {"path": 0.5}))
    table = markdown(runs, 10)
    assert "2 seeds; the last checkpoint is asked" in table
    (few,) = (line for line in table.splitlines() if "(1 seed)" in line)
    assert few.startswith("| mixed")
    runs[0]["checkpoint"]["validation"] = 0.5
    assert "the checkpoint is chosen on validation and asked" in markdown(runs, 10)
