"""Messages of any type with the values that drivers, bridges and attackers send: NaN, extremes,
empty and endless texts, lists of any length, stamps before time began.
"""

from __future__ import annotations

import importlib
import math
import random
from typing import Any

from rosidl_parser.definition import (
    AbstractSequence,
    Array,
    BasicType,
    BoundedSequence,
    NamespacedType,
)

NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e18, -1e308, 1e-300, 0.5)
TEXTS = ("", " ", "/", "nowhere", "rgb8", "odom", "x" * 5000, "é" * 300, "%s%n{0}", "</answer>")


def hostile(message: Any, rng: random.Random, share: float = 0.5) -> Any:
    """The message with about `share` of its values spoiled, in place."""
    for name, kind in zip(message.get_fields_and_field_types(), message.SLOT_TYPES, strict=True):
        value = getattr(message, name)
        if isinstance(kind, NamespacedType):
            hostile(value, rng, share)
        elif rng.random() < share:
            setattr(message, name, _spoiled(kind, rng, share))
    return message


def _spoiled(kind: Any, rng: random.Random, share: float) -> Any:
    if isinstance(kind, Array):
        return [_spoiled(kind.value_type, rng, share) for _ in range(kind.size)]
    if isinstance(kind, AbstractSequence):
        most = kind.maximum_size if isinstance(kind, BoundedSequence) else 2000
        small = isinstance(kind.value_type, BasicType)
        length = min(most, rng.choice([0, 1, 3, 1000 if small else 5]))
        return [_spoiled(kind.value_type, rng, share) for _ in range(length)]
    if isinstance(kind, NamespacedType):
        of = getattr(importlib.import_module(".".join(kind.namespaces)), kind.name)
        return hostile(of(), rng, share)
    if isinstance(kind, BasicType):
        return _number(kind.typename, rng)
    return rng.choice(TEXTS)


def _number(kind: str, rng: random.Random) -> Any:
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "octet":
        return bytes([rng.randrange(256)])
    if kind == "float":
        return rng.choice([n for n in NUMBERS if not 1e30 < abs(n) < math.inf])
    if kind == "double":
        return rng.choice(NUMBERS)
    bits = int("".join(c for c in kind if c.isdigit()))
    low, high = (
        (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    return rng.choice([low, high, 0, 1, rng.randint(low, high)])
