"""The robot over ROS topics, in lock step: every command is answered by what the camera sees after
it, every request for a mask by the mask of just that map. Nothing depends on the machine's time.

Out: cmd_vel, map. In: odom, camera/depth_image, camera/camera_info, `ipt_node/imagined_space`.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist
from nav_msgs.msg import OccupancyGrid as OccupancyGridMessage
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from imaginative_perception.srv import ImagineSpace, SetPose
from ipt_model.messages.poses import from_xyz_rpy, yaw_of
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.lens import Pinhole
from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.client import AskTimeout
from ipt_ros.conversions import (
    array_to_grid,
    camera_info_to_intrinsics,
    grid_to_array,
    matrix_to_pose,
    ns_to_stamp,
    planar_matrix,
    pose_to_matrix,
    stamp_to_ns,
)
from ipt_ros.demo.scenario import Scenario
from ipt_ros.navigation.masks import Pose
from ipt_ros.navigation.moving import Look
from ipt_ros.senses.images import depth_to_metres

#: Longest waits, s: for a step of the simulator, for a mask, for nodes that have just started. A
#: machine may be busy with other work; how long anything takes changes no drive.
STEP_WAIT_S, MASK_WAIT_S, START_WAIT_S = 120.0, 600.0, 600.0
#: A step that brings nothing while nodes find each other is tried again after this, s.
AGAIN_S = 0.5
#: A mask that was not drawn is asked for again so often: on a busy machine a picture comes late.
MOST_TRIES = 3
#: A reply that does not come for so long is lost, s. A mask on a busy machine takes many.
REPLY_S, MASK_REPLY_S = 10.0, 120.0
FRAME = "odom"
#: 4 x 4: the simulator's camera on its base.
BASE_FROM_OPTICAL = from_xyz_rpy(*Scenario.MOUNT) @ BODY_FROM_OPTICAL
#: Waits until something is true, some seconds at most: the true value, or None.
Wait = Callable[[Callable[[], Any], float], Any]


class Robot:
    """A `Body` for drives. node: talks to one sim_node and to the target, an ipt_node. wait: spins
    it until something is true.
    """

    def __init__(self, node: Node, target: str, wait: Wait) -> None:
        self._target, self._until_true = target, wait
        self._poses: dict[int, Pose] = {}
        self._depths: dict[int, Any] = {}
        self._lens: Pinhole | None = None
        self._mask: Any = None
        self._stamp_ns = 0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._drive = node.create_publisher(Twist, "cmd_vel", 10)
        self._map = node.create_publisher(OccupancyGridMessage, "map", latched)
        node.create_subscription(Odometry, "odom", self._hear_pose, 20)
        node.create_subscription(Image, "camera/depth_image", self._hear_depth, 5)
        node.create_subscription(CameraInfo, "camera/camera_info", self._hear_info, 5)
        node.create_subscription(
            OccupancyGridMessage, f"{target}/imagined_space", self._hear_mask, latched
        )
        self._set_pose = node.create_client(SetPose, "sim_node/set_pose")
        self._colour = node.create_client(Trigger, "sim_node/look")
        self._imagine = node.create_client(ImagineSpace, f"{target}/imagine_space")

    @property
    def stamp_ns(self) -> int:
        """Of the newest look."""
        return self._stamp_ns

    # -- what comes -------------------------------------------------------------------------------

    def _hear_pose(self, message: Any) -> None:
        at = pose_to_matrix(message.pose.pose)
        stamp = stamp_to_ns(message.header.stamp)
        self._poses = {stamp: (float(at[0, 3]), float(at[1, 3]), yaw_of(at))}

    def _hear_depth(self, message: Any) -> None:
        self._depths = {stamp_to_ns(message.header.stamp): message}

    def _hear_info(self, message: Any) -> None:
        self._lens = camera_info_to_intrinsics(message)

    def _hear_mask(self, message: Any) -> None:
        self._mask = message

    def _wait(self, ready: Callable[[], Any], what: str, timeout_s: float) -> Any:
        found = self._until_true(ready, timeout_s)
        if not found:
            raise AskTimeout(f"{what}: not within {timeout_s:.0f} s")
        return found

    # -- a Body -----------------------------------------------------------------------------------

    def put(self, robot: Pose) -> Look:
        request = SetPose.Request(pose=matrix_to_pose(planar_matrix(*robot)))
        reply = self._call(self._set_pose, request, STEP_WAIT_S, "set_pose")
        if not reply.success:
            raise RuntimeError(f"the simulator does not put the robot there: {reply.message}")
        return self.step(0.0, 0.0)

    def step(self, speed: float, turn: float) -> Look:
        self._command(speed, turn)
        return self._look(STEP_WAIT_S)

    def _command(self, speed: float, turn: float) -> None:
        command = Twist()
        command.linear.x, command.angular.z = float(speed), float(turn)
        self._drive.publish(command)

    def _look(self, timeout_s: float) -> Look:
        def stamp() -> int | None:
            both = self._poses.keys() & self._depths.keys()
            new = [one for one in both if one > self._stamp_ns]
            return max(new) if new and self._lens is not None else None

        self._stamp_ns = at = self._wait(stamp, "a step of the simulator", timeout_s)
        assert self._lens is not None
        robot = self._poses[at]
        eye = planar_matrix(*robot) @ BASE_FROM_OPTICAL
        return Look(at, robot, depth_to_metres(self._depths[at]), self._lens, eye)

    # -- masks ------------------------------------------------------------------------------------

    def imagined(self, grid: OccupancyGrid, look: Look) -> np.ndarray | None:
        """What the node publishes on `~/imagined_space` for this map, seen from this look."""
        for _ in range(MOST_TRIES):
            reply = self._ask_mask(grid, look.stamp_ns)
            if reply.success:
                break
        else:
            raise AskTimeout(f"imagine_space: {reply.message}")
        self._wait(
            lambda: self._mask is not None and _checksum(self._mask) == reply.checksum,
            "the mask that was drawn",
            STEP_WAIT_S,
        )
        cells = grid_to_array(self._mask).cells
        return cells if (cells >= 0).any() else None

    def _ask_mask(self, grid: OccupancyGrid, stamp_ns: int) -> Any:
        stamp = ns_to_stamp(stamp_ns)
        self._call(self._colour, Trigger.Request(), STEP_WAIT_S, "look")
        self._map.publish(array_to_grid(grid, Header(stamp=stamp, frame_id=FRAME)))
        request = ImagineSpace.Request(stamp=stamp)
        return self._call(self._imagine, request, MASK_WAIT_S, "imagine_space", MASK_REPLY_S)

    def _call(
        self, client: Any, request: Any, timeout_s: float, what: str, reply_s: float = REPLY_S
    ) -> Any:
        """Asked again where no reply comes: a server that has just met us may reply to nobody. All
        that is asked here may be asked twice.
        """
        self._wait(client.service_is_ready, f"the service {client.srv_name}", timeout_s)
        until = time.monotonic() + timeout_s
        while True:
            reply = client.call_async(request)
            try:
                self._wait(reply.done, what, reply_s)
            except AskTimeout:
                client.remove_pending_request(reply)
                if time.monotonic() > until:
                    raise
            else:
                return reply.result()

    # -- finding each other -----------------------------------------------------------------------

    def meet(self, shape: OccupancyGrid) -> None:
        """Until a step comes back and the node has seen what it shows. Of a simulator that was
        started anew: its time begins again.
        """
        self._poses, self._depths, self._lens, self._stamp_ns = {}, {}, None, 0
        until = time.monotonic() + START_WAIT_S
        while not (self._first_look() and self._seen_by_node(shape)):
            if time.monotonic() > until:
                raise AskTimeout(f"no simulator and {self._target} in {START_WAIT_S:.0f} s")
            # a command whose look came late would make every later one late
            while self._hears():
                pass

    def _first_look(self) -> Look | None:
        self._command(0.0, 0.0)
        return self._hears()

    def _hears(self) -> Look | None:
        try:
            return self._look(AGAIN_S)
        except AskTimeout:
            return None

    def _seen_by_node(self, shape: OccupancyGrid) -> bool:
        # of a clock that begins again the node forgets calibration and all with the first picture
        self._call(self._colour, Trigger.Request(), STEP_WAIT_S, "look")
        look = self._first_look()
        return look is not None and bool(self._ask_mask(shape, look.stamp_ns).success)


def _checksum(message: Any) -> int:
    return zlib.crc32(message.data.tobytes())
