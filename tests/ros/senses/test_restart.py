"""Time that begins anew: the first complete view of the new time serves, in whichever order its
parts came, and nothing of the old time does. By a clock that only the test moves.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from geometry_msgs.msg import TransformStamped
from harness import until
from rclpy.node import Node
from robot_input import half_seen, view_messages
from std_msgs.msg import Header

from ipt_model.messages.poses import from_xyz_rpy
from ipt_ros.conversions import array_to_grid, matrix_to_transform, ns_to_stamp
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.table import checked, defaults
from ipt_ros.senses.frames import CameraFrames
from ipt_ros.senses.pose_source import TfPose
from ipt_ros.senses.poses import PoseHistory
from ipt_ros.senses.senses import Forgotten, Senses
from ipt_ros.senses.stamps import Restart

MS = 1_000_000
S = 1000 * MS
BEFORE = 100 * S
#: Stamps at which time begins anew: a simulation, a bag, a clock that was set.
ANEW = [0, 40 * S, BEFORE - 300 * MS]
IDS = ["simulation", "bag", "clock"]
PARTS = ("odometry", "info", "depth", "image")
TOPICS = {
    "odometry": "odom",
    "info": "camera/camera_info",
    "depth": "camera/depth_image",
    "image": "camera/image",
}


# -- one camera -----------------------------------------------------------------------------------


def fed(until_ns=BEFORE):
    """A camera that has sent a second of views."""
    camera = CameraFrames("camera", want_depth=True, steady=lambda: 0.0)
    for stamp_ns in range(until_ns - S, until_ns + 1, 50 * MS):
        put(camera, ("info", "depth", "image"), stamp_ns)
    return camera


def put(camera, parts, stamp_ns):
    found = None
    for part in parts:
        if part == "info":
            camera.put_info(stamp_ns, f"info {stamp_ns}")
        elif part == "depth":
            camera.put_depth(stamp_ns, f"depth {stamp_ns}", 1)
        else:
            found = camera.put_image(stamp_ns, "optical", f"image {stamp_ns}", 1)
    return found


@pytest.mark.parametrize("anew", ANEW, ids=IDS)
@pytest.mark.parametrize("order", list(itertools.permutations(("info", "depth", "image"))))
def test_the_first_complete_view_of_the_new_time_serves(order, anew):
    camera = fed()
    assert put(camera, order, anew) == Restart(BEFORE, anew)
    frame = camera.newest(anew, 1.0)
    assert (frame.image, frame.depth, frame.info) == (
        f"image {anew}",
        f"depth {anew}",
        f"info {anew}",
    )
    assert camera.fresh(anew, 1e9) == [frame]


@pytest.mark.parametrize("anew", ANEW, ids=IDS)
@pytest.mark.parametrize("parts", [("image",), ("image", "depth"), ("info", "image")])
def test_what_is_missing_of_it_is_not_taken_from_the_old_time(parts, anew):
    camera = fed()
    put(camera, parts, anew)
    with pytest.raises(GoalError, match="stamps went back") as caught:
        camera.newest(anew, 1.0)
    assert caught.value.code is ErrorCode.TIME_JUMP


def test_a_calibration_without_a_stamp_holds_in_any_time():
    """As one that is sent once, when the camera starts."""
    camera = CameraFrames("camera", want_depth=False, steady=lambda: 0.0)
    camera.put_info(0, "info")
    camera.put_image(BEFORE, "optical", "before", 1)
    camera.put_image(40 * S, "optical", "after", 1)
    assert camera.newest(40 * S, 1.0).image == "after"


def test_other_cameras_forget_with_the_first_and_not_once_more():
    camera = fed()
    camera.begin_anew(Restart(BEFORE + 20 * MS, 40 * S))
    with pytest.raises(GoalError, match="stamps went back"):
        camera.newest(40 * S, 1.0)
    assert put(camera, ("info", "depth", "image"), 40 * S) is None
    assert camera.newest(40 * S, 1.0).image == f"image {40 * S}"
    # a camera that was the first keeps what it has of the new time
    camera.begin_anew(Restart(BEFORE, 40 * S + 5 * MS))
    assert camera.newest(40 * S, 1.0).image == f"image {40 * S}"


# -- poses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("anew", [*ANEW, BEFORE - 100 * MS], ids=[*IDS, "clock, a little"])
@pytest.mark.parametrize("came_first", [True, False], ids=["pose first", "image first"])
def test_the_pose_of_the_new_time_stays_and_those_before_go(anew, came_first):
    history = PoseHistory()
    for stamp_ns in range(BEFORE - 5 * S, BEFORE + 1, 20 * MS):
        history.put(stamp_ns, from_xyz_rpy(9.0, 0, 0, 0, 0, 0))
    if came_first:
        history.put(anew, np.eye(4))
    history.begin_anew(Restart(BEFORE, anew))
    if not came_first:
        assert len(history) == 0
        history.put(anew, np.eye(4))
    assert len(history) == 1 and np.array_equal(history.at(anew), np.eye(4))


@pytest.fixture
def transforms(ros, monkeypatch):
    """The buffer of a pose source that asks tf2, or what stands in for it, and its clock."""
    try:
        import tf2_ros  # noqa: F401
    except ImportError:
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "fake_tf2"))
    node = Node("transforms", context=ros)
    clock = SimpleNamespace(now_ns=BEFORE)
    monkeypatch.setattr(
        node, "get_clock", lambda: SimpleNamespace(now=lambda: Now(clock.now_ns)), raising=False
    )
    live = SimpleNamespace(values=SimpleNamespace(fixed_frame="odom", pose_timeout_s=0.0))
    source = TfPose(node, live, SimpleNamespace(report=lambda *_: None))
    yield source, clock
    source.destroy()
    node.destroy_node()
    if "fake_tf2" in str(getattr(sys.modules["tf2_ros"], "__file__", "")):
        del sys.modules["tf2_ros"]  # whoever looks for tf2 later must not find this


class Now:
    def __init__(self, nanoseconds):
        self.nanoseconds = nanoseconds


def moved(source, stamp_ns, x):
    transform = TransformStamped(header=Header(stamp=ns_to_stamp(stamp_ns), frame_id="odom"))
    transform.child_frame_id = "optical"
    transform.transform = matrix_to_transform(from_xyz_rpy(x, 0, 0, 0, 0, 0))
    source._buffer.set_transform(transform, "test")


@pytest.mark.parametrize("anew", ANEW[1:], ids=IDS[1:])
def test_the_transform_of_the_new_time_stays_and_those_before_go(transforms, anew):
    """tf2 drops what is stamped farther back than the ten seconds that it remembers."""
    source, clock = transforms
    for stamp_ns in range(BEFORE - 2 * S, BEFORE + 1, 100 * MS):
        moved(source, stamp_ns, 9.0)
    clock.now_ns = anew
    moved(source, anew, 1.0)
    source.begin_anew(Restart(BEFORE, anew))
    assert source.camera("camera", "optical", anew)[0, 3] == 1.0
    for gone in (BEFORE, anew - 50 * MS, anew + 50 * MS):
        with pytest.raises(GoalError):
            source.camera("camera", "optical", gone)


# -- all of it ------------------------------------------------------------------------------------


class Robot:
    """A node for `Senses`: messages are sent to its callbacks, and time is the test's."""

    def __init__(self, **parameters):
        self.now_ns = 0
        self._callbacks = {}
        self.tasks = []
        self.executor = SimpleNamespace(create_task=lambda *call: self.tasks.append(call))
        self.published = []
        self.forgotten, self.maps = [], []
        given = {"pose_source": "odometry", "mounts": (0.0,) * 6, **parameters}
        self.values = checked(IPT_PARAMETERS, defaults(IPT_PARAMETERS), given)
        self.senses = Senses(
            self,
            SimpleNamespace(values=self.values),
            SimpleNamespace(alarm=lambda *_: None),
            lambda why, how: self.forgotten.append(how),
            self.maps.append,
        )

    def create_subscription(self, kind, topic, callback, qos, event_callbacks=None):
        self._callbacks[topic] = callback

    def create_publisher(self, kind, topic, qos):
        return SimpleNamespace(publish=self.published.append)

    def create_service(self, kind, name, callback):
        self.forget = lambda: callback(None, SimpleNamespace())

    def create_timer(self, period_s, callback):
        self.look = callback

    def destroy_subscription(self, _): ...
    def destroy_publisher(self, _): ...
    def destroy_service(self, _): ...
    def destroy_timer(self, _): ...

    def get_clock(self):
        return SimpleNamespace(now=lambda: Now(self.now_ns))

    def see(self, stamp_ns, parts=PARTS, x_m=0.0):
        self.now_ns = stamp_ns
        messages = view_messages(stamp_ns, 90, x_m)
        for part in parts:
            self._callbacks[TOPICS[part]](messages[part])

    def map(self, stamp_ns):
        header = Header(stamp=ns_to_stamp(stamp_ns), frame_id="odom")
        self._callbacks["map"](array_to_grid(half_seen(), header))

    def run_tasks(self):
        while self.tasks:
            call, *given = self.tasks.pop(0)
            call(*given)


