"""Searches over DDS with a real simulator and a real node: equal seeds give equal searches, with
what the node remembers and draws, and nothing is left of the search before.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from stepped_body import SteppedBody

from ipt_ros.navigation.errands.episodes import true_map
from ipt_ros.navigation.errands.houses import test_seeds as held_out
from ipt_ros.navigation.exploring.arms import ARMS
from ipt_ros.navigation.exploring.course import search_in
from ipt_ros.navigation.exploring.robot import IPT, ViewingRobot
from ipt_ros.navigation.exploring.searches import houses
from ipt_ros.navigation.exploring.sight import Sight, eye_at
from ipt_ros.navigation.stage import Stage

pytestmark = pytest.mark.slow(40)
ARM = {arm.name: arm for arm in ARMS}


@pytest.fixture(scope="module")
def run(ros_domain, tmp_path_factory):
    """One node and one simulator, met."""
    folder = tmp_path_factory.mktemp("exploring")
    ((house, searches),) = houses(held_out(), 1, 3)
    with Stage("ipt-tiny", folder / "scene.json", ros_domain + 2, ViewingRobot, IPT) as stage:
        stage.enter(house)
        yield SimpleNamespace(
            robot=stage.robot, stage=stage, house=house, folder=folder, truth=true_map(house),
            sight=Sight(house.changed), search=min(searches, key=lambda s: s.oracle_m),
        )  # fmt: skip


def drive(run, arm, body=None):
    body = run.robot if body is None else body
    return search_in(run.house, run.truth, run.sight, run.search, ARM[arm], body, [])


def test_equal_seeds_give_equal_searches_with_imagined_views(run):
    first = drive(run, "imagined")
    assert first["outcome"] == "found" and first["decisions"]
    assert any(sum(one["scores"]) for one in first["decisions"])
    # a simulator and a robot that begin anew
    run.stage.enter(run.house)
    assert json.dumps(drive(run, "imagined")) == json.dumps(first)


def test_lock_step_over_topics_is_the_simulator_step_by_step(run):
    over = drive(run, "nearest")
    direct = drive(run, "nearest", SteppedBody(run.house, run.folder))
    tracks = [np.array(one.pop("track")) for one in (over, direct)]
    assert over == direct
    # kept to the centimetre, and a message's quaternion may round to the next one
    off = tracks[0] - tracks[1]
    off[:, 2] = (off[:, 2] + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(off).max() < 0.011


def test_what_was_seen_is_recalled_as_it_is_and_forgotten_before_the_next_search(run):
    robot, name, start = run.robot, run.search.name, run.search.start
    look = robot.put(start)
    robot.forget(look)
    ahead = robot.view_from(look, start, name, "recall")
    behind = (start[0], start[1], start[2] + np.pi)
    assert ahead.seen.mean() > 0.9
    assert not robot.view_from(look, behind, name, "recall").seen.any()
    true = run.sight.picture(start).astype(float)
    assert np.abs(ahead.rgb - true)[ahead.seen].mean() < 12
    for _ in range(2):
        look = robot.step(0.0, np.pi)  # half a second: a quarter turn
        robot.take_in(look)
    assert robot.view_from(look, start, name, "recall").seen.mean() > 0.9
    drawn = robot.view_from(look, (start[0] + 1.0, start[1], 0.3), name, "imagine")
    assert drawn.rgb.shape == true.shape and 0 < drawn.seen.mean() < 1
    robot.forget(look)
    assert not robot.view_from(look, start, name, "recall").seen.any()
    assert np.allclose(look.world_from_camera, eye_at(look.robot))
