"""The robot and the topics in Gazebo are those of the embedded simulator, and what is wrong with a
world file is said before Gazebo reads it.
"""

import importlib
import json
import shlex
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from ipt_ros.parameters.sim_node import SIM_PARAMETERS
from ipt_ros.parameters.table import defaults
from ipt_ros.simulator.gazebo import (
    IMAGE_TOPICS,
    WorldFileError,
    find_world,
    gazebo_arguments,
    mounted_camera,
    start_from,
)
from ipt_ros.simulator.robot import Robot, RobotLimits
from ipt_training.houses.generator import make_scene
from ipt_training.worlds.folder import DEMO_LEVEL, DEMO_SEED, SHIPPED
from ipt_training.worlds.robot import RobotBuild, robot_model

ROOT = Path(__file__).parents[3]
WORLDS = ROOT / "worlds"
BRIDGE = yaml.safe_load((ROOT / "config" / "gazebo_bridge.yaml").read_text())
ROBOT = ElementTree.parse(WORLDS / "robot.sdf").getroot().find("model")
NOTHING = {"x": "", "y": "", "yaw": ""}


# -- the robot ------------------------------------------------------------------------------------


def test_its_size_camera_and_frames_are_the_simulators():
    sim, build = defaults(SIM_PARAMETERS), RobotBuild()
    for name in (
        "camera_x", "camera_y", "camera_z", "camera_pitch", "width", "horizontal_fov", "depth_max",
        "rate", "odom_rate", "max_speed", "max_turn", "odom_frame", "base_frame", "camera_frame",
    ):  # fmt: skip
        assert getattr(build, name) == getattr(sim, name), name
    assert (build.radius, build.height_px) == (sim.robot_radius, sim.height)
    assert build.height == max(RobotLimits().height_m, sim.camera_z + 0.05)


def test_the_file_of_the_robot_says_so():
    sim = defaults(SIM_PARAMETERS)
    sensor = ROBOT.find("link/sensor")
    assert (ROBOT.find("link").get("name"), sensor.get("type")) == (sim.base_frame, "rgbd_camera")
    pose = [float(v) for v in sensor.findtext("pose").split()]
    assert pose == [sim.camera_x, sim.camera_y, sim.camera_z, 0.0, sim.camera_pitch, 0.0]
    camera = sensor.find("camera")
    assert float(camera.findtext("horizontal_fov")) == sim.horizontal_fov
    assert (camera.findtext("image/width"), camera.findtext("image/height")) == ("320", "240")
    assert float(camera.findtext("depth_camera/clip/far")) == sim.depth_max
    assert float(sensor.findtext("update_rate")) == sim.rate
    assert {sensor.findtext(t) for t in ("frame_id", "gz_frame_id")} == {sim.camera_frame}
    body = ROBOT.find("link/collision[@name='body_collision']/geometry/cylinder")
    assert float(body.findtext("radius")) == sim.robot_radius
    truth = plugin("OdometryPublisher")
    assert (truth["odom_frame"], truth["robot_base_frame"]) == (sim.odom_frame, sim.base_frame)
    wheels = plugin("DiffDrive")
    assert float(wheels["max_linear_velocity"]) == -float(wheels["min_linear_velocity"])
    joints = {j.get("name"): j for j in ROBOT.findall("joint")}
    assert {wheels["left_joint"], wheels["right_joint"]} == set(joints)
    links = {link.get("name"): link for link in ROBOT.findall("link")}
    sides = [float(links[f"{s}_wheel"].findtext("pose").split()[1]) for s in ("left", "right")]
    assert sides[0] == -sides[1] > 0
    assert sides[0] - sides[1] == pytest.approx(float(wheels["wheel_separation"]))
    tyre = links["left_wheel"].find("collision/geometry/cylinder")
    assert float(tyre.findtext("radius")) == float(wheels["wheel_radius"])


def plugin(system):
    element = ROBOT.find(f"plugin[@name='gz::sim::systems::{system}']")
    return {child.tag: child.text for child in element}


def test_the_camera_does_not_see_the_robot():
    mask = int(ROBOT.findtext("link/sensor/camera/visibility_mask"))
    flags = [int(v.findtext("visibility_flags")) for v in ROBOT.iter("visual")]
    assert len(flags) > 4 and not any(mask & flag for flag in flags)
    assert mask & 0x0FFFFFFF & ~flags[0]  # and sees what has no flags of its own


def test_the_node_is_told_where_the_camera_is():
    told = yaml.safe_load((ROOT / "config" / "gazebo_robot.yaml").read_text())
    mounts = told["/**/ipt_node"]["ros__parameters"]["mounts"]
    assert mounts == [float(v) for v in ROBOT.findtext("link/sensor/pose").split()]
    simulated = yaml.safe_load((ROOT / "config" / "sim_robot.yaml").read_text())
    assert mounts == simulated["/**/ipt_node"]["ros__parameters"]["mounts"]


