"""How the training commands end: in one line and with an exit code.

0 done, or stopped by `--minutes` with a checkpoint; 1 the training diverged; 2 the request cannot
be fulfilled; 128 + n stopped by signal n (130 Ctrl-C, 143 SIGTERM). Anything else is a fault of
the program and keeps its trace.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable

from ipt_training.finetune.divergence import DivergenceError
from ipt_training.processes import Stopped

DIVERGED, REFUSED = 1, 2


def in_words(command: str, run: Callable[[], int]) -> int:
    """Run it; what a user can mend is said in one line."""
    try:
        return run()
    except DivergenceError as error:
        if os.environ.get("RANK", "0") == "0":  # all processes found it together
            _say(command, error)
        return DIVERGED
    except (ValueError, OSError) as error:
        _say(command, error)
        return REFUSED
    except KeyboardInterrupt as error:
        _say(command, str(error) or "stopped")
        return 128 + (error.signal if isinstance(error, Stopped) else 2)


def _say(command: str, said: object) -> None:
    print(f"{command}: {' '.join(str(said).split())}", file=sys.stderr)


def whole(text: str) -> int:
    """A number of things, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 up, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A number of things of which there must be one, for argparse."""
    if whole(text) < 1:
        raise argparse.ArgumentTypeError("expected at least 1, got 0")
    return int(text)


def minutes(text: str) -> float:
    """A time to work, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected minutes from 0 up, got {text!r}")
    return value
