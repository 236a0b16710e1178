"""Recipes: what is read, and that a wrong one is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipt_training.recipe.settings import SettingsError, TrainingRecipe

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "config" / "training"
SHIPPED = ROOT / "ipt_model" / "weights" / "ipt_tiny"
BASE = {"name": "a", "supervision": "ipt", "examples": 100, "data": {"train": "somewhere"}}


def test_all_recipes_can_be_read() -> None:
    recipes = {p.stem: TrainingRecipe.load(p) for p in RECIPES.glob("*.yaml")}
    others = {
        "bagel_full",
        "bagel_lora",
        "base_tiny",
        "ship_tiny",
        "own_tiny",
        "memory_tiny",
        "memory_more_tiny",
        "counts_tiny",
        "settle_tiny",
        "counts_mixed_tiny",
        "finish_tiny",
        "finer_looks_tiny",
        "finer_first_tiny",
        "finer_counts_tiny",
        "finer_tiny",
        "finer_more_tiny",
        "finer_long_tiny",
        "finer_longer_tiny",
        "finer_kinds_tiny",
        "finer_kinds_tasks_tiny",
        "finer_settle_tiny",
    }
    others |= {"robot_tiny", "robot_bagel"}
    assert others < set(recipes) and len(recipes) == 7 + len(others)
    assert all(recipe.name == stem for stem, recipe in recipes.items())
    assert recipes["bagel_full"].dropout.vae == 0.3 and recipes["bagel_full"].dropout.text == 0.1
    assert recipes["bagel_full"].optimiser.betas == (0.9, 0.95)
    assert recipes["bagel_full"].loss.ce == recipes["bagel_full"].loss.mse == 1.0


def test_the_tiny_recipes_differ_in_supervision_alone() -> None:
    tiny = [TrainingRecipe.load(p).to_dict() for p in sorted(RECIPES.glob("tiny_*.yaml"))]
    assert len({recipe.pop("supervision") for recipe in tiny}) == len(tiny) == 7
    assert len({recipe.pop("name") for recipe in tiny}) == 7
    assert all(recipe == tiny[0] for recipe in tiny)


@pytest.mark.parametrize(
    ("recipe", "shipped", "elsewhere"),
    [
        ("finish_tiny", "recipe", ()),
        ("finish_tiny", "../ipt_tiny_finer/recipe_finish_tiny", ()),
        ("finer_settle_tiny", "../ipt_tiny_finer/recipe", ()),
        ("finer_kinds_tasks_tiny", "../ipt_tiny_finer/recipe_finer_kinds_tasks_tiny", ()),
        ("finer_kinds_tiny", "../ipt_tiny_finer/recipe_finer_kinds_tiny", ()),
        ("finer_longer_tiny", "../ipt_tiny_finer/recipe_finer_longer_tiny", ()),
        ("finer_long_tiny", "../ipt_tiny_finer/recipe_finer_long_tiny", ()),
        ("finer_more_tiny", "../ipt_tiny_finer/recipe_finer_more_tiny", ()),
        ("finer_tiny", "../ipt_tiny_finer/recipe_finer_tiny", ()),
        ("finer_counts_tiny", "../ipt_tiny_finer/recipe_finer_counts_tiny", ()),
        ("finer_first_tiny", "../ipt_tiny_finer/recipe_finer_first_tiny", ()),
        ("finer_looks_tiny", "../ipt_tiny_finer/recipe_finer_looks_tiny", ()),
        ("settle_tiny", "recipe_settle_tiny", ()),
        ("counts_tiny", "recipe_counts_tiny", ()),
        ("counts_mixed_tiny", "recipe_counts_mixed_tiny", ()),
        ("memory_more_tiny", "recipe_memory_more_tiny", ()),
        ("memory_tiny", "recipe_memory_tiny", ()),
        ("own_tiny", "recipe_own_tiny", ()),
        ("ship_tiny", "recipe_ship_tiny", ()),
        ("tiny_mixed", "recipe_tiny_mixed", ("model.vae=ipt_model/weights/ipt_tiny",)),
        ("base_tiny", "recipe_base_tiny", ("model.vae=ipt_model/weights/ipt_tiny",)),
    ],
)
def test_the_shipped_model_could_be_trained_again(recipe, shipped, elsewhere) -> None:
    """What a recipe and its base say together is what the weights say that they were made by."""
    ours = TrainingRecipe.load(RECIPES / f"{recipe}.yaml", elsewhere)
    assert ours == TrainingRecipe.load(SHIPPED / f"{shipped}.yaml")


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


WHOLE = "name: a\nsupervision: ipt\nexamples: 100\ndata: {train: x, tasks: [path]}\nseed: 7\n"


def test_a_recipe_on_a_base_is_the_two_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", first=WHOLE + "optimiser: {rate: 0.5, betas: [0.1, 0.2]}\n")
    write(tmp_path, second="base: below/first.yaml\nname: b\noptimiser: {betas: [0.3, 0.4]}\n")
    write(tmp_path, third="base: second.yaml\nname: c\ndata: {train: y}\n")
    whole = WHOLE.replace("name: a", "name: c").replace("train: x", "train: y")
    write(tmp_path, whole=whole + "optimiser: {rate: 0.5, betas: [0.3, 0.4]}\n")
    settings = TrainingRecipe.load(tmp_path / "third.yaml")
    assert settings == TrainingRecipe.load(tmp_path / "whole.yaml")
    assert settings.digest() == TrainingRecipe.load(tmp_path / "whole.yaml").digest()
    assert (
        TrainingRecipe.load(tmp_path / "third.yaml", ["optimiser.rate=0.25"]).optimiser.rate
        == 0.25
    )
    assert "base" not in settings.to_dict()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": "base: a.yaml"}, "a.yaml: base: goes round in a circle: .*a.yaml on .*a.yaml"),
        ({"a": "base: b.yaml", "b": "base: ./a.yaml"}, "goes round in a circle"),
        (
            {"a": "base: b.yaml", "b": "base: c.yaml", "c": "base: d.yaml", "d": WHOLE},
            "at most 3 files on each other, got .*a.yaml on .*b.yaml on .*c.yaml on .*d.yaml",
        ),
        ({"a": "base: none.yaml"}, "a.yaml: base: .*none.yaml: cannot be read"),
        ({"a": "base: b.yaml", "b": "- 1"}, "a.yaml: base: .*b.yaml: expected a mapping"),
        ({"a": "base: [b.yaml]"}, "a.yaml: base: expected the path of a recipe .*got \\['b.yaml'"),
        (
            {"a": "base: b.yaml\noptimiser: {speed: 1}", "b": WHOLE},
            "a.yaml on .*b.yaml: optimiser: unknown \\['speed'\\]",
        ),
        ({"a": "base: b.yaml\ndata: 3", "b": WHOLE}, "data: expected a mapping, got 3"),
        ({"a": "base: b.yaml\nrun:", "b": WHOLE}, "run: expected a mapping, got None"),
    ],
)
def test_a_wrong_base_is_refused_by_name(tmp_path: Path, files: dict, said: str) -> None:
    write(tmp_path, **files)
    with pytest.raises(SettingsError, match=said):
        TrainingRecipe.load(tmp_path / "a.yaml")


def test_overrides_reach_into_sections(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nsupervision: ipt\nexamples: 100\ndata: {train: x}\n")
    settings = TrainingRecipe.load(
        path, ["optimiser.rate=1e-3", "data.tasks=[path]", "batch.examples=7", "run.shard=true"]
    )
    assert settings.optimiser.rate == 1e-3 and settings.data.tasks == ("path",)
    assert settings.run.shard and settings.steps == 100 // 7
    assert TrainingRecipe.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"supervision": "magic"}, "supervision"),
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
        TrainingRecipe.from_dict({**BASE, **change})


def test_what_decides_the_losses_decides_the_digest() -> None:
    one = TrainingRecipe.from_dict(BASE)
    assert one.digest() == TrainingRecipe.from_dict({**BASE, "run": {"save": 7}}).digest()
    assert one.digest() != TrainingRecipe.from_dict({**BASE, "seed": 1}).digest()
    assert (
        one.digest()
        != TrainingRecipe.from_dict({**BASE, "run": {"precision": "bfloat16"}}).digest()
    )
