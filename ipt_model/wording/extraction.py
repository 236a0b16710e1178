"""Reads the answer out of what the model wrote: one closed tag naming one option, or nothing.

The published evaluation falls back through eight looser patterns; a robot must not act on a letter
that happened to stand in a sentence, so anything else is UNPARSABLE and the raw reply goes to the
caller.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ..question import Outcome
from .prompts import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN

_THOUGHT = re.compile(re.escape(THINK_OPEN) + ".*?" + re.escape(THINK_CLOSE), re.DOTALL)
_ANSWER = re.compile(re.escape(ANSWER_OPEN) + "(.*?)" + re.escape(ANSWER_CLOSE), re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """What a reply says; `text` as trimmed between the tags, `index` of the option it names."""

    outcome: Outcome
    text: str = ""
    index: int | None = None


def read_answer(reply: str, names: tuple[str, ...] = ()) -> Reading:
    """Find the answer in `reply`.

    names: what the model must write to choose each option (`prompts.option_names`); empty when any
        non-empty text is an answer. Tags inside a closed think block do not count; two answers are
        none.
    """
    unparsable = Reading(Outcome.UNPARSABLE)
    spoken = _THOUGHT.sub("", reply)
    if spoken.count(ANSWER_OPEN) != 1 or spoken.count(ANSWER_CLOSE) != 1:
        return unparsable
    found = _ANSWER.search(spoken)
    if found is None or not (text := found.group(1).strip()):
        return unparsable
    if not names:
        return Reading(Outcome.ANSWERED, text)
    # a tokenizer may have composed the characters of an option
    wanted = unicodedata.normalize("NFC", text)
    chosen = [
        i for i, name in enumerate(names) if unicodedata.normalize("NFC", name).strip() == wanted
    ]
    if len(chosen) != 1:
        return unparsable
    return Reading(Outcome.ANSWERED, text, chosen[0])
