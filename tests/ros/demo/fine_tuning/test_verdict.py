"""The answer follows from the numbers, and so does the reason."""

from __future__ import annotations

import pytest

from ipt_ros.demo.fine_tuning.verdict import judge

FALLING = {"mse": [1.0 - 0.01 * k for k in range(50)]}


def entry(difference, half, n=400, groups=40, before=0.5):
    return {
        "before": {"share": before},
        "after": {"share": before + difference},
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "n": n,
        "groups": groups,
    }


def said(compared, losses=FALLING, looks=(0.4, 0.5), rows=900):
    verdict = judge(compared, losses, looks, rows)
    return verdict.gain, " ".join(verdict.sentences)


def test_a_gain_outside_its_interval_is_one():
    gain, text = said({"perspective": {"imagine": entry(0.2, 0.05), "label": entry(0.02, 0.05)}})
    assert gain and text.startswith("Yes: 1 of 2") and "perspective in mode imagine" in text
    assert "+15.0 to +25.0" in text and "1 of the gains also lie outside" in text
    assert "Worse" not in text and "Too few" not in text


def test_a_gain_that_many_looks_explain_is_told_as_such():
    compared = {"path": {f"mode {k}": entry(0.06 if not k else 0.0, 0.05) for k in range(12)}}
    gain, text = said(compared)
    assert gain and "about 0.3 of 12" in text and "0 of the gains" in text


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"compared": {"path": {"label": entry(0.1, 0.15, n=20, groups=4)}}}, "20 questions in 4"),
        ({"losses": {"mse": [1.0] * 20}}, "loss 'mse' did not fall: 1.000 at first"),
        ({"looks": (0.5, 0.49, 0.5)}, "no better after its first look: 50 %"),
        ({"rows": 12}, "12 recorded rows"),
        ({"compared": {"path": {"label": entry(0.0, 0.02, before=0.97)}}}, "nine of ten"),
        ({}, "does not help in the held-out ones"),
    ],
)
def test_without_a_gain_the_reason_is_the_one_that_the_numbers_have(changed, reason):
    usual = {"compared": {"path": {"label": entry(0.01, 0.03)}}}
    gain, text = said(**{**usual, **changed})
    assert not gain and text.startswith("No:") and reason in text
    others = ("questions in", "did not fall", "no better after", "recorded rows", "nine of ten")
    assert sum(one in text for one in others) == (0 if "does not help" in reason else 1)


def test_what_got_worse_is_told_beside_a_gain():
    gain, text = said({"path": {"label": entry(0.2, 0.05), "recall": entry(-0.1, 0.03)}})
    assert gain and "Worse than before, outside the interval: path in mode recall (-10.0)" in text


def test_a_loss_that_the_recipe_leaves_out_is_no_reason():
    usual = {"path": {"label": entry(0.01, 0.03)}}
    assert said(usual, {**FALLING, "auxiliary": [0.0] * 50}) == said(usual)


def test_nothing_compared_is_no_gain():
    gain, text = said({})
    assert not gain and "gave no question" in text


def test_a_few_places_are_no_judge_however_narrow_their_interval():
    compared = {"clearance": {"imagine": entry(0.3, 0.05, n=9, groups=3)}}
    gain, text = said(compared)
    assert not gain and "fewer than 10 places: clearance" in text
    gain, text = said({**compared, "perspective": {"imagine": entry(0.2, 0.05)}})
    assert gain and "largest is perspective" in text
