"""What a detector said of the pictures of a recording: names and boxes, by the stamp.

In: messages like vision_msgs/Detection2DArray, or a COCO file whose pictures are named by their
stamp in nanoseconds (`1700000000500000000.png`) or have an entry `stamp_ns`. Out: `Detection`s.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipt_training.bags.reading import BagError

#: From this score on a detection counts.
LEAST_SCORE = 0.5


class DetectionsError(BagError):
    """Detections that cannot be read; the message names the file or the entry."""


@dataclass(frozen=True)
class Detection:
    """name: of the kind of thing. box: left, top, right, bottom, pixels of the picture."""

    name: str
    box: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not all(map(math.isfinite, self.box)) or right <= left or bottom <= top:
            raise DetectionsError(f"box of {self.name!r}: expected left, top, right, bottom, "
                                  f"got {list(self.box)}")  # fmt: skip
        if not self.name.strip():
            raise DetectionsError("a detection has no name")


def of_message(message: Any) -> list[Detection]:
    """Those that are sure enough; what is no box is left out."""
    found = []
    for one in message.detections:
        named = [(str(r.hypothesis.class_id), float(r.hypothesis.score)) for r in one.results]
        name, score = max(named, key=lambda n: n[1], default=("", 0.0))
        centre = one.bbox.center.position
        half = 0.5 * float(one.bbox.size_x), 0.5 * float(one.bbox.size_y)
        x, y = float(centre.x), float(centre.y)
        if score >= LEAST_SCORE:
            try:
                found.append(Detection(name, (x - half[0], y - half[1], x + half[0], y + half[1])))
            except DetectionsError:
                continue
    return found


def of_coco(path: Path) -> dict[int, list[Detection]]:
    """By stamp, ns. A picture without annotations shows nothing, one that is not listed was not
    looked at."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        names = {one["id"]: str(one["name"]) for one in data["categories"]}
        stamps = {one["id"]: _stamp_of(one) for one in data["images"]}
        found: dict[int, list[Detection]] = {stamp: [] for stamp in stamps.values()}
        for one in data["annotations"]:
            x, y, width, height = (float(v) for v in one["bbox"])
            box = (x, y, x + width, y + height)
            found[stamps[one["image_id"]]].append(Detection(names[one["category_id"]], box))
    except KeyError as error:
        raise DetectionsError(f"{path}: has no entry or number {error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise DetectionsError(f"{path}: {error}") from error
    return found


def _stamp_of(image: dict[str, Any]) -> int:
    if "stamp_ns" in image:
        return int(image["stamp_ns"])
    stem = Path(image["file_name"]).stem
    if not stem.isdigit():
        raise DetectionsError(
            f"file_name {image['file_name']!r}: expected the stamp in ns, or an entry stamp_ns"
        )
    return int(stem)
