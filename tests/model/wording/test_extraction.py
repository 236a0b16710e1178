"""An answer is read only where exactly one stands; nothing is ever guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_model.question import Outcome
from ipt_model.wording.extraction import Reading, read_answer
from ipt_model.wording.prompts import TAGS, answer_text, think_text

LETTERS = ("A", "B", "C")
UNPARSABLE = Reading(Outcome.UNPARSABLE)


@pytest.mark.parametrize(
    ("reply", "index"),
    [
        ("<answer>B</answer>", 1),
        ("<image_end><answer> C\n</answer>", 2),
        ("<think>It is A. <answer>A</answer></think><answer>B</answer>", 1),
        (think_text("Looking.") + answer_text("A", drawn=True), 0),
    ],
)
def test_one_tagged_answer_is_read(reply: str, index: int) -> None:
    assert read_answer(reply, LETTERS) == Reading(Outcome.ANSWERED, LETTERS[index], index)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "A",
        "The answer is B.",
        "\\boxed{B}",
        "<answer>B",
        "B</answer>",
        "</answer>B<answer>",
        "<answer></answer>",
        "<answer>D</answer>",
        "<answer>b</answer>",
        "<answer>B because</answer>",
        "<answer>A</answer><answer>A</answer>",
        "<answer>A<answer>B</answer></answer>",
        "<think>no end <answer>A</answer> and then <answer>B</answer>",
        "<think>Let me draw.</think><image_start>",
    ],
)
def test_anything_else_is_unparsable(reply: str) -> None:
    assert read_answer(reply, LETTERS) == UNPARSABLE


def test_a_free_answer_is_any_text() -> None:
    assert read_answer("<answer> behind the sofa </answer>").text == "behind the sofa"
    assert read_answer("<answer>  </answer>") == UNPARSABLE


def test_equal_names_are_ambiguous() -> None:
    assert read_answer("<answer>x</answer>", ("x", " x")) == UNPARSABLE


PIECES = st.lists(st.one_of(st.sampled_from([*TAGS, *LETTERS, " ", "\n"]), st.text(max_size=4)))


@given(PIECES)
def test_whatever_is_written_an_answer_is_exactly_what_stands_between_its_tags(
    pieces: list[str],
) -> None:
    reply = "".join(pieces)
    reading = read_answer(reply, LETTERS)
    if reading.outcome is Outcome.ANSWERED:
        assert reading.index is not None and LETTERS[reading.index] == reading.text
        between = reply.rsplit("<answer>", 1)[1].split("</answer>", 1)[0]
        assert between.strip() == reading.text
    else:
        assert reading == UNPARSABLE


@given(
    st.text(alphabet=st.characters(exclude_characters="<>"), max_size=40), st.sampled_from(LETTERS)
)
def test_a_well_formed_reply_is_always_read(thought: str, letter: str) -> None:
    reply = think_text(thought) + answer_text(letter, drawn=True)
    assert read_answer(reply, LETTERS).text == letter
