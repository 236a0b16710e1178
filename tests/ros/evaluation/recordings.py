"""A small recording of a robot that drives slowly enough for its pose to be believed."""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "training" / "bags"))
import recorded

#: Longest way between two pictures, m.
STEP_M = 0.6


@lru_cache(maxsize=1)
def driven() -> recorded.Drive:
    """From place to place through a room; at each it turns once."""
    jumping = recorded.tour(7, "room", places=4, turns=8)
    bases = [jumping.bases[0]]
    for x, y, yaw in jumping.bases[1:]:
        a, b, heading = bases[-1]
        steps = max(1, math.ceil(math.dist((a, b), (x, y)) / STEP_M))
        turn = math.remainder(yaw - heading, 2 * math.pi)
        bases += [
            (a + (x - a) * k / steps, b + (y - b) * k / steps, heading + turn * k / steps)
            for k in range(1, steps + 1)
        ]
    return recorded._seen(jumping.scene, bases)


def write(folder: Path, frames: int | None = None) -> Path:
    """frames: only the first so many."""
    made = driven()
    some = recorded.Drive(
        made.bases[:frames], made.colour[:frames], made.depth[:frames], made.camera
    )
    return recorded.write_bag(folder, made=some)
