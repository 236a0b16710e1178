"""Places of a recording where a robot that has seen it so far could be asked, with questions that
the rest of the recording answers.

In: the frames of a recording, once, in their order. Out: `AskedPlace`s. Frames are held for a
window of time alone; what is asked at a place is answered within it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ipt_model.messages.cameras import Intrinsics
from ipt_model.spatial.maps import UNKNOWN, OccupancyGrid
from ipt_training.bags.frames import Frame
from ipt_training.bags.mining import clearance, perspective
from ipt_training.bags.mining.window import Heard, Mining, Window
from ipt_training.example import Example

#: Frames that are held together, and their bytes at most, as for rows to train on: what is asked
#: about is seen within two minutes.
WINDOW, WINDOW_BYTES = 240, 512_000_000
#: Side of the map of a place, m.
MAP_SIDE_M = 12.0


@dataclass(frozen=True)
class AskedPlace:
    """stamp_ns: of the frame A. robot: x, y, yaw there. camera: of A. examples: what is asked
    there. views: the frames B of these, by stamp. map: what was seen by the end of the window,
    around the robot.
    """

    stamp_ns: int
    robot: tuple[float, float, float]
    camera: Intrinsics
    examples: tuple[Example, ...]
    views: dict[int, Frame]
    map: OccupancyGrid


def asked_places(
    frames: Iterator[Frame], options: Mining, radius_m: float, every: int, refused: Counter[str]
) -> Iterator[AskedPlace]:
    """Of every so many frames, those at which something can be asked, in their order. radius_m:
    half width of the robot. refused: why there is no more.
    """
    window: list[Frame] = []
    earlier: list[np.ndarray] = []
    begin = first = size = 0

    def mined(end: int) -> Iterator[AskedPlace]:
        places = frozenset(k for k in range(begin, end) if (first + k) % every == 0)
        heard = Heard(places, tuple(earlier), radius_m)
        one = Window(window, options, refused, heard)
        return iter(_of_window(one))

    for frame in frames:
        window.append(frame)
        size += frame.rgb.nbytes + frame.depth_m.nbytes
        if len(window) < WINDOW and size < WINDOW_BYTES:
            continue
        # a place has a quarter of the window behind it at least, and one before it
        end = 3 * len(window) // 4
        yield from mined(end)
        cut = len(window) // 2
        earlier += [old.world_from_camera for old in window[:cut]]
        window, begin, first = window[cut:], end - cut, first + cut
        size = sum(one.rgb.nbytes + one.depth_m.nbytes for one in window)
    if begin < len(window):
        yield from mined(len(window))


def _of_window(window: Window) -> Iterator[AskedPlace]:
    if not window.asked_at:
        return
    at: dict[int, list[Example]] = {}
    for kind in (perspective, clearance):
        for _, example in kind.questions(window):
            at.setdefault(example.facts["stamps_ns"][0], []).append(example)
    by_stamp = {frame.stamp_ns: k for k, frame in enumerate(window.frames)}
    for stamp_ns, examples in sorted(at.items()):
        a = by_stamp[stamp_ns]
        asked = {s for example in examples for s in example.facts["stamps_ns"][1:]}
        yield AskedPlace(
            stamp_ns,
            window.robot(a),
            window.frames[a].camera,
            tuple(examples),
            {s: window.frames[by_stamp[s]] for s in asked},
            _map(window, a),
        )


def _map(window: Window, a: int) -> OccupancyGrid:
    x, y, _ = window.robot(a)
    cells = round(MAP_SIDE_M / clearance.CELL_M)
    blank = OccupancyGrid(
        np.full((cells, cells), UNKNOWN, np.int8),
        clearance.CELL_M,
        (x - 0.5 * MAP_SIDE_M, y - 0.5 * MAP_SIDE_M),
    )
    return window.everything.occupancy(
        blank, clearance.ROBOT_HEIGHT_M, window.floor_m(a), clearance.FOOTPRINT_M
    )
