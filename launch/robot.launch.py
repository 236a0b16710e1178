"""The IPT node on a robot.

ros2 launch imaginative_perception robot.launch.py image_topic:=/front/image_rect ...

Every parameter of the node (docs/parameters.md) is an argument too. What is given goes before
`params_file`, which goes before the node's defaults.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile

from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.launch_arguments import USE_SIM_TIME, arguments_of, given

PARAMETERS = (USE_SIM_TIME, *IPT_PARAMETERS)
FILES = ("defaults_file", "params_file")


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="Of the node."),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="Least severe messages that are logged.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="YAML file with parameters of the node, like the package's "
            "config/ipt_node.yaml. Not given: the defaults.",
        ),
        DeclareLaunchArgument(
            "defaults_file",
            default_value="",
            description="The same, read before params_file: for launch files that include this.",
        ),
        DeclareLaunchArgument(
            "image_topic",
            default_value="camera/image",
            description="sensor_msgs/Image, or its base topic with image_transport compressed.",
        ),
        DeclareLaunchArgument(
            "depth_topic",
            default_value="camera/depth_image",
            description="sensor_msgs/Image, 32FC1 (m) or 16UC1 (mm), of the camera's own pixels.",
        ),
        DeclareLaunchArgument(
            "camera_info_topic",
            default_value="camera/camera_info",
            description="sensor_msgs/CameraInfo of the image.",
        ),
        DeclareLaunchArgument(
            "odom_topic", default_value="odom", description="nav_msgs/Odometry."
        ),
        DeclareLaunchArgument(
            "map_topic",
            default_value="map",
            description="nav_msgs/OccupancyGrid with unknown cells.",
        ),
    ]
    return LaunchDescription([*arguments, *arguments_of(PARAMETERS), OpaqueFunction(function=ipt)])


def ipt(context: LaunchContext) -> list[Node]:
    arguments = context.launch_configurations
    # the last one that names a parameter wins
    parameters = [
        ParameterFile(arguments[name], allow_substs=True) for name in FILES if arguments[name]
    ]
    chosen = given(arguments, PARAMETERS)
    if chosen:
        parameters.append(chosen)
    topic = LaunchConfiguration
    node = Node(
        package="imaginative_perception",
        executable="ipt_node",
        name="ipt_node",
        namespace=topic("namespace"),
        output="screen",
        parameters=parameters,
        remappings=[
            ("camera/image", topic("image_topic")),
            ("camera/image/compressed", [topic("image_topic"), "/compressed"]),
            ("camera/depth_image", topic("depth_topic")),
            ("camera/camera_info", topic("camera_info_topic")),
            ("odom", topic("odom_topic")),
            ("map", topic("map_topic")),
            # with a namespace: the robot's own transforms, as Nav2 has it
            ("/tf", "tf"),
            ("/tf_static", "tf_static"),
        ],
        arguments=["--ros-args", "--log-level", ["ipt_node:=", topic("log_level")]],
    )
    return [node]
