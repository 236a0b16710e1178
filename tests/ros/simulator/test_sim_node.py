"""The simulator as a process: what it publishes over DDS and how it takes commands."""

import itertools
import math
import signal

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from geometry_msgs.msg import Pose, Twist
from harness import BEST_EFFORT, LATCHED, RELIABLE, peer, running, takes_less, until
from nav_msgs.msg import OccupancyGrid, Odometry
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from imaginative_perception.srv import SetPose
from ipt_model.messages.poses import yaw_of
from ipt_ros.conversions import (
    camera_info_to_intrinsics,
    grid_to_array,
    pose_to_matrix,
    stamp_to_ns,
    yaw_to_quaternion,
)
from ipt_ros.senses.images import depth_to_metres, image_to_rgb
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import occupancy

SEED = 2


@pytest.fixture(scope="module")
def simulator(ros_domain, tmp_path_factory):
    with running(
        "sim_node", ros_domain, tmp_path_factory.mktemp("sim"), parameters={"seed": SEED}
    ) as process:
        yield process


@pytest.fixture(scope="module")
def tester(ros_domain, simulator):
    with peer(ros_domain) as one:
        yield one


@pytest.fixture(scope="module")
def scene():
    return make_scene(SEED)


@pytest.fixture(scope="module")
def odometry(tester):
    return tester.collect(Odometry, "odom")


@pytest.fixture(scope="module")
def places(scene):
    """Open places, the most open first."""
    grid = occupancy(scene, 0.1)
    solid, free = (grid.centres()[grid.cells == value] for value in (100, 0))
    room = [np.hypot(*(solid - p).T).min() for p in free]
    return [tuple(map(float, free[i])) for i in np.argsort(room)[::-1] if room[i] > 0.5]


def request(x, y, yaw=0.0):
    qx, qy, qz, qw = yaw_to_quaternion(yaw)
    pose = Pose()
    pose.position.x, pose.position.y = float(x), float(y)
    pose.orientation.x, pose.orientation.y = qx, qy
    pose.orientation.z, pose.orientation.w = qz, qw
    return SetPose.Request(pose=pose)


def put(tester, x, y, yaw=0.0):
    answer = tester.call(SetPose, "/sim_node/set_pose", request(x, y, yaw))
    assert answer.success, answer.message


def planar(message):
    pose = pose_to_matrix(message.pose.pose)
    return float(pose[0, 3]), float(pose[1, 3]), yaw_of(pose)


def set_parameter(tester, name, value, node="sim_node"):
    kind = (
        ParameterType.PARAMETER_STRING
        if isinstance(value, str)
        else ParameterType.PARAMETER_DOUBLE
    )
    field = "string_value" if isinstance(value, str) else "double_value"
    parameter = Parameter(name=name, value=ParameterValue(type=kind, **{field: value}))
    answer = tester.call(
        SetParameters, f"/{node}/set_parameters", SetParameters.Request(parameters=[parameter])
    )
    return answer.results[0]


def same_stamp(*topics):
    """The newest messages of the topics that carry one stamp."""
    by_stamp = [{stamp_to_ns(m.header.stamp): m for m in list(t.messages)} for t in topics]
    common = set.intersection(*(set(b) for b in by_stamp))
    return tuple(b[max(common)] for b in by_stamp) if common else None


def rate(topic, count):
    """Of the next `count` messages, by their stamps, 1/s."""
    stamps = [stamp_to_ns(m.header.stamp) for m in topic.wait_more(count)]
    return 1e9 * (count - 1) / (stamps[-1] - stamps[0])


def test_pictures_come_at_their_rate_with_growing_stamps(tester):
    images = tester.collect(Image, "camera/image", BEST_EFFORT)
    images.wait(10)
    # 16 Hz is set; the machine that runs this may be busy with other things for a while
    until(lambda: 10.0 <= rate(images, 20) <= 17.0, "pictures come at their rate")
    stamps = [stamp_to_ns(m.header.stamp) for m in images.messages]
    assert all(a < b for a, b in itertools.pairwise(stamps))


def test_image_depth_and_camera_info_belong_together_and_show_the_scene(tester, scene, odometry):
    topics = [
        tester.collect(Image, "camera/image", BEST_EFFORT),
        tester.collect(Image, "camera/depth_image", BEST_EFFORT),
        tester.collect(CameraInfo, "camera/camera_info", BEST_EFFORT),
    ]
    image, depth, info, moved = until(lambda: same_stamp(*topics, odometry), "one stamp on all")
    assert image.header.frame_id == depth.header.frame_id == info.header.frame_id
    assert image.header.frame_id == "camera_optical_frame"
    assert (image.encoding, depth.encoding) == ("rgb8", "32FC1")
    camera = camera_info_to_intrinsics(info, (image.width, image.height))
    truth_camera = Camera.from_fov(320, 240, 1.57)
    assert camera.fx == pytest.approx(truth_camera.fx) and camera.cx == truth_camera.cx == 160.0

    x, y, yaw = planar(moved)
    pose = camera_pose(x + 0.1 * math.cos(yaw), y + 0.1 * math.sin(yaw), yaw, 1.2, 0.25)
    truth = Renderer(scene).render(pose, truth_camera)
    np.testing.assert_allclose(depth_to_metres(depth), truth.depth_m, atol=2e-3)
    rgb = image_to_rgb(image)
    assert np.abs(rgb.astype(int) - truth.rgb).mean() < 0.5


