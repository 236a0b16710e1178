"""The robot in its simulator, as the evaluator has it: put it somewhere, turn it once, wait for
what its camera sees from there.

Whether a picture was taken from a place is told by stamps alone, so it holds for any clock.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from imaginative_perception.srv import SetPose
from ipt_model.messages.poses import yaw_of
from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.client import Asker, AskTimeout, Waiter
from ipt_ros.conversions import matrix_to_pose, planar_matrix, pose_to_matrix, stamp_to_ns
from ipt_ros.errors import GoalError
from ipt_ros.evaluation.episodes import Episode, Pose, Stand
from ipt_ros.senses.images import depth_to_metres, image_to_rgb

if TYPE_CHECKING:
    from ipt_ros.evaluation.true_world import TrueWorld

#: The world is the one of the truth where so much of the walls and things agrees.
LEAST_AGREEMENT = 0.6
#: The robot stands where it was put within these, m and rad; what a simulator with physics does.
NEAR_M, NEAR_RAD = 0.05, 0.05
#: Pictures from a place before anything is asked there: the node has its newest one then too.
PICTURES = 3
TURN_RAD_S = 1.6
#: Longest waits, s: for the robot to stand, for its pictures, for a turn at that speed.
STANDS_S, SEES_S, TURNED_S = 20.0, 20.0, 120.0
SERVICE_S = 10.0


class PlaceError(RuntimeError):
    """The robot cannot be put there; the text says who refused, and why."""


class Body:
    """simulator: embedded or gazebo. model: the robot's name in Gazebo."""

    def __init__(
        self, asker: Asker, waiter: Waiter, simulator: str, world: str, model: str = "robot"
    ) -> None:
        self._asker, self._waiter = asker, waiter
        self._simulator, self._world, self._model = simulator, world, model
        self._lock = threading.Lock()
        self._pose: tuple[int, Pose] | None = None
        self._picture: Any = None
        self._depth: Any = None
        self._picture_stamps: list[int] = []
        self._depth_stamps: list[int] = []
        node = asker.node
        self._drive = node.create_publisher(Twist, "cmd_vel", 10)
        node.create_subscription(Odometry, "odom", self._odometry, 10)
        sensor = qos_profile_sensor_data
        node.create_subscription(Image, "camera/image", self._see, sensor)
        node.create_subscription(Image, "camera/depth_image", self._measure, sensor)

    def _odometry(self, message: Any) -> None:
        try:
            at = pose_to_matrix(message.pose.pose)
        except GoalError:
            return
        pose = float(at[0, 3]), float(at[1, 3]), yaw_of(at)
        self._pose = stamp_to_ns(message.header.stamp), pose

    def _see(self, message: Any) -> None:
        with self._lock:
            self._picture = message
            self._picture_stamps = [*self._picture_stamps[-99:], stamp_to_ns(message.header.stamp)]

    def _measure(self, message: Any) -> None:
        with self._lock:
            self._depth = message
            self._depth_stamps = [*self._depth_stamps[-99:], stamp_to_ns(message.header.stamp)]

    def senses(self) -> str:
        """What has not come yet, in words; empty when all has."""
        missing = [
            topic
            for topic, heard in (
                ("odom", self._pose),
                ("camera/image", self._picture),
                ("camera/depth_image", self._depth),
            )
            if heard is None
        ]
        return ", ".join(self._asker.node.resolve_topic_name(topic) for topic in missing)

    def wait_for_senses(self, timeout_s: float) -> None:
        try:
            self._waiter.until(lambda: not self.senses(), "camera and odometry", timeout_s)
        except AskTimeout as error:
            raise PlaceError(
                f"nothing came on {self.senses()}; does the simulator run?"
            ) from error

    # -- placing ----------------------------------------------------------------------------------

    def put(self, pose: Pose) -> None:
        """Stand there, seen from there."""
        self._pose = None
        message = matrix_to_pose(planar_matrix(*pose))
        reply = self._in_gazebo(message) if self._simulator == "gazebo" else self._here(message)
        if not reply.success:
            why = getattr(reply, "message", "") or "no reason was given"
            raise PlaceError(f"the simulator does not put the robot at {_told(pose)}: {why}")
        since = self._waiter.until(
            lambda: self._stands_at(pose), f"the robot at {_told(pose)}", STANDS_S
        )
        self.see(since)

    def _here(self, pose: Any) -> Any:
        return self._asker.call(
            SetPose, "sim_node/set_pose", SetPose.Request(pose=pose), SERVICE_S
        )

    def _in_gazebo(self, pose: Any) -> Any:
        try:
            from ros_gz_interfaces.msg import Entity
            from ros_gz_interfaces.srv import SetEntityPose
        except ImportError as error:
            raise PlaceError(
                "ros_gz_interfaces is not installed, and the robot in Gazebo is placed with it: "
                "apt install ros-$ROS_DISTRO-ros-gz"
            ) from error
        service = f"/world/{self._world}/set_pose"
        entity = Entity(name=self._model, type=Entity.MODEL)
        request = SetEntityPose.Request(entity=entity, pose=pose)
        try:
            return self._asker.call(SetEntityPose, service, request, SERVICE_S)
        except AskTimeout as error:
            raise PlaceError(f"{error}; {self._other_worlds()}") from error

    def _other_worlds(self) -> str:
        known = self._asker.node.get_service_names_and_types()
        there = sorted(n for n, _ in known if n.startswith("/world/") and n.endswith("/set_pose"))
        if there:
            return f"there is {', '.join(there)}: another world runs"
        return "is its bridge running? gazebo_eval.launch.py starts one with evaluate:=true"

    def _stands_at(self, pose: Pose) -> int | None:
        """The stamp of the odometry that says so, ns."""
        heard = self._pose
        if heard is None:
            return None
        stamp, at = heard
        near = math.dist(at[:2], pose[:2]) <= NEAR_M
        turned = abs(math.remainder(at[2] - pose[2], 2 * math.pi)) <= NEAR_RAD
        return stamp if near and turned else None

    def see(self, since_ns: int) -> None:
        """Wait for pictures and depth that were taken at that time or later."""

        def enough() -> bool:
            with self._lock:
                return all(
                    sum(stamp >= since_ns for stamp in stamps) >= PICTURES
                    for stamps in (self._picture_stamps, self._depth_stamps)
                )

        self._waiter.until(enough, "pictures from there", SEES_S)

    def see_anew(self) -> None:
        """Wait for pictures newer than all that came."""
        with self._lock:
            newest = max(self._picture_stamps, default=0)
        self.see(newest + 1)

    def forget(self, target: str) -> None:
        """Have the node forget what it saw elsewhere, and see this place."""
        self._asker.call(Trigger, f"{target}/forget", Trigger.Request(), SERVICE_S)
        self.see_anew()

    # -- turning and looking ----------------------------------------------------------------------

    def turn_once(self) -> None:
        """By cmd_vel, as a robot would, until the odometry has gone round."""
        turned, last = 0.0, self.pose[2]

        def round_once() -> bool:
            nonlocal turned, last
            command = Twist()
            command.angular.z = TURN_RAD_S
            self._drive.publish(command)
            now = self.pose[2]
            turned += math.remainder(now - last, 2 * math.pi)
            last = now
            return turned >= 2 * math.pi

        try:
            self._waiter.until(round_once, "a turn on the spot by cmd_vel", TURNED_S)
        finally:
            self._drive.publish(Twist())

    @property
    def pose(self) -> Pose:
        """Newest of the odometry."""
        assert self._pose is not None
        return self._pose[1]

    def picture(self) -> np.ndarray:
        """Newest, H x W x 3 uint8."""
        return image_to_rgb(self._picture)

    def depth(self) -> np.ndarray:
        """Newest, H x W float32, m."""
        return depth_to_metres(self._depth)


