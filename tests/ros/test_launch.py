"""The launch files describe themselves, say nothing that was not said to them, and what they start
really starts, and ends.
"""

import importlib.util
import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.table import ParameterError

# not `launch` alone: the folder of that name here would do
pytest.importorskip("launch.actions", reason="the package launch of ROS 2 is not installed")
pytest.importorskip("launch_ros", reason="the package launch_ros of ROS 2 is not installed")
from harness import BEST_EFFORT, PATIENCE_S, peer, until
from launch.actions import DeclareLaunchArgument
from launch_files import description_of, parameters_of, resolved
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import Image

ROOT = Path(__file__).parents[2]
FILES = ("robot.launch.py", "sim.launch.py")
#: Also those that need what is not installed for tests.
ALL_FILES = (*FILES, "gazebo_eval.launch.py")


def ipt(name="robot.launch.py", **arguments):
    (command,) = [c for node, c in resolved(name, **arguments).items() if "ipt_node" in node]
    return parameters_of(command, "ipt_node")


def simulator(**arguments):
    return parameters_of(resolved("sim.launch.py", **arguments)["/sim_node"], "sim_node")


def arguments_of(name):
    return [e for e in description_of(name).entities if isinstance(e, DeclareLaunchArgument)]


@pytest.mark.parametrize("name", ALL_FILES)
def test_every_argument_has_a_default_and_says_what_it_is_for(name):
    for argument in arguments_of(name):
        assert argument.default_value is not None, argument.name
        assert argument.description and "no description" not in argument.description, argument.name


def test_every_parameter_of_the_node_is_an_argument():
    names = {a.name for a in arguments_of("robot.launch.py")}
    assert {row.name for row in IPT_PARAMETERS} | {"use_sim_time", "params_file"} <= names


#: Arguments of other people's launch files and of ROS that the texts name.
NOT_OURS = {"enable", "__ns"}


def test_whatever_documents_and_remedies_name_with_a_value_is_an_argument():
    ours = {a.name for name in ALL_FILES for a in arguments_of(name)}
    texts = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("ipt_ros/**/*.py")]
    named = {
        (argument, text.name)
        for text in texts
        for line in text.read_text(encoding="utf-8").splitlines()
        for argument in re.findall(r"(?<![\w-])(?<!-r )([a-z_]+):=", line)
    }
    assert len(named) > 8
    assert {one for one in named if one[0] not in ours | NOT_OURS} == set()


def test_arguments_reach_the_nodes():
    commands = resolved("sim.launch.py", namespace="robot1", level="house", log_level="debug")
    assert set(commands) == {"/robot1/sim_node", "/robot1/ipt_node"}
    simulator, ipt_node = commands["/robot1/sim_node"], commands["/robot1/ipt_node"]
    assert "__ns:=/robot1" in simulator and "__ns:=/robot1" in ipt_node
    assert "sim_node:=debug" in simulator and "ipt_node:=debug" in ipt_node
    assert parameters_of(simulator, "sim_node")["level"] == "house"
    remapped = resolved("robot.launch.py", image_topic="/front/image_rect")["/ipt_node"]
    assert "camera/image:=/front/image_rect" in remapped
    assert "camera/image/compressed:=/front/image_rect/compressed" in remapped


def test_what_was_not_given_is_not_said():
    assert ipt() == {}


def test_the_simulated_robot_has_its_own_defaults():
    told = ipt("sim.launch.py")
    assert told == {"pose_source": "odometry", "mounts": [0.1, 0.0, 1.2, 0.0, 0.25, 0.0]}
    camera = simulator()
    keys = ("camera_x", "camera_y", "camera_z", "camera_pitch")
    assert [camera[k] for k in keys] == [told["mounts"][i] for i in (0, 1, 2, 4)]


@pytest.mark.parametrize("name", FILES)
def test_the_parameter_file_goes_before_defaults_and_arguments_before_the_file(name, tmp_path):
    file = tmp_path / "mine.yaml"
    mine = {
        "pose_source": "tf",
        "mounts": [0.5] * 6,
        "use_sim_time": True,
        "autostart": False,
        "flow_steps": 3,
    }
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": mine}}))
    assert ipt(name, params_file=file) == mine
    changed = {"pose_source": "odometry", "autostart": "true", "flow_steps": "4"}
    expected = {**mine, "pose_source": "odometry", "autostart": True, "flow_steps": 4}
    assert ipt(name, params_file=file, **changed) == expected


