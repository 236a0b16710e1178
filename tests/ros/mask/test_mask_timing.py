"""When a mask is drawn, published and told of, by a clock that only the test moves."""

from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.clock import ClockType
from robot_input import PINHOLE
from std_msgs.msg import Header

from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.question import Cancelled, Outcome
from ipt_model.spatial import maps
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros import diagnostics
from ipt_ros.answering.model_life import ActiveModel
from ipt_ros.conversions import array_to_grid
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.mask.publisher import MaskOutput
from ipt_ros.senses.observations import Observation

PERIOD_S = 2.0


VALUES = SimpleNamespace(
    fixed_frame="odom",
    imagined_space=True,
    imagined_space_period_s=PERIOD_S,
    imagined_space_timeout_s=6.0,
    imagined_space_widening_m=0.0,
    imagined_space_imaginations=1,
    flow_steps=2,
    min_map_agreement=0.0,
)


class Robot:
    """What a `MaskOutput` is given: node, senses and reports are this, and the model is its own.
    Drawings take as long as `durations_s` says.
    """

    def __init__(self):
        self.now_s = 100.0
        self.published, self.timers, self.told = [], [], {}
        self.durations_s = []
        self.wrong = ""
        self.executor = SimpleNamespace(create_task=lambda call, *given: call(*given))
        self.poses = self
        self.map_is_old = False
        self.worker = SimpleNamespace(goals=0, submit_continuous=self._submit)
        self.active = ActiveModel(SimpleNamespace(ask=self._ask), self.worker)
        self.waits = None
        self.mask = MaskOutput(
            node=self,
            topic=SimpleNamespace(publish=self.published.append),
            model=SimpleNamespace(active=self.active, picture_px=64, pictures=PictureGeometry()),
            senses=self,
            live=SimpleNamespace(values=VALUES),
            reports=self,
            steady=lambda: self.now_s,
        )
        self.message = None
        self.map()

    def map(self, x=-5.0):
        cells = np.full((100, 100), maps.UNKNOWN, np.int8)
        cells[:, round((-1.0 - x) / 0.1) : round((0.0 - x) / 0.1)] = maps.FREE
        grid = maps.OccupancyGrid(cells, 0.1, (x, -5.0))
        self.message = array_to_grid(grid, Header(frame_id="odom"))
        self.mask.new_map(self.message)

    # -- the node ----------------------------------------------------------------------------

    def create_publisher(self, *_):
        return SimpleNamespace(publish=lambda message: None)

    def create_timer(self, period_s, callback, clock):
        self.timers.append((period_s, callback, clock))

    def resolve_topic_name(self, name):
        return name

    # -- its reports -------------------------------------------------------------------------

    def tell(self, name, level, message, **values):
        self.told[name] = level, message, values

    def report(self, error, during):
        return error if isinstance(error, GoalError) else GoalError(ErrorCode.UNKNOWN, str(error))

    # -- its senses --------------------------------------------------------------------------

    def latest_map(self, anew=False):
        return self.message

    def frame(self, frame_id, stamp_ns, wait=True):
        return np.eye(4)

    def newest_pose(self):
        if self.wrong:
            raise GoalError(ErrorCode.STALE_VIEW, self.wrong)
        return 0, np.eye(4)

    def newest_view(self, map_frame):
        pose = from_xyz_rpy(0, 0, 1.2, 0, 0.25, 0) @ BODY_FROM_OPTICAL
        rgb = np.zeros((48, 64, 3), np.uint8)
        return Observation(0, "optical", rgb, None, PINHOLE, pose)

    # -- its model ---------------------------------------------------------------------------

    def _submit(self, who, work):
        if self.worker.goals:
            return False
        self.waits = work
        return True

    def _ask(self, question, **_):
        self.durations_s[:1], took_s = [], self.durations_s[0]
        self.run_until(self.now_s + took_s, drawing=True)
        if self.worker.goals:
            raise Cancelled
        drawn = np.full((32, 32, 3), 100 + 10 * len(self.durations_s), np.uint8)
        return SimpleNamespace(raw_views=[drawn], outcome=Outcome.ANSWERED)

    # -- time --------------------------------------------------------------------------------

    def run_until(self, until_s, drawing=False):
        """Timers fire when they are due; the worker begins what waits when it is free."""
        while self.now_s < until_s:
            self.now_s = round(self.now_s + 0.1, 6)
            for period_s, callback, _ in self.timers:
                if abs(self.now_s / period_s - round(self.now_s / period_s)) < 1e-6:
                    callback()
            if not drawing and self.waits is not None and self.durations_s:
                work, self.waits = self.waits, None
                work()

    def claims(self):
        return [m for m in self.published if any(v != -1 for v in m.data)]

    @property
    def status(self):
        return self.told["imagined space"]


@pytest.fixture
def robot():
    return Robot()


def test_no_timer_runs_by_a_clock_that_can_be_stopped(robot):
    assert len(robot.timers) == 2
    assert all(clock.clock_type is ClockType.STEADY_TIME for *_, clock in robot.timers)


@pytest.mark.parametrize(
    "durations_s",
    [[1.9, 0.9] * 5, [0.3, 0.1, 1.8] * 4, [2.1, 3.5, 2.1] * 4, [5.0] * 4],
    ids=["uneven", "quick", "slower than the period", "much slower"],
)
def test_every_drawing_that_was_paid_for_is_published(robot, durations_s):
    robot.durations_s = list(durations_s)
    robot.run_until(robot.now_s + 100)
    assert not robot.durations_s
    assert len(robot.claims()) == len(durations_s)


