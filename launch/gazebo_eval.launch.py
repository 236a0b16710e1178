"""The IPT node and its robot in a world that Gazebo simulates. Ends when Gazebo ends.

ros2 launch imaginative_perception gazebo_eval.launch.py world:=house_850001

Needs ros_gz. The arguments of robot.launch.py, every parameter of the IPT node among them, work
here too. docs/simulation.md says what is started and which topics there are. With evaluate:=true
the evaluator starts as well, and all ends when it has asked everything.
"""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_path
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ipt_ros.conversions import quaternion_of
from ipt_ros.parameters.launch_nodes import PACKAGE, TRANSFORMS, ipt_node
from ipt_ros.simulator.gazebo import (
    IMAGE_TOPICS,
    ROBOT,
    GazeboWorld,
    WorldFileError,
    find_world,
    gazebo_arguments,
    mounted_camera,
    start_from,
)

SHARE = get_package_share_path(PACKAGE)
WORLDS = SHARE / "worlds"
ROBOT_FILE = WORLDS / "robot.sdf"
BOOLEANS = ["true", "false"]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "world",
            default_value="demo",
            description="A shipped world (ipt-world --list), or the path of an .sdf file.",
        ),
        DeclareLaunchArgument(
            "gui",
            default_value="false",
            choices=BOOLEANS,
            description="Open Gazebo's window. Else nothing needs a screen.",
        ),
        DeclareLaunchArgument(
            "spawn",
            default_value="true",
            choices=BOOLEANS,
            description="Put the robot into the world. false: one is in it, or you bring yours.",
        ),
        DeclareLaunchArgument(
            "gz_verbosity",
            default_value="1",
            choices=["0", "1", "2", "3", "4"],
            description="How much Gazebo prints: 0 nothing, 1 errors, 4 everything.",
        ),
        *(
            DeclareLaunchArgument(
                name,
                default_value="",
                description=f"Where the robot is put: {what}. Not given: as in the world's truth.",
            )
            for name, what in (("x", "m east"), ("y", "m north"), ("yaw", "rad"))
        ),
    ]
    evaluation = [
        DeclareLaunchArgument(
            "evaluate",
            default_value="false",
            choices=BOOLEANS,
            description="Put the robot here and there, ask the IPT node, and score its answers.",
        ),
        DeclareLaunchArgument(
            "evaluate_truth",
            default_value="",
            description="The .json with the truth about the world. Not given: beside its .sdf.",
        ),
        DeclareLaunchArgument(
            "evaluate_out",
            default_value="evaluate_out",
            description="Folder for what the evaluator writes; what is in it is not asked again.",
        ),
    ]
    robot = ipt_node(
        str(SHARE / "config" / "gazebo_robot.yaml"),
        "What the IPT node is told of the robot in Gazebo.",
    )
    return LaunchDescription(
        [*arguments, *evaluation, *robot, OpaqueFunction(function=simulation)]
    )


def simulation(context: LaunchContext) -> list:
    chosen = context.launch_configurations
    world = find_world(chosen["world"], WORLDS)
    spawn = chosen["spawn"] == "true"
    if spawn and world.has_robot:
        raise WorldFileError(f"{world.path}: a robot stands in it already; say spawn:=false")
    parts = [gazebo(world, chosen["gui"] == "true", chosen["gz_verbosity"]), *bridges()]
    if spawn:
        parts.append(spawned(world, start_from(world, chosen)))
    if spawn or world.has_robot:
        parts.append(mount(ROBOT_FILE if spawn else world.path))
    if chosen["evaluate"] == "true":
        parts += evaluator(world, chosen["evaluate_truth"], chosen["evaluate_out"])
    return parts


def gazebo(world: GazeboWorld, gui: bool, verbosity: str) -> IncludeLaunchDescription:
    try:
        file = get_package_share_path("ros_gz_sim") / "launch" / "gz_sim.launch.py"
    except PackageNotFoundError as error:
        raise WorldFileError(
            "ros_gz_sim is not installed: apt install ros-$ROS_DISTRO-ros-gz"
        ) from error
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(file)),
        launch_arguments={
            "gz_args": gazebo_arguments(world, gui, verbosity),
            "on_exit_shutdown": "true",
        }.items(),
    )


def bridges() -> list[Node]:
    shared = {"namespace": LaunchConfiguration("namespace"), "output": "screen"}
    return [
        Node(
            package="ros_gz_bridge",
            executable="parameter_bridge",
            name="gazebo_bridge",
            parameters=[{"config_file": str(SHARE / "config" / "gazebo_bridge.yaml")}],
            **shared,
        ),
        Node(
            package="ros_gz_image",
            executable="image_bridge",
            name="gazebo_image_bridge",
            arguments=list(IMAGE_TOPICS),
            parameters=[{"qos": "sensor_data"}],
            **shared,
        ),
    ]


def evaluator(world: GazeboWorld, truth: str, out: str) -> list[Node]:
    """The evaluator, and the bridge of the service with which it puts the robot in place."""
    path = Path(truth).expanduser().absolute() if truth else world.path.with_suffix(".json")
    if not path.is_file():
        raise WorldFileError(f"evaluate: there is no {path} with the truth about {world.name}")
    # ROS parameters know numbers from texts by their looks
    told = {"world": ParameterValue(str(path), value_type=str)}
    told["out"] = ParameterValue(out, value_type=str)
    shared = {"namespace": LaunchConfiguration("namespace"), "output": "screen"}
    return [
        Node(
            package="ros_gz_bridge",
            executable="parameter_bridge",
            name="gazebo_set_pose_bridge",
            arguments=[f"/world/{world.name}/set_pose@ros_gz_interfaces/srv/SetEntityPose"],
            **shared,
        ),
        Node(
            package=PACKAGE,
            executable="evaluate_node",
            name="evaluate_node",
            parameters=[{"simulator": "gazebo", "use_sim_time": True, **told}],
            on_exit=Shutdown(reason="the evaluation ended"),
            **shared,
        ),
    ]


def spawned(world: GazeboWorld, start: tuple[float, float, float]) -> Node:
    x, y, yaw = (repr(v) for v in start)
    file = ["-world", world.name, "-name", ROBOT, "-file", str(ROBOT_FILE)]
    return Node(
        package="ros_gz_sim",
        executable="create",
        name="spawn_robot",
        output="screen",
        arguments=[*file, "-x", x, "-y", y, "-Y", yaw],
        on_exit=ends_unless_spawned,
    )


def ends_unless_spawned(event, context: LaunchContext):
    if event.returncode == 0:
        return None
    return Shutdown(reason="the robot could not be put into the world")


def mount(file) -> Node:
    """The camera's frame on the robot, for those who ask tf."""
    camera = mounted_camera(file)
    pose = dict(zip(("x", "y", "z"), camera.base_from_optical[:3, 3], strict=True))
    turn = quaternion_of(camera.base_from_optical)
    pose |= dict(zip(("qx", "qy", "qz", "qw"), turn, strict=True))
    numbers = [part for name, v in pose.items() for part in (f"--{name}", repr(float(v)))]
    frames = ["--frame-id", camera.base_frame, "--child-frame-id", camera.optical_frame]
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        name="camera_mount",
        namespace=LaunchConfiguration("namespace"),
        arguments=[*numbers, *frames],
        remappings=TRANSFORMS,
    )
