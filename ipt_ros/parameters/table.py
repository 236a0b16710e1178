"""Parameters of a node from one table: declared, checked while running, read as a frozen snapshot.

In: a table of `Parameter`. Out: `LiveParameters`, whose `values` is replaced as a whole by every
accepted change, so a thread that took a snapshot never sees half of one. The table itself knows
nothing about ROS: the parameter page, the YAML files and their tests read the same rows that the
node declares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.node import Node

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]


class ParameterError(ValueError):
    """A value that a parameter cannot take; the message names it, what was given and what was
    expected.
    """


@dataclass(frozen=True)
class Parameter:
    """One row. The type is that of the default: bool, int, float, str, or a non-empty tuple of one
    of them.

    minimum, maximum: inclusive, for numbers; also for each number of a tuple. choices: the only
    values allowed; also for each value of a tuple. read_only: settable at start only, because what
    depends on it is made once.
    """

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Scalar, ...] = ()
    read_only: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ParameterError(f"{self.name!r} is no parameter name")
        if self.default == ():
            raise ParameterError(f"{self.name}: ROS cannot tell the type of an empty list")
        self.check(self.default)

    @property
    def kind(self) -> type[Any]:
        """Type of the value, or of each value of a tuple."""
        return type(self.default[0]) if isinstance(self.default, tuple) else type(self.default)

    @property
    def type_name(self) -> str:
        """As `ros2 param describe` says it."""
        name = {bool: "bool", int: "integer", float: "double", str: "string"}[self.kind]
        return f"{name} array" if isinstance(self.default, tuple) else name

    @property
    def allowed(self) -> str:
        """The values allowed, in words; empty when every value of the type is."""
        if self.choices:
            return "one of " + ", ".join(repr(c) if c == "" else str(c) for c in self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}"
        return f"at most {self.maximum:g}" if self.maximum is not None else ""

    def check(self, value: Any) -> Value:
        """The value as it is kept (lists become tuples), or a ParameterError."""
        several = isinstance(self.default, tuple)
        if several != (not isinstance(value, str) and isinstance(value, Iterable)):
            raise self._refusal(value)
        items: tuple[Any, ...] = tuple(value) if several else (value,)
        if not items:
            raise self._refusal(value)
        for item in items:
            # bool is an int to Python, never to ROS
            if type(item) is not self.kind:
                raise self._refusal(value)
            if self.kind is float and not math.isfinite(item):
                raise self._refusal(value)
            if self.choices and item not in self.choices:
                raise self._refusal(value)
            low = self.minimum is not None and item < self.minimum
            if low or (self.maximum is not None and item > self.maximum):
                raise self._refusal(value)
        return items if several else items[0]

    def _refusal(self, value: Any) -> ParameterError:
        hint = ""
        if self.kind is float and type(value) is int:
            hint = f"; write {value}.0"
        expected = f"{self.type_name} {self.allowed}".strip()
        return ParameterError(f"{self.name}: expected {expected}, got {value!r}{hint}")


class Values(Mapping[str, Value]):
    """A snapshot that cannot be changed: `values.rate`, or `values["rate"]`."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.__dict__.update(values)
        self.__dict__["_values"] = dict(values)

    def __getattr__(self, name: str) -> Any:  # reached for unknown names only
        raise AttributeError(
            f"no parameter {name!r}; there are {sorted(self.__dict__['_values'])}"
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a snapshot of parameters cannot be changed; set them on the node")

    def __getitem__(self, name: str) -> Value:
        return self.__dict__["_values"][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__["_values"])

    def __len__(self) -> int:
        return len(self.__dict__["_values"])


#: Says why values that are each allowed do not go together, or None.
Check = Callable[[Values], str | None]
OnChange = Callable[[Values], None]


def defaults(table: Iterable[Parameter]) -> Values:
    """The snapshot of a node that was given nothing."""
    return Values({row.name: row.default for row in table})


def checked(
    table: Iterable[Parameter],
    current: Mapping[str, Value],
    changes: Mapping[str, Any],
    check: Check | None = None,
) -> Values:
    """The snapshot after the changes, or a ParameterError. Names outside the table are not ours
    and are skipped.
    """
    values = dict(current)
    for row in table:
        if row.name in changes:
            values[row.name] = row.check(changes[row.name])
    snapshot = Values(values)
    reason = check(snapshot) if check else None
    if reason:
        raise ParameterError(reason)
    return snapshot


class LiveParameters:
    """The parameters of a running node. `values` is the newest accepted snapshot."""

    def __init__(self, node: Node, table: Sequence[Parameter], check: Check | None) -> None:
        self._node, self._table, self._check = node, tuple(table), check
        self._listeners: list[OnChange] = []
        given = {}
        for row in self._table:
            given[row.name] = _declare(node, row)
        self.values = checked(self._table, given, given, check)
        node.add_on_set_parameters_callback(self._validate)
        node.add_post_set_parameters_callback(self._accept)

    def on_change(self, listener: OnChange) -> None:
        """Call `listener` with the new snapshot after every accepted change."""
        self._listeners.append(listener)

    def _validate(self, parameters: Sequence[Any]) -> Any:
        from rcl_interfaces.msg import SetParametersResult

        try:
            checked(self._table, self.values, {p.name: p.value for p in parameters}, self._check)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _accept(self, parameters: Sequence[Any]) -> None:
        mine = {row.name for row in self._table} & {p.name for p in parameters}
        if not mine:
            return
        changes = {p.name: p.value for p in parameters}
        self.values = checked(self._table, self.values, changes, self._check)
        for listener in self._listeners:
            listener(self.values)


def declare(node: Node, table: Sequence[Parameter], check: Check | None = None) -> LiveParameters:
    """Declare every row on the node, with the values given at start; a bad one is a
    ParameterError.
    """
    return LiveParameters(node, table, check)


def _declare(node: Node, row: Parameter) -> Any:
    from rcl_interfaces.msg import ParameterDescriptor

    # Types and ranges stay out of the descriptor's own fields: rclpy would refuse before us, in
    # words that say less, and it lets NaN through.
    descriptor = ParameterDescriptor(
        description=row.description,
        additional_constraints=f"{row.type_name} {row.allowed}".strip(),
        read_only=row.read_only,
        dynamic_typing=True,
    )
    default = list(row.default) if isinstance(row.default, tuple) else row.default
    return node.declare_parameter(row.name, default, descriptor).value
