"""The model that understands and draws, and how to ask it. torch only: no ROS, no training.

The names that everybody speaks are here. `Imaginer` loads torch, so it is looked up late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .question import Answer, Mode, Question, Task

if TYPE_CHECKING:
    from .asking.imaginer import Imaginer

__all__ = ["Answer", "Imaginer", "Mode", "Question", "Task"]


def __getattr__(name: str) -> Any:
    if name == "Imaginer":
        from .asking.imaginer import Imaginer

        return Imaginer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
