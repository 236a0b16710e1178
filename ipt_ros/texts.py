"""Cuts what others wrote before it is repeated in errors, logs, diagnostics and results.

Half a megabyte of a question must not come back in every one of them, once a second.
"""

from __future__ import annotations

#: Longest texts of others that are repeated, characters: in an error, and inside a sentence of it.
MOST, MOST_INSIDE = 1000, 80


def cut(text: object, most: int = MOST) -> str:
    """The text, or its beginning and its end with a word about what was left out."""
    whole = str(text)
    if len(whole) <= most:
        return whole
    tail = most // 4
    left_out = len(whole) - most
    return f"{whole[: most - tail]} [{left_out} characters left out] {whole[-tail:]}"
