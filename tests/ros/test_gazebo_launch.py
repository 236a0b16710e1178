"""gazebo_eval.launch.py starts what it says, with files that are there. Gazebo's own launch file
is replaced by one that takes the same arguments and starts nothing: Gazebo is not needed, and not
tried, here.
"""

import itertools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("launch.actions", reason="the package launch of ROS 2 is not installed")
pytest.importorskip("launch_ros", reason="the package launch_ros of ROS 2 is not installed")
import launch
from ament_index_python.packages import get_package_share_path
from launch.actions import IncludeLaunchDescription
from launch_files import description_of, module_of, parameters_of, resolved
from launch_ros.actions import Node
from scipy.spatial.transform import Rotation

from ipt_ros.parameters.evaluate_node import EVALUATE_PARAMETERS
from ipt_ros.parameters.table import checked, defaults
from ipt_ros.simulator.gazebo import WorldFileError
from ipt_training.scenes.camera import BODY_FROM_OPTICAL
from ipt_training.worlds.folder import key_of, write_worlds

ROOT = Path(__file__).parents[2]
NAME = "gazebo_eval.launch.py"
GAZEBO = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("gz_args", default_value=""),
        DeclareLaunchArgument("on_exit_shutdown", default_value="false"),
    ])
"""


@pytest.fixture(autouse=True)
def ros_gz_sim(tmp_path, monkeypatch):
    """A package of that name with such a launch file. Paths to the nodes are only written down."""
    prefix = tmp_path / "gazebo"
    (prefix / "share" / "ament_index" / "resource_index" / "packages").mkdir(parents=True)
    folder = prefix / "share" / "ros_gz_sim" / "launch"
    folder.mkdir(parents=True)
    (folder / "gz_sim.launch.py").write_text(GAZEBO)
    for package, programs in {
        "ros_gz_sim": ["create"],
        "ros_gz_bridge": ["parameter_bridge"],
        "ros_gz_image": ["image_bridge"],
        "tf2_ros": ["static_transform_publisher"],
    }.items():
        (prefix / "share" / "ament_index" / "resource_index" / "packages" / package).touch()
        for program in programs:
            file = prefix / "lib" / package / program
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("#!/bin/sh\nexit 1\n")
            file.chmod(0o755)
    path = os.pathsep.join([str(prefix), os.environ["AMENT_PREFIX_PATH"]])
    monkeypatch.setenv("AMENT_PREFIX_PATH", path)


def started(**arguments):
    """Every node's command by its name, without the leading slash of a namespace."""
    return {name.rpartition("/")[2]: c for name, c in resolved(NAME, **arguments).items()}


def gazebo(**arguments):
    """The arguments of Gazebo's launch file."""
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    found = []

    def visit(entities):
        for entity in entities:
            if isinstance(entity, IncludeLaunchDescription):
                found.append(entity)
            elif not isinstance(entity, Node):
                visit(entity.visit(context) or [])

    visit(description_of(NAME).entities)
    (include,) = found
    return dict(include.launch_arguments)


def flags(command):
    return dict(itertools.pairwise(part for part in command if isinstance(part, str)))


def test_all_is_started_with_files_that_are_there():
    commands = started()
    assert set(commands) == {
        "gazebo_bridge", "gazebo_image_bridge", "spawn_robot", "camera_mount", "ipt_node",
    }  # fmt: skip
    named = [
        part.split(":=")[-1]
        for command in commands.values()
        for part in command
        if part.split(":=")[-1].startswith("/") and "\n" not in part
    ]
    files = [f for f in named if Path(f).suffix in (".sdf", ".yaml", ".py") or "/lib/" in f]
    assert len(files) > 5
    assert {f for f in files if not Path(f).is_file() and "/launch_params" not in f} == set()
    world = Path(gazebo()["gz_args"].split()[-1])
    assert world.is_file() and world.name == "demo.sdf"


def test_gazebo_runs_without_a_screen_and_takes_all_down_with_it():
    told = gazebo(world="room_850001")
    assert told["on_exit_shutdown"] == "true"
    assert told["gz_args"].startswith("-r -s --headless-rendering -v 1 /")
    assert told["gz_args"].endswith("worlds/room_850001.sdf")
    assert gazebo(gui="true", gz_verbosity="4")["gz_args"].startswith("-r -v 4 /")


def test_the_bridges_get_their_table_and_their_pictures():
    commands = started(namespace="robot1")
    bridge = parameters_of(commands["gazebo_bridge"], "gazebo_bridge")
    installed = get_package_share_path("imaginative_perception") / "config"
    assert bridge == {"config_file": str(installed / "gazebo_bridge.yaml")}
    pictures = commands["gazebo_image_bridge"]
    assert parameters_of(pictures, "gazebo_image_bridge") == {"qos": "sensor_data"}
    assert [p for p in pictures if p.startswith("camera/")] == [
        "camera/image", "camera/depth_image",
    ]  # fmt: skip
    assert "__ns:=/robot1" in pictures and "__ns:=/robot1" in commands["gazebo_bridge"]


