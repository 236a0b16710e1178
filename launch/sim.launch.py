"""The embedded simulator, the IPT node and, when wanted, RViz.

ros2 launch imaginative_perception sim.launch.py level:=house seed:=3 rviz:=true
"""

from ament_index_python.packages import get_package_share_path
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

BOOLEANS = ["true", "false"]
#: Where the camera sits on the simulated robot; both nodes are told.
CAMERA = {"camera_x": 0.1, "camera_y": 0.0, "camera_z": 1.2, "camera_pitch": 0.25}
MOUNT = [CAMERA["camera_x"], CAMERA["camera_y"], CAMERA["camera_z"]] + [
    0.0,
    CAMERA["camera_pitch"],
    0.0,
]


def generate_launch_description() -> LaunchDescription:
    share = get_package_share_path("imaginative_perception")
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="Of both nodes."),
        DeclareLaunchArgument("seed", default_value="0", description="Which world."),
        DeclareLaunchArgument(
            "level",
            default_value="room",
            choices=["room", "house"],
            description="One furnished room or a house of several.",
        ),
        DeclareLaunchArgument(
            "depth_encoding",
            default_value="32FC1",
            choices=["32FC1", "16UC1"],
            description="Depth in metres or in millimetres.",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=BOOLEANS,
            description="The simulator publishes /clock and the IPT node goes by it.",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=BOOLEANS,
            description="Configure and activate the IPT node by itself.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="Least severe messages that are logged.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share / "config" / "ipt_node.yaml"),
            description="Parameters of the IPT node.",
        ),
        DeclareLaunchArgument(
            "sim_params_file",
            default_value=str(share / "config" / "sim_node.yaml"),
            description="Parameters of the simulator; the arguments here go before the file.",
        ),
        DeclareLaunchArgument(
            "pose_source",
            default_value="odometry",
            choices=["tf", "odometry"],
            description="Where the IPT node looks the camera up.",
        ),
        DeclareLaunchArgument(
            "rviz", default_value="false", choices=BOOLEANS, description="Open RViz."
        ),
    ]

    def given(name: str) -> LaunchConfiguration:
        return LaunchConfiguration(name)

    transforms = [("/tf", "tf"), ("/tf_static", "tf_static")]
    simulator = Node(
        package="imaginative_perception",
        executable="sim_node",
        name="sim_node",
        namespace=given("namespace"),
        output="screen",
        parameters=[
            ParameterFile(given("sim_params_file"), allow_substs=True),
            {
                "seed": ParameterValue(given("seed"), value_type=int),
                "level": given("level"),
                "depth_encoding": given("depth_encoding"),
                "publish_clock": ParameterValue(given("use_sim_time"), value_type=bool),
                "publish_truth": True,
                **CAMERA,
            },
        ],
        remappings=transforms,
        arguments=["--ros-args", "--log-level", ["sim_node:=", given("log_level")]],
    )
    passed_on = (
        "namespace",
        "use_sim_time",
        "autostart",
        "log_level",
        "params_file",
        "pose_source",
    )
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "robot.launch.py")),
        launch_arguments=[(name, given(name)) for name in passed_on] + [("mounts", str(MOUNT))],
    )
    rviz = Node(
        condition=IfCondition(given("rviz")),
        package="rviz2",
        executable="rviz2",
        namespace=given("namespace"),
        output="screen",
        parameters=[{"use_sim_time": ParameterValue(given("use_sim_time"), value_type=bool)}],
        remappings=transforms,
        arguments=["-d", str(share / "config" / "imaginative_perception.rviz")],
    )
    return LaunchDescription([*arguments, simulator, robot, rviz])
