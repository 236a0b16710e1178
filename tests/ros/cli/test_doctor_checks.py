"""The doctor's checks on made-up facts: silent on a healthy robot, each fault found by name."""

from dataclasses import replace

import pytest

from ipt_ros.cli.checks import findings
from ipt_ros.cli.facts import FAIL, OK, WARN, Facts, Machine, Publisher, Status, Topic
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.table import defaults

IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
ODOMETRY, MAP = "nav_msgs/msg/Odometry", "nav_msgs/msg/OccupancyGrid"
SIZE = {"width": 640, "height": 480, "frame": "optical"}


def topic(role, name, kind, **more):
    fields = {
        "publishers": (Publisher("driver", kind),),
        "heard": 30,
        "rate_hz": 15.0,
        "age_s": 0.03,
        "stamps_ns": (1_000_000_000, 1_066_000_000),
    }
    return Topic(role, name, kind, **{**fields, **more})


TOPICS = {
    "image": topic(
        "image", "/camera/image", IMAGE, seen={**SIZE, "encoding": "rgb8", "n_bytes": 900}
    ),
    "depth": topic(
        "depth",
        "/camera/depth_image",
        IMAGE,
        seen={**SIZE, "encoding": "32FC1", "n_bytes": 900, "returns_share": 0.9},
    ),
    "camera_info": topic("camera_info", "/camera/camera_info", INFO, seen=SIZE),
    "odometry": topic(
        "odometry", "/odom", ODOMETRY, seen={"frame": "odom", "child_frame": "base_link"}
    ),
    "map": topic("map", "/map", MAP, needed=False, seen={"frame": "odom", "unknown_share": 0.4}),
}
HEALTHY = Facts(
    node="/ipt_node",
    environment={"ROS_DISTRO": "jazzy", "rmw": "rmw_fastrtps_cpp", "ROS_DOMAIN_ID": "3"},
    copies=1,
    others=("/driver",),
    state="active",
    parameters={
        **defaults(IPT_PARAMETERS),
        "use_sim_time": False,
        "pose_source": "odometry",
        "model": "ipt-tiny",
    },
    topics=tuple(TOPICS.values()),
    by_type={IMAGE: ("/camera/image", "/camera/depth_image", "/front/image_raw")},
    machine=Machine(model_bytes=40_000_000),
    listened_s=4.0,
)


def with_topic(role, facts=HEALTHY, **changes):
    """The healthy facts with one topic changed."""
    changed = replace(facts.of_role(role)[0], **changes)
    return replace(facts, topics=tuple(changed if t.role == role else t for t in facts.topics))


def seeing(role, **seen):
    return with_topic(role, seen={**HEALTHY.of_role(role)[0].seen, **seen})


def setting(facts=HEALTHY, **parameters):
    return replace(facts, parameters={**facts.parameters, **parameters})


def by_tf(facts=HEALTHY, **problems):
    """The same robot with its poses from tf, which has no odometry among its inputs."""
    topics = tuple(t for t in facts.topics if t.role != "odometry")
    return replace(setting(facts, pose_source="tf"), topics=topics, transforms=problems)


def on_machine(device="auto", state="inactive", **machine):
    facts = replace(HEALTHY, state=state, machine=Machine(**machine))
    return setting(facts, device=device)


def mismatched(role):
    kind = HEALTHY.of_role(role)[0].type
    return with_topic(role, publishers=(Publisher("driver", kind, "best effort and reliable"),))


def simulated(clock=None, **image):
    facts = setting(with_topic("image", **image), use_sim_time=True)
    topics = [*facts.topics, *([clock] if clock else [])]
    return replace(facts, topics=tuple(topics))


CLOCK = topic("clock", "/clock", "rosgraph_msgs/msg/Clock", age_s=float("nan"))
LARGE = seeing("image", n_bytes=900_000)