def test_a_drawing_slower_than_the_period_is_told(robot):
    robot.durations_s = [3.0]
    robot.run_until(robot.now_s + 6)
    level, message, values = robot.status
    assert level == diagnostics.WARN
    assert message.startswith("standing") and "takes 3.0 s, longer than" in message
    assert values["drawings"] == 1 and values["drawing_s"] == "3.00"


def test_a_drawing_that_gave_way_to_a_goal_is_told_and_not_called_standing(robot):
    robot.durations_s = [1.0]
    robot.run_until(robot.now_s + 1.5)
    robot.worker.goals = 1
    robot.run_until(robot.now_s + 4)
    level, message, values = robot.status
    assert message == "nothing stands; a goal went first" and level == diagnostics.OK
    assert values["yielded_to_goals"] > 0 and values["drawings"] == 0


def test_a_mask_that_stands_is_called_standing_until_it_is_taken_back(robot):
    robot.durations_s = [0.5]
    robot.run_until(robot.now_s + 3)
    assert robot.status[:2] == (diagnostics.OK, "standing")
    robot.wrong = "the camera stopped"
    robot.run_until(robot.now_s + 1)
    assert robot.status[:2] == (
        diagnostics.WARN,
        "nothing stands; cleared: the camera stopped",
    )


def test_it_expires_by_a_clock_that_nobody_sets(robot):
    robot.durations_s = [0.5]
    robot.run_until(robot.now_s + 3)
    assert robot.claims()[-1] is robot.published[-1]
    robot.run_until(robot.now_s + 7)
    assert all(v == -1 for v in robot.published[-1].data)


def test_a_drawing_for_another_grid_is_dropped_and_told(robot):
    robot.durations_s = [1.0]
    asked = robot.active.imaginer.ask

    def ask(question, **more):
        answer = asked(question, **more)
        robot.map(x=-5.03)
        return answer

    robot.active.imaginer.ask = ask
    robot.run_until(robot.now_s + 4)
    assert not robot.claims()
    assert robot.status[2]["dropped"] == 1 and "the map changed" in robot.status[1]


def test_a_drawing_of_views_that_were_forgotten_meanwhile_does_not_come(robot):
    """Time began anew, and the first view of it is well: nothing else would tell the old apart."""
    robot.durations_s = [1.0, 1.0]
    asked = robot.active.imaginer.ask

    def ask(question, **more):
        answer = asked(question, **more)
        robot.mask.forget("stamps went backwards")
        robot.active.imaginer.ask = asked
        return answer

    robot.active.imaginer.ask = ask
    robot.run_until(robot.now_s + 3.5)
    assert not robot.claims() and robot.status[2]["dropped"] == 1
    assert "forgotten meanwhile" in robot.status[1]
    robot.run_until(robot.now_s + 4)
    assert len(robot.claims()) == 1


# -- whoever asks for a drawing


def test_a_drawing_that_was_asked_for_makes_way_for_a_goal_and_its_asker_hears(robot):
    replies = []
    robot.durations_s = [1.0, 1.0]
    asked = robot.active.imaginer.ask

    def ask(question, **more):
        robot.worker.goals = 1
        return asked(question, **more)

    robot.active.imaginer.ask = ask
    robot.mask.draw_of(0, replies.append)
    robot.run_until(robot.now_s + 3)
    assert [(r.drawn, r.message) for r in replies] == [(False, "a goal went first")]
    # the goal is answered, and asked again it is drawn
    robot.active.imaginer.ask, robot.worker.goals = asked, 0
    robot.mask.draw_of(0, replies.append)
    robot.run_until(robot.now_s + 3)
    assert (replies[1].drawn, replies[1].message) == (True, "drawn")


def test_who_asks_while_goals_wait_keeps_his_place(robot):
    replies = []
    robot.worker.goals = 2
    robot.durations_s = [0.5, 0.5]
    robot.mask.draw_of(0, replies.append)
    robot.mask.draw_of(0, replies.append)
    robot.run_until(robot.now_s + 10)
    assert not replies
    robot.worker.goals = 0
    robot.run_until(robot.now_s + 10)
    assert [r.drawn for r in replies] == [True, True]


def test_an_asker_that_ends_while_the_model_begins_holds_up_nobody(robot):
    """Taken away on the executor's thread just before the model's thread looks."""
    replies = []
    robot.mask.draw_of(0, replies.append)
    robot.mask.end("the node is going")
    assert [(r.drawn, r.message) for r in replies] == [(False, "the node is going")]
    robot.durations_s = [0.5, 0.5]
    robot.run_until(robot.now_s + 1)
    robot.mask.draw_of(0, replies.append)
    robot.run_until(robot.now_s + 5)
    assert len(replies) == 2 and replies[1].drawn


def test_a_wish_that_cannot_be_had_leaves_what_stands(robot):
    robot.durations_s = [0.5]
    robot.run_until(robot.now_s + 3)
    stands, replies = robot.published[-1], []
    assert robot.claims()[-1] is stands
    robot.durations_s = [0.5]
    robot.mask.draw_of(-1, replies.append)  # the view is of 0
    robot.run_until(robot.now_s + 3)
    assert not replies[0].drawn and "newer one has come" in replies[0].message
    assert robot.claims()[-1] is stands and robot.status[1] == "standing"