@pytest.fixture
def robots():
    made = []

    def robot(**parameters):
        made.append(Robot(**parameters))
        return made[-1]

    yield robot
    for one in made:
        one.senses.destroy()


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)))
def test_one_view_is_enough_to_answer_of(robots, order):
    robot = robots()
    robot.see(BEFORE)
    assert robot.senses.newest_view().stamp_ns == BEFORE
    robot.see(40 * S, order)
    assert robot.forgotten == [Forgotten.TIME_BEGAN_ANEW]
    assert robot.senses.newest_view().stamp_ns == 40 * S
    assert robot.senses.newest_pose()[0] == 40 * S


def test_a_view_that_was_taken_before_is_not_remembered_after(robots):
    """The model's thread took it, and time began anew while it was decoded. Stamped later than all
    that follows, it would have every later view taken for old.
    """
    robot = robots()
    robot.see(BEFORE)
    view = robot.senses.newest_view()
    robot.see(40 * S)
    assert robot.senses.remember(view) is None and not robot.senses.remembered_views()
    memory = robot.senses.remember(robot.senses.newest_view())
    assert [v.stamp_ns for v in memory.views] == [40 * S]


def test_nothing_seen_before_is_offered_or_told_of_after(robots):
    robot = robots()
    robot.see(BEFORE)
    robot.look()
    remembering = robot.senses.remembering
    until(lambda: remembering.newest_ns == BEFORE, "the view is looked at", 20)
    robot.see(40 * S, ("image",))
    # who plays a recording waits for this figure
    assert remembering.health()[2]["newest_stamp_ns"] == 0 and not len(remembering.memory)
    robot.look()
    assert not len(remembering.memory)
    robot.see(40 * S + 50 * MS)
    robot.look()
    until(lambda: remembering.newest_ns == 40 * S + 50 * MS, "the new view is looked at", 20)
    assert [v.stamp_ns for v in robot.senses.remembered_views()] == [40 * S + 50 * MS]


