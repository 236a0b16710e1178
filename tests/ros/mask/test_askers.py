"""What a drawing that was asked for waits for, by a clock that only the test moves."""

from types import SimpleNamespace

import numpy as np
import pytest

from ipt_model.question import Cancelled
from ipt_ros.conversions import ns_to_stamp
from ipt_ros.errors import ErrorCode, GoalError
from ipt_ros.mask.askers import ASKED_S, Asker, NotOfThatTime

S = 1_000_000_000


class Senses:
    """And the clock: view and map come at their times, s."""

    def __init__(self, seen=(), mapped=()):
        self.now_s = 0.0
        self.seen, self.mapped = seen, mapped
        self.map_is_old = False

    def newest_pose(self):
        return self._newest(self.seen, ErrorCode.NO_IMAGE, "no image"), np.eye(4)

    def latest_map(self):
        stamp_ns = self._newest(self.mapped, ErrorCode.NO_MAP, "no map")
        return SimpleNamespace(header=SimpleNamespace(stamp=ns_to_stamp(stamp_ns)))

    def _newest(self, coming, code, text):
        stamps = [stamp_ns for at_s, stamp_ns in coming if at_s <= self.now_s]
        if not stamps:
            raise GoalError(code, text)
        return stamps[-1]

    def pause(self, seconds):
        self.now_s += seconds

    def wait(self, stamp_ns, is_free=lambda: True):
        Asker(stamp_ns, lambda reply: None).wait(self, is_free, lambda: self.now_s, self.pause)


def test_both_are_waited_for_in_either_order():
    for senses in (
        Senses(seen=[(0, S), (2, 3 * S)], mapped=[(1, 3 * S)]),
        Senses(seen=[(1, 3 * S)], mapped=[(0, S), (4, 3 * S)]),
    ):
        senses.wait(3 * S)
        assert senses.now_s == pytest.approx(
            max(senses.seen[-1][0], senses.mapped[-1][0]), abs=0.01
        )


@pytest.mark.parametrize(
    ("senses", "words"),
    [
        (Senses(), "no image"),
        (Senses(seen=[(0, S)]), "the newest view is of 1000000000 ns"),
        (Senses(seen=[(0, 3 * S)]), "no map"),
        (Senses(seen=[(0, 3 * S)], mapped=[(0, S)]), "the newest map is of 1000000000 ns"),
    ],
    ids=["no view", "an old view", "no map", "an old map"],
)
def test_what_did_not_come_is_named_after_five_seconds(senses, words):
    with pytest.raises(NotOfThatTime, match="within 5 s") as caught:
        senses.wait(3 * S)
    assert words in caught.value.text and caught.value.code is ErrorCode.STALE_VIEW
    assert ASKED_S <= senses.now_s < ASKED_S + 0.01


def test_a_map_that_came_before_time_began_anew_is_not_meant_though_it_is_stamped_so():
    senses = Senses(seen=[(0, 3 * S)], mapped=[(0, 3 * S)])
    senses.wait(3 * S)
    senses.map_is_old = True
    with pytest.raises(NotOfThatTime, match="before time began anew"):
        senses.wait(3 * S)


def test_what_is_gone_is_not_waited_for():
    senses = Senses(seen=[(0, 4 * S)])
    with pytest.raises(NotOfThatTime, match="a newer one has come"):
        senses.wait(3 * S)
    assert senses.now_s == 0.0


def test_a_goal_is_not_held_up_by_waiting():
    senses = Senses()
    with pytest.raises(Cancelled):
        senses.wait(3 * S, is_free=lambda: senses.now_s < 1.0)
    assert senses.now_s == pytest.approx(1.0, abs=0.01)


def test_what_comes_between_waiting_and_drawing_is_not_drawn_for_it():
    asker = Asker(3 * S, lambda reply: None)
    asker.check(3 * S, 3 * S)
    with pytest.raises(NotOfThatTime, match="a newer one has come"):
        asker.check(4 * S, 3 * S)
    with pytest.raises(NotOfThatTime, match="a map of 4000000000 ns"):
        asker.check(3 * S, 4 * S)
