"""The numbers of an evaluation, on answers that are made up."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_ros.evaluation.records import (
    ANSWERED,
    ERROR,
    OUTCOMES,
    UNPARSABLE,
    WITHHELD,
    MaskScore,
    Record,
)
from ipt_ros.evaluation.scores import (
    abstentions,
    accuracy,
    calibration,
    latency,
    mask,
    mask_score,
    picture_score,
    seen_name,
    summary,
)

OPTIONS = ("left", "right")


def record(outcome=ANSWERED, said="left", p_left=0.8, truth="left", **more):
    """A question with two options; `said` is what the likeliest option is."""
    return Record(
        **{
            "id": str(more.pop("number", 0)),
            "world": "demo",
            "task": "perspective",
            "kind": "side",
            "action": "ImagineView",
            "question": "Where?",
            "options": OPTIONS,
            "truth": truth,
            "outcome": outcome,
            "said": said if outcome == ANSWERED else "",
            "would_say": said if outcome in (ANSWERED, WITHHELD) else "",
            "probabilities": (p_left, 1 - p_left) if outcome in (ANSWERED, WITHHELD) else (),
            **more,
        }
    )


@st.composite
def records(draw):
    many = []
    for number in range(draw(st.integers(1, 40))):
        p = draw(st.floats(0, 1))
        outcome = draw(st.sampled_from(OUTCOMES))
        many.append(
            record(
                outcome,
                "left" if p >= 0.5 else "right",
                p,
                draw(st.sampled_from(OPTIONS)),
                number=number,
                share_seen=draw(st.none() | st.floats(0, 1)),
                error_code=10109 if outcome == ERROR else 0,
                task=draw(st.sampled_from(["perspective", "path"])),
            )
        )
    return many


@given(records())
def test_whatever_came_back_counts_once_and_is_json(many):
    found = summary(many)
    json.dumps(found, allow_nan=False)
    assert sum(t["n"] for t in found["tasks"].values()) == found["episodes"] == len(many)
    assert sum(found["abstentions"]["outcomes"].values()) == len(many)
    for task, part in found["tasks"].items():
        own = [r for r in many if r.task == task]
        assert part["answered"]["k"] == part["all"]["k"] <= part["had_all_been_answered"]["k"]
        assert part["answered"]["n"] == sum(r.outcome == ANSWERED for r in own)
        known = [r for r in own if r.share_seen is not None]
        assert sum(p["n"] for p in part["by_share_seen"].values()) == len(known)
        assert part["chance"] == 0.5


@given(records())
def test_order_does_not_matter(many):
    forth, back = summary(many), summary(many[::-1])
    assert forth["abstentions"] == back["abstentions"]
    assert forth["tasks"] == {name: back["tasks"][name] for name in forth["tasks"]}


def test_what_withholding_buys():
    many = [
        *[record(number=i) for i in range(6)],
        *[record(said="right", p_left=0.3, number=i) for i in range(2)],
        *[record(WITHHELD, said="right", p_left=0.45, number=i) for i in range(3)],
        record(WITHHELD),
        record(UNPARSABLE),
        record(ERROR, error_code=10119),
    ]
    found = abstentions(many)
    assert (found["answered"]["k"], found["answered"]["n"]) == (6, 8)
    assert (found["had_all_been_answered"]["k"], found["had_all_been_answered"]["n"]) == (7, 12)
    assert found["gain"] == pytest.approx(6 / 8 - 7 / 12, abs=1e-4)
    assert found["errors"] == {"10119": 1}
    assert accuracy(many)["all"]["n"] == 14


def test_nothing_answered_is_no_number_and_no_crash():
    found = summary([record(ERROR, error_code=10109)])
    assert found["tasks"]["perspective"]["answered"]["share"] is None
    assert found["calibration"]["ece"] is None and found["abstentions"]["gain"] is None
    assert summary([])["episodes"] == 0


def test_probabilities_that_are_kept_are_calibrated_and_others_are_not():
    kept = [record(p_left=0.75, truth="left" if i % 4 else "right") for i in range(40)]
    assert calibration(kept)["ece"] == pytest.approx(0.0, abs=1e-6)
    sure = [record(p_left=1.0, truth="left" if i % 2 else "right") for i in range(40)]
    assert calibration(sure)["ece"] == pytest.approx(0.5)
    (only,) = calibration(sure)["bins"]
    assert (only["count"], only["confidence"], only["accuracy"]) == (40, 1.0, 0.5)


def test_latency_is_told_by_stage():
    many = [record(times_s={"total": 0.1 * i, "imagine": 0.0}) for i in range(101)]
    found = latency(many)
    assert found["total"] == {"n": 101, "median": 5.0, "p95": 9.5}
    assert found["imagine"]["p95"] == 0.0 and set(found) == {"total", "imagine"}


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(2, 12), st.integers(2, 12))
def test_errors_of_seen_and_imagined_pixels_make_up_the_whole(seed, share, height, width):
    rng = np.random.default_rng(seed)
    drawn, true = rng.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    seen = rng.random((height, width)) < share
    found = picture_score(drawn, true, seen)
    squares = 0.0
    for error, number in ((found.error_seen, seen.sum()), (found.error_imagined, (~seen).sum())):
        assert (error is None) == (number == 0)
        squares += number * (error or 0.0) ** 2
    whole = squares / seen.size
    expected = 99.0 if whole == 0 else min(99.0, 10 * math.log10(255**2 / whole))
    assert found.psnr_db == pytest.approx(expected)
    assert found.seen_share == seen.mean()


def test_a_remembered_half_that_is_true_has_no_error():
    true = np.full((4, 6, 3), 100, np.uint8)
    drawn, seen = true.copy(), np.zeros((4, 6), bool)
    seen[:, :3] = True
    drawn[:, 3:] += 10
    found = picture_score(drawn, true, seen)
    assert (found.seen_share, found.error_seen, found.error_imagined) == (0.5, 0.0, 10.0)


def test_claims_are_scored_where_they_are_made():
    claims = np.array([90.0, 60.0, 0.0, 10.0])
    found = mask_score(claims, np.array([True, False, True, False]))
    assert (found.cells, found.both, found.either, found.occupied) == (4, 1, 3, 2)
    assert (found.cost_occupied, found.cost_free) == (45.0, 35.0)
    perfect = mask_score(np.array([90.0, 0.0]), np.array([True, False]))
    assert mask([perfect])["iou"] == 1.0
    # cells count, not stands: three of four cells of all are claimed rightly
    both = mask([found, MaskScore(1, 1, 1, 1, 90.0, None)])
    assert both["iou"] == 0.5 and both["cost_occupied"] == 60.0 and both["stands"] == 2
    assert mask([])["iou"] is None


@given(st.floats(0, 1))
def test_every_share_seen_lies_in_the_quarter_that_is_named(share):
    low, high = (float(part) / 100 for part in seen_name(share)[:-2].split(" to "))
    assert low <= share <= high and high - low == 0.25
