"""The nodes of a drive: `ipt_node`, a `sim_node` of the house that is driven in, and the robot.

All live in this process and are spun by one thread, which waits for nobody but the model: on a
busy machine a step does not wait until three processes had their turns. They talk over topics and
services as they do in processes of their own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from ipt_ros.demo.robot import command_line
from ipt_ros.demo.scenario import Scenario
from ipt_ros.ipt_node import IptNode
from ipt_ros.navigation.errands.episodes import true_map
from ipt_ros.navigation.errands.houses import House
from ipt_ros.navigation.moving import STEP_S
from ipt_ros.navigation.robot import Robot, Wait
from ipt_ros.sim_node import SimNode
from ipt_ros.spinning import GOODBYE_S, Faults, spin_once

#: Of the robot's camera, pixels and rad.
WIDTH, HEIGHT, FOV_RAD = 128, 96, 1.57
IPT = {
    "device": "cpu",
    "cpu_threads": 1,
    "use_sim_time": True,
    "pose_source": "odometry",
    "mounts": list(Scenario.MOUNT),
    "reliability": "reliable",
    "remember": False,
    "imagined_space": True,
    # drawn when asked, for the map that it is asked for
    "imagined_space_period_s": 0.0,
    "imagined_space_timeout_s": 600.0,
    # between two steps no time passes, and messages of one step come in any order
    "view_max_age_s": 60.0,
    "stamp_max_ahead_s": 60.0,
}
SIM = {
    "step_s": STEP_S,
    "step_colour": False,
    "publish_clock": True,
    "reliability": "reliable",
    "max_turn": 4.0,
    "map_rate": 0.1,
    "width": WIDTH,
    "height": HEIGHT,
    "horizontal_fov": FOV_RAD,
}


class Stage:
    """model: name, or folder with weights. scene: a file that this may write. domain_id: of ROS;
    None for that of the environment. robot: made of a node, the name of the ipt_node and how to
    wait. ipt: parameters of the ipt_node beside those of IPT.
    """

    def __init__(
        self,
        model: str,
        scene: Path,
        domain_id: int | None = None,
        robot: Callable[[Node, str, Wait], Any] = Robot,
        ipt: Mapping[str, Any] | None = None,
    ) -> None:
        self._scene = scene
        arguments = [
            *_of_node("ipt_node", {**IPT, **(ipt or {}), "model": model}),
            *_of_node("sim_node", {**SIM, "scene": scene}),
            # the robot makes its own map
            *("--ros-args", "-r", "sim_node:map:=simulators_map"),
        ]
        rclpy.init(
            args=arguments, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO
        )
        self._executor = SingleThreadedExecutor()
        #: Of whoever drives.
        self.node = Node("navigation")
        self._ipt = IptNode()
        self._sim: SimNode | None = None
        self._faults = Faults(self._ipt.report)
        for node in (self.node, self._ipt):
            self._executor.add_node(node)
        self.robot = robot(self.node, "ipt_node", self.wait)

    def wait(self, ready: Callable[[], Any], timeout_s: float) -> Any:
        """The first true value of `ready`, or None in time."""
        until = time.monotonic() + timeout_s
        while True:
            found = ready()
            if found or time.monotonic() > until:
                return found or None
            spin_once(self._executor, self._faults, timeout_s=0.05)

    def enter(self, house: House) -> int:
        """A simulator of this house that the robot and the node hear; its time, ns."""
        self._leave()
        self._scene.write_text(json.dumps(house.changed.to_dict()), encoding="utf-8")
        self._sim = SimNode()
        self._executor.add_node(self._sim)
        self.robot.meet(true_map(house))
        return self.robot.stamp_ns

    def _leave(self) -> None:
        if self._sim is not None:
            self._executor.remove_node(self._sim)
            self._sim.destroy_node()
            self._sim = None

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        # the process goes on: whoever left in the middle of a question left the model at it
        self._ipt.trigger_shutdown()
        self.wait(lambda: not self._ipt.owes(), GOODBYE_S)
        self._executor.shutdown(timeout_sec=0.2)
        # a node that is only let go of stays in the graph, and so does its last map
        for node in (self._ipt, self.node):
            node.destroy_node()
        rclpy.try_shutdown()


def _of_node(name: str, parameters: dict[str, Any]) -> list[str]:
    return command_line(name, {f"{name}:{key}": value for key, value in parameters.items()})[1:]
