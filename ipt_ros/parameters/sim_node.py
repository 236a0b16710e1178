"""The parameters of `sim_node`: one table that the node, the YAML file and the parameter page
read.
"""

from __future__ import annotations

from ipt_ros.parameters.table import Parameter, Values

#: What a world may look like; `ipt_training.houses.looks` makes them. Written out, for this table
#: is read where training is not installed.
LOOKS = ("usual", "workshop")

SIM_PARAMETERS = (
    Parameter(
        "seed",
        0,
        "Which world: the same seed and level make the same rooms, furniture and light.",
        minimum=0,
        read_only=True,
    ),
    Parameter(
        "level",
        "room",
        "How much world: one furnished room, or a house of several rooms.",
        choices=("room", "house"),
        read_only=True,
    ),
    Parameter(
        "scene",
        "",
        "File with a scene as JSON (Scene.to_dict) that takes the place of seed and level; empty: "
        "none.",
        read_only=True,
    ),
    Parameter(
        "step_s",
        0.0,
        "Lock step: every cmd_vel moves the robot and its clock on by this long, s, and then one "
        "picture and the pose are published; rate and odom_rate count no more. 0: time goes by "
        "itself. Needs publish_clock.",
        minimum=0.0,
        maximum=10.0,
        read_only=True,
    ),
    Parameter(
        "step_colour",
        True,
        "In lock step: publish camera/image with every step; false: only when ~/look asks for it, "
        "for colour takes longest.",
        read_only=True,
    ),
    Parameter(
        "look",
        "usual",
        "Paint, floors, light and furniture of the world: as the datasets show them, or such as "
        "no dataset shows, in the same places.",
        choices=LOOKS,
        read_only=True,
    ),
    Parameter(
        "rate",
        16.0,
        "Pictures per second of simulated time, Hz.",
        minimum=1.0,
        maximum=60.0,
    ),
    Parameter(
        "width", 320, "Width of the pictures, pixels.", minimum=16, maximum=1920, read_only=True
    ),
    Parameter(
        "height", 240, "Height of the pictures, pixels.", minimum=16, maximum=1080, read_only=True
    ),
    Parameter(
        "horizontal_fov",
        1.57,
        "Horizontal field of view of the camera, rad.",
        minimum=0.35,
        maximum=2.4,
        read_only=True,
    ),
    Parameter(
        "depth_encoding",
        "32FC1",
        "Encoding of the depth image: 32FC1 is metres, 16UC1 is millimetres; 0 is no return.",
        choices=("32FC1", "16UC1"),
    ),
    Parameter(
        "depth_max",
        10.0,
        "Farthest depth that the camera returns, m; beyond it the depth is 0.",
        minimum=0.5,
        maximum=60.0,
    ),
    Parameter(
        "camera_x",
        0.1,
        "How far ahead of base_frame the camera sits, m.",
        minimum=-1.0,
        maximum=1.0,
        read_only=True,
    ),
    Parameter(
        "camera_y",
        0.0,
        "How far to the left of base_frame the camera sits, m.",
        minimum=-1.0,
        maximum=1.0,
        read_only=True,
    ),
    Parameter(
        "camera_z",
        1.2,
        "How high above base_frame the camera sits, m.",
        minimum=0.05,
        maximum=2.5,
        read_only=True,
    ),
    Parameter(
        "camera_pitch",
        0.25,
        "Pitch of the camera on base_frame; positive looks down, rad.",
        minimum=-1.2,
        maximum=1.2,
        read_only=True,
    ),
    Parameter(
        "reliability",
        "best_effort",
        "Reliability of the camera topics. A reliable subscriber hears nothing from best_effort.",
        choices=("best_effort", "reliable"),
        read_only=True,
    ),
    Parameter(
        "command_timeout",
        0.5,
        "The robot stops when no cmd_vel has come for this long, s.",
        minimum=0.05,
        maximum=10.0,
    ),
    Parameter("max_speed", 1.0, "Fastest forward or backward, m/s.", minimum=0.05, maximum=5.0),
    Parameter("max_turn", 2.0, "Fastest turn, rad/s.", minimum=0.05, maximum=10.0),
    Parameter(
        "robot_radius",
        0.2,
        "The robot is a disc of this radius to the furniture and walls, m.",
        minimum=0.05,
        maximum=0.45,
        read_only=True,
    ),
    Parameter(
        "map_resolution",
        0.05,
        "Side of a map cell, m.",
        minimum=0.02,
        maximum=0.5,
        read_only=True,
    ),
    Parameter(
        "odom_rate",
        30.0,
        "Odometry messages per second, besides one with every picture, Hz.",
        minimum=1.0,
        maximum=200.0,
    ),
    Parameter("map_rate", 2.0, "Maps per second, Hz.", minimum=0.1, maximum=10.0),
    Parameter(
        "map_frame",
        "odom",
        "Frame of the map; odometry does not drift here, so it may be the odometry's own.",
        read_only=True,
    ),
    Parameter("odom_frame", "odom", "Frame of the odometry.", read_only=True),
    Parameter("base_frame", "base_link", "Frame of the robot.", read_only=True),
    Parameter(
        "camera_frame",
        "camera_optical_frame",
        "Optical frame of the camera, in the headers of its topics.",
        read_only=True,
    ),
    Parameter(
        "publish_clock",
        False,
        "Publish /clock, for nodes that run with use_sim_time.",
        read_only=True,
    ),
    Parameter(
        "real_time_factor",
        1.0,
        "Seconds of simulated time per second; other than 1 needs publish_clock.",
        minimum=0.1,
        maximum=20.0,
        read_only=True,
    ),
    Parameter(
        "publish_truth",
        False,
        "Publish truth/image, the world from above without the ceiling, for people to look at.",
        read_only=True,
    ),
    Parameter(
        "render_threads",
        1,
        "Threads of the ray caster; the rest of the machine is the model's.",
        minimum=1,
        maximum=16,
        read_only=True,
    ),
)


def check_together(values: Values) -> str | None:
    """Values that are each allowed and do not go together."""
    if values.real_time_factor != 1.0 and not values.publish_clock:
        return (
            f"real_time_factor: {values.real_time_factor:g} needs publish_clock, or the stamps "
            "would leave the other nodes' clocks"
        )
    if values.step_s and not values.publish_clock:
        return f"step_s: {values.step_s:g} needs publish_clock, for nothing else tells the time"
    if values.step_s > values.command_timeout:
        return (
            f"step_s: {values.step_s:g} s is longer than a command lasts (command_timeout "
            f"{values.command_timeout:g} s)"
        )
    frames = (values.odom_frame, values.base_frame, values.camera_frame)
    if len(set(frames)) != 3 or values.map_frame in frames[1:]:
        return f"frames: the odometry's, robot's and camera's must differ, got {list(frames)}"
    return None
