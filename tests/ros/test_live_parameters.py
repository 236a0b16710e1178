"""Every parameter that a table calls live is changed on a running node, over DDS, and what it
stands for changes with it.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist
from harness import BEST_EFFORT, LATCHED, RELIABLE, peer, running, until
from nav_msgs.msg import OccupancyGrid, Odometry
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from robot_input import MOUNT, RobotInput
from sensor_msgs.msg import Image

from imaginative_perception.action import AskSpatial, TracePath
from ipt_ros.errors import ErrorCode
from ipt_ros.ipt_parameters import IPT_PARAMETERS
from ipt_ros.sim_parameters import SIM_PARAMETERS

PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": list(MOUNT),
    "imagined_space_period_s": 0.3,
    "imagined_space_timeout_s": 60.0,
    "flow_steps": 2,
    "view_max_age_s": 5.0,
    "min_map_agreement": 0.0,
    "min_consistency": 0.0,
    "min_confidence": 0.0,
    "max_spread": 1.0,
}
FIELDS = {
    bool: (ParameterType.PARAMETER_BOOL, "bool_value"),
    int: (ParameterType.PARAMETER_INTEGER, "integer_value"),
    float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
    str: (ParameterType.PARAMETER_STRING, "string_value"),
}


def put(tester, node, name, value):
    kind, field = FIELDS[type(value)]
    parameter = Parameter(name=name, value=ParameterValue(type=kind, **{field: value}))
    request = SetParameters.Request(parameters=[parameter])
    (result,) = tester.call(SetParameters, f"{node}/set_parameters", request).results
    assert result.successful, result.reason


class Ipt:
    def __init__(self, tester, robot):
        self.tester, self.robot = tester, robot
        self.asking = tester.action(AskSpatial, "ipt_node/ask_spatial")
        self.tracing = tester.action(TracePath, "ipt_node/trace_path")
        self.masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
        self.statuses = tester.collect(DiagnosticArray, "/diagnostics", RELIABLE)

    def put(self, name, value):
        put(self.tester, "ipt_node", name, value)

    def ask(self, mode="imagine"):
        goal = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode=mode)
        return self.tester.run_goal(self.asking, goal)[1]

    def trace(self, y=0.0):
        goal = TracePath.Goal(mode="answer")
        goal.path.header.frame_id = "odom"
        for x in np.arange(-4.0, -1.0, 0.05):
            pose = PoseStamped()
            pose.pose.position.x, pose.pose.position.y = float(x), y
            pose.pose.orientation.w = 1.0
            goal.path.poses.append(pose)
        return self.tester.run_goal(self.tracing, goal)[1]


@pytest.fixture(scope="module")
def ipt(ros_domain, tmp_path_factory):
    with (
        running("ipt_node", ros_domain + 1, tmp_path_factory.mktemp("ipt"), parameters=PARAMETERS),
        peer(ros_domain + 1) as tester,
    ):
        robot = RobotInput(tester)
        robot.send_map()
        one = Ipt(tester, robot)
        until(lambda: one.ask("answer").error_code == 0, "the node answers")
        yield one
        robot.close()


def default_mode(ipt, value):
    ipt.put("default_mode", value)
    return ipt.ask(mode="").answer.provenance.mode == value


def flow_steps(ipt, value):
    ipt.put("flow_steps", value)
    return ipt.ask().answer.provenance.flow_steps == value


def view_max_age_s(ipt, value):
    ipt.put("view_max_age_s", value)
    # views that are half a second old when they come
    ipt.robot.offset_ns = -500_000_000
    until(lambda: ipt.ask("answer").error_code in (0, ErrorCode.STALE_VIEW), "the jump is over")
    time.sleep(0.3)
    stale = ipt.ask("answer").error_code == ErrorCode.STALE_VIEW
    ipt.robot.offset_ns = 0
    until(lambda: ipt.ask("answer").error_code in (0, ErrorCode.STALE_VIEW), "as before")
    return stale == (value < 0.5)


def robot_radius_m(ipt, value):
    # y -4.6 is 0.4 m from the edge of the map: what lies outside was not seen
    ipt.put("robot_radius_m", value)
    return ipt.trace(y=-4.6).seen_fraction < 1.0 if value > 0.4 else ipt.trace(y=-4.6)


def pose_timeout_s(ipt, value):
    ipt.put("pose_timeout_s", value)
    ipt.robot.wrong = lambda m: {k: v for k, v in m.items() if k != "odometry"}
    until(lambda: ipt.ask("answer").error_code == ErrorCode.NO_POSE, "no pose comes any more")
    began = time.monotonic()
    assert ipt.ask("answer").error_code == ErrorCode.NO_POSE
    took = time.monotonic() - began
    ipt.robot.wrong = lambda m: m
    until(lambda: ipt.ask("answer").error_code == 0, "poses come again")
    return took >= value
