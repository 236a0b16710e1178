"""The course of an evaluation in one world or recording: stand after stand, every episode that is
not finished yet, then the true views of what was imagined there.

All questions of a stand are asked before the robot leaves it for a true view: a robot that is put
elsewhere has jumped, and the node forgets what it saw before a jump.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.client import Asker
from ipt_ros.errors import ErrorCode
from ipt_ros.evaluation.asking import NodeGone, Questioner
from ipt_ros.evaluation.episodes import Episode, Stand
from ipt_ros.evaluation.map_look import MapLook
from ipt_ros.evaluation.records import ANSWERED, TIMEOUT, WITHHELD, Record, Records
from ipt_ros.evaluation.scores import picture_score
from ipt_ros.senses.images import image_to_mask, image_to_rgb

#: Goals in a row without a result after which nobody is taken to be there.
MOST_TIMEOUTS = 3
#: What a camera that fell behind brings, and how often such a question is asked.
LATE_VIEWS = (ErrorCode.STALE_VIEW, ErrorCode.NO_IMAGE, ErrorCode.NO_POSE)
MOST_TRIES = 5
#: Width of a camera's picture on the page.
SHOWN_PX = 320


class Setting(Protocol):
    """Where a node is asked: a simulated world, or a recording that is played to it."""

    name: str

    def begin(self) -> None:
        """Once, before the first stand."""

    def reach(self, stand: Stand) -> None:
        """The robot stands there and has seen it, and the node knows what it may know there."""

    def show(self, episode: Episode) -> np.ndarray | None:
        """The camera shows what it must show when this is asked; the picture where that is not
        just what is there."""

    def see_anew(self) -> None:
        """The node has a picture of here that is newer than all before."""

    def true_view(self, episode: Episode) -> np.ndarray:
        """What is seen from where the episode asks about, H x W x 3."""

    def true_map(self, stand: Stand) -> OccupancyGrid: ...


class Course:
    """tell: progress in words. folder: for pictures of the page."""

    def __init__(
        self,
        setting: Setting,
        questioner: Questioner,
        look: MapLook,
        records: Records,
        folder: Path,
        tell: Callable[[str], Any],
    ) -> None:
        self._setting, self._questioner = setting, questioner
        self._look, self._records = look, records
        self._folder, self._tell = folder, tell
        self._timeouts = 0

    def run(self, stands: Sequence[Stand]) -> None:
        """Every episode that is left."""
        total = sum(len(stand.episodes) for stand in stands)
        done = sum(e.id in self._records.finished for s in stands for e in s.episodes)
        if done:
            self._tell(f"{self._setting.name}: {done} of {total} questions were asked before")
        began = False
        for stand in stands:
            left = [e for e in stand.episodes if e.id not in self._records.finished]
            mask_left = stand.mask and mask_id(stand) not in self._records.finished
            if (left or mask_left) and not began:
                self._setting.begin()
                began = True
            if left or mask_left:
                self._at(stand, left, mask_left, total)

    def _at(self, stand: Stand, episodes: Sequence[Episode], mask_left: bool, total: int) -> None:
        self._setting.reach(stand)
        waiting: list[tuple[Episode, Record, Any, np.ndarray | None]] = []
        for episode in episodes:
            asked = self._setting.show(episode)
            record, result = self._ask(episode)
            self._count_timeouts(record)
            drawn = result is not None and result.imagined_view.image.height > 0
            if episode.then is not None and drawn:
                waiting.append((episode, record, result.imagined_view, asked))
            else:
                self._keep(record, total)
        if mask_left:
            self._map(stand)
        for episode, record, view, asked in waiting:
            self._keep(self._with_true_view(episode, record, view, asked), total)

    def _ask(self, episode: Episode) -> tuple[Record, Any]:
        """Again where the view was too old: that speaks of a busy machine, not of the model."""
        for attempt in range(MOST_TRIES):
            record, result = self._questioner.ask(episode, self._setting.name)
            if record.error_code not in LATE_VIEWS or attempt == MOST_TRIES - 1:
                break
            self._setting.see_anew()
        return record, result

    def _count_timeouts(self, record: Record) -> None:
        self._timeouts = self._timeouts + 1 if record.outcome == TIMEOUT else 0
        if self._timeouts >= MOST_TIMEOUTS:
            raise NodeGone(f"{self._timeouts} goals in a row brought no result: {record.reason}")

    def _keep(self, record: Record, total: int) -> None:
        self._records.add(record)
        world = self._setting.name
        done = sum(r.world == world and r.task != "map" for r in self._records.finished.values())
        said = record.said or f"{record.outcome} ({record.would_say or 'no answer'})"
        verdict = "right" if record.right else "wrong" if record.outcome == ANSWERED else "-"
        took = record.times_s.get("total", 0.0)
        self._tell(
            f"{world} {done}/{total} {record.task}, {record.kind}: {said}, truth {record.truth}: "
            f"{verdict}, {took:.1f} s"
        )

    # -- against the truth ------------------------------------------------------------------------

    def _with_true_view(
        self, episode: Episode, record: Record, imagined: Any, asked: np.ndarray | None
    ) -> Record:
        drawn, seen = image_to_rgb(imagined.image), image_to_mask(imagined.seen)
        height, width = drawn.shape[:2]
        view = self._setting.true_view(episode)
        true = cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA)
        first = {} if asked is None else {"asked here": _small(asked)}
        self._save(record.id, {**first, "imagined": drawn, "the true view": true})
        return replace(record, picture=picture_score(drawn, true, seen))

    def _map(self, stand: Stand) -> None:
        score, pictures = self._look.look(self._setting.true_map(stand))
        self._save(mask_id(stand), pictures)
        self._records.add(
            Record(
                id=mask_id(stand),
                world=self._setting.name,
                task="map",
                kind="imagined space",
                action="",
                question="",
                options=(),
                truth="",
                outcome=WITHHELD if score is None else ANSWERED,
                mask=score,
            )
        )
        told = "no claim" if score is None else f"{score.cells} unseen cells claimed"
        self._tell(f"{self._setting.name} imagined space: {told}")

    def _save(self, name: str, pictures: dict[str, np.ndarray]) -> None:
        for number, (caption, picture) in enumerate(pictures.items()):
            path = picture_path(self._folder, name, number, caption)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
                raise OSError(f"{path} could not be written")


def _small(picture: np.ndarray) -> np.ndarray:
    scale = min(1.0, SHOWN_PX / picture.shape[1])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def mask_id(stand: Stand) -> str:
    return f"{stand.id}/map"


def picture_path(folder: Path, name: str, number: int, caption: str) -> Path:
    """Of one picture of an episode; the caption stands in the file's name."""
    return folder / name.replace("/", "~") / f"{number} {caption.replace(':', ' -')}.png"


def wait_for_node(asker: Asker, waiter: Any, timeout_s: float) -> None:
    """Until the node that will be asked is active; NodeGone says what it is instead."""
    from lifecycle_msgs.srv import GetState

    service = f"{asker.target}/get_state"
    client = asker.node.create_client(GetState, service)
    asked: list[Any] = []
    label = ["not there"]

    def active() -> bool:
        if asked and asked[-1].done():
            label[0] = str(asked.pop().result().current_state.label)
        elif not asked and client.service_is_ready():
            asked.append(client.call_async(GetState.Request()))
        return label[0] == "active"

    try:
        waiter.until(active, service, timeout_s)
    except Exception as error:
        name = asker.node.resolve_service_name(asker.target)
        raise NodeGone(
            f"{name} is {label[0]} after {timeout_s:.0f} s; start ipt_node, or name another "
            "(target)"
        ) from error
    finally:
        asker.node.destroy_client(client)
