"""The contract of a bag: which topic is what, and how frames are chosen. A small YAML file that is
kept beside the bag, edited by a person and used again.

In: a file, or the topics of a bag to guess from. Out: a `Contract`. Every fault names the entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from ipt_training.bags.vision_types import DETECTIONS

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, ODOMETRY = "sensor_msgs/msg/CameraInfo", "nav_msgs/msg/Odometry"
#: Which types may stand in which entry.
TYPES = {
    "colour": (IMAGE, COMPRESSED),
    "depth": (IMAGE, COMPRESSED),
    "camera_info": (CAMERA_INFO,),
    "odometry": (ODOMETRY,),
    "detections": (DETECTIONS,),
}
#: The topics of tf, in every bag.
TF_TOPICS = ("/tf", "/tf_static")


class ContractError(ValueError):
    """A contract that cannot be used; the message names the entry and what was expected."""


@dataclass(frozen=True)
class Blur:
    """boxes: a file of regions. classes: only these of its classes, or all. faces: a detector's
    file."""

    boxes: str = ""
    classes: tuple[str, ...] = ()
    faces: str = ""

    @staticmethod
    def from_dict(data: Any) -> Blur:
        if not isinstance(data, dict) or set(data) - {f.name for f in fields(Blur)}:
            raise ContractError(f"blur: expected boxes, classes and faces, got {data!r}")
        for name in ("boxes", "faces"):
            if not isinstance(data.get(name, ""), str):
                raise ContractError(f"blur: {name}: expected a file, got {data[name]!r}")
        classes = data.get("classes", [])
        if not isinstance(classes, list) or not all(isinstance(c, str) and c for c in classes):
            raise ContractError(f"blur: classes: expected names, got {classes!r}")
        if classes and not data.get("boxes"):
            raise ContractError("blur: classes choose among boxes, and there is no file of boxes")
        return Blur(data.get("boxes", ""), tuple(classes), data.get("faces", ""))

    def beside(self, folder: Path) -> Blur:
        """The same with the files of a folder."""
        boxes, faces = (
            str((folder / f).absolute()) if f else "" for f in (self.boxes, self.faces)
        )
        return Blur(boxes, self.classes, faces)


@dataclass(frozen=True)
class Contract:
    """colour, depth, camera_info: topics of one camera; depth must be registered to colour.
    odometry: a topic, or empty where /tf has the pose. fixed_frame: what poses are given in.
    base_frame: the robot's own, of which a path is that of a robot. mount: with odometry, the
    camera's body frame on the base: x, y, z, roll, pitch, yaw.
    detections: a topic, a COCO file (.json), or empty. rectified: the colour topic is.
    every_s: between frames that are kept. apart_s: most between a picture and its depth.
    blur: what of the pictures nobody may see. In a contract that is loaded, files lie beside it.
    """

    colour: str
    depth: str
    camera_info: str
    odometry: str = ""
    fixed_frame: str = "odom"
    base_frame: str = "base_link"
    mount: tuple[float, ...] = ()
    detections: str = ""
    rectified: bool = False
    every_s: float = 0.5
    apart_s: float = 0.05
    blur: Blur = field(default_factory=Blur)

    def __post_init__(self) -> None:
        for name in ("colour", "depth", "camera_info", "fixed_frame", "base_frame"):
            if not getattr(self, name):
                raise ContractError(f"{name}: expected a name, got nothing")
        numbers = [float(v) for v in self.mount]
        if numbers and (len(numbers) != 6 or not all(map(math.isfinite, numbers))):
            raise ContractError(
                f"mount: expected x, y, z, roll, pitch, yaw, got {list(self.mount)}"
            )
        object.__setattr__(self, "mount", tuple(numbers))
        if self.odometry and not numbers:
            raise ContractError("mount: needed with odometry: x, y, z, roll, pitch, yaw")
        for name in ("every_s", "apart_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ContractError(f"{name}: expected a positive time, s")

    @property
    def topics(self) -> dict[str, str]:
        """Entries that are topics of the bag."""
        names = ("colour", "depth", "camera_info", "odometry", "detections")
        found = {name: getattr(self, name) for name in names}
        if self.detections_file is not None:
            del found["detections"]
        return {name: topic for name, topic in found.items() if topic}

    @property
    def detections_file(self) -> Path | None:
        """The COCO file, where detections are no topic: topics have no dots."""
        return Path(self.detections) if self.detections.endswith(".json") else None

    @staticmethod
    def from_dict(data: Any) -> Contract:
        if not isinstance(data, dict):
            raise ContractError(f"expected entries, got {type(data).__name__}")
        known = {f.name: f for f in fields(Contract)}
        if unknown := sorted(map(str, set(data) - set(known))):
            raise ContractError(f"unknown entries {unknown}, expected some of {sorted(known)}")
        for name, value in data.items():
            wanted = {"mount": list, "rectified": bool, "every_s": float, "apart_s": float}
            wanted["blur"] = dict
            kind = wanted.get(name, str)
            number = kind is float and isinstance(value, int) and not isinstance(value, bool)
            if not (isinstance(value, kind) or number):
                raise ContractError(f"{name}: expected {kind.__name__}, got {value!r}")
        missing = [n for n in ("colour", "depth", "camera_info") if n not in data]
        if missing:
            raise ContractError(f"lacks {', '.join(missing)}")
        try:
            blur = Blur.from_dict(data.get("blur", {}))
            return Contract(**{**data, "mount": tuple(data.get("mount", ())), "blur": blur})
        except (TypeError, ValueError) as error:
            raise ContractError(str(error)) from error

    @staticmethod
    def load(path: Path) -> Contract:
        try:
            found = Contract.from_dict(yaml.safe_load(path.read_text(encoding="utf-8")))
            boxes = found.detections_file
            return replace(
                found,
                blur=found.blur.beside(path.parent),
                detections=str((path.parent / boxes).absolute()) if boxes else found.detections,
            )
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ContractError) as error:
            raise ContractError(f"{path}: {error}") from error

    def text(self) -> str:
        """As a file, with a line of what each entry is."""
        blur = {**asdict(self.blur), "classes": list(self.blur.classes)}
        data = {**asdict(self), "mount": list(self.mount), "blur": blur}
        lines = ["# What the topics of this bag are. Look it over, then: ipt-bag convert"]
        for name, value in data.items():
            shown = yaml.safe_dump(value, default_flow_style=True, width=10**6).splitlines()[0]
            lines.append(f"{name}: {shown}  # {HINTS[name]}")
        return "\n".join(lines) + "\n"

    def check(self, found: Mapping[str, str]) -> None:
        """Refuse a bag without these topics. found: its topics and their types."""
        for name, topic in self.topics.items():
            if topic not in found:
                raise ContractError(
                    f"{name}: the bag has no topic {topic}; it has {', '.join(sorted(found))}"
                )
            if found[topic] not in TYPES[name]:
                raise ContractError(
                    f"{name}: {topic} is {found[topic]}, expected {' or '.join(TYPES[name])}"
                )
        if not self.odometry and "/tf" not in found:
            raise ContractError("odometry: empty, and the bag has no /tf to take poses from")


HINTS = {
    "colour": "pictures, raw or compressed",
    "depth": "registered to the pictures: 32FC1 m, 16UC1 mm or compressedDepth",
    "camera_info": "calibration of the colour camera",
    "odometry": "topic of the pose; empty: /tf and /tf_static",
    "fixed_frame": "frame that does not move, without jumps: odom rather than map",
    "base_frame": "the robot's own frame",
    "mount": "with odometry: the camera's body frame on the base, x y z roll pitch yaw",
    "detections": "a Detection2DArray topic or a COCO .json; empty: nothing is counted",
    "rectified": "true for a rectified colour topic",
    "every_s": "seconds between frames that are kept",
    "apart_s": "most seconds between a picture and its depth",
    "blur": "what nobody may see: a file of boxes, which of its classes, a face detector",
}


def guess(found: Mapping[str, str]) -> Contract:
    """A contract from the topics of a bag and their types, for a person to look over."""
    images = {topic: kind for topic, kind in found.items() if kind in (IMAGE, COMPRESSED)}
    depths = [topic for topic in images if "depth" in topic.lower()]
    colours = [
        topic
        for topic in images
        if topic not in depths
        and not topic.endswith(("/compressedDepth", "/theora"))
        and not any(word in topic.lower() for word in ("infra", "mask", "debug", "imagined"))
    ]
    infos = [topic for topic, kind in found.items() if kind == CAMERA_INFO]
    if not (colours and depths and infos):
        raise ContractError(
            "nothing to guess from: expected a colour picture, a depth picture and a calibration, "
            f"found {', '.join(sorted(found)) or 'no topics'}"
        )
    colour = min(colours, key=lambda t: ("color" not in t and "rgb" not in t, "left" not in t, t))
    depth = min(depths, key=lambda t: ("aligned" not in t, "registered" not in t, t))
    info = max(infos, key=lambda t: (_shared(t, colour), "depth" not in t))
    odometry = [topic for topic, kind in found.items() if kind == ODOMETRY]
    with_tf = "/tf" in found
    detected = [topic for topic, kind in found.items() if kind == DETECTIONS]
    return Contract(
        colour,
        depth,
        info,
        odometry="" if with_tf or not odometry else min(odometry),
        mount=() if with_tf or not odometry else (0.0,) * 6,
        detections=min(detected, default=""),
        rectified="rect" in colour,
    )


def _shared(a: str, b: str) -> int:
    """How many leading parts of two topics are the same."""
    same = 0
    for one, two in zip(a.split("/"), b.split("/"), strict=False):
        if one != two:
            break
        same += 1
    return same
