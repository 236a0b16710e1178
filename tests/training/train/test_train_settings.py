"""Recipes: what is read, and that a wrong one is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipt_training.finetune.settings import Settings, SettingsError

RECIPES = Path(__file__).parents[3] / "config" / "training"
BASE = {"name": "a", "variant": "ipt", "examples": 100, "data": {"train": "somewhere"}}


def test_all_recipes_can_be_read() -> None:
    recipes = {p.stem: Settings.load(p) for p in RECIPES.glob("*.yaml")}
    others = {"bagel_full", "bagel_lora", "base_tiny", "ship_tiny", "own_tiny"}
    assert others < set(recipes) and len(recipes) == 7 + len(others)
    assert all(recipe.name == stem for stem, recipe in recipes.items())
    assert recipes["bagel_full"].dropout.vae == 0.3 and recipes["bagel_full"].dropout.text == 0.1
    assert recipes["bagel_full"].optimiser.betas == (0.9, 0.95)
    assert recipes["bagel_full"].loss.ce == recipes["bagel_full"].loss.mse == 1.0


def test_the_tiny_recipes_differ_in_supervision_alone() -> None:
    tiny = [Settings.load(p).to_dict() for p in sorted(RECIPES.glob("tiny_*.yaml"))]
    assert len({recipe.pop("variant") for recipe in tiny}) == len(tiny) == 7
    assert len({recipe.pop("name") for recipe in tiny}) == 7
    assert all(recipe == tiny[0] for recipe in tiny)


def test_overrides_reach_into_sections(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nvariant: ipt\nexamples: 100\ndata: {train: x}\n")
    settings = Settings.load(
        path, ["optimiser.rate=1e-3", "data.tasks=[path]", "batch.examples=7", "run.shard=true"]
    )
    assert settings.optimiser.rate == 1e-3 and settings.data.tasks == ("path",)
    assert settings.run.shard and settings.steps == 100 // 7
    assert Settings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variant": "magic"}, "variant"),
        ({"examples": 0}, "examples: expected at least 1"),
        ({"nonsense": 1}, "unknown"),
        ({"flow": {"draws": 0}}, "flow.draws"),
        ({"flow": {"draws": 1.5}}, "flow.draws: expected int"),
        ({"optimiser": {"rate": "fast"}}, "optimiser.rate: expected float"),
        ({"optimiser": {"betas": [0.9]}}, "optimiser.betas: expected 2"),
        (
            {"optimiser": {"kind": "muon"}, "run": {"shard": True}},
            "optimiser.kind: expected adamw",
        ),
        ({"loss": {"looks": 1}}, "loss.looks: expected 0 where loss.auxiliary is 0"),
        ({"loss": {"looks_only": True}}, "loss.looks_only: expected false"),
        ({"dropout": {"vit": 1.0}}, "dropout.vit"),
        ({"loss": {"weighting": "word"}}, "loss.weighting"),
        ({"run": {"shard": 1}}, "run.shard: expected bool"),
        ({"data": {"train": "x", "fresh": {"size_px": 64}}}, "got both"),
        ({"data": {}}, "got neither"),
    ],
)
def test_wrong_entries_are_refused_by_name(change: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings.from_dict({**BASE, **change})


def test_what_decides_the_losses_decides_the_digest() -> None:
    one = Settings.from_dict(BASE)
    assert one.digest() == Settings.from_dict({**BASE, "run": {"save": 7}}).digest()
    assert one.digest() != Settings.from_dict({**BASE, "seed": 1}).digest()
    assert one.digest() != Settings.from_dict({**BASE, "run": {"precision": "bfloat16"}}).digest()
