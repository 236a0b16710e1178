"""Stamps of messages as nanoseconds."""

from __future__ import annotations

from typing import Any


def stamp_to_ns(stamp: Any) -> int:
    """Nanoseconds of a builtin_interfaces Time or Duration."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
