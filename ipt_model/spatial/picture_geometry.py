"""How the pictures of a question are laid out: the numbers that a checkpoint was trained with.

A model answers what it was trained on. Whoever shows it a map or asks it for a count takes the
side of the map, what lies behind the robot and how many frames and options there are from here.
In: the entry `pictures` of a checkpoint's `ipt.json`. The defaults are what our datasets are made
with; the robot takes the loaded checkpoint's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

#: Entries that hold several numbers.
_LISTS = {"count_most", "told_radius_m"}


@dataclass(frozen=True)
class PictureGeometry:
    """map_side_m: side of the square that a clearance map shows; map_behind_m: how much of it lies
        behind the robot.
    map_shown: paths stay within this share of the map's half side from its middle.
    robot_radius_m: "clear" means that a robot of this half width fits through.
    told_radius_m: the least and the largest half width that the model has learned to be told in
        words; empty for a model that knows robot_radius_m alone.
    count_frames: views that a count is asked over; count_apart_m: how far from the present one
        they were taken at most.
    count_options: how many counts in a row there are to choose from; count_most: the largest of
        them is one of these.
    """

    map_side_m: float = 6.4
    map_behind_m: float = 1.0
    map_shown: float = 0.94
    robot_radius_m: float = 0.15
    told_radius_m: tuple[float, ...] = ()
    count_frames: int = 4
    count_apart_m: float = 3.8
    count_options: int = 4
    count_most: tuple[int, ...] = (4, 5, 6)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            whole = name in ("count_frames", "count_options", "count_most")
            of, kind = ("a whole number", int) if whole else ("a number", (int, float))
            numbers = value if name in _LISTS else (value,)
            right = all(isinstance(n, kind) and not isinstance(n, bool) for n in numbers)
            self._check(name, right, f"{of} each" if name in _LISTS else of)
        for name in ("map_side_m", "robot_radius_m", "count_apart_m"):
            self._check(name, 0 < getattr(self, name) < math.inf, "a length above 0 m")
        told = self.told_radius_m
        self._check(
            "told_radius_m",
            not told or (len(told) == 2 and 0 < told[0] <= told[1] < math.inf),
            "nothing, or the least and the largest length above 0 m",
        )
        self._check("map_behind_m", 0 <= self.map_behind_m < self.map_side_m, "0 to map_side_m")
        self._check("map_shown", 0 < self.map_shown <= 1, "above 0 up to 1")
        self._check("count_frames", self.count_frames >= 1, "at least 1")
        self._check("count_options", self.count_options >= 2, "at least 2")
        self._check(
            "count_most",
            bool(self.count_most) and min(self.count_most) >= self.count_options - 1,
            f"numbers of at least {self.count_options - 1}, as there are {self.count_options} "
            "counts in a row",
        )

    def _check(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)!r}")

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> PictureGeometry:
        """Read what `to_dict` wrote; unknown names are an error, missing ones keep the default."""
        known = [f.name for f in fields(PictureGeometry)]
        if unknown := sorted(set(data) - set(known)):
            raise ValueError(f"unknown entries {unknown}, expected some of {known}")
        given = dict(data)
        for name in _LISTS & set(given):
            if not isinstance(given[name], list):
                raise ValueError(f"{name}: expected a list of numbers, got {given[name]!r}")
            given[name] = tuple(given[name])
        return PictureGeometry(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}
