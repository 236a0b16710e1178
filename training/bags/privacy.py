"""What nobody may see of a recording: regions are blurred before a frame is remembered or written.

In: the entry `blur` of a contract. It stands there and in no option, because the contract is the
file that is kept beside the bag and used again: what was once hidden stays hidden in every later
run. Out: pictures of which boxes hold no more than 4 x 4 shades.

`boxes` names a YAML or JSON file of COCO's form, pixels of the recorded picture:

    always:                                       # in every picture: the robot's own screen
      - {bbox: [10, 20, 100, 60], class: screen}  # left, top, width, height
    images: [{id: 1, stamp_ns: 1700000000500000000, width: 640, height: 480}]
    annotations: [{image_id: 1, category_id: 7, bbox: [300, 40, 80, 200]}]
    categories: [{id: 7, name: person}]

Once there are `images`, a picture that is none of them is left out: nobody looked at it. `faces`
names a detector: a YuNet network (.onnx) or, where OpenCV still has them, a cascade (.xml).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from ipt_model.messages.faults import MessageFault
from ipt_training.bags.contract import Blur, ContractError

FACE = "face"
#: Shades that are left along each side of a box, and how far it is grown on each side.
SHADES, GROWN = 4, 0.15
#: How sure a detector must be of a face: one too many is blurred rather than one too few.
FACE_SCORE = 0.5
#: A box is of the picture with its stamp; writers of JSON round the last digits, ns.
SAME_STAMP_NS = 1_000_000

Box = tuple[float, float, float, float]
#: H x W x 3 RGB to boxes.
Finder = Callable[[np.ndarray], list[Box]]


class PrivacyError(ContractError):
    """What is to be blurred is not clear, or does not fit the pictures; nothing may be written."""


@dataclass(frozen=True)
class Region:
    """A box (left, top, width, height; px) of a class. size: of the picture it was drawn in."""

    box: Box
    name: str
    size: tuple[int, int] | None = None


class Privacy:
    """Blurs what one contract says. counts: regions by class that were blurred so far."""

    def __init__(
        self,
        always: Sequence[Region] = (),
        by_stamp: Mapping[int, Sequence[Region]] | None = None,
        faces: Finder | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.always, self.by_stamp, self.faces = tuple(always), by_stamp, faces
        #: SHA-256 of the files that were used, by entry.
        self.digests = dict(digests or {})
        self.counts: Counter[str] = Counter()
        self._stamps = np.array(sorted(by_stamp or ()), np.int64)

    @staticmethod
    def load(blur: Blur) -> Privacy:
        """Raises PrivacyError, naming the file and what is wrong with it."""
        always: list[Region] = []
        by_stamp = faces = None
        digests = {}
        if blur.boxes:
            digests["boxes"], data = _read(Path(blur.boxes), "boxes")
            always, by_stamp = _regions(data, blur, Path(blur.boxes))
        if blur.faces:
            digests["faces"], _ = _read(Path(blur.faces), "faces", parse=False)
            faces = face_finder(Path(blur.faces))
        return Privacy(always, by_stamp, faces, digests)

    def blurred(self, rgb: np.ndarray, stamp_ns: int) -> np.ndarray:
        """The picture with its regions blurred; the given one is not changed."""
        regions = [*self.always, *self._looked_at(stamp_ns)]
        if self.faces is not None:
            regions += [Region(box, FACE) for box in self.faces(rgb)]
        if not regions:
            return rgb
        out = rgb.copy()
        for region in regions:
            left, top, right, bottom = _clipped(region, rgb.shape[1], rgb.shape[0])
            out[top:bottom, left:right] = coarse(out[top:bottom, left:right])
            self.counts[region.name] += 1
        return out

    def _looked_at(self, stamp_ns: int) -> Sequence[Region]:
        if self.by_stamp is None:
            return ()
        near = np.abs(self._stamps - stamp_ns)
        if not near.size or near.min() > SAME_STAMP_NS:
            raise MessageFault("not looked at", "the file of boxes has no image with this stamp")
        return self.by_stamp[int(self._stamps[near.argmin()])]


def coarse(pixels: np.ndarray) -> np.ndarray:
    """Means of at most 4 x 4 parts, smoothed: whatever the box, no more can be got back."""
    height, width = pixels.shape[:2]
    few = min(SHADES, width), min(SHADES, height)
    # INTER_AREA on both ways down: every pixel weighs the same, none shines through
    small = cv2.resize(pixels, few, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return cv2.GaussianBlur(large, (0, 0), max(width, height) / (2 * SHADES))


def _clipped(region: Region, width: int, height: int) -> tuple[int, int, int, int]:
    """The grown box within a picture: left, top, right, bottom."""
    x, y, w, h = region.box
    if region.size not in (None, (width, height)):
        raise PrivacyError(
            f"blur: boxes were drawn in pictures of {region.size}, these have {(width, height)}"
        )
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise PrivacyError(
            f"blur: {region.name} {list(region.box)} lies outside a picture of {width} x {height}"
        )
    left, right = x - GROWN * w, x + (1 + GROWN) * w
    top, bottom = y - GROWN * h, y + (1 + GROWN) * h
    return (
        max(0, math.floor(left)),
        max(0, math.floor(top)),
        min(width, math.ceil(right)),
        min(height, math.ceil(bottom)),
    )


# -- files
def _read(path: Path, entry: str, parse: bool = True) -> tuple[str, Any]:
    """(digest, what it says)"""
    try:
        raw = path.read_bytes()
        # every JSON is YAML
        said = yaml.load(raw, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if parse else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise PrivacyError(f"blur: {entry}: {path}: {error}") from error
    return hashlib.sha256(raw).hexdigest(), said


def _regions(
    data: Any, blur: Blur, path: Path
) -> tuple[list[Region], dict[int, list[Region]] | None]:
    def fault(text: str) -> PrivacyError:
        return PrivacyError(f"blur: boxes: {path}: {text}")

    if not isinstance(data, dict) or not set(data) & {"always", "images"}:
        raise fault("expected the entries always, or images, annotations and categories")
    if not blur.classes and "annotations" in data and not data.get("categories"):
        raise fault("annotations need categories, which name their classes")
    listed = {n: data.get(n) or [] for n in ("always", "images", "annotations", "categories")}
    for name, entries in listed.items():
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise fault(f"{name}: expected a list of entries")
    try:
        names = {c["id"]: str(c["name"]) for c in listed["categories"]}
        sizes = {i["id"]: _size(i) for i in listed["images"]}
        stamps = {i["id"]: i["stamp_ns"] for i in listed["images"]}
        wrong = [s for s in stamps.values() if type(s) is not int or not 0 < s < 1 << 62]
        if wrong:
            raise fault(f"stamp_ns: expected whole nanoseconds, got {wrong[0]!r}")
        always = [Region(_box(e["bbox"]), str(e["class"])) for e in listed["always"]]
        by_stamp: dict[int, list[Region]] = {stamp: [] for stamp in stamps.values()}
        for one in listed["annotations"]:
            image = one["image_id"]
            region = Region(_box(one["bbox"]), names[one["category_id"]], sizes[image])
            by_stamp[stamps[image]].append(region)
    except KeyError as error:
        raise fault(f"an entry lacks {error}, or names one that is not there") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise fault(str(error)) from error

    def chosen(regions: list[Region]) -> list[Region]:
        return [r for r in regions if not blur.classes or r.name in blur.classes]

    found = {stamp: chosen(some) for stamp, some in by_stamp.items()}
    return chosen(always), found if "images" in data else None


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    if "width" not in image and "height" not in image:
        return None
    return int(image["width"]), int(image["height"])


def _box(value: Any) -> Box:
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"bbox: expected left, top, width, height, got {value!r}")
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        raise ValueError(f"bbox: expected numbers, got {value!r}")
    x, y, w, h = (float(v) for v in value)
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        raise ValueError(f"bbox: expected finite numbers and a positive size, got {value!r}")
    return x, y, w, h


# -- faces
def face_finder(path: Path) -> Finder:
    """A detector of a file; it is tried at once, so that a wrong file is found before the work."""
    finder = {".onnx": _yunet, ".xml": _cascade}.get(path.suffix.lower())
    if finder is None:
        raise PrivacyError(f"blur: faces: {path}: expected a YuNet .onnx or a cascade .xml")
    found = finder(path)
    found(np.full((96, 128, 3), 127, np.uint8))
    return found


def _yunet(path: Path) -> Finder:
    try:
        net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), FACE_SCORE)
    except (AttributeError, cv2.error) as error:
        raise PrivacyError(
            f"blur: faces: {path}: is no network to load: {_said(error)}"
        ) from error

    def find(rgb: np.ndarray) -> list[Box]:
        try:
            net.setInputSize((rgb.shape[1], rgb.shape[0]))
            _, found = net.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise PrivacyError(f"blur: faces: {path}: is no YuNet: {_said(error)}") from error
        return _within([] if found is None else found[:, :4].tolist(), rgb, path)

    return find


def _cascade(path: Path) -> Finder:
    if not hasattr(cv2, "CascadeClassifier"):
        raise PrivacyError(
            f"blur: faces: {path}: OpenCV {cv2.__version__} has no cascades; give a YuNet .onnx, "
            "or install an OpenCV below 5"
        )
    try:
        cascade = cv2.CascadeClassifier(str(path))
        empty = cascade.empty()
    except (cv2.error, SystemError) as error:  # both come of XML that is none of OpenCV's
        raise PrivacyError(f"blur: faces: {path}: is no cascade: {_said(error)}") from error
    if empty:
        raise PrivacyError(f"blur: faces: {path}: is no cascade")

    def find(rgb: np.ndarray) -> list[Box]:
        found = cascade.detectMultiScale(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 1.1, 3)
        return _within([[float(v) for v in box] for box in found], rgb, path)

    return find


def _within(boxes: list[list[float]], rgb: np.ndarray, path: Path) -> list[Box]:
    """Boxes that a picture shows some of. Non-finite ones are a broken detector, not no face."""
    out = []
    for x, y, w, h in boxes:
        if not all(map(math.isfinite, (x, y, w, h))):
            raise PrivacyError(f"blur: faces: {path}: found a face at {x}, {y}, {w}, {h}")
        if w > 0 and h > 0 and -w < x < rgb.shape[1] and -h < y < rgb.shape[0]:
            out.append((x, y, w, h))
    return out


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
