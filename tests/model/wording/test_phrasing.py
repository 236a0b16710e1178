"""The words of questions: rounding, signs, templates and refusals."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_model.wording import phrasing
from ipt_model.wording.phrasing import Motion, PhrasingError, motion_in_words, round_motion

METRES = st.floats(-5, 5)
RADIANS = st.floats(-10, 10)


@pytest.mark.parametrize(
    ("motion", "words"),
    [
        (
            Motion(1.2, 0.4, math.radians(60)),
            "move 1.2 m forward and 0.4 m to the left, then turn left 60 degrees",
        ),
        (Motion(-0.52, -1.96, 0.0), "move 0.5 m back and 2.0 m to the right"),
        (Motion(0.0, 0.0, math.radians(-91)), "turn right 90 degrees"),
        (Motion(0.04, -0.04, math.radians(2)), "stay where you are"),
        (Motion(0.0, 0.0, math.radians(450)), "turn left 90 degrees"),
    ],
)
def test_motion_in_words(motion: Motion, words: str) -> None:
    assert motion_in_words(motion) == words


@given(METRES, METRES, RADIANS)
def test_the_words_say_the_rounded_motion(forward: float, left: float, turn: float) -> None:
    motion = Motion(forward, left, turn)
    rounded = round_motion(motion)
    assert round_motion(rounded) == rounded
    assert abs(rounded.forward_m - forward) <= 0.05 + 1e-9
    assert abs(rounded.left_m - left) <= 0.05 + 1e-9
    wrapped = math.remainder(rounded.turn_rad - turn, 2 * math.pi)
    assert abs(wrapped) <= math.radians(2.5) + 1e-9

    words = motion_in_words(motion)
    spoken = {"forward": 0.0, "left": 0.0, "turn": 0.0}
    for value, way in re.findall(r"([\d.]+) m (?:to the )?(forward|back|left|right)", words):
        axis = "forward" if way in ("forward", "back") else "left"
        spoken[axis] = float(value) * (1 if way in ("forward", "left") else -1)
    for way, value in re.findall(r"turn (left|right) (\d+) degrees", words):
        spoken["turn"] = math.radians(int(value)) * (1 if way == "left" else -1)
    assert spoken["forward"] == pytest.approx(rounded.forward_m)
    assert spoken["left"] == pytest.approx(rounded.left_m)
    assert spoken["turn"] == pytest.approx(rounded.turn_rad)


def test_every_question_type_has_ten_templates_that_fill() -> None:
    for question_type, lines in phrasing.templates().items():
        if question_type in ("anchored", "told_radius"):
            continue
        assert len(set(lines)) == 10, question_type
    motion = Motion(1.0, 0.0, math.pi / 2)
    for template in range(10):
        for asked in ("distance", "side"):
            for marker in (True, False):
                question = phrasing.perspective_question(
                    asked, "blue ball", motion, marker=marker, template=template
                )
                assert "blue ball" in question.text
                assert "left" in question.text
                assert "{" not in question.text
                assert question.text[0].isupper()
                assert bool(re.search(r"\bred\b", question.text)) == marker
        assert "right" in phrasing.path_question("right", ["a", "b"], template=template).text
        assert "shelves" in phrasing.counting_question("shelf", [1, 2], template=template).text
        assert phrasing.clearance_question(template=template).options == ("yes", "no")


def test_counting_speaks_numbers_and_path_keeps_names() -> None:
    assert phrasing.counting_question("crate", [3, 1, 2, 4]).options == ("3", "1", "2", "4")
    assert phrasing.path_question("left", ["blue ball", "pink bin"]).options == (
        "blue ball",
        "pink bin",
    )


def test_impossible_words_are_refused() -> None:
    motion = Motion(1.0, 0.0, 0.0)
    with pytest.raises(PhrasingError, match="'distance' or 'side'"):
        phrasing.perspective_question("size", "ball", motion)
    with pytest.raises(PhrasingError, match="0 to 9, got 10"):
        phrasing.clearance_question(template=10)
    with pytest.raises(PhrasingError, match="finite"):
        motion_in_words(Motion(math.nan, 0.0, 0.0))
    with pytest.raises(PhrasingError, match="0 or more"):
        phrasing.counting_question("crate", [-1, 2])
    with pytest.raises(PhrasingError, match="left"):
        phrasing.path_question("behind", ["a", "b"])


@given(METRES, METRES, RADIANS)
def test_a_motion_is_read_back_from_its_words(forward: float, left: float, turn: float) -> None:
    rounded = round_motion(Motion(forward, left, turn))
    words = motion_in_words(rounded)
    found = phrasing.motion_in(f"If I {words}, what do I see?")
    if words == "stay where you are":
        assert found is None
        return
    assert found is not None
    assert found.forward_m == pytest.approx(rounded.forward_m)
    assert found.left_m == pytest.approx(rounded.left_m)
    assert math.cos(found.turn_rad - rounded.turn_rad) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "text",
    [
        "Is the sofa 2 m wide?",
        "What is to the left of the door?",
        "turn left 90 degrees, then move 1.0 m forward. What is there?",
        "turn left 90 degrees, then turn right 30 degrees. What is there?",
        "move 1.0 m forward and 2.0 m forward. What is there?",
        "",
    ],
)
def test_no_motion_is_read_where_none_is_told_in_these_words(text: str) -> None:
    assert phrasing.motion_in(text) is None


def test_a_told_radius_is_rounded_up_and_said() -> None:
    assert phrasing.round_radius(0.2) == 0.2
    assert phrasing.round_radius(0.21) == 0.25
    told = phrasing.clearance_question(radius_m=0.21, template=3)
    assert told.text.startswith(phrasing.clearance_question(template=3).text)
    assert "radius of 0.25 m" in told.text and told.options == ("yes", "no")
    for wrong in (0.0, -0.1, math.inf, math.nan):
        with pytest.raises(PhrasingError, match="radius_m: expected a positive length"):
            phrasing.clearance_question(radius_m=wrong)