def test_the_static_transform_is_the_simulators():
    from ipt_ros.simulator.world import Simulation

    sim = defaults(SIM_PARAMETERS)
    camera = mounted_camera(WORLDS / "robot.sdf")
    assert (camera.base_frame, camera.optical_frame) == (sim.base_frame, sim.camera_frame)
    np.testing.assert_allclose(
        camera.base_from_optical, Simulation(sim, 0).base_from_optical, atol=1e-12
    )


@pytest.mark.parametrize("key", SHIPPED, ids=lambda k: k.name)
def test_it_starts_where_the_simulators_robot_does(key):
    robot = Robot(make_scene(key.seed, key.level), RobotLimits())
    world = find_world(key.name, WORLDS)
    assert world.start == pytest.approx((robot.x, robot.y, robot.yaw), abs=1e-6)
    assert (world.name, world.has_robot) == (key.name, False)


def test_the_demos_world_is_the_demos():
    from ipt_ros.demo.__main__ import arguments

    chosen = arguments([])
    assert (chosen.seed, chosen.level) == (DEMO_SEED, DEMO_LEVEL)


# -- the topics -----------------------------------------------------------------------------------


def ros_topics(direction):
    found = {
        f"/{e['ros_topic_name'].lstrip('/')}": e["ros_type_name"]
        for e in BRIDGE
        if e["direction"] == direction
    }
    if direction == "GZ_TO_ROS":
        found |= {f"/{topic}": "sensor_msgs/msg/Image" for topic in IMAGE_TOPICS}
    return found


def test_every_topic_of_the_bridge_is_one_that_the_robots_file_makes():
    """Gazebo's side: names in the file, types as its systems publish them."""
    camera, truth, wheels = (
        ROBOT.findtext("link/sensor/topic"), plugin("OdometryPublisher"), plugin("DiffDrive"),
    )  # fmt: skip
    made = {
        "/clock": "gz.msgs.Clock",
        f"/{camera}/camera_info": "gz.msgs.CameraInfo",
        f"/{truth['odom_topic']}": "gz.msgs.Odometry",
        f"/{truth['tf_topic']}": "gz.msgs.Pose_V",
        f"/{wheels['odom_topic']}": "gz.msgs.Odometry",
    }
    outward = {e["gz_topic_name"]: e["gz_type_name"] for e in BRIDGE if "GZ_TO" in e["direction"]}
    assert outward == made
    inward = [e for e in BRIDGE if e["direction"] == "ROS_TO_GZ"]
    assert {e["gz_topic_name"] for e in inward} == {f"/{wheels['topic']}"}
    assert {e["gz_type_name"] for e in inward} == {"gz.msgs.Twist"}
    assert set(IMAGE_TOPICS) == {f"{camera}/image", f"{camera}/depth_image"}
    assert len(BRIDGE) == len(outward) + len(inward)


def test_the_entries_of_the_bridge_are_complete_and_their_types_exist():
    for entry in BRIDGE:
        assert set(entry) - {"lazy"} == {
            "ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name", "direction",
        }  # fmt: skip
        package, _, name = entry["ros_type_name"].split("/")
        if package == "tf2_msgs":  # not in the wheels of ROS
            continue
        module = pytest.importorskip(f"{package}.msg", reason="ROS is not installed")
        assert hasattr(importlib.import_module(module.__name__), name), entry


