"""No message of any kind ends a node: each type that a node hears is sent over DDS with nonsense
in it, and afterwards the node answers a good question.
"""

from __future__ import annotations

import importlib.util
import os
import random

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import Twist
from harness import BEST_EFFORT, LATCHED, RELIABLE, peer, running, until
from hostile import hostile
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import OccupancyGrid, Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.serialization import serialize_message
from robot_input import MOUNT, RobotInput
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from imaginative_perception.action import AskSpatial, CountObjects, ImagineView, TracePath
from imaginative_perception.srv import SetPose
from ipt_ros.conversions import ns_to_stamp, stamp_to_ns

COUNT = int(os.environ.get("IPT_HOSTILE", "60"))
PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": list(MOUNT),
    "imagined_space": True,
    "imagined_space_period_s": 0.3,
    "imagined_space_imaginations": 1,
    "min_map_agreement": 0.0,
    "flow_steps": 2,
}
ACTIONS = {
    AskSpatial: "ask_spatial",
    CountObjects: "count_objects",
    ImagineView: "imagine_view",
    TracePath: "trace_path",
}
TERMINAL = {
    GoalStatus.STATUS_SUCCEEDED,
    GoalStatus.STATUS_ABORTED,
    GoalStatus.STATUS_CANCELED,
}
#: Where tf2_ros is not installed: every frame stands at the origin, but a stamp must be one.
STAND_IN_FOR_TF2 = """
from geometry_msgs.msg import TransformStamped
class TransformException(Exception): pass
class Buffer:
    def __init__(self, node=None): pass
    def clear(self): pass
    def lookup_transform(self, to, frame, stamp, timeout):
        return TransformStamped()
class TransformListener:
    def __init__(self, buffer, node): pass
"""


class Bench:
    def __init__(self, process, tester, robot):
        self.process, self.tester, self.robot = process, tester, robot
        self.clients = {
            kind: tester.action(kind, f"ipt_node/{name}") for kind, name in ACTIONS.items()
        }
        self.answers()

    def answers(self):
        goal = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="answer")

        def good():
            assert self.process.returncode is None, "the node ended"
            return self.tester.run_goal(self.clients[AskSpatial], goal)[1].error_code == 0

        until(good, "a good question is answered")

    def send(self, kind, topic, qos, seed):
        publisher = self.tester.publisher(kind, topic, qos)
        rng = random.Random(seed)
        try:
            for number in range(COUNT):
                # from one wrong value to nothing but
                message = hostile(kind(), rng, share=rng.choice([0.1, 0.5, 1.0]))
                publisher.publish(message)
                raw = bytearray(serialize_message(message))
                if number % 4 == 0:  # as another program's bug would write it
                    del raw[rng.randrange(4, len(raw) + 1) :]
                    publisher.publish(bytes(raw))
                self.robot.send()
        finally:
            self.tester.node.destroy_publisher(publisher)


