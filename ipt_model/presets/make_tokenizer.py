"""Makes the tokenizer of the small models from the questions they are asked.

`python -m ipt_model.presets.make_tokenizer` rewrites `ipt_tiny/tokenizer.json`; the same words
give the same file. Every word of a question template, a prompt or `words.txt` becomes one token,
anything else falls back to bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from itertools import product

from ipt_model import prompts
from ipt_model.phrasing import templates
from ipt_model.presets import preset_folder
from ipt_model.question import Question, Task
from ipt_model.recipe import Recipe
from ipt_model.tokenizer import Tokenizer

VOCABULARY = 1280


def corpus(recipe: Recipe) -> Iterator[str]:
    """Texts in which every word stands often enough to become a token."""
    for lines in templates().values():
        yield from lines
    for draws in (True, False):
        yield recipe.prompt.system(draws=draws)
    for task, side in product(Task, ("left", "right")):
        question = Question(task, (), f"What is on your {side} side?")
        yield prompts.think_text(prompts.think_sentence(question))
    words = files("ipt_model.presets").joinpath("words.txt").read_text(encoding="utf-8")
    for word in words.split():
        yield f"{word} {word}"  # with and without the space before it
    yield " ".join(str(n) for n in range(10)) + " 0.5 m. \n(A) \n(B) ? ' \" :"


def make() -> Tokenizer:
    """The tokenizer, trained anew."""
    lines = list(corpus(Recipe.load(preset_folder("ipt_tiny"))))
    return Tokenizer.train(lines * 4, VOCABULARY)


if __name__ == "__main__":
    make().save(preset_folder("ipt_tiny"))