def test_names_types_and_frames_are_those_of_the_embedded_simulator(ros_domain, tmp_path):
    """Its own process is asked what it publishes."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from harness import BEST_EFFORT, RELIABLE, peer, running, until
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import CameraInfo, Image

    given = {"publish_clock": True}
    with running("sim_node", ros_domain, tmp_path, parameters=given), peer(ros_domain) as tester:
        node = tester.node

        def table():
            if ("sim_node", "/") not in node.get_node_names_and_namespaces():
                return None
            out = dict(node.get_publisher_names_and_types_by_node("sim_node", "/"))
            into = dict(node.get_subscriber_names_and_types_by_node("sim_node", "/"))
            return (out, into) if "/map" in out and "/cmd_vel" in into else None

        out, into = until(table, "what the simulator publishes", 60.0)
        picture = tester.collect(Image, "camera/image", BEST_EFFORT).wait()[0]
        depth = tester.collect(Image, "camera/depth_image", BEST_EFFORT).wait()[0]
        info = tester.collect(CameraInfo, "camera/camera_info", BEST_EFFORT).wait()[0]
        odometry = tester.collect(Odometry, "odom", RELIABLE).wait()[0]
    elsewhere = {
        "/map",  # the node makes it of its memory
        "/tf_static",  # static_transform_publisher
        "/rosout",
        "/parameter_events",
    }
    ours = ros_topics("GZ_TO_ROS")
    for topic, types in out.items():
        if topic not in elsewhere:
            assert [ours.get(topic)] == types, topic
    absent = set(ours) - set(out) - {"/wheels/odom"}
    assert absent <= {"/tf"}  # where tf2_msgs is not installed
    assert [ros_topics("ROS_TO_GZ")["/cmd_vel"]] == into["/cmd_vel"]

    sensor = ROBOT.find("link/sensor")
    frame = sensor.findtext("gz_frame_id")
    assert {m.header.frame_id for m in (picture, depth, info)} == {frame}
    truth = plugin("OdometryPublisher")
    assert odometry.header.frame_id == truth["odom_frame"]
    assert odometry.child_frame_id == truth["robot_base_frame"]
    size = tuple(int(sensor.findtext(f"camera/image/{name}")) for name in ("width", "height"))
    assert {(m.width, m.height) for m in (picture, depth, info)} == {size}
    # as Gazebo's R8G8B8 and its float depth arrive
    assert (picture.encoding, depth.encoding) == ("rgb8", "32FC1")


# -- world files ----------------------------------------------------------------------------------


def written(folder, text, truth=None):
    path = folder / "my world.sdf"
    path.write_text(text)
    if truth is not None:
        path.with_suffix(".json").write_text(truth)
    return str(path)


ONE = '<sdf version="1.9"><world name="one"><model name="box"/></world></sdf>'


def test_a_world_of_ones_own_is_found_by_its_path(tmp_path):
    world = find_world(written(tmp_path, ONE), WORLDS)
    assert (world.name, world.has_robot, world.start) == ("one", False, None)
    assert start_from(world, NOTHING) == (0.0, 0.0, 0.0)
    start = json.dumps({"robot": {"start": [1, 2, 0.5]}})
    world = find_world(written(tmp_path, ONE.replace("box", "robot"), start), WORLDS)
    assert world.has_robot and start_from(world, NOTHING) == (1.0, 2.0, 0.5)
    assert start_from(world, {"x": "-0.5", "y": "", "yaw": "1e-1"}) == (-0.5, 2.0, 0.1)


@pytest.mark.parametrize(
    ("text", "truth", "words"),
    [
        ("<sdf>", None, "no element found"),
        ("<sdf/>", None, "expected one world, found 0"),
        (ONE.replace("</sdf>", "<world/></sdf>"), None, "found 2"),
        (ONE, "{", "expected the truth of my world.sdf"),
        (ONE, "{}", "expected the truth"),
        (ONE, '{"robot": {"start": [1, 2]}}', "expected the truth"),
        (ONE, '{"robot": {"start": [1, 2, "east"]}}', "expected the truth"),
    ],
)
def test_a_file_that_is_no_world_is_refused(tmp_path, text, truth, words):
    with pytest.raises(WorldFileError, match=words):
        find_world(written(tmp_path, text, truth), WORLDS)


def test_a_world_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(WorldFileError, match=r"demo, house_850000.*room_850009$"):
        find_world("castle", WORLDS)
    with pytest.raises(WorldFileError, match="there is no"):
        find_world(str(tmp_path / "none.sdf"), WORLDS)


@pytest.mark.parametrize("typed", ["east", "nan", "inf", "1,5"])
def test_a_start_that_is_no_number_is_refused(typed):
    with pytest.raises(WorldFileError, match="yaw: expected a finite number"):
        start_from(find_world("demo", WORLDS), {**NOTHING, "yaw": typed})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("robot", "lorry"), "no model 'robot'"),
        (("rgbd_camera", "lidar"), "no model 'robot' with an rgbd_camera"),
        (("0 0.25 0</pose>", "0</pose>"), "not six numbers"),
        (("0 0.25 0</pose>", "0 down 0</pose>"), "not six numbers"),
        (("frame_id", "frame"), "has no gz_frame_id"),
    ],
)
def test_a_robot_without_its_camera_is_refused(tmp_path, change, words):
    text = (WORLDS / "robot.sdf").read_text()
    assert change[0] in text
    path = tmp_path / "robot.sdf"
    path.write_text(text.replace(*change))
    with pytest.raises(WorldFileError, match=words):
        mounted_camera(path)


def test_gazebo_is_told_to_run_without_a_screen_unless_a_window_is_wanted(tmp_path):
    world = find_world(written(tmp_path, ONE), WORLDS)
    assert shlex.split(gazebo_arguments(world, False, "1")) == [
        "-r", "-s", "--headless-rendering", "-v", "1", str(world.path),
    ]  # fmt: skip
    assert shlex.split(gazebo_arguments(world, True, "4")) == ["-r", "-v", "4", str(world.path)]


def test_the_robot_in_a_world_is_the_robot_of_the_file():
    def plain(element):
        return ElementTree.tostring(element, encoding="unicode").replace(" ", "").replace("\n", "")

    assert plain(robot_model(RobotBuild())) == plain(ROBOT)