#: Facts, then level and what the line and its remedy must say.
FAULTS = {
    "no ROS": (replace(HEALTHY, environment={}), WARN, "ROS_DISTRO", "source"),
    "no node": (replace(HEALTHY, copies=0), FAIL, "not running; nodes seen", "ros2 launch"),
    "two nodes": (replace(HEALTHY, copies=2), FAIL, "2 nodes", "namespace"),
    "inactive": (replace(HEALTHY, state="inactive"), FAIL, "inactive", "lifecycle set"),
    "unconfigured": (
        replace(HEALTHY, state="unconfigured"),
        FAIL,
        "unconfigured",
        "/ipt_node configure",
    ),
    "silent node": (replace(HEALTHY, state=""), FAIL, "does not tell", "restart"),
    "no publisher": (
        with_topic("image", publishers=()),
        FAIL,
        "nobody publishes /camera/image",
        "-r /camera/image:=/camera/depth_image",
    ),
    "no info": (with_topic("camera_info", publishers=()), FAIL, "/camera/camera_info", "start"),
    "no map": (with_topic("map", publishers=()), WARN, "/map", "start"),
    "wrong type": (
        with_topic("image", publishers=(Publisher("driver", "sensor_msgs/msg/CompressedImage"),)),
        FAIL,
        "CompressedImage (driver), expected sensor_msgs/msg/Image",
        "image_transport:=compressed",
    ),
    "QoS": (mismatched("image"), FAIL, "best effort and reliable", "best_effort"),
    "volatile map": (mismatched("map"), WARN, "do not go together", "transient_local"),
    "nothing comes": (with_topic("image", heard=0), FAIL, "nothing came in 4 s", "driver"),
    "unreadable": (with_topic("depth", problem="depth encoding 'rgb8'"), FAIL, "rgb8", "mend"),
    "not subscribed": (with_topic("map", subscribed=False), WARN, "does not listen", "remapped"),
    "info of another size": (
        seeing("camera_info", width=1280),
        FAIL,
        "1280x480 pixels, the image has 640x480",
        "beside",
    ),
    "depth of another size": (
        seeing("depth", width=848),
        FAIL,
        "848x480, the image 640x480: it is not registered",
        "align_depth",
    ),
    "depth in another frame": (seeing("depth", frame="ir"), WARN, "depth is in ir", "registered"),
    "depth of another time": (
        with_topic("depth", stamps_ns=(1_500_000_000,)),
        FAIL,
        "the nearest is 0.434 s away",
        "sync_slop_s",
    ),
    "covered": (seeing("depth", returns_share=0.0), WARN, "no pixel has depth", "covered"),
    "late": (with_topic("image", age_s=3.0), FAIL, "3.0 s old", "view_max_age_s"),
    "future": (with_topic("image", age_s=-2.0), WARN, "2.0 s in the future", "chrony"),
    "sim stamps by the wall": (
        with_topic("image", age_s=1.7e9, age_by_clock_s=0.05),
        FAIL,
        "(use_sim_time false)",
        "use_sim_time:=true",
    ),
    "wall stamps by the sim": (
        simulated(CLOCK, age_s=0.05, age_by_clock_s=-1.7e9),
        FAIL,
        "(use_sim_time true)",
        "use_sim_time:=false",
    ),
    "stamps of no clock": (with_topic("image", age_s=9e8), FAIL, "before", "time of capture"),
    "sim without clock": (
        simulated(replace(CLOCK, publishers=())),
        FAIL,
        "nobody publishes /clock",
        "start",
    ),
    "odometry frame": (
        seeing("odometry", frame="map"),
        FAIL,
        "stated in 'map', fixed_frame is 'odom'",
        "fixed_frame:=map",
    ),
    "odometry of another body": (
        seeing("odometry", child_frame="imu"),
        WARN,
        "of 'imu'",
        "base_frame:=imu",
    ),
    "no transform": (
        by_tf(optical="no transform odom <- optical"),
        FAIL,
        "odom <- optical",
        "fixed_frame",
    ),
    "map frame": (seeing("map", frame="map"), FAIL, "map is in 'map'", "pose_source:=tf"),
    "map frame that tf does not know": (
        by_tf(seeing("map", frame="map"), optical="", map="no transform odom <- map"),
        FAIL,
        "no transform odom <- map",
        "localisation",
    ),
    "no tf2 here": (
        replace(by_tf(), transforms=None),
        WARN,
        "tf2_ros cannot be imported here",
        "tf2-ros-py",
    ),
    "another robot's node": (
        replace(HEALTHY, copies=0, others=("/driver", "/robot1/ipt_node")),
        FAIL,
        "/ipt_node is not running; nodes seen: /driver, /robot1/ipt_node",
        "ipt doctor --node /robot1/ipt_node",
    ),
    "known map": (seeing("map", unknown_share=0.0), WARN, "nothing is left", "SLAM"),
    "large images": (LARGE, WARN, "0.9 MB get lost", "fastdds.xml"),
    "no model": (
        on_machine(model_problem="model 'x': expected a folder"),
        FAIL,
        "expected a folder",
        "model",
    ),
    "untrained": (setting(model="ipt-tiny-untrained"), WARN, "random weights", "trained"),
    "no torch": (on_machine(torch_problem="No module named torch"), FAIL, "torch", "pip"),
    "no CUDA": (on_machine("cuda"), FAIL, "no CUDA", "nvidia-smi"),
    "large model on a CPU": (on_machine(model_bytes=int(29e9)), WARN, "no CUDA", "device:=cpu"),
    "full GPU": (
        on_machine(
            model_bytes=int(29e9), gpu="H", gpu_free_bytes=int(20e9), gpu_total_bytes=int(40e9)
        ),
        FAIL,
        "20.0 GB free, the weights alone take 29.0",
        "int4",
    ),
    "diagnostic": (
        replace(HEALTHY, statuses=(Status("camera", 2, "no image"),)),
        FAIL,
        "no image",
        "/diagnostics",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_named_and_has_a_remedy(name):
    facts, level, words, remedy = FAULTS[name]
    found = findings(facts)
    hits = [f for f in found if f.level == level and words in f.text and remedy in f.remedy]
    assert hits, [f for f in found if f.level != OK]
    assert all(f.remedy for f in found if f.level != OK)
    assert not any("\n" in f.text + f.remedy for f in found), "one line each"


def test_a_healthy_robot_has_nothing_to_mend():
    found = findings(HEALTHY)
    assert [f for f in found if f.level != OK] == []
    lines = {f.about: f.text for f in found}
    assert lines["image"] == "/camera/image: 15.0 Hz, 640x480 rgb8"
    assert lines["map"] == "/map: 15.0 Hz, 40 % unknown"
    assert lines["image stamps"] == "30 ms old on arrival"
    assert lines["ROS"] == "jazzy, rmw_fastrtps_cpp, domain 3"


def test_a_robot_by_tf_has_nothing_to_mend_whatever_frame_its_map_is_in():
    found = findings(by_tf(seeing("map", frame="map"), optical="", map=""))
    assert [f for f in found if f.level != OK] == []
    assert "tf leads from optical to odom" in [f.text for f in found]


def test_tf_is_not_blamed_where_no_image_told_its_frame():
    silent = with_topic("image", by_tf(), heard=0, seen={})
    assert [f for f in findings(silent) if f.about == "pose"] == []


def test_simulated_time_that_fits_is_fine():
    facts = simulated(CLOCK, age_s=1.7e9, age_by_clock_s=0.05)
    facts = with_topic("odometry", facts, age_s=1.7e9, age_by_clock_s=0.02)
    assert [f for f in findings(facts) if f.level != OK] == []


@pytest.mark.parametrize(
    "environment",
    [
        {"FASTDDS_BUILTIN_TRANSPORTS": "SHM"},
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "fastdds.xml"},
        {"rmw": "rmw_cyclonedds_cpp"},
    ],
)
def test_large_images_are_no_matter_where_the_transport_is_set_up(environment):
    facts = replace(LARGE, environment={**LARGE.environment, **environment})
    assert not [f for f in findings(facts) if f.about == "transport"]


def test_a_model_that_is_loaded_is_not_judged_by_what_is_free_now():
    facts = on_machine(state="active", model_bytes=int(29e9), gpu="H", gpu_free_bytes=int(1e9))
    assert [f.level for f in findings(facts) if f.about == "GPU"] == [OK]


# -- the machine, for real ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_model_is_looked_for_as_the_node_does(tmp_path):
    from ipt_ros.cli.machine import MachineLook, look_at_machine

    shipped = MachineLook("ipt-tiny-untrained")  # in a process of its own
    assert "expected a folder" in look_at_machine(str(tmp_path / "nowhere")).model_problem
    (tmp_path / "empty").mkdir()
    assert "empty" in look_at_machine(str(tmp_path / "empty")).model_problem
    found = shipped.result()
    assert (found.model_problem, found.torch_problem) == ("", "")