@pytest.fixture(scope="module")
def raw(ros_domain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    with (
        running("ipt_node", ros_domain + 1, folder, parameters=PARAMETERS) as process,
        peer(ros_domain + 1) as tester,
    ):
        robot = RobotInput(tester)
        robot.send_map()
        yield Bench(process, tester, robot)
        robot.close()
        assert process.terminate()[0] == 0


@pytest.fixture(scope="module")
def other(ros_domain, tmp_path_factory):
    """With compressed images, tf and simulated time."""
    folder = tmp_path_factory.mktemp("other")
    if importlib.util.find_spec("tf2_ros") is None:
        (folder / "tf2_ros.py").write_text(STAND_IN_FOR_TF2)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    parameters = {
        **PARAMETERS,
        "pose_source": "tf",
        "image_transport": "compressed",
        "use_sim_time": True,
    }
    with (
        running(
            "ipt_node",
            ros_domain + 2,
            folder,
            parameters=parameters,
            environment={"PYTHONPATH": path},
        ) as process,
        peer(ros_domain + 2) as tester,
    ):
        clock = tester.publisher(Clock, "/clock", BEST_EFFORT)
        images = tester.publisher(CompressedImage, "camera/image/compressed", BEST_EFFORT)
        # RobotInput waits for somebody who listens
        for kind, topic in ((Image, "camera/image"), (Odometry, "odom")):
            tester.collect(kind, topic, BEST_EFFORT)
        png = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()

        def compress(messages):
            header = messages["image"].header
            clock.publish(Clock(clock=ns_to_stamp(stamp_to_ns(header.stamp))))
            images.publish(CompressedImage(header=header, format="png", data=png))
            return {name: messages[name] for name in ("info", "depth")}

        robot = RobotInput(tester)
        robot.wrong = compress
        robot.send_map()
        yield Bench(process, tester, robot)
        robot.close()
        assert process.terminate()[0] == 0


RAW = {
    "image": (Image, "camera/image", BEST_EFFORT),
    "depth": (Image, "camera/depth_image", BEST_EFFORT),
    "info": (CameraInfo, "camera/camera_info", BEST_EFFORT),
    "odometry": (Odometry, "odom", BEST_EFFORT),
    "map": (OccupancyGrid, "map", LATCHED),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", RAW)
def test_no_message_ends_the_node(raw, name):
    raw.send(*RAW[name], seed=1)
    raw.robot.send_map()
    raw.answers()


OTHER = {
    "compressed image": (CompressedImage, "camera/image/compressed", BEST_EFFORT),
    "clock": (Clock, "/clock", BEST_EFFORT),
    "depth": (Image, "camera/depth_image", BEST_EFFORT),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", OTHER)
def test_no_message_ends_the_node_with_tf_and_simulated_time(other, name):
    other.send(*OTHER[name], seed=2)
    other.answers()


@pytest.mark.timeout(300)
def test_no_transform_ends_the_node(other):
    tf2_msgs = pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs is not installed")
    pytest.importorskip("tf2_ros", reason="tf2_ros is not installed")
    for topic, qos in (("/tf", RELIABLE), ("/tf_static", LATCHED)):
        other.send(tf2_msgs.TFMessage, topic, qos, seed=3)
    other.answers()


@pytest.mark.timeout(300)
def test_images_stamped_before_time_began_are_named_and_end_nothing(other):
    good = other.robot.wrong

    def early(messages):
        for message in messages.values():
            message.header.stamp.sec = -5
        return good(messages)

    other.robot.wrong = early
    for _ in range(20):
        other.robot.send()
    other.robot.wrong = good
    other.answers()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ACTIONS, ids=list(ACTIONS.values()))
def test_no_goal_ends_the_node(raw, kind):
    rng = random.Random(4)
    for _ in range(COUNT // 4):
        goal = hostile(kind.Goal(), rng, share=rng.choice([0.1, 0.5, 1.0]))
        handle, ending = raw.tester.start_goal(raw.clients[kind], goal)
        raw.tester.cancel_goal(handle)
        assert raw.tester.result(ending, "the goal ends").status in TERMINAL
    raw.answers()


@pytest.mark.timeout(300)
def test_no_service_call_ends_the_node(raw):
    rng = random.Random(5)
    client = raw.tester.node.create_client(SetParameters, "ipt_node/set_parameters")
    until(client.service_is_ready, "the service is there")
    for _ in range(COUNT // 4):
        # rclpy answers none that names a type of value that there is not
        request = hostile(SetParameters.Request(), rng)
        raw.tester.there(lambda request=request: client.call_async(request))
    for number in (0, 2, 3, 50, 255):  # none of them possible while it is active
        request = ChangeState.Request()
        request.transition.id = number
        assert not raw.tester.call(ChangeState, "ipt_node/change_state", request).success
    raw.answers()


@pytest.mark.timeout(300)
def test_no_message_ends_the_simulator(ros_domain, tmp_path):
    rng = random.Random(6)
    with (
        running("sim_node", ros_domain + 3, tmp_path) as process,
        peer(ros_domain + 3) as tester,
    ):
        odometry = tester.collect(Odometry, "odom", RELIABLE)
        command = tester.publisher(Twist, "cmd_vel", RELIABLE)
        for _ in range(COUNT):
            command.publish(hostile(Twist(), rng))
            tester.call(SetPose, "sim_node/set_pose", hostile(SetPose.Request(), rng))
        assert process.returncode is None
        for message in odometry.wait_more(5):
            at = message.pose.pose.position
            assert np.isfinite([at.x, at.y]).all()
        assert process.terminate()[0] == 0
