"""The card and the recipes of a release tell every run that its weights come from, once."""

from __future__ import annotations

from ipt_training.commands.release import _before, recipes, runs


def run(name: str, settings: str, **more) -> dict:
    recipe = {"name": name, "settings": settings}
    return {"recipe": recipe, "settings": settings, "examples": 10, "rows": 5, **more}


FIRST = run("first", "a")
LONG = run("long", "b", began_from=FIRST)
ONE = run("one", "c", began_from=LONG)
OTHER = run("other", "d", began_from=run("between", "e", began_from=LONG))
MEAN = {"mean_of": [{"share": 0.75, "model_id": "x", **OTHER}, {"share": 0.25, **ONE}]}
LAST = run("last", "f", began_from=MEAN)


def names(training: dict) -> list[str]:
    return [found["recipe"]["name"] if "recipe" in found else "mean" for found in runs(training)]


def test_a_chain_is_told_from_the_last_run_to_the_first() -> None:
    assert names(ONE) == ["one", "long", "first"]


def test_a_mean_is_told_before_its_parts_and_what_they_share_after_both() -> None:
    assert names(LAST) == ["last", "mean", "other", "between", "one", "long", "first"]
    assert "Before that the mean of their weights, 0.75 of `other` and 0.25 of `one`." in (
        _before(LAST)
    )
    assert _before(LAST).count("`long`") == 1


def test_two_recipes_of_one_name_are_both_kept() -> None:
    twice = run("long", "z", began_from=LONG)
    found = recipes(run("last", "f", began_from=twice))
    assert list(found) == ["recipe", "recipe_long", "recipe_long_b", "recipe_first"]
    assert found["recipe_long"]["settings"] == "z" and found["recipe_long_b"]["settings"] == "b"


def test_nothing_is_told_of_weights_without_a_history() -> None:
    assert runs({}) == [] and recipes({}) == {} and _before({}) == ""
