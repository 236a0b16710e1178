"""Keeps `~/imagined_space` up to date and takes it back: the ROS side of `imagined_space`.

The mask is touched on the executor's thread only; the model's thread hands its drawings over. Any
doubt (no fresh view, no pose, an error, a drawing that contradicts the map) clears it at once. The
watch runs by a clock that nobody sets or stops: `/clock` may die with the camera.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ipt_model.question import Cancelled, Mode, Outcome
from ipt_model.spatial import maps
from ipt_ros import diagnostics
from ipt_ros.answering.guard import map_consistency
from ipt_ros.answering.model_life import ActiveModel, ModelLife
from ipt_ros.answering.questions import ask_map
from ipt_ros.conversions import array_to_grid, stamp_to_ns
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.mask.imagined_space import Drawing, Geometry, ImaginedSpace
from ipt_ros.mask.topic import MaskTopic
from ipt_ros.parameters.table import LiveParameters
from ipt_ros.reports import Reports
from ipt_ros.senses.map_frame import locate_map
from ipt_ros.senses.senses import Senses

if TYPE_CHECKING:
    from rclpy.node import Node

#: Nav2's KeepoutFilter reads where a mask begins and not how it is turned, rad.
MOST_TURN_RAD = 1e-3
#: Most time between two looks whether the mask should be taken back, s.
WATCH_S = 0.5
#: Most time that a drawing waits for the view and the map that it was asked of, s.
ASKED_S = 5.0


@dataclass
class Work:
    """What became of the drawings, for the diagnostics."""

    drawings: int = 0
    yielded: int = 0
    dropped: int = 0
    drawing_s: float = 0.0
    imaginations: int = 0
    last: str = "nothing imagined yet"
    well: bool = True

    def end(self, last: str, well: bool = True) -> None:
        self.last, self.well = last, well


@dataclass(frozen=True)
class Asker:
    """Wants the view and map of one time drawn; `then` is told whether they were."""

    stamp_ns: int
    then: Callable[[bool], None]


class MaskOutput:
    def __init__(
        self,
        node: Node,
        topic: MaskTopic,
        model: ModelLife,
        senses: Senses,
        live: LiveParameters,
        reports: Reports,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """node: for timers, the topic of the filter's information, and tasks of its executor."""
        from rclpy.clock import Clock, ClockType
        from rclpy.qos import DurabilityPolicy, QoSProfile

        self._node, self._topic, self._model = node, topic, model
        self._senses, self._live, self._reports = senses, live, reports
        self._steady = steady
        values = live.values
        self._period_s = values.imagined_space_period_s
        self._space = ImaginedSpace(values.imagined_space_timeout_s, self._period_s)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._info = self._publish_info(latched)
        #: Of the last good map: what a mask is stated in.
        self._header: Any = None
        self._work = Work()
        #: Who asked for a drawing; the first is served next.
        self._askers: list[Asker] = []
        self._in_hand = False
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        wanted = [(WATCH_S, self._watch)]
        if self._period_s:
            wanted = [
                (self._period_s, self._begin),
                (min(WATCH_S, 0.5 * self._period_s), self._watch),
            ]
        self._timers = [node.create_timer(period, call, clock=clock) for period, call in wanted]

    def _publish_info(self, latched: Any) -> Any:
        """What Nav2's KeepoutFilter wants to hear once, where nav2_msgs is installed."""
        try:
            from nav2_msgs.msg import CostmapFilterInfo
        except ImportError:
            return None
        info = CostmapFilterInfo()
        info.header.frame_id = self._live.values.fixed_frame
        info.type = 0
        info.filter_mask_topic = self._node.resolve_topic_name("~/imagined_space")
        info.base, info.multiplier = 0.0, 1.0
        topic = "~/imagined_space_info"
        publisher = self._node.create_publisher(CostmapFilterInfo, topic, latched)
        publisher.publish(info)
        return publisher

    # -- on the executor's thread -----------------------------------------------------------------

    def new_map(self, message: Any) -> None:
        """Cells that were seen are released before anything else happens. A map that is of no use
        takes the mask back, and leaves no trace in what is published.
        """
        try:
            self._adopt(message)
        except Exception as error:
            self.take_back(self._reports.report(error, "imagined space").text)

    def _adopt(self, message: Any) -> maps.OccupancyGrid:
        grid = locate_map(message, self._senses.poses, 0, wait=False).grid
        if abs(grid.turn_rad) > MOST_TURN_RAD:
            raise GoalError(
                ErrorCode.BAD_MAP,
                f"map: its origin is turned by {grid.turn_rad:.3f} rad, and Nav2 reads no turned "
                "mask; publish a map along the axes of its frame",
            )
        mask = self._space.observe(grid, message.header.frame_id)
        self._header = message.header
        self._send(mask)
        return grid

    def take_back(self, reason: str) -> None:
        """All -1 at once; quiet when nothing stands."""
        self._work.end(f"cleared: {reason}", well=False)
        self._send(self._space.clear())
        self._tell()

    def _send(self, mask: maps.OccupancyGrid | None) -> None:
        if mask is not None:
            self._topic.publish(array_to_grid(mask, self._header))

    def _watch(self) -> None:
        """Takes the mask back when what it rests on is gone."""
        now_s = self._steady()
        expired = self._space.expire(now_s)
        if expired is not None:
            self._send(expired)
            self._work.end("cleared: nothing was imagined in time" + self._slow(), well=False)
        wrong = self._why_not()
        if not wrong:
            self._send(self._space.due(now_s))
        elif self._space.stands:
            self.take_back(wrong)
        if self._askers and not self._in_hand:
            # a goal took the drawing out of its slot
            self._begin()
        self._tell()

    def _why_not(self) -> str:
        """Why no mask may stand now, or an empty string."""
        if self._model.active is None or not self._live.values.imagined_space:
            return "not active, or switched off"
        try:
            self._senses.newest_pose()
        except GoalError as error:
            return error.text
        return ""

    def _begin(self) -> None:
        """The next drawing, once the one in hand has ended; the worker keeps one waiting."""
        active = self._model.active
        if active is None or not self._live.values.imagined_space:
            for asker in list(self._askers):
                self._answer(asker)
            return
        if not active.worker.submit_continuous("mask", lambda: self._imagine(active)):
            self._yielded()

    def draw_of(self, stamp_ns: int, then: Callable[[bool], None]) -> None:
        """Draw the view and the map of exactly this time. `then` is called on this thread when
        what became of it is published: whether something was drawn.
        """
        self._askers.append(Asker(stamp_ns, then))
        if len(self._askers) == 1:
            self._begin()

    def standing(self) -> tuple[str, int]:
        """What became of the last drawing, and the CRC-32 of the cells published last."""
        return self._why_not() or self._work.last, self._space.checksum

    def _answer(self, asker: Asker | None, drawn: bool = False) -> None:
        if asker is None or asker not in self._askers:
            return
        self._askers.remove(asker)
        asker.then(drawn)
        if self._askers and not self._in_hand:
            self._begin()

    def _yielded(self, asker: Asker | None = None) -> None:
        self._work.yielded += 1
        self._work.end("a goal went first")
        self._answer(asker)

    def _failed(self, reason: str, asker: Asker | None) -> None:
        self.take_back(reason)
        self._answer(asker)

    def _slow(self) -> str:
        took_s = self._work.drawing_s
        if not self._period_s or took_s <= self._period_s:
            return ""
        return (
            f"; a drawing takes {took_s:.1f} s, longer than imagined_space_period_s "
            f"({self._period_s:.1f})"
        )

    def _tell(self) -> None:
        """What is so now, whatever became of the last drawing."""
        work, slow = self._work, self._slow()
        if not self._live.values.imagined_space:
            level, message = diagnostics.OK, "switched off"
        elif self._space.stands:
            level, message = diagnostics.OK, "standing"
            if work.last != "drawn":
                message += f"; {work.last}"
        else:
            level = diagnostics.OK if work.well else diagnostics.WARN
            message = f"nothing stands; {work.last}"
        if slow and slow not in message:
            level, message = diagnostics.WARN, message + slow
        self._reports.tell(
            "imagined space",
            level,
            message,
            drawings=work.drawings,
            yielded_to_goals=work.yielded,
            dropped=work.dropped,
            drawing_s=f"{work.drawing_s:.2f}",
            imaginations=work.imaginations,
        )

    # -- on the model's thread --------------------------------------------------------------------

    def _imagine(self, active: ActiveModel) -> None:
        create_task = self._node.executor.create_task
        began = self._steady()
        self._in_hand = True
        asker = self._askers[0] if self._askers else None
        try:
            if asker is not None:
                self._wait_for(asker.stamp_ns, active)
            message = self._senses.latest_map(anew=True)
            frame_id = message.header.frame_id
            view = self._senses.newest_view(frame_id)
            located = locate_map(message, self._senses.poses, view.stamp_ns)
            grid = located.grid
            model = self._model
            grounded = ask_map(located.view(view), grid, model.pictures, model.picture_px)
            values = self._live.values
            # drawn freely: agreement with what was seen says nothing of a drawing held to it
            answer = active.imaginer.ask(
                replace(grounded.question, recalled=None),
                mode=Mode.IMAGINE,
                k=values.imagined_space_imaginations,
                on_progress=lambda _: active.is_free,
                flow_steps=values.flow_steps or None,
            )
            assert grounded.map_view is not None
            read = [
                maps.read_map(picture, grounded.map_view, grid) for picture in answer.raw_views
            ]
            if answer.outcome is Outcome.OUT_OF_BUDGET:
                read = []
        except Cancelled:
            create_task(self._yielded, asker)
            return
        except Exception as error:
            failure = self._reports.report(error, "imagined space")
            create_task(self._failed, failure.text, asker)
            return
        finally:
            self._in_hand = False
        drawing = Drawing(Geometry.of(grid, frame_id), tuple(read))
        create_task(self._take_in, active, drawing, self._steady() - began, asker)

    def _wait_for(self, stamp_ns: int, active: ActiveModel) -> None:
        """Until the newest view and map are of this time."""
        until_s = self._steady() + ASKED_S
        while True:
            seen_ns, mapped_ns = 0, 0
            with contextlib.suppress(GoalError):
                seen_ns, _ = self._senses.newest_pose()
                mapped_ns = stamp_to_ns(self._senses.latest_map().header.stamp)
            if seen_ns == stamp_ns == mapped_ns:
                return
            if seen_ns > stamp_ns:
                raise GoalError(
                    ErrorCode.STALE_VIEW,
                    f"the view of stamp {stamp_ns} ns was asked for; a newer one has come",
                )
            if not active.is_free:
                raise Cancelled
            if self._steady() >= until_s:
                raise GoalError(
                    ErrorCode.STALE_VIEW,
                    f"no view and map of stamp {stamp_ns} ns within {ASKED_S:.0f} s",
                )
            time.sleep(0.002)

    def _take_in(
        self, active: ActiveModel, drawing: Drawing, took_s: float, asker: Asker | None
    ) -> None:
        drawn = False
        try:
            drawn = self._keep(active, drawing, took_s)
        finally:
            self._answer(asker, drawn)

    def _keep(self, active: ActiveModel, drawing: Drawing, took_s: float) -> bool:
        """Back on the executor's thread, where in the meantime a newer map may have come, or what
        the drawings rest on may have gone. Whether what is published now comes of the drawing.
        """
        if self._model.active is not active:
            return False
        self._work.drawings += 1
        self._work.drawing_s = took_s
        wrong = self._why_not()
        if wrong:
            self.take_back(wrong)
            return False
        try:
            message = self._senses.latest_map()
            # a map whose frame was not known when it came may have waited for its transform
            grid = self._adopt(message)
        except Exception as error:
            self.take_back(self._reports.report(error, "imagined space").text)
            return False
        here = drawing.on(Geometry.of(grid, message.header.frame_id))
        if here is None:
            self._work.dropped += 1
            self._work.end("the map changed its frame, resolution or grid while it was drawn")
            return False
        least = self._live.values.min_map_agreement
        agreements = [map_consistency(grid.cells, d) for d in here.imagined]
        believed = tuple(d for d, a in zip(here.imagined, agreements, strict=True) if a >= least)
        if len(believed) * 2 <= len(agreements):
            agreement = float(np.mean(agreements or [0.0]))
            self.take_back(f"the drawn map contradicts the seen one (agreement {agreement:.2f})")
            return True
        self._work.imaginations = len(believed)
        self._work.end("drawn")
        self._send(self._space.imagine(Drawing(here.geometry, believed), self._steady()))
        self._tell()
        return True

    # -- the end ----------------------------------------------------------------------------------

    def destroy(self) -> None:
        self.take_back("the node is going")
        for asker in list(self._askers):
            self._answer(asker)
        for timer in self._timers:
            self._node.destroy_timer(timer)
        if self._info is not None:
            self._node.destroy_publisher(self._info)
