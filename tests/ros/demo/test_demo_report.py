"""What the report says of an answer that was asked for again, without a drawing."""

import pytest

from ipt_ros.demo.report import _usually, verdict
from ipt_ros.demo.space import Space, SpaceRecord


def test_the_report_says_why_the_drawing_did_not_answer(tmp_path):
    from ipt_ros.demo.report import STAGES, write_report
    from ipt_ros.demo.scenario import Card

    record = {
        "action": "ImagineView",
        "question": "Is it left or right?",
        "options": ["left", "right"],
        "option_probabilities": [0.9, 0.1],
        "said": "left",
        "truth": "left",
        "abstained": False,
        "error_code": 0,
        "mode": "recall",
        "seed": 1,
        "flow_steps": 0,
        "seen_share": 0.7,
        "times": {name: 0.01 for name, _, _ in STAGES} | {"total_s": 0.05},
    }
    nan = float("nan")
    space = Space(SpaceRecord(0, nan, nan, -1, 0, 1.0, 0.1))
    setting = {"model_id": "m", "level": "room", "seed": 1, "objects": [], "measured": {}}
    said = {}
    for why in ("", "the drawing <contradicts> what was seen"):
        told = record | ({"withheld_before": why} if why else {})
        page = write_report(tmp_path / "page.html", [Card("t", told)], space, setting, 1.0)
        said[why] = page.read_text()
    assert "Withheld after" not in said[""]
    assert "the drawing &lt;contradicts&gt; what was seen" in said[why]


@pytest.mark.parametrize(
    ("said", "abstained", "found"),
    [
        ("clear", False, "right"),
        ("blocked", False, "wrong"),
        ("unknown", True, "withheld"),
        ("unknown", False, "withheld"),
        ("abstained: the two orders disagree", True, "withheld"),
        # a planner is told BLOCKED by what was seen, though the model abstains
        ("clear", True, "right"),
        ("blocked", True, "wrong"),
    ],
)
def test_the_report_judges_what_was_said(said, abstained, found):
    assert verdict({"said": said, "abstained": abstained, "truth": "clear"}) == found


RATE = {"low": 0.0, "high": 1.0}


@pytest.mark.parametrize(
    ("mode", "seen_share", "said"),
    [
        ("imagine", 0.0, "such answers are right 70 % of the time (n = 500, chance 50 %)"),
        ("imagine", 0.6, "with 50 to 75 % seen, are right 90 % of the time (n = 125, chance"),
        # nothing is known of these
        ("imagine", 0.9, ""),
        ("recall", 0.6, ""),
    ],
)
def test_the_report_says_how_often_answers_of_as_much_seen_are_right(mode, seen_share, said):
    measured = {
        "perspective": {
            "chance": 0.5,
            "imagine": {"share": 0.7, "n": 500, **RATE},
            "by_seen": {"imagine": {"50 to 75 %": {"share": 0.9, "n": 125, **RATE}}},
        }
    }
    record = {"action": "ImagineView", "mode": mode, "seen_share": seen_share}
    found = _usually(record, measured)
    assert said in found and bool(said) == bool(found)
