"""Frames of a recording: a picture with its depth, calibration and pose, a few a second.

In: a bag and its contract. Out: `Frame`s in the order of their stamps, and a count of what was
left out by reason. Pictures stream; only poses and detections are read ahead.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from ipt_model.messages.cameras import Intrinsics, camera_info_to_intrinsics
from ipt_model.messages.faults import MessageFault
from ipt_model.messages.pictures import (
    compressed_to_depth,
    compressed_to_rgb,
    depth_to_metres,
    image_to_rgb,
)
from ipt_model.messages.stamps import stamp_to_ns
from ipt_model.spatial.geometry import beside
from ipt_training.bags.contract import TF_TOPICS, Contract
from ipt_training.bags.detections import Detection, of_coco, of_message
from ipt_training.bags.poses import NoPose, PoseTree
from ipt_training.bags.privacy import Privacy
from ipt_training.bags.reading import Bag, BagError

#: Pictures and depths that wait for each other.
WAITING = 8
#: A picture whose second derivatives vary, beside its contrast, less than this share of the usual
#: is blurred.
BLURRED, USUAL_OF = 0.1, 15
#: A picture with less contrast than this, grey levels, is not judged.
PLAIN = 12.0
#: Mean grey levels between which a picture is exposed.
EXPOSED = (12.0, 243.0)
#: A stamp so far behind the newest is a clock set back, s.
BACK_S = 1.0
#: A robot that moved less than this, and turned less, m and rad, stands still.
STILL_M, STILL_RAD = 0.05, 0.05
#: Rooms are metres deep. In millimetres a float image has thousands, in metres an integer few.
DEEPEST_M, SHALLOWEST_M = 200.0, 0.05


@dataclass(frozen=True)
class Frame:
    """world: of the fixed frame. depth_m: 0 for no return. detections: None where no detector
    looked at the picture."""

    stamp_ns: int
    rgb: np.ndarray
    depth_m: np.ndarray
    camera: Intrinsics
    world_from_camera: np.ndarray
    world_from_base: np.ndarray | None
    detections: tuple[Detection, ...] | None = None


def read_poses(bag: Bag, contract: Contract) -> PoseTree:
    """Everything that says where something is."""
    tree = PoseTree()
    topics = {*TF_TOPICS, *filter(None, [contract.odometry])}
    for topic, message in bag.messages(topics):
        if message is None:
            tree.broken += 1
        elif topic == contract.odometry:
            tree.take_odometry(message, contract.base_frame)
        elif not contract.odometry or topic == "/tf_static":
            tree.take_tf(message, static=topic == "/tf_static")
    return tree


def read_detections(bag: Bag, contract: Contract) -> dict[int, list[Detection]]:
    """By the stamp of the picture that they are of."""
    if contract.detections_file is not None:
        return of_coco(contract.detections_file)
    found = {}
    for _, message in bag.messages([contract.detections]):
        if message is not None:
            found[stamp_to_ns(message.header.stamp)] = of_message(message)
    return found


class _Read(NamedTuple):
    """A message that is held, and the how-manieth of the recording it is."""

    stamp_ns: int
    message: Any
    number: int


class FrameReader:
    """Reads the frames of one bag, once.

    dropped: pictures by the reason why they are no frames. told: called with the messages read.
    privacy: what is blurred before a frame leaves this reader.
    """

    def __init__(
        self,
        bag: Bag,
        contract: Contract,
        told: Callable[[int], None] | None = None,
        privacy: Privacy | None = None,
    ) -> None:
        contract.check(bag.topics)
        self.bag, self.contract, self.told = bag, contract, told
        self.privacy = privacy or Privacy()
        self.dropped: Counter[str] = Counter()
        self.tree = read_poses(bag, contract)
        self._detected = read_detections(bag, contract)
        self._detected_at = sorted(self._detected)
        self._info: _Read | None = None
        self._depths: deque[_Read] = deque(maxlen=WAITING)
        self._pictures: deque[_Read] = deque()
        self._sharpness: deque[float] = deque(maxlen=USUAL_OF)
        self._newest = self._kept = -(1 << 62)
        self._last: np.ndarray | None = None
        self._mounted = ""
        self._read = 0
        self._held: frozenset[int] = frozenset()

    def frames(self) -> Iterator[Frame]:
        topics = [self.contract.colour, self.contract.depth, self.contract.camera_info]
        skip = self._read
        resumed = not skip
        for number, topic, message in self.bag.numbered(topics, skip, self._held):
            if number < skip:
                self._hold(number, topic, message)
                continue
            if not resumed:
                resumed = True
                yield from self._ready(last=False)
            self._read = number + 1
            if self.told is not None and self._read % 50 == 0:
                self.told(self._read)
            if message is None:
                self.dropped["cannot be decoded"] += topic == self.contract.colour
                continue
            if topic == self.contract.colour and not self._wants(
                stamp_to_ns(message.header.stamp)
            ):
                continue
            self._hold(number, topic, message)
            yield from self._ready(last=False)
        yield from self._ready(last=True)

    def _hold(self, number: int, topic: str, message: Any) -> None:
        one = _Read(stamp_to_ns(message.header.stamp), message, number)
        if topic == self.contract.camera_info:
            self._info = one
        elif topic == self.contract.depth:
            self._depths.append(one)
        else:
            self._pictures.append(one)

    # -- going on where another process was stopped
    def state(self) -> dict[str, Any]:
        """Everything that decides which frames follow, for JSON."""
        held = [*self._depths, *self._pictures, *([self._info] if self._info else [])]
        return {
            "read": self._read,
            "held": [one.number for one in held],
            "sharpness": list(self._sharpness),
            "newest": self._newest,
            "kept": self._kept,
            "last": None if self._last is None else self._last.tolist(),
            "dropped": dict(self.dropped),
        }

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Begin behind the last frame of a reader of the same bag that had this state."""
        self._read, self._newest, self._kept = state["read"], state["newest"], state["kept"]
        self._held = frozenset(state["held"])
        self._sharpness.extend(state["sharpness"])
        self._last = None if state["last"] is None else np.array(state["last"])
        self.dropped = Counter(state["dropped"])

    # -- which pictures
    def _wants(self, stamp_ns: int) -> bool:
        """Whether this picture's turn has come; nothing is decoded before that."""
        if stamp_ns <= 0:
            self.dropped["no stamp"] += 1
            return False
        if stamp_ns < self._newest - int(BACK_S * 1e9):
            self.dropped["stamp jump"] += 1
            return False
        self._newest = max(self._newest, stamp_ns)
        if stamp_ns < self._kept + int(self.contract.every_s * 1e9):
            self.dropped["between frames"] += 1
            return False
        self._kept = stamp_ns
        return True

    def _ready(self, last: bool) -> Iterator[Frame]:
        """Frames whose depth has come, or can no longer come."""
        apart_ns = int(self.contract.apart_s * 1e9)
        while self._pictures:
            stamp_ns, picture, _ = self._pictures[0]
            near = [d for d in self._depths if abs(d.stamp_ns - stamp_ns) <= apart_ns]
            newest = max((d.stamp_ns for d in self._depths), default=-(1 << 62))
            # one that is nearer may still come until the depths are as late as the picture
            if not last and newest < stamp_ns and len(self._pictures) <= WAITING:
                return
            self._pictures.popleft()
            if not near:
                self.dropped["no depth near"] += 1
                continue
            depth = min(near, key=lambda d: abs(d.stamp_ns - stamp_ns)).message
            try:
                frame = self._frame(stamp_ns, picture, depth)
            except (MessageFault, NoPose) as fault:
                self.dropped[REASONS.get(fault.kind, fault.kind)] += 1
                continue
            if frame is not None:
                yield frame

    def _frame(self, stamp_ns: int, picture: Any, depth: Any) -> Frame | None:
        if self._info is None:
            raise MessageFault("no calibration", "no camera_info came before this picture")
        compressed = hasattr(picture, "format")
        rgb = compressed_to_rgb(picture) if compressed else image_to_rgb(picture)
        size = (rgb.shape[1], rgb.shape[0])
        camera = camera_info_to_intrinsics(self._info.message, size, self.contract.rectified)
        depth_m = (
            compressed_to_depth(depth) if hasattr(depth, "format") else depth_to_metres(depth)
        )
        if depth_m.shape != rgb.shape[:2]:
            raise MessageFault("BAD_DEPTH", "depth is not registered to the picture")
        check_unit(depth_m)
        pose, base = self._poses(picture.header.frame_id, stamp_ns)
        if self._last is not None and beside(self._last, pose, STILL_M, STILL_RAD):
            raise MessageFault("stood still", "the robot has not moved")
        self._judge(rgb)
        # nothing keeps the picture as it was: what is remembered and written comes from frames
        rgb = self.privacy.blurred(rgb, stamp_ns)
        self._last = pose
        return Frame(stamp_ns, rgb, depth_m, camera, pose, base, self._detections(stamp_ns))

    def _detections(self, stamp_ns: int) -> tuple[Detection, ...] | None:
        k = bisect_left(self._detected_at, stamp_ns)
        near = self._detected_at[max(0, k - 1) : k + 1]
        nearest = min(near, key=lambda s: abs(s - stamp_ns), default=None)
        if nearest is None or abs(nearest - stamp_ns) > self.contract.apart_s * 1e9:
            return None
        return tuple(self._detected[nearest])

    def _poses(self, optical: str, stamp_ns: int) -> tuple[np.ndarray, np.ndarray | None]:
        contract = self.contract
        if contract.mount and self._mounted != optical:
            self.tree.mount(optical, contract.base_frame, contract.mount)
            self._mounted = optical
        pose = self.tree.at(optical, contract.fixed_frame, stamp_ns)
        try:
            base = self.tree.at(contract.base_frame, contract.fixed_frame, stamp_ns)
        except NoPose:
            base = None
        return pose, base

    def _judge(self, rgb: np.ndarray) -> None:
        grey = cv2.cvtColor(cv2.resize(rgb, (160, 120)), cv2.COLOR_RGB2GRAY)
        if not EXPOSED[0] < float(grey.mean()) < EXPOSED[1]:
            raise MessageFault("exposure", "the picture is almost black or white")
        # beside its contrast; of a plain wall nothing can be said
        if float(grey.std()) < PLAIN:
            return
        sharp = float(cv2.Laplacian(grey, cv2.CV_32F).var()) / (float(grey.var()) + 50)
        usual = float(np.median(self._sharpness)) if len(self._sharpness) >= 5 else 0.0
        self._sharpness.append(sharp)
        if sharp < BLURRED * usual:
            raise MessageFault("blur", "the picture is blurred")


