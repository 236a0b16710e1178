"""Makes the tokenizer of the small models from the questions they are asked.

`python -m ipt_model.weights.presets.make_tokenizer` rewrites `ipt_tiny/tokenizer.json`; the same
words give the same file. The fixed parts of question templates, prompts and think sentences are
one token each, as are the numbers that motions are rounded to: a question is then a dozen tokens
instead of fifty, which is a third of a small model's work. Every other word of `words.txt` is a
token too, and anything else falls back to bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from itertools import product

from ipt_model.question import Question, Task
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.presets import preset_folder
from ipt_model.wording import prompts
from ipt_model.wording.phrasing import templates
from ipt_model.wording.tokenizer import Tokenizer

VOCABULARY = 1408
#: What `phrasing.motion_in_words` puts around its numbers.
MOTION = ("move ", "Move ", "turn ", "Turn ", " m forward", " m back", " m to the ", " and ",
          ", then turn ")  # fmt: skip
#: Longest shift (m) whose number is one token, in steps of 0.1.
LONGEST_M = 5.0
#: Sentences that came after the shipped weights, whose tokens must stay what they are.
LATER = ("told_radius",)
#: The option lines of questions that always have the same two.
OPTIONS = ("\ncloser\nfurther", "\nleft\nright", "\nno\nyes")


def corpus(style: AskingStyle) -> Iterator[str]:
    """Texts in which every word stands often enough to become a token."""
    for lines in _lines():
        yield from lines
    for draws in (True, False):
        yield style.prompt.system(draws=draws)
    for task, side in product(Task, ("left", "right")):
        question = Question(task, (), f"What is on your {side} side?")
        yield prompts.think_text(prompts.think_sentence(question))
    words = files("ipt_model.weights.presets").joinpath("words.txt").read_text(encoding="utf-8")
    for word in words.split():
        yield f"{word} {word}"  # with and without the space before it
    yield " ".join(str(n) for n in range(10)) + " 0.5 m. \n(A) \n(B) ? ' \" :"


def phrases(style: AskingStyle) -> list[str]:
    """Texts that become one token each, sorted: template parts of two words and more, prompts,
    think sentences, numbers of motions, fixed options."""
    found = {*MOTION, *OPTIONS}
    for lines in _lines():
        for line in lines:
            found.update(part for part in re.split(r"\{\w+\}", line) if len(part.split()) > 1)
    found.update(f" {line}" for line in templates()["anchored"])
    found.update(style.prompt.system(draws=draws) for draws in (True, False))
    for task, side in product(Task, ("left", "right")):
        question = Question(task, (), f"What is on your {side} side?")
        found.add(prompts.think_sentence(question))
    found.update(f"{step / 10:.1f}" for step in range(1, round(10 * LONGEST_M) + 1))
    found.update(f" {degrees} degrees" for degrees in range(5, 181, 5))
    return sorted(text for text in found if text)


def _lines() -> Iterator[tuple[str, ...]]:
    for name, lines in templates().items():
        if name not in LATER:
            yield lines


def make() -> Tokenizer:
    """The tokenizer, trained anew."""
    style = AskingStyle.load(preset_folder("ipt_tiny"))
    return Tokenizer.train(list(corpus(style)) * 4, VOCABULARY, phrases(style))


if __name__ == "__main__":
    make().save(preset_folder("ipt_tiny"))
