"""Whether a stamp can be true by the clock that judges it. Nothing is stored that cannot: one
message from the future would make all that follow look late.
"""

from __future__ import annotations


def why_incredible(stamp_ns: int, now_ns: int, max_ahead_s: float) -> str:
    """What is wrong with a stamp, or an empty string."""
    if stamp_ns < 0:
        return f"is stamped {stamp_ns / 1e9:.1f} s, before time began"
    ahead_s = (stamp_ns - now_ns) / 1e9
    if ahead_s > max_ahead_s:
        return (
            f"is stamped {ahead_s:.1f} s ahead of the node's clock, more than stamp_max_ahead_s "
            f"({max_ahead_s:.1f}); do both share a clock, and does use_sim_time fit?"
        )
    return ""
