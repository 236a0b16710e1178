"""Reads the answer out of what the model wrote: the first closed tag, if it names one option, or
nothing.

The published evaluation falls back through looser patterns; a robot must not act on a letter that
happened to stand in a sentence, so anything else is UNPARSABLE and the raw reply goes to the
caller. `read_published` is that other reader, for comparison with published tables alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..question import Outcome
from .prompts import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN

_THOUGHT = re.compile(
    re.escape(THINK_OPEN) + ".*?" + re.escape(THINK_CLOSE), re.DOTALL | re.IGNORECASE
)
_UNENDED = re.compile(re.escape(THINK_OPEN), re.IGNORECASE)
_OPEN = re.compile(re.escape(ANSWER_OPEN), re.IGNORECASE)
_ANSWER = re.compile(
    re.escape(ANSWER_OPEN) + "(.*?)" + re.escape(ANSWER_CLOSE), re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True)
class Reading:
    """What a reply says; `text` as trimmed between the tags, `index` of the option it names,
    `begin` where the answer's tag opens."""

    outcome: Outcome
    text: str = ""
    index: int | None = None
    begin: int = 0


def read_answer(reply: str, names: tuple[str, ...] = ()) -> Reading:
    """Find the answer in `reply`.

    names: what the model must write to choose each option (`prompts.option_names`), in any case of
        letters where that says which; empty when any non-empty text is an answer. Tags inside a
        closed think block do not count, nor anything after the first closed answer.
    """
    unparsable = Reading(Outcome.UNPARSABLE)
    found = _first_answer(reply)
    if found is None or not (text := found.group(1).strip()):
        return unparsable
    if not names:
        return Reading(Outcome.ANSWERED, text, None, found.start())
    # a tokenizer may have composed the characters of an option
    plain = [unicodedata.normalize("NFC", name).strip() for name in names]
    wanted = unicodedata.normalize("NFC", text)
    chosen = [i for i, name in enumerate(plain) if name == wanted]
    chosen = chosen or [i for i, name in enumerate(plain) if name.casefold() == wanted.casefold()]
    if len(chosen) != 1:
        return unparsable
    return Reading(Outcome.ANSWERED, text, chosen[0], found.start())


def has_answered(reply: str) -> bool:
    """Whether a closed answer stands in it: nothing that follows can change what is read."""
    return _first_answer(reply) is not None


def _first_answer(reply: str) -> re.Match[str] | None:
    """The first closed answer outside thoughts; none within a thought that never ends."""
    spoken = _THOUGHT.sub(lambda found: " " * len(found.group()), reply)
    found = _ANSWER.search(spoken)
    if found is None or _OPEN.search(found.group(1)):
        return None
    unended = _UNENDED.search(spoken)
    return None if unended is not None and unended.start() < found.start() else found


def read_published(reply: str, options: int) -> int | None:
    """Which option the published evaluation would read in a reply: the first rule that finds a
    letter decides. Some find letters in sentences, so this is for its tables alone.
    """
    letters = "ABCDE"[:options]
    for rule in _published_rules(letters):
        found = rule(reply)
        if found is not None and (letter := found.upper()) in letters:
            return letters.index(letter)
    return None


def _published_rules(letters: str) -> Sequence[Callable[[str], str | None]]:
    one = f"([{letters}])"
    closed = r"(?:</answer>|</>)"

    def first(pattern: str) -> Callable[[str], str | None]:
        rule = re.compile(pattern, re.IGNORECASE)
        return lambda reply: found.group(1) if (found := rule.search(reply)) else None

    def last_line(reply: str) -> str | None:
        line = reply.strip().rsplit("\n", 1)[-1].strip(" \t.()")
        return line if len(line) == 1 else None

    return (
        first(rf"<answer>\s*([A-E])\s*{closed}"),
        # the opening tag was cut off: what is left of it stands at the start of the last line
        lambda reply: first(rf"\A\s*>?\s*([A-E])\s*(?:{closed}|\Z)")(reply.rsplit("\n", 1)[-1]),
        first(r"(?:\A|\n)>([A-E])\b"),
        first(rf"\\boxed\{{{one}\}}"),
        first(rf"answer is\s*[:\-]?\s*[(*]*{one}(?:[)*\s.]|\Z)"),
        first(rf"answer\s*[:\-]\s*\(?{one}"),
        first(rf"\A\s*{one}[.):]\s"),
        first(rf"\*\*{one}(?:[:\s][^\n]*?)?\*\*"),
        last_line,
    )
