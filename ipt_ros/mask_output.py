"""Keeps `~/imagined_space` up to date and takes it back: the ROS side of `imagined_space`.

The mask is touched on the executor's thread only; the model's thread hands its drawings over. Any
doubt (no fresh view, no pose, an error, a drawing that contradicts the map) clears it at once.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ipt_model import maps
from ipt_model.question import Cancelled, Mode, Outcome
from ipt_ros import diagnostics
from ipt_ros.asking import ask_map
from ipt_ros.conversions import array_to_grid, grid_to_array
from ipt_ros.errors import GoalError
from ipt_ros.guard import map_consistency
from ipt_ros.imagined_space import ImaginedSpace

#: Between looks whether the mask should be taken back, s.
WATCH_S = 0.5


class MaskOutput:
    def __init__(self, node: Any, values: Any) -> None:
        from nav_msgs.msg import OccupancyGrid
        from rclpy.qos import DurabilityPolicy, QoSProfile

        self._node = node
        self._space = ImaginedSpace(
            values.imagined_space_timeout_s, values.imagined_space_period_s
        )
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = node.create_publisher(OccupancyGrid, "~/imagined_space", latched)
        self._info = self._publish_info(node, latched)
        self._header: Any = None
        self._timers = [
            node.create_timer(values.imagined_space_period_s, self._begin),
            node.create_timer(WATCH_S, self._watch),
        ]

    def _publish_info(self, node: Any, latched: Any) -> Any:
        """What Nav2's KeepoutFilter wants to hear once, where nav2_msgs is installed."""
        try:
            from nav2_msgs.msg import CostmapFilterInfo
        except ImportError:
            return None
        info = CostmapFilterInfo()
        info.header.frame_id = node.parameters.values.fixed_frame
        info.type = 0
        info.filter_mask_topic = node.resolve_topic_name("~/imagined_space")
        info.base, info.multiplier = 0.0, 1.0
        publisher = node.create_publisher(CostmapFilterInfo, "~/imagined_space_info", latched)
        publisher.publish(info)
        return publisher

    # -- on the executor's thread -----------------------------------------------------------------

    def new_map(self, message: Any) -> None:
        """Cells that were seen are released before anything else happens."""
        self._header = message.header
        try:
            self._send(self._space.observe(grid_to_array(message)))
        except GoalError as error:
            self.take_back(error.text)

    def take_back(self, reason: str) -> None:
        """All -1 at once; quiet when nothing stands."""
        mask = self._space.clear()
        if mask is not None:
            self._send(mask)
            self._node.tell("imagined space", diagnostics.WARN, f"cleared: {reason}")

    def _send(self, mask: maps.OccupancyGrid | None) -> None:
        if mask is not None:
            self._publisher.publish(array_to_grid(mask, self._header))

    def _watch(self) -> None:
        """Takes the mask back when what it rests on is gone."""
        self._send(self._space.expire(time.monotonic()))
        if self._space.stands:
            wrong = self._why_not()
            if wrong:
                self.take_back(wrong)

    def _why_not(self) -> str:
        """Why no mask may stand now, or an empty string."""
        if self._node.answering is None or not self._node.parameters.values.imagined_space:
            return "not active, or switched off"
        try:
            self._node.senses.newest_pose()
        except GoalError as error:
            return error.text
        return ""

    def _begin(self) -> None:
        answering = self._node.answering
        if answering is not None and self._node.parameters.values.imagined_space:
            answering.worker.submit_newest(lambda: self._imagine(answering))

    # -- on the model's thread --------------------------------------------------------------------

    def _imagine(self, answering: Any) -> None:
        create_task = self._node.executor.create_task
        try:
            view = self._node.senses.newest_view()
            message = self._node.senses.latest_map()
            grid = grid_to_array(message)
            asked = ask_map(view, grid)
            values = self._node.parameters.values
            answer = answering.imaginer.ask(
                asked.question,
                mode=Mode.IMAGINE,
                k=values.imagined_space_imaginations,
                # a goal that arrives goes first
                on_progress=lambda _: (
                    answering.worker.goals == 0 and not answering.stopping.is_set()
                ),
                flow_steps=values.flow_steps or None,
            )
        except Cancelled:
            return
        except Exception as error:
            failure = self._node.report(error, "imagined space")
            create_task(self.take_back, failure.text)
            return
        assert asked.map_view is not None
        drawn = [maps.read_map(picture, asked.map_view, grid) for picture in answer.imagined]
        believed = [d for d in drawn if map_consistency(grid.cells, d) >= values.min_map_agreement]
        if answer.outcome is Outcome.OUT_OF_BUDGET or len(believed) * 2 <= len(drawn):
            agreement = float(np.mean([map_consistency(grid.cells, d) for d in drawn] or [0.0]))
            reason = f"the drawn map contradicts the seen one (agreement {agreement:.2f})"
            create_task(self.take_back, reason)
            return
        create_task(self._take_in, answering, believed)

    def _take_in(self, answering: Any, drawn: list[np.ndarray]) -> None:
        """Back on the executor's thread, where in the meantime a newer map may have come, or what
        the drawings rest on may have gone.
        """
        if self._node.answering is not answering or self._why_not():
            return
        grid = grid_to_array(self._node.senses.latest_map())
        if drawn[0].shape != grid.cells.shape:
            return  # imagined for another geometry; the next round fits
        self._send(self._space.imagine(grid, drawn, time.monotonic()))
        self._node.tell("imagined space", diagnostics.OK, "standing", imaginations=len(drawn))

    # -- the end ----------------------------------------------------------------------------------

    def destroy(self) -> None:
        from rclpy.duration import Duration

        self.take_back("the node is going")
        self._publisher.wait_for_all_acked(Duration(seconds=1))
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._node.destroy_publisher(self._publisher)
        if self._info is not None:
            self._node.destroy_publisher(self._info)
