"""What is asked in a recording: its questions and their answers, made of it as rows to train on
are (`training/bags/mining`).

In: a recording with its contract. Out: `Stand`s, equal for equal recordings and seeds, and what is
held against the answers: views that were seen later, maps. Knows nothing of ROS.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ipt_model.messages.poses import inverse, yaw_of
from ipt_model.question import Task
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.evaluation.episodes import (
    CLEARANCE_OPTIONS,
    IMAGINE_VIEW,
    TRACE_PATH,
    Episode,
    Stand,
)
from ipt_training.bags.contract import Contract, guess
from ipt_training.bags.frames import Frame, FrameReader, check_any
from ipt_training.bags.mining.perspective import SPOT
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.places import AskedPlace, asked_places
from ipt_training.bags.privacy import Privacy
from ipt_training.bags.reading import BagError, open_bag
from ipt_training.example import Example

#: Places that are looked at for each that is asked at.
CANDIDATES = 3
#: Views that answers are held against are kept no wider, pixels.
KEPT_PX = 320


@dataclass(frozen=True)
class Truths:
    """views: by the id of an episode, PNG. maps: by the id of a stand."""

    views: dict[str, np.ndarray]
    maps: dict[str, OccupancyGrid]


class Recording:
    """contract: None to guess it from the topics, as ipt-bag does.

    Raises BagError and ContractError, also where nothing can be asked.
    """

    def __init__(self, path: Path, contract: Contract | None, seed: int, radius_m: float) -> None:
        self.path, self._seed, self._radius_m = path, seed, radius_m
        self.name = path.absolute().name
        with open_bag(path) as bag:
            self.contract = contract or guess(bag.topics)
            self.contract.check(bag.topics)
            self._seconds = bag.seconds
        Privacy.load(self.contract.blur)
        self.truths = Truths({}, {})

    @contextmanager
    def frames(self) -> Iterator[Iterator[Frame]]:
        """All of them once, in their order, as ipt-bag would keep them."""
        with open_bag(self.path) as bag:
            reader = FrameReader(bag, self.contract, None, Privacy.load(self.contract.blur))
            yield self._checked(reader)

    def _checked(self, reader: FrameReader) -> Iterator[Frame]:
        number = 0
        for number, frame in enumerate(reader.frames(), 1):  # noqa: B007
            yield frame
        check_any(reader, number)

    def stands(self, number: int, masks: int, mode: str) -> list[Stand]:
        """Places spread over the recording, in its order. masks: at so many of them, spread as
        well, the imagined space is looked at. mode: answers of two modes are two episodes."""
        places = self._places(number)
        chosen = [places[k] for k in _spread(len(places), number)]
        looked_at = set(_spread(len(chosen), masks))
        return [self._stand(place, k in looked_at, mode) for k, place in enumerate(chosen)]

    def _places(self, number: int) -> list[AskedPlace]:
        options = Mining(seed=self._seed)
        expected = self._seconds / self.contract.every_s
        every = max(1, int(expected / (CANDIDATES * number)))
        refused: Counter[str] = Counter()
        found: list[AskedPlace] = []
        with self.frames() as frames:
            for place in asked_places(frames, options, self._radius_m, every, refused):
                found.append(_lighter(place))
                # a recording that is longer than it says
                if len(found) > 4 * CANDIDATES * number:
                    del found[1::2]
        if not found:
            why = ", ".join(f"{n} {text}" for text, n in refused.most_common(3))
            raise BagError(
                f"{self.path}: nothing can be asked in it: {why or 'too few frames'}; the robot "
                "must see again later, from elsewhere, what it saw before"
            )
        return found

    def _stand(self, place: AskedPlace, mask: bool, mode: str) -> Stand:
        # with another contract the same frame may be another question
        settings = zlib.crc32(repr((self.contract, self._radius_m)).encode())
        name = f"{mode}/{self.name}/q{self._seed}-{settings:08x}/{place.stamp_ns}"
        episodes = []
        for number, example in enumerate(place.examples):
            task = example.question.task
            make = _clearance if task is Task.CLEARANCE else _perspective
            kind = example.subcategory if task is Task.CLEARANCE else _asked(example)
            episode = make(f"{name}/{number} {task.value} {kind}", kind, place, example)
            episodes.append(episode)
            if episode.then is not None:
                view = place.views[example.facts["stamps_ns"][1]]
                self.truths.views[episode.id] = view.rgb
        self.truths.maps[name] = place.map
        return Stand(name, place.robot, False, mask, tuple(episodes), place.stamp_ns)

    def true_view(self, episode_id: str) -> np.ndarray:
        picture = cv2.imdecode(self.truths.views[episode_id], cv2.IMREAD_COLOR)
        assert picture is not None  # encoded here
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _perspective(name: str, kind: str, place: AskedPlace, example: Example) -> Episode:
    """Where a framed spot lies in the view that the robot had later."""
    x, y, z = example.facts["object_before_m"]
    camera = place.camera
    later = place.views[example.facts["stamps_ns"][1]]
    body = later.world_from_camera @ inverse(BODY_FROM_OPTICAL)
    there = (float(body[0, 3]), float(body[1, 3]), yaw_of(body))
    return Episode(
        name,
        Task.PERSPECTIVE,
        kind,
        IMAGINE_VIEW,
        tuple(sorted(example.question.options)),
        example.answer,
        example.facts["share_seen"],
        object=SPOT,
        text=kind,
        viewpoint=there,
        then=there,
        spot_px=(int(camera.fx * x / z + camera.cx), int(camera.fy * y / z + camera.cy)),
    )


def _clearance(name: str, kind: str, place: AskedPlace, example: Example) -> Episode:
    """Whether a path is clear by the map that was known at the end."""
    return Episode(
        name,
        Task.CLEARANCE,
        kind,
        TRACE_PATH,
        CLEARANCE_OPTIONS,
        kind,
        example.facts["share_seen"],
        path=tuple((float(x), float(y)) for x, y in example.facts["path_m"]),
        radius_m=example.facts["robot_radius_m"],
    )


def _asked(example: Example) -> str:
    return "distance" if example.answer in ("closer", "further") else "side"


def _lighter(place: AskedPlace) -> AskedPlace:
    """Of its later views only what answers are held against: a PNG as `rgb`."""
    views = {}
    for stamp_ns, frame in place.views.items():
        height, width = frame.rgb.shape[:2]
        scale = min(1.0, KEPT_PX / width)
        size = round(width * scale), round(height * scale)
        small = cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        views[stamp_ns] = replace(frame, rgb=data, depth_m=np.zeros((0, 0), np.float32))
    return replace(place, views=views)


def _spread(count: int, most: int) -> list[int]:
    """At most so many numbers below count, evenly spread."""
    if count <= most:
        return list(range(count))
    return [math.floor((k + 0.5) * count / most) for k in range(most)]