def test_a_map_of_a_server_stays_and_is_known_to_be_old(robots):
    """It is sent once; but whoever asks for the map of a stamp does not mean that of the old
    time.
    """
    robot = robots()
    robot.see(BEFORE)
    robot.map(40 * S)
    assert not robot.senses.map_is_old
    robot.see(40 * S)
    robot.map(BEFORE)
    robot.see(20 * S)
    assert robot.senses.latest_map() is robot.maps[-1] and robot.senses.map_is_old
    robot.map(20 * S)
    assert not robot.senses.map_is_old


def test_a_map_made_of_what_is_forgotten_does_not_come(robots):
    robot = robots(map_source="memory")
    robot.see(BEFORE)
    robot.senses.remember(robot.senses.newest_view())
    robot.senses.latest_map(anew=True)
    assert len(robot.tasks) >= 1
    # made, and not published yet
    robot.see(40 * S)
    robot.run_tasks()
    assert not robot.published and not robot.maps
    with pytest.raises(GoalError, match="nothing is remembered yet"):
        robot.senses.latest_map()
    robot.senses.remember(robot.senses.newest_view())
    robot.senses.latest_map(anew=True)
    robot.run_tasks()
    assert robot.published[-1].header.stamp == ns_to_stamp(40 * S)


def test_a_robot_that_is_carried_away_has_no_map_of_where_it_was(robots):
    robot = robots(map_source="memory")
    robot.see(BEFORE)
    robot.look()
    robot.senses.remember(robot.senses.newest_view())
    robot.senses.latest_map(anew=True)
    assert robot.tasks and not robot.forgotten
    robot.see(BEFORE + S, x_m=100.0)
    robot.look()
    assert robot.forgotten == [Forgotten.CARRIED_AWAY]
    # made, and not published yet
    robot.run_tasks()
    assert not any(message.header.stamp == ns_to_stamp(BEFORE) for message in robot.published)
    robot.look()
    assert robot.forgotten == [Forgotten.CARRIED_AWAY], "it is told once"


def test_a_jump_is_noticed_where_no_view_may_be_kept(robots):
    robot = robots(remember=False)
    robot.see(BEFORE)
    robot.look()
    robot.see(BEFORE + S, x_m=100.0)
    robot.look()
    assert robot.forgotten == [Forgotten.CARRIED_AWAY]
    assert not robot.senses.remembered_views()


def test_a_jump_that_a_goal_notices_first_is_told_too(robots):
    robot = robots()
    robot.see(BEFORE)
    robot.senses.remember(robot.senses.newest_view())
    robot.see(BEFORE + S, x_m=100.0)
    memory = robot.senses.remember(robot.senses.newest_view())
    assert [view.stamp_ns for view in memory.views] == [BEFORE + S] and not robot.forgotten
    robot.look()
    assert robot.forgotten == [Forgotten.CARRIED_AWAY]
    assert [view.stamp_ns for view in memory.views] == [BEFORE + S]


def test_who_asks_to_forget_keeps_time_and_poses(robots):
    robot = robots()
    robot.see(BEFORE)
    robot.senses.remember(robot.senses.newest_view())
    robot.forget()
    assert robot.forgotten == [Forgotten.ON_REQUEST]
    assert robot.senses.newest_view().stamp_ns == BEFORE
