"""Parameters of a node as launch arguments: one for each row of its table, so that whatever the
documentation names is an argument.

An argument that was not given says nothing: the parameter file, and below it the node's default,
decide. What was given is read as a parameter of that row's type, and refused here, before anything
starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ipt_ros.parameters.table import Parameter

USE_SIM_TIME = Parameter(
    "use_sim_time",
    False,
    "Take the time from /clock, as a simulator or a bag gives it.",
    read_only=True,
)


def arguments_of(rows: Iterable[Parameter]) -> list[Any]:
    """A `DeclareLaunchArgument` for each row; its default, the empty text, is `not given`."""
    from launch.actions import DeclareLaunchArgument

    found = []
    for row in rows:
        allowed = f" ({row.allowed})" if row.allowed else ""
        described = f"{row.description.rstrip('.')}{allowed}. Not given: as in the parameter file."
        found.append(DeclareLaunchArgument(row.name, default_value="", description=described))
    return found


def given(configurations: Mapping[str, str], rows: Iterable[Parameter]) -> dict[str, Any]:
    """The parameters that the user gave as arguments, as launch_ros takes them."""
    from launch_ros.parameter_descriptions import ParameterValue

    found = {}
    for row in rows:
        if argument := configurations.get(row.name, ""):
            value = value_of(row, argument)
            # a bare text would be read as YAML once more: model:=7 is no number
            text = isinstance(value, str)
            found[row.name] = ParameterValue(value, value_type=str) if text else value
    return found


def value_of(row: Parameter, argument: str) -> Any:
    """The argument as a value of the row: YAML, where whole numbers do for floats. Else a
    `ParameterError`.
    """
    if isinstance(row.default, str):
        return row.check(argument)
    try:
        value = yaml.safe_load(argument)
    except yaml.YAMLError:
        value = argument  # the check says what was expected
    if row.kind is float:
        value = [_float(v) for v in value] if isinstance(value, list) else _float(value)
    value = row.check(value)
    return list(value) if isinstance(value, tuple) else value


def _float(value: Any) -> Any:
    """YAML takes 1 for a whole number and 1e-3 for text."""
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return value
