"""The embedded simulator, the IPT node and, when wanted, RViz. Ends when the simulator ends.

ros2 launch imaginative_perception sim.launch.py level:=house seed:=3 rviz:=true

The arguments of robot.launch.py, every parameter of the IPT node among them, work here too.
"""

from ament_index_python.packages import get_package_share_path
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile

from ipt_ros.parameters.launch_arguments import USE_SIM_TIME, arguments_of, given
from ipt_ros.parameters.sim_node import SIM_PARAMETERS

#: The simulator's parameters that are arguments; the others go into sim_params_file.
WORLD = tuple(row for row in SIM_PARAMETERS if row.name in ("seed", "level", "depth_encoding"))
TRANSFORMS = [("/tf", "tf"), ("/tf_static", "tf_static")]


def generate_launch_description() -> LaunchDescription:
    share = get_package_share_path("imaginative_perception")
    arguments = [
        DeclareLaunchArgument(
            "defaults_file",
            default_value=str(share / "config" / "sim_robot.yaml"),
            description="Where the camera sits on the simulated robot: told to both nodes.",
        ),
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
    # declares the arguments that both nodes share
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "robot.launch.py"))
    )
    return LaunchDescription(
        [*arguments, *arguments_of(WORLD), robot, OpaqueFunction(function=simulation)]
    )


def simulation(context: LaunchContext) -> list[Node]:
    arguments = context.launch_configurations
    parameters = [
        ParameterFile(arguments[name], allow_substs=True)
        for name in ("defaults_file", "sim_params_file")
        if arguments[name]
    ]
    chosen = given(arguments, WORLD)
    clock = given(arguments, (USE_SIM_TIME,))
    if clock:
        chosen["publish_clock"] = clock["use_sim_time"]
    simulator = Node(
        package="imaginative_perception",
        executable="sim_node",
        name="sim_node",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[*parameters, chosen] if chosen else parameters,
        remappings=TRANSFORMS,
        arguments=["--ros-args", "--log-level", ["sim_node:=", LaunchConfiguration("log_level")]],
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
        arguments=[
            "-d",
            str(
                get_package_share_path("imaginative_perception")
                / "config"
                / "imaginative_perception.rviz"
            ),
        ],
    )
    return [simulator, rviz]
