"""The IPT node on a robot.

ros2 launch imaginative_perception robot.launch.py image_topic:=/front/image_rect ...

Every parameter of the node (docs/parameters.md) is an argument too. What is given goes before
`params_file`, which goes before the node's defaults.
"""

from launch import LaunchDescription

from ipt_ros.parameters.launch_nodes import ipt_node


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(ipt_node())
