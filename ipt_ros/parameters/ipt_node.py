"""The parameters of `ipt_node`: one table that the node, the YAML file and the parameter page
read.
"""

from __future__ import annotations

from ipt_model.weights import DEFAULT_MODEL
from ipt_ros.parameters.table import Parameter, Values

IPT_PARAMETERS = (
    # -- the model
    Parameter(
        "model",
        DEFAULT_MODEL,
        "Name of a shipped model, or a folder with weights (docs/model.md).",
        read_only=True,
    ),
    Parameter(
        "device",
        "auto",
        "Where the model runs: auto, cpu, cuda, or cuda:1 and so on.",
        read_only=True,
    ),
    Parameter(
        "dtype",
        "auto",
        "Number format of the weights.",
        choices=("auto", "float32", "bfloat16", "float16"),
        read_only=True,
    ),
    Parameter(
        "quantization",
        "none",
        "Weight-only quantisation of the decoder.",
        choices=("none", "int8", "int4"),
        read_only=True,
    ),
    Parameter(
        "model_parts",
        "all",
        "What of it is loaded: answer leaves out all that only drawing needs.",
        choices=("all", "answer"),
        read_only=True,
    ),
    Parameter(
        "model_weights",
        "only",
        "Which weights of a folder that has both: ema (running average) or model.",
        choices=("only", "ema", "model"),
        read_only=True,
    ),
    Parameter(
        "asking_style",
        "",
        "How the model is asked: a name of `ipt-style list` or a JSON file; empty: its own way.",
        read_only=True,
    ),
    Parameter(
        "cpu_threads",
        0,
        "Threads of the model on the CPU; 0 leaves one core to others.",
        minimum=0,
        maximum=256,
        read_only=True,
    ),
    Parameter("autostart", True, "Configure and activate at start-up.", read_only=True),
    # -- how questions are answered
    Parameter(
        "default_mode",
        "auto",
        "Mode of goals that name none.",
        choices=("answer", "imagine", "auto"),
    ),
    Parameter(
        "flow_steps",
        0,
        "Denoising steps of a drawing; 0 takes the model's own number.",
        minimum=0,
        maximum=200,
    ),
    Parameter(
        "waiting_goals",
        4,
        "Goals that may wait while one is answered; one more is refused (BUSY).",
        minimum=0,
        maximum=64,
        read_only=True,
    ),
    Parameter(
        "view_max_age_s",
        1.0,
        "A newest view older than this is refused (STALE_VIEW), s.",
        minimum=0.05,
        maximum=60.0,
    ),
    Parameter(
        "answer_valid_s",
        6.0,
        "An answer is stated to be valid until this long after the newest view that it rests on "
        "(valid_until), s. As long as a mask stands that is not imagined again.",
        minimum=0.1,
        maximum=600.0,
    ),
    Parameter(
        "stamp_max_ahead_s",
        0.5,
        "Images and odometry stamped farther ahead of the node's clock are refused, s.",
        minimum=0.0,
        maximum=60.0,
    ),
    Parameter(
        "robot_radius_m", 0.3, "Clearance of a path to each side, m.", minimum=0.05, maximum=2.0
    ),
    # -- cameras
    Parameter(
        "cameras",
        ("camera",),
        "Topic prefixes; each gives <prefix>/image, <prefix>/depth_image, <prefix>/camera_info. "
        "The first one answers questions about the present view.",
        read_only=True,
    ),
    Parameter(
        "image_transport",
        "raw",
        "raw subscribes to <prefix>/image, compressed to <prefix>/image/compressed.",
        choices=("raw", "compressed"),
        read_only=True,
    ),
    Parameter(
        "rectified",
        False,
        "The image topics are rectified ones: camera_info's P holds and its distortion does not.",
        read_only=True,
    ),
    Parameter(
        "use_depth",
        True,
        "Wait for a depth image with every view; anchors imagined views in what was seen.",
        read_only=True,
    ),
    Parameter(
        "sync_slop_s",
        0.03,
        "Largest difference of the stamps of image and depth, s.",
        minimum=0.0,
        maximum=1.0,
        read_only=True,
    ),
    Parameter(
        "reliability",
        "best_effort",
        "Reliability asked of sensor topics; best_effort hears every publisher.",
        choices=("best_effort", "reliable"),
        read_only=True,
    ),
    # -- where the camera is
    Parameter(
        "pose_source",
        "tf",
        "tf looks the camera up in fixed_frame; odometry reads the topic odom and adds mounts.",
        choices=("tf", "odometry"),
        read_only=True,
    ),
    Parameter(
        "fixed_frame",
        "odom",
        "Frame in which poses are remembered and products are stated.",
        read_only=True,
    ),
    Parameter("base_frame", "base_link", "Body of the robot; x forward, y left.", read_only=True),
    Parameter(
        "mounts",
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        "With pose_source odometry: x, y, z (m), roll, pitch, yaw (rad) of each camera body on "
        "base_frame, "
        "six numbers a camera.",
        read_only=True,
    ),
    Parameter(
        "pose_timeout_s",
        0.1,
        "How long to wait for the pose at an image's stamp that has not come yet, s.",
        minimum=0.0,
        maximum=2.0,
    ),
    # -- memory
    Parameter(
        "remember",
        True,
        "Keep views to recall others from (docs/memory.md). False forgets all of them and keeps "
        "none; questions then know the present view alone.",
    ),
    Parameter(
        "memory_views",
        32,
        "Most views that are remembered; the one that adds least to the others goes first.",
        minimum=1,
        maximum=256,
        read_only=True,
    ),
    Parameter(
        "memory_bytes",
        64 * 1024 * 1024,
        "Most bytes of remembered views; the one that adds least goes first.",
        minimum=1024,
        read_only=True,
    ),
    Parameter(
        "memory_age_s",
        120.0,
        "Views are forgotten when they are this much older than the newest, s.",
        minimum=1.0,
        maximum=86400.0,
        read_only=True,
    ),
    Parameter(
        "memory_fastest_m_s",
        5.0,
        "A camera that seems to have moved faster has jumped: everything seen before is "
        "forgotten, m/s.",
        minimum=0.1,
        maximum=1000.0,
        read_only=True,
    ),
    Parameter(
        "map_source",
        "topic",
        "Where trace_path and the mask know occupancy from: the map topic, or what is remembered "
        "in the fixed frame.",
        choices=("topic", "memory"),
        read_only=True,
    ),
    Parameter(
        "memory_map_side_m",
        12.0,
        "Side of the map made from memory, around the robot, m; needs map_source memory.",
        minimum=2.0,
        maximum=100.0,
        read_only=True,
    ),
    Parameter(
        "memory_map_resolution_m",
        0.05,
        "Side of a cell of that map, m.",
        minimum=0.01,
        maximum=0.5,
        read_only=True,
    ),
    # -- the guard
    Parameter(
        "min_confidence",
        0.6,
        "An answer whose calibrated probability is below this is published as abstained.",
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "min_consistency",
        0.35,
        "An answer whose drawn view agrees with what was seen by less than this is published as "
        "abstained (docs/guard.md).",
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "max_spread",
        0.4,
        "An answer whose probability differs by more than this between the imagined views of one "
        "question is published as abstained; needs imaginations of 2 or more.",
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "imaginations",
        1,
        "Imagined views of one question, drawn in one batch; from 2 on max_spread applies.",
        minimum=1,
        maximum=16,
    ),
    # -- the imagined-space mask
    Parameter(
        "imagined_space",
        False,
        "Publish ~/imagined_space, predicted occupancy of unseen cells (docs/nav2.md).",
    ),
    Parameter(
        "imagined_space_period_s",
        2.0,
        "Time between two drawings of the map, and the least time between two new masks, s; 0.2 "
        "or more, or 0: drawn only when ~/imagine_space asks.",
        minimum=0.0,
        maximum=60.0,
        read_only=True,
    ),
    Parameter(
        "imagined_space_timeout_s",
        6.0,
        "A mask that was not imagined again for this long is cleared, s.",
        minimum=0.5,
        maximum=600.0,
        read_only=True,
    ),
    Parameter(
        "imagined_space_imaginations",
        3,
        "How many drawn maps the mask is the mean of.",
        minimum=1,
        maximum=16,
    ),
    Parameter(
        "imagined_space_widening_m",
        0.55,
        "How far an imagined wall costs around itself, m: costmap filters come after the "
        "inflation layer, so a mask brings its own (docs/nav2.md). 0: as it was drawn.",
        minimum=0.0,
        maximum=2.0,
    ),
    Parameter(
        "min_map_agreement",
        0.6,
        "A drawn map that agrees with the seen one by less than this is not believed: it never "
        "reaches the mask, and a path's answer is published as abstained. A map that says nothing "
        "agrees by 0.5 (docs/guard.md).",
        minimum=0.0,
        maximum=1.0,
    ),
    # -- self-scoring
    Parameter(
        "self_scoring_log",
        "",
        "Folder for imagined views with what was seen there later, as training rows; switches "
        "self-scoring on (docs/self_scoring.md). Empty: off.",
        read_only=True,
    ),
    Parameter(
        "self_scoring_log_bytes",
        256 * 1024 * 1024,
        "Most bytes of all files in self_scoring_log; the oldest file goes first.",
        minimum=64 * 1024,
        read_only=True,
    ),
    Parameter(
        "self_scoring_distance_m",
        0.25,
        "An imagined view is compared with what the camera sees within this distance of it, m.",
        minimum=0.01,
        maximum=5.0,
        read_only=True,
    ),
    Parameter(
        "self_scoring_angle_rad",
        0.26,
        "An imagined view is compared only when the camera is turned from it by no more, rad.",
        minimum=0.01,
        maximum=3.2,
        read_only=True,
    ),
    Parameter(
        "self_scoring_overlap",
        0.7,
        "An imagined view is compared only when at least this share of it is in sight.",
        minimum=0.0,
        maximum=1.0,
        read_only=True,
    ),
    # -- reporting
    Parameter(
        "diagnostics_rate_hz", 1.0, "Messages on /diagnostics, Hz.", minimum=0.1, maximum=20.0
    ),
)


def check_together(values: Values) -> str | None:
    """Values that are each allowed and do not go together."""
    needed = 6 * len(values.cameras)
    if values.pose_source == "odometry" and len(values.mounts) != needed:
        return (
            f"mounts: expected {needed} numbers for {len(values.cameras)} camera(s), "
            f"got {len(values.mounts)}"
        )
    if values.map_source == "memory" and not values.use_depth:
        return "map_source: 'memory' needs use_depth, for nothing is known of space without depth"
    if 0.0 < values.imagined_space_period_s < 0.2:
        return (
            f"imagined_space_period_s: expected 0 or at least 0.2 s, got "
            f"{values.imagined_space_period_s:g}"
        )
    if len(set(values.cameras)) != len(values.cameras):
        return f"cameras: named twice in {list(values.cameras)}"
    return None
