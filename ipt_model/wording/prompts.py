"""The words around a question: system prompts, options, think sentences, answers, and their order.

One `PromptStyle` belongs to one checkpoint and is read from its folder, so that training,
evaluation and the robot say the same thing: the trainer and `Imaginer` both call the functions
here. Everything is plain text; the tags are no special tokens. Knows nothing of token ids.

What is verbatim: the tags, the option lines `\\n(A) choice`, the newline that opens a system
prompt, the odd `</image_end>` in the prompt against `<image_end>` in the targets, the order of the
parts, and the think sentences for perspective, path and counting follow the published training
recipe. The two system prompts say what the published ones say in our own words: to run a
checkpoint tuned on the published strings, put those strings into `system_think` and
`system_answer` of its `ipt.json`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ..question import Question, Task
from ..tags import ANSWER_CLOSE, ANSWER_OPEN, IMAGE_END, IMAGE_START, TAGS, THINK_CLOSE, THINK_OPEN

__all__ = [
    "ANSWER_CLOSE",
    "ANSWER_OPEN",
    "IMAGE_END",
    "IMAGE_START",
    "TAGS",
    "THINK_CLOSE",
    "THINK_OPEN",
    "AnswerStyle",
    "Options",
    "Order",
    "Picture",
    "PromptStyle",
    "answer_text",
    "natural_order",
    "option_names",
    "prompt_parts",
    "question_text",
    "think_sentence",
    "think_text",
]

SYSTEM_THINK = """
Reason one step at a time before you answer. Put written reasoning between <think> and </think>, \
and reasoning by picture between <image_start> and {image_end}. Then give the final answer \
between <answer> and </answer>.
"""
SYSTEM_ANSWER = """
Answer the question at once, with the answer between <answer> and </answer>. Write no reasoning \
and draw no picture.
"""

#: Ends a block of options, as the published evaluation does.
SELECT = "Please select the correct answer from the options above. \n"
#: How a model names the option it chose: the letter of its line, or the option's own words.
AnswerStyle = Literal["letter", "word"]
#: Where the pictures go: before all text (as trained), or between system prompt and question (as
#: evaluated).
Order = Literal["images_first", "system_first"]
#: How options stand behind a question that is answered by letter: a line `(A) choice` each, behind
#: the question as `A) choice B) choice`, or as the published evaluation lists them.
Options = Literal["lines", "inline", "block"]


@dataclass(frozen=True)
class PromptStyle:
    """How one checkpoint was trained to be asked.

    system_think, system_answer: None takes the built-in prompts; an empty string leaves the prompt
        out.
    answer_mode_prompt: which of the two opens a question that is answered without drawing (models
        trained by label only or by text chain-of-thought know the `think` prompt alone).
    options: how they are written for letters.
    markers: whether the question opens with a mark for each picture, as in the published
        evaluation and in no training.
    published: whether it was tuned on the published system prompts, which are not in this package.
    image_end_in_prompt: the closing picture tag as the built-in THINK prompt writes it; the
        published prompt says `</image_end>` although the targets close with `<image_end>`.
    """

    answer_style: AnswerStyle = "letter"
    order: Order = "images_first"
    system_think: str | None = None
    system_answer: str | None = None
    answer_mode_prompt: Literal["answer", "think"] = "answer"
    image_end_in_prompt: str = "</image_end>"
    options: Options = "lines"
    markers: bool = False
    published: bool = False

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("answer_style", self.answer_style, ("letter", "word")),
            ("order", self.order, ("images_first", "system_first")),
            ("answer_mode_prompt", self.answer_mode_prompt, ("answer", "think")),
            ("options", self.options, ("lines", "inline", "block")),
        ):
            if value not in allowed:
                raise ValueError(f"prompt.{name}: expected one of {list(allowed)}, got {value!r}")

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> PromptStyle:
        """Read what `to_dict` wrote; unknown names are an error, missing ones keep the default."""
        known = {f.name for f in fields(PromptStyle)}
        if unknown := sorted(set(data) - known):
            raise ValueError(
                f"prompt: unknown entries {unknown}, expected some of {sorted(known)}"
            )
        return PromptStyle(**data)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def system(self, *, draws: bool) -> str:
        """The system prompt for an answer with (`draws`) or without a drawing."""
        if draws or self.answer_mode_prompt == "think":
            if self.system_think is not None:
                return self.system_think
            return SYSTEM_THINK.format(image_end=self.image_end_in_prompt)
        return SYSTEM_ANSWER if self.system_answer is None else self.system_answer


@dataclass(frozen=True)
class Picture:
    """A place in the prompt where `Question.images[index]` goes."""

    index: int


def prompt_parts(
    question: Question, style: PromptStyle, *, draws: bool
) -> tuple[str | Picture, ...]:
    """The prompt in order: each text one text segment, each `Picture` one input picture."""
    system = style.system(draws=draws)
    pictures = [Picture(i) for i in range(len(question.images))]
    asked = question_text(question, style.answer_style, style.options)
    if style.markers:
        asked = " ".join([*(f"<img><|image_{i + 1}|></img>" for i in range(len(pictures))), asked])
    if style.order == "images_first":
        return (*pictures, system + asked)
    return (*([system] if system else []), *pictures, asked)


def question_text(
    question: Question, answer_style: AnswerStyle, options: Options = "lines"
) -> str:
    """The question with its options.

    Letters: as `options` says, in the caller's order. Words: one line per option,
    the bare words as they will stand in the answer, in a fixed order of their own, so that the
    answer cannot depend on the order in which the caller lists them.
    """
    text = question.text.strip()
    if not question.options:
        return text
    if answer_style == "letter":
        lines = list(zip(string.ascii_uppercase, question.options, strict=False))
        if options == "inline":
            return text + "".join(f" {letter}) {option}" for letter, option in lines)
        if options == "block":
            listed = "".join(f"{letter}. {option}\n" for letter, option in lines)
            return f"{text}\nOptions:\n{listed}{SELECT}"
        return text + "".join(f"\n({letter}) {option}" for letter, option in lines)
    return text + "".join(f"\n{option}" for option in sorted(question.options, key=natural_order))


def natural_order(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sorting key under which `2 chairs` comes before `10 chairs`."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(p), p) if p[0] in string.digits else (1, 0, p) for p in pieces)


def option_names(question: Question, answer_style: AnswerStyle) -> tuple[str, ...]:
    """What the model writes between the answer tags to choose each option."""
    if answer_style == "letter":
        return tuple(string.ascii_uppercase[: len(question.options)])
    return question.options


def think_text(think: str) -> str:
    """The text segment that precedes a drawing."""
    return f"{THINK_OPEN}{think}{THINK_CLOSE}{IMAGE_START}"


def answer_text(name: str, *, drawn: bool) -> str:
    """The text segment that answers; after a drawing it first closes the picture."""
    return f"{IMAGE_END if drawn else ''}{ANSWER_OPEN}{name}{ANSWER_CLOSE}"


def think_sentence(question: Question) -> str:
    """The sentence that introduces a drawing when neither the caller nor the model has written
    one.
    """
    if question.think is not None:
        return question.think
    if question.task is Task.PATH:
        sides = set(re.findall(r"\b(left|right)\b", question.text.lower()))
        side = f"on my {sides.pop()}" if len(sides) == 1 else "around me"
        return f"Here's what's {side} at midpoint M1."
    return {
        Task.PERSPECTIVE: "Visualizing the scene from the new perspective.",
        Task.COUNTING: "Use the top-down map to reason.",
        Task.CLEARANCE: "Completing the map along the path.",
    }.get(question.task, "Picturing what is out of sight.")
