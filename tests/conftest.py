"""What holds for all tests: no example of hypothesis is too slow for a busy machine; which tests
`-m "not slow"` leaves out, and which begin first.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# A shell ignores Ctrl-C for what it starts in the background, and every process started from there
# would ignore it too, those that a test interrupts among them.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first, so that of several workers none ends long after the
    others. Whoever asks for a domain starts nodes in it and is slow.
    """
    seconds: dict[Path, float] = {}
    for item in items:
        if "ros_domain" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
        for mark in item.iter_markers("slow"):
            seconds[item.path] = max(seconds.get(item.path, 0), *mark.args, 20)
    items.sort(key=lambda item: -seconds.get(item.path, 0))
