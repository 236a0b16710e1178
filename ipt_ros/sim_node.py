"""The embedded simulator as a node: a robot with an RGB-D camera in a generated house.

Publishes what a Gazebo camera bridge does (camera/image, camera/depth_image, camera/camera_info),
odometry, the map seen so far and, where tf2_msgs is installed, the transforms. Takes cmd_vel and
~/set_pose. In lock step (step_s) every cmd_vel is one step, and no time passes in between. All
work is done between messages in one thread: nothing waits longer than one picture.
"""

from __future__ import annotations

from ipt_ros import one_math_thread  # noqa: F401  before numpy

# isort: split
from typing import Any

import numpy as np
from geometry_msgs.msg import Transform, TransformStamped, Twist
from nav_msgs.msg import OccupancyGrid as OccupancyGridMessage
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from imaginative_perception.srv import SetPose
from ipt_model.messages.poses import yaw_of
from ipt_ros.conversions import (
    array_to_grid,
    intrinsics_to_camera_info,
    matrix_to_pose,
    matrix_to_transform,
    ns_to_stamp,
    planar_matrix,
    pose_to_matrix,
)
from ipt_ros.errors import GoalError
from ipt_ros.parameters.sim_node import SIM_PARAMETERS, check_together
from ipt_ros.parameters.table import Values, declare
from ipt_ros.run import run_node
from ipt_ros.senses.images import depth_to_image, rgb_to_image
from ipt_ros.simulator.robot import PoseError
from ipt_ros.simulator.world import Motion, SimulatedTime, Simulation, SteppedTime
from ipt_training.scenes.scene import SceneError

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class SimNode(Node):
    """Timers drive it; they follow the machine's steady clock, the stamps the simulated one."""

    def __init__(self) -> None:
        super().__init__("sim_node")
        self._live = declare(self, SIM_PARAMETERS, check_together)
        values = self._live.values
        self._stepped = SteppedTime() if values.step_s else None
        self._time = self._stepped or SimulatedTime(values.publish_clock, values.real_time_factor)
        self._simulation = Simulation(values, self._time.now_ns())
        self._published_map: np.ndarray | None = None
        self._map_due_ns = 0

        reliable = values.reliability == "reliable"
        camera = QoSProfile(
            depth=5,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        self._image = self.create_publisher(Image, "camera/image", camera)
        self._depth = self.create_publisher(Image, "camera/depth_image", camera)
        self._info = self.create_publisher(CameraInfo, "camera/camera_info", camera)
        self._odometry = self.create_publisher(Odometry, "odom", 10)
        self._map = self.create_publisher(OccupancyGridMessage, "map", _LATCHED)
        self._transforms = self._transform_publisher()
        self._clock_topic = self._clock_publisher() if values.publish_clock else None
        if values.publish_truth:
            self._truth = self.create_publisher(Image, "truth/image", _LATCHED)
            header = self._header(self._time.now_ns(), values.map_frame)
            self._truth.publish(rgb_to_image(self._simulation.top_down().rgb, header))

        self.create_subscription(Twist, "cmd_vel", self._drive, 10)
        self.create_service(SetPose, "~/set_pose", self._set_pose)
        if self._stepped is not None:
            self.create_service(Trigger, "~/look", self._asked_to_look)
        else:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._camera_timer = self.create_timer(1.0 / values.rate, self._see, clock=steady)
            self._odometry_timer = self.create_timer(
                1.0 / values.odom_rate, self._move, clock=steady
            )
            self._set_rates(values)
        self._live.on_change(self._change)
        scene, robot = self._simulation.scene, self._simulation.robot
        self.get_logger().info(
            f"{values.level} {values.seed}: {len(scene.rooms)} room(s), "
            f"{len(scene.objects)} objects; "
            f"robot at x {robot.x:.2f}, y {robot.y:.2f}, yaw {robot.yaw:.2f}"
        )

    # -- in -------------------------------------------------------------------------------------

    def _drive(self, message: Twist) -> None:
        try:
            self._simulation.robot.command(
                message.linear.x, message.angular.z, self._time.now_ns() / 1e9
            )
        except ValueError as error:
            self.get_logger().warning(f"cmd_vel ignored: {error}", throttle_duration_sec=1.0)
            return
        if self._stepped is not None:
            self._stepped.step(self._live.values.step_s)
            self._see(self._live.values.step_colour)

    def _set_pose(self, request: SetPose.Request, response: SetPose.Response) -> SetPose.Response:
        self._simulation.move(self._time.now_ns())
        try:
            pose = pose_to_matrix(request.pose)
            self._simulation.robot.put(float(pose[0, 3]), float(pose[1, 3]), yaw_of(pose))
            response.success = True
        except GoalError as error:
            response.message = error.text
        except PoseError as error:
            response.message = str(error)
        return response

    def _change(self, values: Values) -> None:
        self._simulation.use(values)
        if self._stepped is None:
            self._set_rates(values)

    def _set_rates(self, values: Values) -> None:
        # rates are per simulated second, timers run on the machine's
        second_ns = 1e9 / values.real_time_factor
        self._camera_timer.timer_period_ns = int(second_ns / values.rate)
        self._odometry_timer.timer_period_ns = int(second_ns / values.odom_rate)

    # -- out ------------------------------------------------------------------------------------

    def _move(self) -> None:
        stamp_ns = self._tick()
        self._publish_motion(self._simulation.move(stamp_ns))

    def _asked_to_look(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        """The picture of now; no time passes."""
        self._see()
        response.success = True
        return response

    def _see(self, colour: bool = True) -> None:
        stamp_ns = self._tick()
        frame = self._simulation.look(stamp_ns, colour)
        values = self._live.values
        # the pose first: whoever looks up where an image was taken finds it there
        self._publish_motion(frame.motion)
        header = self._header(stamp_ns, values.camera_frame)
        self._info.publish(intrinsics_to_camera_info(self._simulation.camera, header))
        if frame.rgb is not None:
            self._image.publish(rgb_to_image(frame.rgb, header))
        self._depth.publish(depth_to_image(frame.depth_m, header, values.depth_encoding))
        if stamp_ns >= self._map_due_ns:
            self._map_due_ns = stamp_ns + int(1e9 / values.map_rate)
            grid = self._simulation.map_with(frame)
            if self._published_map is None or not np.array_equal(grid.cells, self._published_map):
                self._published_map = grid.cells
                self._map.publish(array_to_grid(grid, self._header(stamp_ns, values.map_frame)))

    def _tick(self) -> int:
        stamp_ns = self._time.now_ns()
        if self._clock_topic is not None:
            from rosgraph_msgs.msg import Clock as ClockMessage

            self._clock_topic.publish(ClockMessage(clock=ns_to_stamp(stamp_ns)))
        return stamp_ns

    def _publish_motion(self, motion: Motion) -> None:
        odom, base = self._live.values.odom_frame, self._live.values.base_frame
        matrix = planar_matrix(motion.x, motion.y, motion.yaw)
        message = Odometry(header=self._header(motion.stamp_ns, odom), child_frame_id=base)
        message.pose.pose = matrix_to_pose(matrix)
        message.twist.twist.linear.x = float(motion.speed)
        message.twist.twist.angular.z = float(motion.turn)
        self._odometry.publish(message)
        if self._transforms is not None:
            self._transforms(message.header, base, matrix_to_transform(matrix))

    def _transform_publisher(self) -> Any:
        """A function that sends odom -> base; None where there are no tf2 messages to send."""
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self.get_logger().info("tf2_msgs is not installed: no /tf, use pose_source odometry")
            return None
        values, now_ns = self._live.values, self._time.now_ns()
        mount = matrix_to_transform(self._simulation.base_from_optical)
        fixed = [(self._header(now_ns, values.base_frame), values.camera_frame, mount)]
        if values.map_frame != values.odom_frame:
            header = self._header(now_ns, values.map_frame)
            fixed.append((header, values.odom_frame, Transform()))
        self._tf_static = self.create_publisher(TFMessage, "/tf_static", _LATCHED)
        self._tf_static.publish(TFMessage(transforms=[_transform(*one) for one in fixed]))
        publisher = self.create_publisher(TFMessage, "/tf", 100)
        return lambda *one: publisher.publish(TFMessage(transforms=[_transform(*one)]))

    def _clock_publisher(self) -> Any:
        from rosgraph_msgs.msg import Clock as ClockMessage

        return self.create_publisher(ClockMessage, "/clock", 10)

    @staticmethod
    def _header(stamp_ns: int, frame_id: str) -> Header:
        return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def _transform(header: Header, child: str, transform: Transform) -> TransformStamped:
    return TransformStamped(header=header, child_frame_id=child, transform=transform)


def main() -> None:
    run_node("sim_node", SimNode, (PoseError, SceneError))
