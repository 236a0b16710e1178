"""The executables of this package. Each begins here, so that signals have a meaning before
anything that takes long is imported.

What they run is named and not imported: all other rooms may import this one.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ipt_ros.starting.interruption import INTERRUPTED, end_at_once


def ipt_node() -> Any:
    # a node that is told to go has done so, however early
    return _run("ipt_ros.ipt_node", 0)


def sim_node() -> Any:
    return _run("ipt_ros.sim_node", 0)


def evaluate_node() -> Any:
    return _run("ipt_ros.evaluation.node", INTERRUPTED)


def ipt() -> Any:
    return _run("ipt_ros.cli", 1)


def _run(module: str, interrupted: int) -> Any:
    """interrupted: the exit status upon a signal, until `main` gives signals a meaning of their
    own and when it has ended.
    """
    end_at_once(interrupted)
    status = import_module(module).main()
    end_at_once(interrupted)
    return status
