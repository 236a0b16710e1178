"""The IPT node on a robot.

ros2 launch imaginative_perception robot.launch.py image_topic:=/front/image_rect ...
"""

from ament_index_python.packages import get_package_share_path
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

BOOLEANS = ["true", "false"]


def generate_launch_description() -> LaunchDescription:
    share = get_package_share_path("imaginative_perception")
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="Of the node."),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=BOOLEANS,
            description="Take the time from /clock, as a simulator or a bag gives it.",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=BOOLEANS,
            description="Configure and activate the node by itself; false leaves that to "
            "`ros2 lifecycle set` or Nav2's lifecycle manager.",
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
            description="Parameters of the node; the arguments here go before the file.",
        ),
        DeclareLaunchArgument(
            "pose_source",
            default_value="tf",
            choices=["tf", "odometry"],
            description="Where the camera is: looked up in tf, or odometry plus `mounts`.",
        ),
        DeclareLaunchArgument(
            "mounts",
            default_value="[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]",
            description="With pose_source odometry: x, y, z (m), roll, pitch, yaw (rad) of each "
            "camera body on the robot's base.",
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

    def given(name: str) -> LaunchConfiguration:
        return LaunchConfiguration(name)

    node = Node(
        package="imaginative_perception",
        executable="ipt_node",
        name="ipt_node",
        namespace=given("namespace"),
        output="screen",
        parameters=[
            ParameterFile(given("params_file"), allow_substs=True),
            {
                "use_sim_time": ParameterValue(given("use_sim_time"), value_type=bool),
                "autostart": ParameterValue(given("autostart"), value_type=bool),
                "pose_source": given("pose_source"),
                "mounts": ParameterValue(given("mounts"), value_type=list[float]),
            },
        ],
        remappings=[
            ("camera/image", given("image_topic")),
            ("camera/image/compressed", [given("image_topic"), "/compressed"]),
            ("camera/depth_image", given("depth_topic")),
            ("camera/camera_info", given("camera_info_topic")),
            ("odom", given("odom_topic")),
            ("map", given("map_topic")),
            # with a namespace: the robot's own transforms, as Nav2 has it
            ("/tf", "tf"),
            ("/tf_static", "tf_static"),
        ],
        arguments=["--ros-args", "--log-level", ["ipt_node:=", given("log_level")]],
    )
    return LaunchDescription([*arguments, node])