def test_the_simulators_file_goes_before_its_defaults(tmp_path):
    file = tmp_path / "sim.yaml"
    mine = {"level": "house", "camera_z": 0.9, "publish_clock": True, "publish_truth": False}
    file.write_text(yaml.safe_dump({"/**/sim_node": {"ros__parameters": mine}}))
    assert mine.items() <= simulator(sim_params_file=file).items()
    assert simulator(sim_params_file=file, level="room")["level"] == "room"
    assert simulator(use_sim_time="True")["publish_clock"] is True


@pytest.mark.parametrize("said", ["true", "True", "TRUE"])
def test_booleans_are_taken_as_people_write_them(said):
    assert ipt(imagined_space=said, use_sim_time=said) == {
        "imagined_space": True,
        "use_sim_time": True,
    }


def test_values_have_the_type_of_their_parameter():
    told = ipt(mounts="[0, 0, 1, 0, 0.25, 0]", model="7", cameras="[left, right]")
    assert list(told["mounts"]) == [0.0, 0.0, 1.0, 0.0, 0.25, 0.0]
    assert {type(m) for m in told["mounts"]} == {float}
    assert told["model"] == "7" and list(told["cameras"]) == ["left", "right"]


def test_a_value_that_does_not_fit_is_refused():
    with pytest.raises(ParameterError, match="level: expected string one of room, house"):
        resolved("sim.launch.py", level="castle")


@contextmanager
def launched(ros_domain, tmp_path, *arguments):
    """`ros2 launch` of the simulation; yields the process and what it has printed so far."""
    if importlib.util.find_spec("ros2launch") is None:
        pytest.skip("the command ros2 launch is not installed")
    log = tmp_path / "launch.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["ros2", "launch", "imaginative_perception", "sim.launch.py", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain), "ROS_LOG_DIR": str(tmp_path)},
            start_new_session=True,
        )
        try:
            yield process, log.read_text
        except BaseException:
            print(log.read_text())
            raise
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(PATIENCE_S)


def test_the_simulation_starts_from_its_launch_file_and_ends_with_it(ros_domain, tmp_path):
    name = "namespace:=launched"
    with (
        launched(ros_domain, tmp_path, name) as (process, printed),
        peer(ros_domain) as tester,
    ):
        tester.collect(Image, "/launched/camera/image", BEST_EFFORT).wait(3)
        until(lambda: "ready:" in printed(), "the IPT node is active", 180.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert printed().count("process has finished cleanly") == 2


def test_the_node_reads_the_file_and_all_ends_when_the_simulator_dies(ros_domain, tmp_path):
    file = tmp_path / "mine.yaml"
    mine = {"mounts": [0.2, 0.0, 1.1, 0.0, 0.3, 0.0], "autostart": False, "flow_steps": 3}
    file.write_text(yaml.safe_dump({"/**/ipt_node": {"ros__parameters": mine}}))
    said = ("namespace:=dying", f"params_file:={file}", "imagined_space:=True", "flow_steps:=5")
    with (
        launched(ros_domain, tmp_path, *said) as (process, printed),
        peer(ros_domain) as tester,
    ):
        expected = {
            "pose_source": "odometry",
            "mounts": mine["mounts"],
            "autostart": False,
            "flow_steps": 5,
            "imagined_space": True,
        }
        request = GetParameters.Request(names=list(expected))
        reply = tester.call(GetParameters, "/dying/ipt_node/get_parameters", request)
        values = [parameter_value_to_python(v) for v in reply.values]
        plain = [v if isinstance(v, bool | int | str) else list(v) for v in values]
        assert dict(zip(expected, plain, strict=True)) == expected
        pid = re.search(r"\[sim_node-\d+\]: process started with pid \[(\d+)\]", printed())[1]
        os.kill(int(pid), signal.SIGKILL)
        process.wait(PATIENCE_S)
        assert "was required: shutting down launched system" in printed()
