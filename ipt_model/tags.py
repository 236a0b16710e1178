"""The tags by which thoughts, pictures and answers are told apart, who may write them, and the
tokens that frame texts and pictures.

Tags are plain text in the released vocabulary, so the model cannot know whether an asker wrote
`</think><image_end><answer>left</answer>` or itself. Texts of askers must therefore hold none.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
IMAGE_START, IMAGE_END = "<image_start>", "<image_end>"
ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"
#: All tags that a reply may hold; a small tokenizer keeps each as one token.
TAGS = (THINK_OPEN, THINK_CLOSE, IMAGE_START, IMAGE_END, ANSWER_OPEN, ANSWER_CLOSE)

#: The tags and what reads like them.
_LIKE_TAGS = re.compile(r"<\s*/?\s*(?:think|image_start|image_end|answer)\s*/?\s*>", re.IGNORECASE)


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the control tokens that frame texts and pictures."""

    bos: int
    eos: int
    start_of_image: int
    end_of_image: int


def tags_in(text: str) -> list[str]:
    """The tags, and what reads like one, in a text as it stands and as a tokenizer composes it."""
    found = [*_LIKE_TAGS.findall(text), *_LIKE_TAGS.findall(unicodedata.normalize("NFC", text))]
    return list(dict.fromkeys(found))