class Simulated:
    """A `Setting`: the robot in a simulated world whose truth is known. target: the node that is
    asked. timeout_s: for the first pictures."""

    def __init__(self, body: Body, world: TrueWorld, target: str, timeout_s: float) -> None:
        self._body, self._world, self._target = body, world, target
        self._timeout_s = timeout_s
        self.name = world.name

    def begin(self) -> None:
        self._body.wait_for_senses(self._timeout_s)
        # before the robot is put anywhere: another world may have something standing there
        share = self._world.agreement(self._body.depth(), self._body.pose)
        if share < LEAST_AGREEMENT:
            truth = self._world.truth
            raise PlaceError(
                f"the camera sees another world than {self.name}: {100 * share:.0f} % of "
                "the walls and things before it are as far as they should be; start the simulator "
                f"with {truth['level']} {truth['seed']}, or name the world that it runs"
            )

    def reach(self, stand: Stand) -> None:
        self._body.put(stand.pose)
        self._body.forget(self._target)
        if stand.turn:
            self._body.turn_once()
            self._body.put(stand.pose)

    def show(self, episode: Episode) -> None:
        """What is there, whatever is asked."""

    def see_anew(self) -> None:
        self._body.see_anew()

    def true_view(self, episode: Episode) -> np.ndarray:
        """The robot goes there and looks."""
        assert episode.then is not None
        self._body.put(episode.then)
        return self._body.picture()

    def true_map(self, stand: Stand) -> OccupancyGrid:
        return self._world.map


def _told(pose: Pose) -> str:
    return f"x {pose[0]:.2f}, y {pose[1]:.2f}, yaw {pose[2]:.2f}"
