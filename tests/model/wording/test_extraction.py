"""The first closed answer is read, and nothing is ever guessed; the published cascade guesses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_model.question import Outcome
from ipt_model.wording.extraction import Reading, has_answered, read_answer, read_published
from ipt_model.wording.prompts import TAGS, answer_text, think_text

LETTERS = ("A", "B", "C")
UNPARSABLE = Reading(Outcome.UNPARSABLE)


@pytest.mark.parametrize(
    ("reply", "text", "index"),
    [
        ("<answer>B</answer>", "B", 1),
        ("<image_end><answer> C\n</answer>", "C", 2),
        ("<think>It is A. <answer>A</answer></think><answer>B</answer>", "B", 1),
        (think_text("Looking.") + answer_text("A", drawn=True), "A", 0),
        # letters and tags in any case
        ("<answer>b</answer>", "b", 1),
        ("<Answer>B</ANSWER>", "B", 1),
        ("<THINK><answer>A</answer></Think><answer>c</answer>", "c", 2),
        # a model that goes on after its answer, as published ones do
        ("<answer>A</answer><answer>A</answer>", "A", 0),
        ("<answer>A</answer><answer>B</answer>", "A", 0),
        ("<answer>B</answer><think>or <answer>C", "B", 1),
        ("<answer>B</answer>B</answer>", "B", 1),
    ],
)
def test_the_first_closed_answer_is_read(reply: str, text: str, index: int) -> None:
    reading = read_answer(reply, LETTERS)
    assert (reading.outcome, reading.text, reading.index) == (Outcome.ANSWERED, text, index)
    assert reply[reading.begin :].casefold().startswith("<answer>")
    assert has_answered(reply)


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
        "<answer>D</answer><answer>A</answer>",
        "<answer>B because</answer>",
        "<answer>A<answer>B</answer></answer>",
        "<think>no end <answer>A</answer> and then <answer>B</answer>",
        "<think>Let me draw.</think><image_start>",
    ],
)
def test_anything_else_is_unparsable(reply: str) -> None:
    assert read_answer(reply, LETTERS) == UNPARSABLE


def test_options_that_differ_in_case_alone_are_told_apart() -> None:
    names = ("Box", "box")
    assert [read_answer(f"<answer>{n}</answer>", names).index for n in names] == [0, 1]
    assert read_answer("<answer>BOX</answer>", names) == UNPARSABLE


#: A reply, the option that the published rules read in it, and the option that a robot may act on.
DIFFERENCES = [
    ("<answer>B</answer>", 1, 1),
    ("<answer> b </answer> and so on", 1, 1),
    ("<answer>B</>", 1, None),
    ("the tag was cut\n>C</answer>", 2, None),
    (">A because of the box", 0, None),
    ("So \\boxed{B}.", 1, None),
    ("I think the answer is (C).", 2, None),
    ("the answer is: **A**", 0, None),
    ("Answer: B", 1, None),
    ("answer - c", 2, None),
    ("A. left", 0, None),
    ("B) right", 1, None),
    ("It turns **C: Right** here", 2, None),
    ("First I look.\nThen\n(B)", 1, None),
    ("C", 2, None),
    ("<think><answer>A</answer></think><answer>B</answer>", 0, 1),
    ("The answer is blue.", None, None),
    ("Box A or box B", None, None),
    ("<answer>left</answer>", None, None),
    ("<answer>D</answer>", None, None),
    ("", None, None),
]


@pytest.mark.parametrize(("reply", "published", "robot"), DIFFERENCES)
def test_how_the_published_reader_differs(
    reply: str, published: int | None, robot: int | None
) -> None:
    assert read_published(reply, len(LETTERS)) == published
    assert read_answer(reply, LETTERS).index == robot


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
        between = reply[reading.begin + len("<answer>") :].split("</answer>", 1)[0]
        assert between.strip() == reading.text
    else:
        assert reading == UNPARSABLE


@given(
    st.text(alphabet=st.characters(exclude_characters="<>"), max_size=40), st.sampled_from(LETTERS)
)
def test_a_well_formed_reply_is_always_read(thought: str, letter: str) -> None:
    reply = think_text(thought) + answer_text(letter, drawn=True)
    assert read_answer(reply, LETTERS).text == letter
