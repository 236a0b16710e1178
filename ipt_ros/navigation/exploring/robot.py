"""The robot over ROS topics, whose node also remembers pictures and draws views from elsewhere.

Out, beside what the other robot sends: goals of `~/imagine_view`, `~/forget`. In: the drawn views.
In lock step the node has only the pictures that are asked for: each is followed by a question, and
a result tells by its stamp whether the node had that picture when it answered.
"""

from __future__ import annotations

import time
from typing import Any, Literal

from rclpy.action import ActionClient
from rclpy.node import Node
from std_srvs.srv import Trigger

from imaginative_perception.action import ImagineView
from ipt_model.messages.poses import from_xyz_rpy
from ipt_ros.client import AskTimeout
from ipt_ros.conversions import matrix_to_pose, planar_matrix, stamp_to_ns
from ipt_ros.demo.scenario import Scenario
from ipt_ros.navigation.exploring.arms import Shown
from ipt_ros.navigation.masks import Pose
from ipt_ros.navigation.moving import Look
from ipt_ros.navigation.robot import (
    AGAIN_S,
    FRAME,
    MASK_REPLY_S,
    MASK_WAIT_S,
    STEP_WAIT_S,
    Robot,
    Wait,
)
from ipt_ros.senses.images import image_to_mask, image_to_rgb

#: Parameters of the node beside those of a drive.
IPT = {"remember": True}
#: Time for a goal that only recalls. Its turn must begin in it; else it is asked again with twice
#: the time, up to this.
RECALL_NS, MOST_RECALL_NS = 20_000_000, 900_000_000
#: The seed of all drawings.
SEED = 1
#: What the node is asked only to make it take its newest picture into its memory.
ANYTHING = "chair"


class ViewingRobot(Robot):
    """A `Viewer` for searches."""

    def __init__(self, node: Node, target: str, wait: Wait) -> None:
        super().__init__(node, target, wait)
        self._view = ActionClient(node, ImagineView, f"{target}/imagine_view")
        self._forgets = node.create_client(Trigger, f"{target}/forget")
        self._shown_ns = 0

    def forget(self, look: Look) -> None:
        # first the picture of now: the node would remember an older one anew
        self.take_in(look)
        self._call(self._forgets, Trigger.Request(), STEP_WAIT_S, "forget")
        self.take_in(look)

    def take_in(self, look: Look) -> None:
        self._ask(look, look.robot, ANYTHING, "recall")

    def view_from(
        self, look: Look, place: Pose, name: str, mode: Literal["recall", "imagine"]
    ) -> Shown:
        view = self._ask(look, place, name, mode).imagined_view
        return Shown(image_to_rgb(view.image), image_to_mask(view.seen))

    def _ask(self, look: Look, place: Pose, name: str, mode: str) -> Any:
        """The result of a goal that was answered with the picture of this look. What is only
        recalled needs no model, and no time is left for one.
        """
        goal = ImagineView.Goal(object=name, mode=mode, seed=SEED)
        goal.viewpoint.header.frame_id = FRAME
        goal.viewpoint.pose = matrix_to_pose(planar_matrix(*place) @ from_xyz_rpy(*Scenario.MOUNT))
        until, recall_ns = time.monotonic() + MASK_WAIT_S, RECALL_NS
        while True:
            if mode == "recall":
                goal.budget.nanosec = recall_ns
            if self._shown_ns != look.stamp_ns:
                self._call(self._colour, Trigger.Request(), STEP_WAIT_S, "look")
            result = self._result(goal)
            if _answers(result, look):
                self._shown_ns = look.stamp_ns
                return result
            if time.monotonic() > until:
                told = "no reply" if result is None else result.error_msg or "an older picture"
                raise AskTimeout(f"imagine_view, not within {MASK_WAIT_S:.0f} s: {told}")
            self._shown_ns, recall_ns = 0, min(2 * recall_ns, MOST_RECALL_NS)

    def _result(self, goal: Any) -> Any:
        """None where it was lost on its way: a server that has just met us may reply to nobody."""
        self._wait(self._view.server_is_ready, "the action imagine_view", STEP_WAIT_S)
        try:
            sent = self._view.send_goal_async(goal)
            self._wait(sent.done, "imagine_view", MASK_REPLY_S)
            handle = sent.result()
            if not handle.accepted:
                self._until_true(lambda: False, AGAIN_S)
                return None
            came = handle.get_result_async()
            self._wait(came.done, "imagine_view", MASK_REPLY_S)
        except AskTimeout:
            return None
        return came.result().result


def _answers(result: Any, look: Look) -> bool:
    """Whether this is an answer, about the picture of that look."""
    if result is None or result.error_code:
        return False
    return bool(stamp_to_ns(result.answer.header.stamp) == look.stamp_ns)
