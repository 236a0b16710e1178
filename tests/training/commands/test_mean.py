"""The mean of checkpoints: of their weights alone, and of checkpoints that fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import SMALL_MODEL, small_settings

from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.checkpoint import load_model
from ipt_training.commands.mean import main
from ipt_training.finetune.building import build, export, merged_weights


def checkpoint(folder: Path, data: Path, vae: Path, seed: int, **model) -> Path:
    start = build(small_settings(data, vae, seed=seed, model=model))
    export(folder, start, merged_weights(start.model), {"settings": f"s{seed}", "step": seed})
    return folder


@pytest.fixture(scope="module")
def two(data, vae, tmp_path_factory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("two")
    return checkpoint(base / "one", data, vae, 1), checkpoint(base / "other", data, vae, 2)


def test_every_weight_is_the_weighted_mean(two, tmp_path) -> None:
    one, other = two
    assert main([f"{one}=0.75", f"{other}=0.25", "--out", str(tmp_path / "mean")]) == 0
    made, first, second = (
        load_model(f, dtype=torch.float32).state_dict() for f in (tmp_path / "mean", one, other)
    )
    assert set(made) == set(first)
    differ = 0
    for name, value in made.items():
        wanted = 0.75 * first[name] + 0.25 * second[name]
        torch.testing.assert_close(value, wanted, rtol=0, atol=1e-6)
        differ += not torch.equal(first[name], second[name])
    assert differ > 20


def test_what_belongs_to_one_of_them_is_not_taken_over(two, tmp_path) -> None:
    """A calibration does not hold for other weights; where they come from is told."""
    one, other = two
    style = AskingStyle.load(one)
    changed = {**style.to_dict(), "temperature": {"path": {"answer": 2.0}}}
    AskingStyle.from_dict(changed).save(one)
    out = tmp_path / "mean"
    asked = [f"{one}=0.5", f"{other}=0.5", "--out", str(out), "--rests-on-view", "path"]
    assert main(asked) == 0
    made = AskingStyle.load(out)
    assert not made.temperature and [task.value for task in made.rests_on_view] == ["path"]
    parts = made.training["mean_of"]
    assert [(p["share"], p["settings"], p["step"]) for p in parts] == [
        (0.5, "s1", 1),
        (0.5, "s2", 2),
    ]
    once_more = tmp_path / "again"
    assert main([f"{out}=0.5", f"{one}=0.5", "--out", str(once_more)]) == 0
    parts = AskingStyle.load(once_more).training["mean_of"]
    assert [p["settings"] for p in parts[0]["mean_of"]] == ["s1", "s2"]


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        (("{one}=0.5", "{other}=0.4"), "add up to 1, got 0.9"),
        (("{one}=1.5", "{other}=-0.5"), "above 0 up to 1, got '.*one=1.5'"),
        (("{one}", "{other}=1"), "expected CHECKPOINT=SHARE"),
        (("{one}=0.5", "{wider}=0.5"), "wider: another architecture than .*one"),
        (("{one}=0.5", "nowhere=0.5"), "nowhere"),
    ],
)
def test_what_has_no_mean_is_refused_in_one_line(
    two, data, vae, tmp_path, shares, reason, capsys
) -> None:
    wider = tmp_path / "wider"
    if any("wider" in share for share in shares):
        more = {**SMALL_MODEL["llm_config"], "intermediate_size": 64}
        checkpoint(wider, data, vae, 1, llm_config=more)
    named = [share.format(one=two[0], other=two[1], wider=wider) for share in shares]
    assert main([*named, "--out", str(tmp_path / "mean")]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(said)
    assert not (tmp_path / "mean" / "ipt.json").exists()
