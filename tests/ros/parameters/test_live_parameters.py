"""Every parameter that a table calls live is changed on a running node, over DDS, and what it
stands for changes with it.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist, Vector3
from harness import BEST_EFFORT, LATCHED, RELIABLE, peer, running, until
from nav_msgs.msg import OccupancyGrid, Odometry
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from robot_input import MOUNT, RobotInput
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from imaginative_perception.action import AskSpatial, ImagineView, TracePath
from imaginative_perception.msg import PathVerdict
from ipt_model.spatial import maps
from ipt_ros.conversions import array_to_grid, grid_to_array, stamp_to_ns
from ipt_ros.errors import ErrorCode
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.sim_node import SIM_PARAMETERS
from ipt_ros.senses.images import depth_to_metres

PARAMETERS = {
    "model": "ipt-tiny",  # an untrained one seldom gives an answer that could be withheld
    "pose_source": "odometry",
    "mounts": list(MOUNT),
    "imagined_space_period_s": 0.3,
    "imagined_space_timeout_s": 60.0,
    "flow_steps": 2,
    "view_max_age_s": 5.0,
    "stamp_max_ahead_s": 0.5,
    "min_map_agreement": 0.0,
    "min_consistency": 0.0,
    "min_confidence": 0.0,
    "max_spread": 1.0,
    "default_mode": "auto",
    "pose_timeout_s": 0.1,
    "robot_radius_m": 0.3,
    "imaginations": 1,
    "imagined_space": False,
    "imagined_space_imaginations": 1,
    "diagnostics_rate_hz": 1.0,
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


#: Names of the parameters that a test below changes.
CHANGED = set()


def changes(*names):
    """Mark a test with the parameters that it changes and sees the effect of."""
    CHANGED.update(names)
    return lambda test: test


class Ipt:
    """The node, a robot, and somebody who changes parameters and asks."""

    def __init__(self, tester, robot):
        self.tester, self.robot = tester, robot
        self._clients = {
            kind: tester.action(kind, f"ipt_node/{name}")
            for kind, name in (
                (AskSpatial, "ask_spatial"),
                (ImagineView, "imagine_view"),
                (TracePath, "trace_path"),
            )
        }
        self.statuses = tester.collect(DiagnosticArray, "/diagnostics", RELIABLE)

    def put(self, **values):
        for name, value in values.items():
            put(self.tester, "ipt_node", name, value)

    def ask(self, mode="imagine"):
        goal = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode=mode)
        return self.tester.run_goal(self._clients[AskSpatial], goal)[1]

    def code(self):
        return self.ask("answer").error_code

    def view(self):
        goal = ImagineView.Goal(object="green ball", mode="imagine")
        goal.viewpoint.header.frame_id = "odom"
        goal.viewpoint.pose.position.x, goal.viewpoint.pose.position.z = 1.0, 1.2
        # turned by 40 degrees: a part of it was seen, and a part must be drawn
        goal.viewpoint.pose.orientation.z, goal.viewpoint.pose.orientation.w = 0.342, 0.94
        return self.tester.run_goal(self._clients[ImagineView], goal)[1]

    def trace(self, begin, end, mode="answer"):
        goal = TracePath.Goal(mode=mode)
        goal.path.header.frame_id = "odom"
        for x in np.linspace(begin, end, 20):
            pose = PoseStamped()
            pose.pose.position.x, pose.pose.orientation.w = float(x), 1.0
            goal.path.poses.append(pose)
        return self.tester.run_goal(self._clients[TracePath], goal)[1]


@pytest.fixture(scope="module")
def ipt(ros_domain, tmp_path_factory):
    with (
        running("ipt_node", ros_domain + 1, tmp_path_factory.mktemp("ipt"), parameters=PARAMETERS),
        peer(ros_domain + 1) as tester,
    ):
        robot = RobotInput(tester)
        robot.send_map()
        one = Ipt(tester, robot)
        until(lambda: one.code() == 0, "the node answers")
        yield one
        robot.close()


@pytest.fixture(autouse=True)
def as_before(request):
    yield
    if "ipt" in request.fixturenames:
        ipt = request.getfixturevalue("ipt")
        ipt.robot.wrong = lambda messages: messages
        ipt.robot.offset_ns = 0
        ipt.put(**{k: v for k, v in PARAMETERS.items() if k in LIVE_IPT})


LIVE_IPT = {row.name for row in IPT_PARAMETERS if not row.read_only}
LIVE_SIM = {row.name for row in SIM_PARAMETERS if not row.read_only}


def test_every_live_parameter_is_changed_here():
    assert CHANGED == LIVE_IPT | LIVE_SIM


@changes("default_mode", "flow_steps")
def test_mode_and_steps(ipt):
    for mode in ("answer", "imagine"):
        ipt.put(default_mode=mode)
        assert ipt.ask(mode="").answer.provenance.mode == mode
    for steps in (5, 3):
        ipt.put(flow_steps=steps)
        assert ipt.ask().answer.provenance.flow_steps == steps


@changes("view_max_age_s")
def test_age_of_views(ipt):
    ipt.robot.wrong = lambda messages: {k: v for k, v in messages.items() if k == "odometry"}
    ipt.put(view_max_age_s=0.05)
    until(lambda: ipt.code() == ErrorCode.STALE_VIEW, "views are too old")
    ipt.put(view_max_age_s=60.0)
    assert ipt.code() != ErrorCode.STALE_VIEW


@changes("remember")
def test_remembering(ipt):
    def views():
        message = ipt.statuses.messages[-1] if ipt.statuses.messages else None
        found = [s for s in message.status if s.name.endswith("memory")] if message else []
        return int({v.key: v.value for v in found[0].values}["views"]) if found else None

    until(lambda: views() == 1, "the view is remembered")
    ipt.put(remember=False)
    until(lambda: views() == 0, "it is forgotten")
    ipt.put(remember=True)
    until(lambda: views() == 1, "it is remembered again")


@changes("stamp_max_ahead_s")
def test_stamps_ahead(ipt):
    def ahead():
        result = ipt.ask("answer")
        stamp = stamp_to_ns(result.answer.header.stamp)
        return result.error_code == 0 and stamp > time.time_ns() + 5 * 10**9

    ipt.robot.offset_ns = 20 * 10**9
    until(lambda: ipt.code() != 0, "nothing but views that cannot be")
    ipt.put(stamp_max_ahead_s=60.0)
    until(ahead, "an answer from a view ahead of the clock")


@changes("pose_timeout_s")
def test_waiting_for_poses(ipt):
    ipt.robot.wrong = lambda messages: {k: v for k, v in messages.items() if k != "odometry"}
    ipt.put(pose_timeout_s=0.0)
    until(lambda: ipt.code() == ErrorCode.NO_POSE, "no pose comes any more")
    ipt.put(pose_timeout_s=2.0)
    began = time.monotonic()
    assert ipt.code() == ErrorCode.NO_POSE
    assert time.monotonic() - began >= 2.0


@changes("robot_radius_m")
def test_width_of_paths(ipt):
    cells = np.zeros((100, 100), np.int8)
    cells[60:70] = maps.OCCUPIED  # a wall at y 1, seen
    grid = array_to_grid(maps.OccupancyGrid(cells, 0.1, (-5.0, -5.0)), Header(frame_id="odom"))
    publisher = ipt.tester.publisher(OccupancyGrid, "map", LATCHED)
    publisher.publish(grid)
    clear, blocked = PathVerdict.CLEAR, PathVerdict.BLOCKED
    ipt.put(robot_radius_m=1.5)
    until(lambda: ipt.trace(-2.0, -1.0).verdict.verdict == blocked, "too wide")
    ipt.put(robot_radius_m=0.2)
    assert ipt.trace(-2.0, -1.0).verdict.verdict == clear
    ipt.put(robot_radius_m=1.5)
    assert ipt.trace(-2.0, -1.0).verdict.verdict == blocked
    ipt.tester.node.destroy_publisher(publisher)
    ipt.robot.send_map()


@changes("answer_valid_s")
def test_an_answer_is_valid_for_as_long_as_is_said(ipt):
    ipt.put(answer_valid_s=2.5)
    answer = ipt.ask("answer").answer
    seen, until_ns = (stamp_to_ns(s) for s in (answer.header.stamp, answer.valid_until))
    assert until_ns - seen == 2_500_000_000
    ipt.put(answer_valid_s=6.0)


@changes("min_confidence", "min_consistency", "min_map_agreement")
def test_what_the_guard_withholds(ipt):
    def withheld(answer, word):
        return answer.abstained and word in answer.abstain_reason

    assert not ipt.view().answer.abstained
    ipt.put(min_confidence=1.0)
    assert withheld(ipt.view().answer, "confidence")
    ipt.put(min_confidence=0.0)
    assert not withheld(ipt.view().answer, "consistency")
    ipt.put(min_consistency=1.0)
    assert withheld(ipt.view().answer, "consistency")
    ipt.put(min_consistency=0.0)
    assert not withheld(ipt.trace(-1.0, 1.0, "imagine").answer, "contradicts")
    ipt.put(min_map_agreement=1.0)
    assert withheld(ipt.trace(-1.0, 1.0, "imagine").answer, "contradicts")


@changes("imaginations", "max_spread")
def test_several_imaginations_and_their_spread(ipt):
    ipt.put(imaginations=4, max_spread=0.0)
    assert "disagree" in ipt.view().answer.abstain_reason
    ipt.put(max_spread=1.0)
    assert not ipt.view().answer.abstained
    ipt.put(imaginations=1, max_spread=0.0)
    assert not ipt.view().answer.abstained


def peaks(mask):
    """Cells that claim more than all eight beside them."""
    cells = np.pad(grid_to_array(mask).cells, 1, constant_values=-1)
    height, width = cells.shape
    beside = [
        cells[row : row + height - 2, column : column + width - 2]
        for row in range(3)
        for column in range(3)
        if (row, column) != (1, 1)
    ]
    inside = cells[1:-1, 1:-1]
    return int(((inside > np.max(beside, axis=0)) & (inside >= 0)).sum())


@changes("imagined_space", "imagined_space_imaginations", "imagined_space_widening_m")
def test_the_mask(ipt):
    def standing(number):
        def told(message):
            return any(
                status.name.endswith("imagined space")
                and {value.key: value.value for value in status.values}.get("imaginations")
                == str(number)
                for status in message.status
            )

        return told

    ipt.put(imagined_space_imaginations=1, imagined_space=True)
    since = len(ipt.statuses)
    ipt.statuses.wait_for(standing(1), since=since)
    ipt.put(imagined_space_imaginations=2)
    ipt.statuses.wait_for(standing(2), since=since)
    masks = ipt.tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
    until(lambda: len(masks) and max(masks.newest.data) >= 0, "a mask stands")
    # a wall that is widened is nowhere a single cell
    ipt.put(imagined_space_widening_m=0.0)
    until(lambda: peaks(masks.newest) > 20, "a mask as it was drawn")
    ipt.put(imagined_space_widening_m=1.0)
    until(lambda: peaks(masks.newest) == 0, "a mask that is widened")
    ipt.put(imagined_space=False)
    until(lambda: max(masks.newest.data) == -1, "the mask is taken back")


@changes("diagnostics_rate_hz")
def test_rate_of_diagnostics(ipt):
    ipt.put(diagnostics_rate_hz=20.0)
    began = time.monotonic()
    ipt.statuses.wait_more(40)
    # at the one a second of before it would take 40 s
    assert time.monotonic() - began < 30.0


# -- the simulator


@pytest.fixture(scope="module")
def sim(ros_domain, tmp_path_factory):
    parameters = {"seed": 2, "rate": 1.0, "odom_rate": 1.0, "width": 64, "height": 48}
    with (
        running("sim_node", ros_domain + 2, tmp_path_factory.mktemp("sim"), parameters=parameters),
        peer(ros_domain + 2) as tester,
    ):
        yield tester


def stamps_s(messages):
    return [stamp_to_ns(m.header.stamp) / 1e9 for m in messages]


@changes("rate", "odom_rate", "map_rate")
def test_rates_of_the_simulator(sim):
    images = sim.collect(Image, "camera/image", BEST_EFFORT)
    odometry = sim.collect(Odometry, "odom", RELIABLE)
    images.wait(2)
    put(sim, "sim_node", "rate", 10.0)
    put(sim, "sim_node", "odom_rate", 50.0)
    # a busy machine leaves some out, but at the rates of before they were a second apart
    images.wait_more(2)
    assert np.median(np.diff(stamps_s(images.wait_more(15)))) < 0.5
    assert np.median(np.diff(stamps_s(odometry.wait_more(60)))) < 0.2
    put(sim, "sim_node", "map_rate", 10.0)
    grids = sim.collect(OccupancyGrid, "map", LATCHED)
    turning = sim.publisher(Twist, "cmd_vel", RELIABLE)
    began = time.monotonic()
    while len(grids) < 8:  # new maps come while it sees something new
        turning.publish(Twist(angular=Vector3(z=0.5)))
        time.sleep(0.1)
        assert time.monotonic() - began < 60
    # maps were half a second apart before
    assert np.diff(stamps_s(grids.messages)).min() < 0.45


@changes("depth_encoding", "depth_max")
def test_depth_of_the_simulator(sim):
    depths = sim.collect(Image, "camera/depth_image", BEST_EFFORT)
    put(sim, "sim_node", "depth_encoding", "16UC1")
    depths.wait_for(lambda m: m.encoding == "16UC1")
    put(sim, "sim_node", "depth_encoding", "32FC1")
    depths.wait_for(lambda m: depth_to_metres(m).max() > 1.0)
    put(sim, "sim_node", "depth_max", 0.5)
    depths.wait_for(lambda m: depth_to_metres(m).max() <= 0.5, since=len(depths))


@changes("max_speed", "max_turn", "command_timeout")
def test_limits_of_the_simulated_robot(sim):
    odometry = sim.collect(Odometry, "odom", RELIABLE)
    command = sim.publisher(Twist, "cmd_vel", RELIABLE)
    put(sim, "sim_node", "command_timeout", 10.0)
    for turn in (0.4, 0.2):
        put(sim, "sim_node", "max_turn", turn)
        command.publish(Twist(angular=Vector3(z=3.0)))
        odometry.wait_for(
            lambda m, turn=turn: abs(m.twist.twist.angular.z - turn) < 0.01, since=len(odometry)
        )
    # one command is obeyed for the time-out, then the robot stands
    began = odometry.newest
    put(sim, "sim_node", "command_timeout", 0.05)
    odometry.wait_for(lambda m: m.twist.twist.angular.z == 0.0, since=len(odometry))
    assert began.twist.twist.angular.z != 0.0
    put(sim, "sim_node", "command_timeout", 10.0)
    put(sim, "sim_node", "max_speed", 0.05)
    command.publish(Twist(linear=Vector3(x=-3.0)))
    moving = odometry.wait_for(lambda m: m.twist.twist.linear.x != 0.0, since=len(odometry))
    assert moving.twist.twist.linear.x >= -0.051