def test_depth_is_the_same_in_both_encodings(tester, odometry):
    topic = tester.collect(Image, "camera/depth_image", BEST_EFFORT)
    metres = topic.wait()[-1]
    assert set_parameter(tester, "depth_encoding", "16UC1").successful
    try:
        millimetres = topic.wait_for(lambda m: m.encoding == "16UC1")
    finally:
        assert set_parameter(tester, "depth_encoding", "32FC1").successful
    assert millimetres.step * 2 == metres.step
    np.testing.assert_allclose(depth_to_metres(millimetres), depth_to_metres(metres), atol=6e-4)


def test_a_parameter_out_of_range_is_refused_with_the_reason(tester):
    result = set_parameter(tester, "rate", 500.0)
    assert not result.successful and "rate: expected double 1 to 60, got 500.0" in result.reason
    result = set_parameter(tester, "depth_encoding", "8UC1")
    assert not result.successful and "32FC1, 16UC1" in result.reason


def test_the_rate_can_be_changed_while_it_runs(tester):
    images = tester.collect(CameraInfo, "camera/camera_info", BEST_EFFORT)
    assert set_parameter(tester, "rate", 2.0).successful
    try:
        images.wait_more(2)
        until(lambda: 1.0 <= rate(images, 4) <= 2.5, "pictures come at the new rate")
    finally:
        assert set_parameter(tester, "rate", 16.0).successful


def test_odometry_follows_cmd_vel_and_stops_when_it_ends(tester, odometry, places):
    put(tester, *places[0], 0.5)
    since = len(odometry)
    start = odometry.wait_for(lambda m: abs(planar(m)[2] - 0.5) < 1e-6, since=since)
    x, y, yaw = planar(start)
    publisher = tester.publisher(Twist, "cmd_vel")
    drive = Twist()
    drive.linear.x, drive.angular.z = 0.3, 0.4
    since = len(odometry)
    publisher.publish(drive)
    moving = odometry.wait_for(lambda m: m.twist.twist.linear.x != 0, since=since)
    assert moving.twist.twist.linear.x == 0.3 and moving.twist.twist.angular.z == 0.4
    assert moving.header.frame_id == "odom" and moving.child_frame_id == "base_link"
    moving_at = odometry.messages.index(moving)
    stopped = odometry.wait_for(lambda m: m.twist.twist.linear.x == 0, since=moving_at)
    # one command lasts for command_timeout, 0.5 s, exactly
    end = planar(stopped)
    assert end[2] - yaw == pytest.approx(0.4 * 0.5, abs=1e-3)
    chord = 0.3 * 0.5 * math.sin(0.1) / 0.1
    assert end[0] - x == pytest.approx(chord * math.cos(yaw + 0.1), abs=1e-3)
    assert end[1] - y == pytest.approx(chord * math.sin(yaw + 0.1), abs=1e-3)
    assert planar(odometry.wait_more(5)[-1]) == pytest.approx(end)


def test_nan_commands_are_ignored_and_the_next_good_one_works(tester, odometry, simulator, places):
    put(tester, *places[0])
    publisher = tester.publisher(Twist, "cmd_vel")
    bad, good = Twist(), Twist()
    bad.linear.x, good.angular.z = math.nan, 0.7
    publisher.publish(bad)
    simulator.wait_for_print("cmd_vel ignored")
    since = len(odometry)
    publisher.publish(good)
    odometry.wait_for(lambda m: m.twist.twist.angular.z == 0.7, since=since)


def test_set_pose_moves_the_camera(tester, odometry, places):
    images = tester.collect(Image, "camera/image", BEST_EFFORT)
    pictures = []
    for yaw in (0.0, 2.0):
        put(tester, *places[1], yaw)
        since = len(odometry)
        moved = odometry.wait_for(lambda m: abs(planar(m)[2] - yaw) < 1e-6, since=since)  # noqa: B023
        after = stamp_to_ns(moved.header.stamp)
        image = images.wait_for(lambda m: stamp_to_ns(m.header.stamp) > after)  # noqa: B023
        pictures.append(image_to_rgb(image).astype(int))
        assert planar(moved)[:2] == pytest.approx(places[1])
    assert np.abs(pictures[0] - pictures[1]).mean() > 5