#: Reasons as they are counted, of the codes that the node has.
REASONS = {
    "BAD_IMAGE": "bad picture",
    "BAD_DEPTH": "bad depth",
    "BAD_CAMERA_INFO": "bad calibration",
}


def check_unit(depth_m: np.ndarray) -> None:
    """Refuse depth that cannot be in metres, by what it would be in."""
    known = depth_m[depth_m > 0]
    if not known.size:
        raise MessageFault("empty depth", "the depth image has no return at all")
    median = float(np.median(known))
    if median > DEEPEST_M:
        raise MessageFault("depth unit", f"its median is {median:.0f} m: millimetres?")
    if median < SHALLOWEST_M:
        raise MessageFault("depth unit", f"its median is {median:.4f} m: another scale?")


def check_any(reader: FrameReader, kept: int) -> None:
    """Say what is wrong with a bag of which nothing could be used."""
    if kept:
        return
    counts = ", ".join(f"{n} {why}" for why, n in reader.dropped.most_common(4))
    more = ""
    if [why for why, _ in reader.dropped.most_common(1)] == ["depth unit"]:
        more = "; depth is not in the unit that its encoding says (32FC1 m, 16UC1 mm)"
    raise BagError(f"{reader.bag.path}: no frame could be used: {counts or 'no pictures'}{more}")