def test_the_robot_is_spawned_where_the_truth_says_or_the_user():
    start = flags(started(world="house_850001")["spawn_robot"])
    truth = json.loads((ROOT / "worlds" / "house_850001.json").read_text())
    at = [float(start[flag]) for flag in ("-x", "-y", "-Y")]
    assert at == truth["robot"]["start"]
    assert (start["-world"], start["-name"]) == ("house_850001", "robot")
    assert Path(start["-file"]).read_bytes() == (ROOT / "worlds" / "robot.sdf").read_bytes()
    moved = flags(started(world="house_850001", x="-1.5", yaw="0.25")["spawn_robot"])
    assert [float(moved[f]) for f in ("-x", "-y", "-Y")] == [-1.5, at[1], 0.25]
    for argument, value in (("x", "east"), ("yaw", "nan")):
        with pytest.raises(WorldFileError, match=f"{argument}: expected a finite number"):
            resolved(NAME, **{argument: value})


def test_a_world_that_has_its_robot_gets_no_other(tmp_path):
    ((path, _),) = write_worlds([key_of("room", 3)], tmp_path / "w", with_robot=True)
    with pytest.raises(WorldFileError, match="spawn:=false"):
        resolved(NAME, world=str(path))
    commands = started(world=str(path), spawn="false")
    assert "spawn_robot" not in commands and "camera_mount" in commands
    ((path, _),) = write_worlds([key_of("room", 3)], tmp_path / "w")
    commands = started(world=str(path), spawn="false")  # the user's own robot has its own frames
    assert not {"spawn_robot", "camera_mount"} & set(commands) and "ipt_node" in commands


def test_the_cameras_frame_is_told():
    told = flags(started()["camera_mount"])
    assert (told["--frame-id"], told["--child-frame-id"]) == ("base_link", "camera_optical_frame")
    assert [float(told[f"--{n}"]) for n in "xyz"] == [0.1, 0.0, 1.2]
    turn = Rotation.from_quat([float(told[f"--{n}"]) for n in ("qx", "qy", "qz", "qw")])
    expected = Rotation.from_euler("y", 0.25).as_matrix() @ BODY_FROM_OPTICAL[:3, :3]
    assert turn.as_matrix() == pytest.approx(expected, abs=1e-9)


def test_the_node_takes_gazebos_clock_and_makes_its_own_map():
    told = parameters_of(started()["ipt_node"], "ipt_node")
    assert (told["use_sim_time"], told["pose_source"]) == (True, "odometry")
    assert told["map_source"] == "memory"
    changed = parameters_of(started(map_source="topic", flow_steps="3")["ipt_node"], "ipt_node")
    assert (changed["map_source"], changed["flow_steps"]) == ("topic", 3)


def test_the_evaluator_starts_when_it_is_asked_for_with_the_service_that_it_needs(tmp_path):
    assert not {"evaluate_node", "gazebo_set_pose_bridge"} & set(started())
    commands = started(world="house_850001", evaluate="true", evaluate_out="7")
    told = parameters_of(commands["evaluate_node"], "evaluate_node")
    truth = Path(told["world"])
    assert truth.is_file() and json.loads(truth.read_text())["world"] == "house_850001"
    assert (told["simulator"], told["use_sim_time"], told["out"]) == ("gazebo", True, "7")
    checked(EVALUATE_PARAMETERS, defaults(EVALUATE_PARAMETERS), told)
    service = "/world/house_850001/set_pose@ros_gz_interfaces/srv/SetEntityPose"
    assert service in commands["gazebo_set_pose_bridge"]
    lost = tmp_path / "no.json"
    with pytest.raises(WorldFileError, match=r"no\.json with the truth about demo"):
        resolved(NAME, evaluate="true", evaluate_truth=str(lost))


def test_where_the_robot_cannot_be_spawned_all_ends():
    module = module_of(NAME)
    failed = module.ends_unless_spawned(SimpleNamespace(returncode=1), launch.LaunchContext())
    assert isinstance(failed, launch.actions.Shutdown)
    assert (
        module.ends_unless_spawned(SimpleNamespace(returncode=0), launch.LaunchContext()) is None
    )


def test_without_ros_gz_one_line_says_what_to_install(tmp_path, monkeypatch):
    path = os.environ["AMENT_PREFIX_PATH"].split(os.pathsep)
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(path[1:]))
    with pytest.raises(WorldFileError, match="ros_gz_sim is not installed: apt install"):
        resolved(NAME)


@pytest.mark.parametrize(("argument", "value"), [("gui", "maybe"), ("gz_verbosity", "9")])
def test_a_choice_that_there_is_not_is_refused(argument, value):
    with pytest.raises(RuntimeError, match=argument):
        resolved(NAME, **{argument: value})
