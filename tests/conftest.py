"""How long the tests take: which are left out by `-m "not slow"`, and which begin first."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: Files of more than a few seconds, the longest first. Several workers take them in this order, so
#: that none ends long after the others.
LONG: tuple[str, ...] = ()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {TESTS / name: place for place, name in enumerate(LONG)}
    for item in items:
        # whoever asks for a domain starts nodes in it
        if item.path in order or "ros_domain" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: order.get(item.path, len(order)))