def test_poses_where_it_cannot_stand_are_refused(tester, scene, odometry):
    before = planar(odometry.wait_more()[-1])
    thing = scene.objects[0]
    nan = request(0.0, 0.0)
    nan.pose.orientation.w = math.nan
    for bad, words in (
        (request(*thing.position[:2]), f"from the {thing.name}"),
        (request(1e6, 0.0), "outside the house"),
        (nan, "NaN"),
    ):
        answer = tester.call(SetPose, "/sim_node/set_pose", bad)
        assert not answer.success and words in answer.message
    assert planar(odometry.wait_more(3)[-1]) == pytest.approx(before)


def test_the_map_grows_with_what_is_seen_and_late_subscribers_get_it(
    ros_domain, tmp_path, scene, places
):
    parameters = {"seed": SEED, "map_rate": 10.0}
    with (
        running("sim_node", ros_domain, tmp_path, parameters=parameters,
                ros_arguments=("-r", "__ns:=/mapper")),
        peer(ros_domain, "mapper_tester") as tester,
    ):  # fmt: skip
        maps = tester.collect(OccupancyGrid, "/mapper/map", LATCHED)
        moves = tester.collect(Odometry, "/mapper/odom")
        first = grid_to_array(maps.wait()[0])
        for i in range(6):
            x, y = places[(i * 7919) % len(places)]
            answer = tester.call(SetPose, "/mapper/sim_node/set_pose", request(x, y, 2.0 * i))
            assert answer.success, answer.message
            moves.wait_more(25)  # half a second: five maps
        late = tester.collect(OccupancyGrid, "/mapper/map", LATCHED)
        message = late.wait()[0]
    assert message.header.frame_id == "odom"
    last = grid_to_array(message)
    assert last.resolution_m == 0.05 and last.origin_xy == pytest.approx(scene.bounds[:2])
    truth = occupancy(scene, 0.05).cells == 100
    assert last.cells.shape == truth.shape == first.cells.shape
    assert (last.cells != -1).sum() > 1.3 * (first.cells != -1).sum()
    assert (last.cells[first.cells != -1] != -1).all()
    wrong = ((last.cells == 0) & truth) | ((last.cells == 100) & ~truth)
    assert wrong.sum() < 0.01 * (last.cells != -1).sum()


def test_set_pose_is_answered_within_a_few_frames(tester, places):
    frames = tester.collect(CameraInfo, "camera/camera_info", BEST_EFFORT)
    frames.wait()
    passed = []
    for yaw in np.linspace(0, 3, 20):
        before = len(frames)
        put(tester, *places[0], float(yaw))
        passed.append(len(frames) - before)
    assert np.median(passed) <= 4


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_cleanly(ros_domain, tmp_path, number):
    elsewhere = ("-r", "__ns:=/mortal")

    def life():
        with (
            running("sim_node", ros_domain, tmp_path, ros_arguments=elsewhere) as process,
            peer(ros_domain) as tester,
        ):
            tester.collect(Image, "/mortal/camera/image", BEST_EFFORT).wait()
            code, seconds = process.terminate(getattr(signal, number))
            assert code == 0 and "Traceback" not in process.printed()
            return seconds

    takes_less(2.0, life)


def test_simulated_time_runs_on_clock_at_its_own_pace(ros_domain, tmp_path):
    parameters = {
        "publish_clock": True,
        "real_time_factor": 3.0,
        "level": "house",
        "rate": 5.0,
        "reliability": "reliable",
        "map_frame": "map",
        "publish_truth": True,
    }
    with (
        running("sim_node", ros_domain, tmp_path, parameters=parameters,
                ros_arguments=("-r", "__ns:=/robot1")) as process,
        peer(ros_domain) as tester,
    ):  # fmt: skip
        clock = tester.collect(Clock, "/clock", BEST_EFFORT)
        images = tester.collect(Image, "/robot1/camera/image", RELIABLE)
        truth = tester.collect(Image, "/robot1/truth/image", LATCHED)
        grid = tester.collect(OccupancyGrid, "/robot1/map", LATCHED)
        images.wait(3)

        def pace():
            clock.clear()
            clock.wait(60)
            ticks = [stamp_to_ns(m.clock) for m in clock.messages]
            assert ticks == sorted(ticks) and 1e9 <= ticks[0] < 600e9
            return (ticks[59] - ticks[0]) / 1e9 / (clock.times_s[59] - clock.times_s[0])

        until(lambda: 2.4 < pace() < 3.6, "simulated time runs three times as fast")
        assert stamp_to_ns(images.newest.header.stamp) <= 600e9
        assert truth.wait()[0].width > 100
        assert grid.wait()[0].header.frame_id == "map"
        assert process.returncode is None


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rate": 0.0}, "sim_node: rate: expected double 1 to 60, got 0.0"),
        ({"level": "castle"}, "sim_node: level: expected string one of room, house, got 'castle'"),
        ({"real_time_factor": 2.0}, "needs publish_clock"),
    ],
)
def test_a_bad_parameter_at_start_ends_it_with_one_line(ros_domain, tmp_path, parameters, words):
    with running("sim_node", ros_domain, tmp_path, parameters=parameters) as process:
        assert process.wait() == 1
        assert words in process.printed()
        assert "Traceback" not in process.printed()
