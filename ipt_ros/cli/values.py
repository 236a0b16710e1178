"""What `ipt` accepts as values of its arguments: each function takes the text and gives the value,
or says what was expected. A goal that passes here fits into its message.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

#: Metres, degrees and seconds of a command stay within this.
FAR = 1e6


def _refused(expected: str, given: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"expected {expected}, got {given!r}")


def number(least: float = -FAR, most: float = FAR) -> Callable[[str], float]:
    """A type for argparse: a finite number within bounds."""

    def check(given: str) -> float:
        try:
            value = float(given)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise _refused(f"a number from {least:g} to {most:g}", given)
        return value

    return check


def whole(least: int, most: int) -> Callable[[str], int]:
    """A type for argparse: a whole number within bounds."""

    def check(given: str) -> int:
        try:
            value = int(given)
        except ValueError:
            value = most + 1
        if not least <= value <= most:
            raise _refused(f"a whole number from {least} to {most}", given)
        return value

    return check


def seconds(given: str) -> float:
    try:
        return number(0.0)(given)
    except argparse.ArgumentTypeError:
        raise _refused(f"seconds, 0 to {FAR:g}", given) from None


def point(given: str) -> tuple[float, float]:
    try:
        x, y = (number()(part) for part in given.split(","))
    except (ValueError, argparse.ArgumentTypeError):
        raise _refused(f"x,y in metres, up to {FAR:g}", given) from None
    return x, y


def text(given: str) -> str:
    """What the shell gave as bytes of another encoding cannot be sent."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise _refused("UTF-8", os.fsencode(given).decode(errors="replace")) from None
    return given


def robot_name(given: str) -> str:
    if not re.fullmatch(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", given, re.ASCII):
        raise _refused("a node's name like ipt_node or /robot1/ipt_node", given)
    return given


def picture_file(given: str) -> str:
    """Before the question is asked: its picture may have taken the robot half a minute."""
    import cv2

    file = Path(given)
    if not cv2.haveImageWriter(file.name if file.suffix else "x.png"):
        raise argparse.ArgumentTypeError(
            f"{given}: no picture format has this suffix; try .png or .jpg"
        )
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{file.parent} is no folder")
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"{given} is a folder; name a file")
    return given
