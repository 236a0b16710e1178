"""Searches in the embedded simulator, without ROS: arms differ in where they go, and in nothing
else.
"""

import numpy as np
import pytest
from stepped_body import SteppedBody

from ipt_ros.navigation.errands.episodes import true_map
from ipt_ros.navigation.errands.houses import test_seeds as held_out
from ipt_ros.navigation.exploring.arms import ARMS, Shown
from ipt_ros.navigation.exploring.course import bank_at, left, search_in, visit
from ipt_ros.navigation.exploring.searcher import MOST_STEPS, PICTURE_M, Searcher
from ipt_ros.navigation.exploring.searches import houses
from ipt_ros.navigation.exploring.sight import Sight
from ipt_ros.navigation.records import Records

ARM = {arm.name: arm for arm in ARMS}
#: Of one search elsewhere: the second frontier is always the best.
BANK = [[[0, 9]]]


class ViewingBody(SteppedBody):
    """Shows true pictures, or grey ones, as the views that were asked for."""

    def __init__(self, house, folder, sight=None):
        super().__init__(house, folder)
        self._sight, self.taken, self.forgotten, self.views = sight, [], 0, []

    def forget(self, look):
        self.forgotten += 1
        self.taken = [look.robot]

    def take_in(self, look):
        self.taken.append(look.robot)

    def view_from(self, look, place, name, mode):
        self.views.append((place, name, mode))
        rgb = np.full((48, 64, 3), 127, np.uint8)
        if self._sight is not None:
            rgb = self._sight.picture(place)
        return Shown(rgb, np.zeros(rgb.shape[:2], bool))


@pytest.fixture(scope="module")
def place():
    ((house, searches),) = houses(held_out(), 1, 3)
    return house, true_map(house), Sight(house.changed), searches[0]


def drive(place, arm, body):
    house, truth, sight, search = place
    return search_in(house, truth, sight, search, ARM[arm], body, BANK)


def same(record, other):
    """But for the name of the arm and what it decided by."""
    left_out = ("arm", "decisions")
    return {k: v for k, v in record.items() if k not in left_out} == {
        k: v for k, v in other.items() if k not in left_out
    }


def test_it_is_found_where_the_oracle_goes_least(place, tmp_path):
    body = SteppedBody(place[0], tmp_path)
    nearest, oracle = drive(place, "nearest", body), drive(place, "oracle", body)
    assert nearest["outcome"] == oracle["outcome"] == "found"
    assert nearest["contacts"] == oracle["contacts"] == 0
    assert 0.6 * place[3].oracle_m < oracle["driven_m"] < nearest["driven_m"]
    assert oracle["visits"] == 0 < nearest["visits"]
    assert nearest["decisions"] == [] and len(nearest["track"]) <= MOST_STEPS


def test_views_that_show_nothing_lead_to_the_nearest_frontier(place, tmp_path):
    body = ViewingBody(place[0], tmp_path)
    nearest, imagined = drive(place, "nearest", body), drive(place, "imagined", body)
    assert same(nearest, imagined)
    assert imagined["decisions"] and not any(
        sum(one["scores"]) or one["chosen"] for one in imagined["decisions"]
    )


def test_imagined_views_that_are_true_lead_where_true_views_do(place, tmp_path):
    body = ViewingBody(place[0], tmp_path, place[2])
    imagined, true = drive(place, "imagined", body), drive(place, "true", body)
    assert same(imagined, true) and imagined["decisions"] == true["decisions"]
    assert not same(true, drive(place, "nearest", body))
    assert {(name, mode) for _, name, mode in body.views} == {(place[3].name, "imagine")}


def test_what_was_drawn_does_not_count_for_recalled_views(place, tmp_path):
    body = ViewingBody(place[0], tmp_path, place[2])
    recalled = drive(place, "recalled", body)
    assert {mode for _, _, mode in body.views} == {"recall"}
    assert not any(sum(one["scores"]) for one in recalled["decisions"])


def test_the_control_goes_by_scores_of_elsewhere_and_asks_nobody(place, tmp_path):
    body = ViewingBody(place[0], tmp_path, place[2])
    decisions = drive(place, "shuffled", body)["decisions"]
    assert decisions and all(one["chosen"] == 1 for one in decisions)
    assert {one["scores"][:2] for one in decisions} == {(0, 9)}
    assert not body.views and not body.taken
    assert decisions[0]["there"] == drive(place, "true", body)["decisions"][0]["there"]


def test_scores_are_banked_once(place, tmp_path):
    house, _, sight, search = place
    body = ViewingBody(house, tmp_path, sight)
    bank = bank_at(tmp_path / "bank.json", [(house, search, body)])
    true = drive(place, "true", body)["decisions"]
    assert bank == [[list(one["scores"]) for one in true]]
    assert bank_at(tmp_path / "bank.json", []) == bank


def test_the_node_is_shown_the_way_from_the_start_and_nothing_before(place, tmp_path):
    body = ViewingBody(place[0], tmp_path)
    record = drive(place, "imagined", body)
    assert body.forgotten == 1
    assert body.taken[0][:2] == pytest.approx(place[3].start[:2])
    gaps = np.hypot(*np.diff([at[:2] for at in body.taken], axis=0).T)
    assert gaps.max() < PICTURE_M + 0.5
    assert len(body.taken) < len(record["track"])


def test_whoever_does_not_find_it_gives_up(place, tmp_path, monkeypatch):
    monkeypatch.setattr(Sight, "share", lambda *_: 0.0)
    record = drive(place, "nearest", SteppedBody(place[0], tmp_path))
    assert record["outcome"] in ("nothing left", "out of time")
    assert record["visits"] > 3


def test_what_is_finished_is_not_searched_again(place, tmp_path, monkeypatch):
    house, _, _, search = place
    records = Records(tmp_path / "drives-1-of-1.jsonl")
    told = []
    monkeypatch.setattr("ipt_ros.navigation.exploring.course.ARMS", (ARM["oracle"],))
    body = SteppedBody(house, tmp_path)
    assert left([search], records) == 1
    visit(house, [search], body, BANK, records, told.append)
    visit(house, [search], body, BANK, Records(tmp_path / "drives-1-of-1.jsonl"), told.append)
    assert len(told) == 1 and left([search], records) == 0


def test_a_search_ends_where_the_thing_is_in_sight(place, tmp_path):
    house, truth, sight, search = place
    body = SteppedBody(house, tmp_path)
    found = Searcher(body, truth, house.changed.bounds, search, ARM["nearest"], sight).run()
    last, before = found.track[-1], found.track[-2]
    assert sight.shares([last], search.thing)[0] > sight.shares([before], search.thing)[0]
