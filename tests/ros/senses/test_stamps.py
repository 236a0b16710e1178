"""Stamps that cannot be true are told apart from those that can, with the number that is wrong."""

import pytest

from ipt_ros.senses.stamps import why_incredible

S = 1_000_000_000


@pytest.mark.parametrize("stamp", [0, 90 * S, 100 * S, 100 * S + S // 2])
def test_the_past_and_a_little_ahead_are_credible(stamp):
    assert why_incredible(stamp, 100 * S, 0.5) == ""


def test_farther_ahead_is_not():
    assert "3600.0 s ahead" in why_incredible(3700 * S, 100 * S, 0.5)
    assert "stamp_max_ahead_s (0.5)" in why_incredible(101 * S, 100 * S, 0.5)


def test_nothing_is_before_time():
    assert "before time began" in why_incredible(-5 * S, 100 * S, 0.5)
