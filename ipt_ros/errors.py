"""What can go wrong with a question, as the asker sees it: a code of `msg/ErrorCode.msg` and a
text that helps.

ROS-free, so that every module beside the nodes can raise these without generated messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from ipt_model.messages.faults import MessageFault
from ipt_ros.texts import cut


class ErrorCode(IntEnum):
    """The constants of `msg/ErrorCode.msg` (a test holds them equal)."""

    NONE = 0
    UNKNOWN = 10100
    NOT_ACTIVE = 10101
    BUSY = 10102
    CANCELLED = 10103
    NO_IMAGE = 10104
    BAD_IMAGE = 10105
    NO_CAMERA_INFO = 10106
    BAD_CAMERA_INFO = 10107
    NO_POSE = 10108
    STALE_VIEW = 10109
    TIME_JUMP = 10110
    UNKNOWN_FRAME = 10111
    BAD_GOAL = 10112
    EMPTY_PATH = 10113
    NO_MAP = 10114
    MODEL_FAILED = 10115
    OUT_OF_MEMORY = 10116
    BAD_DEPTH = 10117
    BAD_MAP = 10118
    TOO_FEW_VIEWS = 10119


def is_out_of_memory(error: BaseException) -> bool:
    """torch says it in a class of its own on a GPU, and in a RuntimeError's text on a CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text


class GoalError(Exception):
    """This question cannot be answered now. `text` says what was found and what to do about it."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        text = cut(text)  # it may hold what others wrote
        super().__init__(f"{code.name} ({int(code)}): {text}")
        self.code = code
        self.text = text


@contextmanager
def told(error: type[GoalError] = GoalError) -> Iterator[None]:
    """What is wrong with a message, said as an error of this kind."""
    try:
        yield
    except MessageFault as fault:
        raise error(ErrorCode[fault.kind], fault.text) from None
