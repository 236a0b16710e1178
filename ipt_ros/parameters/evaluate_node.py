"""The parameters of `evaluate_node`: one table that the node, the YAML file and the parameter page
read.
"""

from __future__ import annotations

from ipt_ros.parameters.table import Parameter

EVALUATE_PARAMETERS = (
    Parameter(
        "world",
        "demo",
        "The world that the simulator runs: a name that comes with the package, LEVEL_SEED like "
        "house_850123, or the path of a world's .json.",
        read_only=True,
    ),
    Parameter(
        "simulator",
        "embedded",
        "Who puts the robot in place: sim_node, Gazebo through its bridge, or a recording, which "
        "is played to the node and needs no world.",
        choices=("embedded", "gazebo", "bag"),
        read_only=True,
    ),
    Parameter(
        "bag",
        "",
        "With simulator bag: the recording, a rosbag2 folder or a single .mcap or .db3.",
        read_only=True,
    ),
    Parameter(
        "contract",
        "",
        "With simulator bag: what its topics are, a YAML file of ipt-bag inspect --write; empty: "
        "guessed from the topics.",
        read_only=True,
    ),
    Parameter(
        "target",
        "ipt_node",
        "Name of the node that is asked.",
        read_only=True,
    ),
    Parameter(
        "out",
        "evaluate_out",
        "Folder for episodes.jsonl, evaluation.json, evaluation.html and pictures. Episodes that "
        "are in it already are not asked again.",
        read_only=True,
    ),
    Parameter(
        "stands",
        6,
        "Places in the world where the robot is put, at every second one it turns once first; or "
        "places in the recording where it is asked.",
        minimum=1,
        maximum=1000,
        read_only=True,
    ),
    Parameter(
        "masks",
        1,
        "At how many of the stands without a turn the imagined space is looked at, or of those in "
        "a recording.",
        minimum=0,
        maximum=1000,
        read_only=True,
    ),
    Parameter(
        "questions_seed",
        0,
        "Which questions: equal seeds ask equal ones.",
        minimum=0,
        read_only=True,
    ),
    Parameter(
        "mode",
        "auto",
        "Mode of every goal.",
        choices=("answer", "imagine", "recall", "auto"),
        read_only=True,
    ),
    Parameter("answer_seed", 1, "Seed of every goal.", read_only=True),
    Parameter(
        "robot_radius_m",
        0.15,
        "Radius for which paths are asked about, m; the shipped model speaks of 0.15.",
        minimum=0.15,
        maximum=0.4,
        read_only=True,
    ),
    Parameter(
        "fixed_frame",
        "odom",
        "Frame of the world, in which viewpoints and paths are stated, and a recording's poses.",
        read_only=True,
    ),
    Parameter(
        "goal_timeout_s",
        60.0,
        "A goal without a result for this long is cancelled and counted as a timeout, s.",
        minimum=0.1,
        maximum=3600.0,
        read_only=True,
    ),
    Parameter(
        "mask_timeout_s",
        20.0,
        "How long to wait for claims of the imagined space, s; the guard may allow none.",
        minimum=0.1,
        maximum=3600.0,
        read_only=True,
    ),
    Parameter(
        "start_timeout_s",
        120.0,
        "How long to wait for the simulator and for the node to be active, s.",
        minimum=1.0,
        maximum=3600.0,
        read_only=True,
    ),
    Parameter(
        "shown",
        24,
        "Most examples with pictures on the page.",
        minimum=0,
        maximum=500,
        read_only=True,
    ),
)
