"""The embedded simulator, the IPT node and, when wanted, RViz. Ends when the simulator ends.

ros2 launch imaginative_perception sim.launch.py level:=house seed:=3 rviz:=true

The arguments of robot.launch.py, every parameter of the IPT node among them, work here too.
"""

from ament_index_python.packages import get_package_share_path
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ipt_ros.parameters.launch_arguments import USE_SIM_TIME, arguments_of, given
from ipt_ros.parameters.launch_nodes import PACKAGE, TRANSFORMS, ipt_node, node_of
from ipt_ros.parameters.sim_node import SIM_PARAMETERS

#: The simulator's parameters that are arguments; the others go into sim_params_file.
WORLD = tuple(
    row for row in SIM_PARAMETERS if row.name in ("seed", "level", "look", "depth_encoding")
)
CONFIG = get_package_share_path(PACKAGE) / "config"


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "sim_params_file",
            default_value="",
            description="YAML file with parameters of the simulator, like the package's "
            "config/sim_node.yaml. Not given: the defaults.",
        ),
        DeclareLaunchArgument(
            "rviz",
            default_value="false",
            choices=["true", "false", "True", "False"],
            description="Open RViz.",
        ),
    ]
    robot = ipt_node(
        str(CONFIG / "sim_robot.yaml"),
        "Where the camera sits on the simulated robot: told to both nodes.",
    )
    return LaunchDescription(
        [*arguments, *arguments_of(WORLD), *robot, OpaqueFunction(function=simulation)]
    )


def simulation(context: LaunchContext) -> list[Node]:
    arguments = context.launch_configurations
    chosen, clock = given(arguments, WORLD), given(arguments, (USE_SIM_TIME,))
    if clock:
        chosen["publish_clock"] = clock["use_sim_time"]
    simulator = node_of(
        context,
        "sim_node",
        ("defaults_file", "sim_params_file"),
        chosen,
        on_exit=Shutdown(reason="the simulator has ended"),
    )
    rviz = Node(
        condition=IfCondition(LaunchConfiguration("rviz")),
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[clock] if clock else [],
        remappings=TRANSFORMS,
        arguments=["-d", str(CONFIG / "imaginative_perception.rviz")],
    )
    return [simulator, rviz]
