"""What is wrong with a message: one error for everything that a topic or a bag may bring."""

from __future__ import annotations


class MessageFault(ValueError):
    """kind: the name of a constant of msg/ErrorCode.msg, or of a reason of its own. text: what was
    found and what was expected."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text
