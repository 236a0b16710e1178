"""Keeps `~/imagined_space` up to date and takes it back: the ROS side of `imagined_space`.

The mask is touched on the executor's thread only; the model's thread hands its drawings over. Any
doubt (no fresh view, no pose, an error, a drawing that contradicts the map) clears it at once. The
watch runs by a clock that nobody sets or stops: `/clock` may die with the camera.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ipt_model.question import Cancelled, Mode, Outcome
from ipt_model.spatial import maps
from ipt_ros import diagnostics
from ipt_ros.answering.model_life import ActiveModel, ModelLife
from ipt_ros.answering.questions import ask_map
from ipt_ros.conversions import array_to_grid, stamp_to_ns
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.mask.askers import Asker, NotOfThatTime, Reply
from ipt_ros.mask.imagined_space import Drawing, Geometry, ImaginedSpace, held_to
from ipt_ros.mask.topic import MaskTopic
from ipt_ros.parameters.table import LiveParameters
from ipt_ros.reports import Reports
from ipt_ros.senses.map_frame import locate_map
from ipt_ros.senses.senses import Senses
from ipt_ros.spinning import hand_over

if TYPE_CHECKING:
    from rclpy.node import Node

#: Nav2's KeepoutFilter reads where a mask begins and not how it is turned, rad.
MOST_TURN_RAD = 1e-3
#: Most time between two looks whether the mask should be taken back, s.
WATCH_S = 0.5


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
        self._space = ImaginedSpace(
            values.imagined_space_timeout_s, self._period_s, values.imagined_space_widening_m
        )
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._info = self._publish_info(latched)
        #: Of the last good map: what a mask is stated in.
        self._header: Any = None
        self._work = Work()
        #: Who asked for a drawing; the first is served next.
        self._askers: list[Asker] = []
        self._in_hand = False
        #: How often what a drawing in hand may be of was forgotten.
        self._forgotten = 0
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

    def forget(self, reason: str) -> None:
        """The views that masks are drawn of are forgotten: what stands goes, and what is being
        drawn of them does not come.
        """
        self._forgotten += 1
        self.take_back(reason)

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
        self._send(self._space.widen(self._live.values.imagined_space_widening_m))
        wrong = self._why_not()
        if not wrong:
            self._send(self._space.due(now_s))
        elif self._space.stands:
            self.take_back(wrong)
        if self._askers and not self._in_hand:
            # a goal took the drawing out of its slot
            self._begin()
        self._tell()

    def _why_off(self) -> str:
        """Why nothing is drawn at all, or an empty string."""
        if self._model.active is None:
            return self._model.why_not_active()
        if not self._live.values.imagined_space:
            return "imagined_space is false: nothing is drawn until it is set to true"
        return ""

    def _why_not(self) -> str:
        """Why no mask may stand now, or an empty string."""
        off = self._why_off()
        if off:
            return off
        try:
            self._senses.newest_pose()
        except GoalError as error:
            return error.text
        return ""

    def _begin(self) -> None:
        """The next drawing, once the one in hand has ended; the worker keeps one waiting."""
        off, active = self._why_off(), self._model.active
        if off or active is None:
            self._answer_all(off)
        elif not active.worker.submit_continuous("mask", lambda: self._imagine(active)):
            self._yielded()

    def draw_of(self, stamp_ns: int, then: Callable[[Reply], None]) -> None:
        """Draw the view and the map of exactly this time. `then` is called on this thread when
        what became of it is published.
        """
        self._askers.append(Asker(stamp_ns, then))
        if len(self._askers) == 1:
            self._begin()

    def _answer(self, asker: Asker | None, drawn: bool = False, why: str = "") -> None:
        """why: of what was not drawn, where it is no news about the mask itself."""
        if asker is None or asker not in self._askers:
            return
        self._askers.remove(asker)
        became = self._work.last if drawn else why or self._why_not() or self._work.last
        asker.then(Reply(drawn, became, self._space.checksum))
        if self._askers and not self._in_hand:
            self._begin()

    def _answer_all(self, why: str) -> None:
        askers, self._askers = self._askers, []
        for asker in askers:
            asker.then(Reply(False, why, self._space.checksum))

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
        self._in_hand = True
        forgotten = self._forgotten
        # in one step: the executor's thread may take askers away
        asker = next(iter(self._askers), None)
        ended: tuple[Any, ...]
        try:
            drawing, took_s = self._draw(active, asker)
            ended = self._take_in, active, drawing, took_s, asker, forgotten
        except Cancelled:
            ended = self._yielded, asker
            if active.stopping.is_set():
                ended = self._answer, asker, False, "the node was deactivated"
        except NotOfThatTime as error:
            ended = self._answer, asker, False, error.text
        except Exception as error:
            failure = self._reports.report(error, "imagined space")
            ended = self._failed, failure.text, asker
        finally:
            self._in_hand = False
        hand_over(self._node, *ended)

    def _draw(self, active: ActiveModel, asker: Asker | None) -> tuple[Drawing, float]:
        """And how long it took, s."""
        began = self._steady()
        if asker is not None:
            asker.wait(self._senses, lambda: active.is_free, self._steady)
        message = self._senses.latest_map(anew=True)
        frame_id = message.header.frame_id
        view = self._senses.newest_view(frame_id)
        if asker is not None:
            asker.check(view.stamp_ns, stamp_to_ns(message.header.stamp))
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
        read = [maps.read_map(picture, grounded.map_view, grid) for picture in answer.raw_views]
        if answer.outcome is Outcome.OUT_OF_BUDGET:
            read = []
        return Drawing(Geometry.of(grid, frame_id), tuple(read)), self._steady() - began

    def _take_in(
        self,
        active: ActiveModel,
        drawing: Drawing,
        took_s: float,
        asker: Asker | None,
        forgotten: int,
    ) -> None:
        """forgotten: how often views were when the drawing began."""
        drawn = False
        try:
            if forgotten == self._forgotten:
                drawn = self._keep(active, drawing, took_s)
            else:
                self._work.dropped += 1
                self._work.end("the views that it was drawn of were forgotten meanwhile")
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
        believed, wrong = held_to(grid.cells, here.imagined, least)
        if wrong:
            self.take_back(wrong)
            return True
        self._work.imaginations = len(believed)
        self._work.end("drawn")
        self._send(self._space.imagine(Drawing(here.geometry, believed), self._steady()))
        self._tell()
        return True

    # -- the end ----------------------------------------------------------------------------------

    def end(self, why: str) -> None:
        """Nothing is drawn any more: who asked hears it now, and not from the drawing in hand."""
        self._answer_all(why)

    def destroy(self) -> None:
        self.take_back("the node is going")
        self._answer_all("the node was cleaned up")
        for timer in self._timers:
            self._node.destroy_timer(timer)
        if self._info is not None:
            self._node.destroy_publisher(self._info)
