"""What the launch files share: the IPT node with all its arguments, and how a node of this package
is started with what was given to it. Imported by launch files only: needs launch_ros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile

from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.launch_arguments import USE_SIM_TIME, arguments_of, given

PACKAGE = "imaginative_perception"
PARAMETERS = (USE_SIM_TIME, *IPT_PARAMETERS)
#: With a namespace: the robot's own transforms, as Nav2 has it.
TRANSFORMS = [("/tf", "tf"), ("/tf_static", "tf_static")]
#: Argument, the name that the node has for the topic, and what arrives there.
TOPICS = {
    "image_topic": (
        "camera/image",
        "sensor_msgs/Image, or its base topic with image_transport compressed.",
    ),
    "depth_topic": (
        "camera/depth_image",
        "sensor_msgs/Image, 32FC1 (m) or 16UC1 (mm), of the camera's own pixels.",
    ),
    "camera_info_topic": ("camera/camera_info", "sensor_msgs/CameraInfo of the image."),
    "odom_topic": ("odom", "nav_msgs/Odometry."),
    "map_topic": ("map", "nav_msgs/OccupancyGrid with unknown cells."),
}


def ipt_node(
    defaults_file: str = "",
    about_defaults: str = "The same, read before params_file: for launch files that include this.",
) -> list[Any]:
    """The node and its arguments. defaults_file: where nothing else is given."""
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
            "defaults_file", default_value=defaults_file, description=about_defaults
        ),
    ]
    topics = [
        DeclareLaunchArgument(argument, default_value=topic, description=what)
        for argument, (topic, what) in TOPICS.items()
    ]
    return [*arguments, *topics, *arguments_of(PARAMETERS), OpaqueFunction(function=_ipt_node)]


def _ipt_node(context: LaunchContext) -> list[Node]:
    topics = [(topic, LaunchConfiguration(name)) for name, (topic, _) in TOPICS.items()]
    compressed = [LaunchConfiguration("image_topic"), "/compressed"]
    return [
        node_of(
            context,
            "ipt_node",
            ("defaults_file", "params_file"),
            given(context.launch_configurations, PARAMETERS),
            [*topics, ("camera/image/compressed", compressed)],
        )
    ]


def node_of(
    context: LaunchContext,
    executable: str,
    files: Iterable[str],
    chosen: Mapping[str, Any],
    remappings: Iterable[tuple[Any, Any]] = (),
    **more: Any,
) -> Node:
    """files: arguments that name a parameter file; a later one goes before an earlier one, and
    what was chosen before all. more: as `Node` takes it.
    """
    named = [path for name in files if (path := context.launch_configurations[name])]
    parameters: list[Any] = [ParameterFile(path, allow_substs=True) for path in named]
    if chosen:
        parameters.append(dict(chosen))
    level = [f"{executable}:=", LaunchConfiguration("log_level")]
    return Node(
        package=PACKAGE,
        executable=executable,
        name=executable,
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=parameters,
        remappings=[*remappings, *TRANSFORMS],
        arguments=["--ros-args", "--log-level", level],
        **more,
    )
