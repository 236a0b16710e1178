"""How likely the model is to answer with each option, read from its logits in one pass; nothing is
sampled.

Every option is written out as the whole reply it would be. The pass over all of them also shows
what the model would write by itself: where one of these replies is its greedy text, word for word,
that is the reply and nothing needs to be generated. Knows texts and logits, not pictures or
prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..wording.prompts import AnswerStyle
from ..wording.tokenizer import Tokenizer
from .context import Context


@dataclass(frozen=True)
class OptionLogProbabilities:
    """Of one context entry.

    log_probabilities: of writing each option at the answer's place, given that an answer begins
        there.
    mass: probability of a well-formed reply that names one of the options, against everything else
        the model might write; near 0 the model wants to do something else. greedy: index of the
        option whose reply is exactly what the model writes by itself, None if it writes something
        else.
    """

    log_probabilities: tuple[float, ...]
    mass: float
    greedy: int | None


def score_options(
    context: Context,
    tokenizer: Tokenizer,
    replies: Sequence[Sequence[str]],
    answer_style: AnswerStyle,
) -> list[OptionLogProbabilities]:
    """Score complete replies, for every entry one per option, that differ only in the option; as
    many for each entry.

    letter: the first token in which the replies differ decides. word: all tokens of the option
        count and the first after it, so that `box` is not a part of `box lid` and no length is
        favoured.
    """
    special = tokenizer.special
    texts = [[[special.bos, *tokenizer.encode(reply)] for reply in own] for own in replies]
    if len({len(own) for own in texts}) != 1 or len(texts) != context.batch:
        raise ValueError(
            f"expected equally many replies for {context.batch} entries, got "
            f"{[len(own) for own in texts]}"
        )
    columns = []
    for column in zip(*texts, strict=True):
        # What is appended comes after everything that counts, and nothing looks ahead.
        longest = max(map(len, column))
        columns.append(
            torch.tensor([ids + [special.eos] * (longest - len(ids)) for ids in column])
        )
    logits = context.logits_after(columns)
    return [
        _score(
            [row[entry, : len(ids)].float() for row, ids in zip(logits, own, strict=True)],
            own,
            special.eos,
            answer_style,
        )
        for entry, own in enumerate(texts)
    ]


def _score(
    rows: Sequence[Tensor], texts: Sequence[Sequence[int]], eos: int, answer_style: AnswerStyle
) -> OptionLogProbabilities:
    """rows: per option, the logits after each of its ids."""
    start = _common(texts)
    after = _common([text[start:][::-1] for text in texts])
    # One row per id says what follows it; eos follows the last.
    targets = [torch.tensor([*text[1:], eos], device=rows[0].device) for text in texts]
    said = [
        r.gather(1, t[:, None])[:, 0] - r.logsumexp(-1) for r, t in zip(rows, targets, strict=True)
    ]
    opening = said[0][: start - 1].sum()
    chosen = torch.stack([_of_option(row, start - 1, after, answer_style) for row in said])
    # writing stops with the reply, so what would follow it does not count
    greedy = [bool((r.argmax(-1) == t)[:-1].all()) for r, t in zip(rows, targets, strict=True)]
    return OptionLogProbabilities(
        tuple(chosen.tolist()),
        float((opening + chosen.logsumexp(0)).exp()),
        greedy.index(True) if any(greedy) else None,
    )


def normalise(log_probabilities: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Probabilities over the options alone, summing to 1."""
    scores = torch.tensor(log_probabilities, dtype=torch.float64) / temperature
    return tuple(scores.softmax(0).tolist())


def _of_option(said: Tensor, start: int, after: int, answer_style: AnswerStyle) -> Tensor:
    if answer_style == "letter":
        return said[start]
    # said has one number more than the text has ids beyond bos (the eos), hence no + 1 for "the
    # first after"
    return said[start : len(said) - after].sum()


def _common(texts: Sequence[Sequence[int]]) -> int:
    """Length of the longest common beginning."""
    length = 0
    for ids in zip(*texts, strict=False):
        if len(set(ids)) > 1:
            break
        length += 1
    return length
