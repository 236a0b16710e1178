"""The launch files describe themselves, and what they start really starts."""

import importlib.util
import itertools
import os
import signal
import subprocess
from pathlib import Path

import pytest

# not `launch` alone: the folder of that name here would do
pytest.importorskip("launch.actions", reason="the package launch of ROS 2 is not installed")
pytest.importorskip("launch_ros", reason="the package launch_ros of ROS 2 is not installed")
import launch
from harness import BEST_EFFORT, PATIENCE_S, peer, until
from launch.actions import DeclareLaunchArgument
from launch_ros.actions import Node
from sensor_msgs.msg import Image

FOLDER = Path(__file__).parents[2] / "launch"
FILES = ("robot.launch.py", "sim.launch.py")


def description_of(name):
    spec = importlib.util.spec_from_file_location(name.partition(".")[0], FOLDER / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def resolved(name, **arguments):
    """The command line of every node that the file would start, then its parameter files' text."""
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    commands = {}

    def visit(entities):
        for entity in entities:
            if isinstance(entity, Node):
                if entity.condition is None or entity.condition.evaluate(context):
                    entity._perform_substitutions(context)
                    names = {"name": "", "ns": f"__ns:={entity.expanded_node_namespace}"}
                    context.extend_locals({"ros_specific_arguments": names})
                    command = [
                        launch.utilities.perform_substitutions(context, part)
                        for part in entity.cmd
                    ]
                    flags = itertools.pairwise(command)
                    files = [Path(value) for flag, value in flags if flag == "--params-file"]
                    # now: they are removed with the description
                    commands[entity.node_name] = command + [f.read_text() for f in files]
            else:
                visit(entity.visit(context) or [])

    visit(description_of(name).entities)
    return commands


@pytest.mark.parametrize("name", FILES)
def test_every_argument_has_a_default_and_says_what_it_is_for(name):
    arguments = [e for e in description_of(name).entities if isinstance(e, DeclareLaunchArgument)]
    assert {
        "namespace",
        "use_sim_time",
        "autostart",
        "log_level",
        "params_file",
        "pose_source",
    } <= {a.name for a in arguments}
    for argument in arguments:
        assert argument.default_value is not None, argument.name
        assert argument.description and "no description" not in argument.description, argument.name
    choices = {a.name: a.choices for a in arguments}
    assert choices["pose_source"] == ["tf", "odometry"]
    assert choices["use_sim_time"] == ["true", "false"]


def test_arguments_reach_the_nodes():
    commands = resolved("sim.launch.py", namespace="robot1", level="house", log_level="debug")
    assert set(commands) == {"/robot1/sim_node", "/robot1/ipt_node"}
    simulator, ipt = commands["/robot1/sim_node"], commands["/robot1/ipt_node"]
    assert "__ns:=/robot1" in simulator and "__ns:=/robot1" in ipt
    assert "sim_node:=debug" in simulator and "ipt_node:=debug" in ipt
    text = "".join(ipt)
    assert "pose_source: odometry" in text and "- 1.2" in text
    remapped = resolved("robot.launch.py", image_topic="/front/image_rect")["/ipt_node"]
    assert "camera/image:=/front/image_rect" in remapped
    assert "camera/image/compressed:=/front/image_rect/compressed" in remapped


def test_a_value_that_is_no_choice_is_refused():
    with pytest.raises(RuntimeError, match="castle"):
        resolved("sim.launch.py", level="castle")


def test_the_simulation_starts_from_its_launch_file_and_ends_with_it(ros_domain, tmp_path):
    if importlib.util.find_spec("ros2launch") is None:
        pytest.skip("the command ros2 launch is not installed")
    log = tmp_path / "launch.txt"
    with log.open("wb") as output, peer(ros_domain) as tester:
        process = subprocess.Popen(
            ["ros2", "launch", "imaginative_perception", "sim.launch.py", "namespace:=launched"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain), "ROS_LOG_DIR": str(tmp_path)},
            start_new_session=True,
        )
        try:
            tester.collect(Image, "/launched/camera/image", BEST_EFFORT).wait(3)
            until(lambda: "ready:" in log.read_text(), "the IPT node is active", 180.0)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0
        except BaseException:
            print(log.read_text())
            raise
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert log.read_text().count("process has finished cleanly") == 2, log.read_text()
