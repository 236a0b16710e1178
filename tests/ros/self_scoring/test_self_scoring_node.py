"""Self-scoring of a running node over DDS: it imagines, drives there, looks and tells."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from harness import RELIABLE, peer, running, until
from robot_input import RobotInput

from imaginative_perception.action import AskSpatial, ImagineView
from ipt_ros.conversions import stamp_to_ns
from ipt_ros.senses.images import rgb_to_image

sys.path.append(str(Path(__file__).parents[2] / "model"))
from tiny_models import BOS, EOS, write_model

datasets = pytest.importorskip("ipt_training.datasets.parquet", reason="pyarrow is not installed")

PARAMETERS = {
    "pose_source": "odometry",
    "mounts": [0.1, 0.0, 1.2, 0.0, 0.25, 0.0],
    "flow_steps": 2,
    "diagnostics_rate_hz": 5.0,
    "view_max_age_s": 5.0,
}
#: After a drawing, or shown the true view, it says "left", with e^2 against e^1.
SAYS_LEFT = {
    BOS: "<image_end>",
    "<image_end>": "<answer>",
    "<answer>": {"left": 2.0, "right": 1.0},
    "left": "</answer>",
    "right": "</answer>",
    "</answer>": EOS,
}


#: How far the robot drives from one view to the next, m: a robot that moves faster was carried.
STEP_M = 0.5


class World:
    """What the robot's camera and odometry tell: a place of one grey, and where the robot is. x:
    where it drives to, in steps."""

    def __init__(self) -> None:
        self.x, self.grey = 0.0, 100
        self.there = 0.0

    def __call__(self, messages):
        self.there += float(np.clip(self.x - self.there, -STEP_M, STEP_M))
        messages["odometry"].pose.pose.position.x = self.there
        rgb = np.full((48, 64, 3), self.grey, np.uint8)
        messages["image"] = rgb_to_image(rgb, messages["image"].header)
        return messages


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scored")


@pytest.fixture(scope="module")
def node(ros_domain, folder):
    model = write_model(folder / "model", SAYS_LEFT)
    log = {"model": str(model), "self_scoring_log": str(folder / "log")}
    with running("ipt_node", ros_domain, folder, parameters={**PARAMETERS, **log}) as p:
        p.wait_for_print("ready:")
        yield p


@pytest.fixture(scope="module")
def tester(ros_domain):
    with peer(ros_domain) as one:
        yield one


@pytest.fixture(scope="module")
def world(node, tester):
    robot = RobotInput(tester)
    robot.wrong = World()
    yield robot.wrong
    robot.close()


@pytest.fixture(scope="module")
def health(node, tester):
    return tester.collect(DiagnosticArray, "/diagnostics", RELIABLE)


def status_of(message):
    for status in message.status:
        if status.name == "/ipt_node: self score":
            return status, {v.key: v.value for v in status.values}
    return None, {}


def wait_for_score(health, **wanted):
    """The first status from now on whose values are the wanted ones."""

    def check(message):
        _, values = status_of(message)
        return values and all(values[k] == v for k, v in wanted.items())

    return status_of(health.wait_for(check, 30, since=len(health)))


def imagine(tester, world, x):
    """Ask about a place at x from x = 0, where the robot drives first."""
    world.x, world.grey = 0.0, 100
    until(lambda: world.there == 0.0, "it is there")
    moved_ns = time.time_ns()
    seeing = tester.action(AskSpatial, "ipt_node/ask_spatial")
    look = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="answer")

    def seen_from_there():
        result = tester.run_goal(seeing, look)[1]
        return result.error_code == 0 and stamp_to_ns(result.answer.header.stamp) > moved_ns

    until(seen_from_there, "the node sees the world as it is now", 30)
    goal = ImagineView.Goal(object="green ball", mode="imagine", seed=1)
    goal.viewpoint.header.frame_id = "odom"
    goal.viewpoint.pose.position.x = x
    goal.viewpoint.pose.orientation.w = 1.0
    _, result = tester.run_goal(tester.action(ImagineView, "ipt_node/imagine_view"), goal)
    assert result.error_code == 0, result.error_msg
    return result


def test_a_place_seen_later_is_compared_told_and_logged(tester, world, health, folder):
    result = imagine(tester, world, 1.1)
    assert result.imagined_view.image.height
    _, values = wait_for_score(health, waiting="1")
    assert values["compared"] == "0"
    world.x = 1.05
    status, values = wait_for_score(health, logged="1")
    assert (values["waiting"], values["compared"], values["foreign"]) == ("0", "1", "0")
    assert status.level == b"\x00"
    # what it says of the truth is what it said of the drawing; it was 73 % sure, rightly
    assert (values["judged_answers"], values["confirmed_share"]) == ("1", "1.000")
    assert float(values["confidence_drift"]) == pytest.approx(0.731 - 1, abs=0.01)
    # the drawing was held to the plain wall that was seen, and a plain wall is what stands there
    assert float(values["mean_consistency"]) > 0.6

    row = datasets.Dataset(folder / "log")[0]
    from ipt_training.datasets.schema import example_from_row

    example = example_from_row(row)
    assert example.answer == "left" and np.ptp(example.true_view) <= 1
    assert example.facts["stated_confidence"] == pytest.approx(0.731, abs=0.01)
    assert "1.0 m forward" in example.question.text or "1.1 m forward" in example.question.text


def test_a_place_that_looks_different_from_before_is_not_taken_for_the_truth(
    tester, world, health
):
    imagine(tester, world, 1.1)
    wait_for_score(health, waiting="1")
    world.grey = 220
    world.x = 1.0
    _, values = wait_for_score(health, foreign="1")
    assert values["logged"] == "1" and values["compared"] == "1"


def test_a_log_that_cannot_be_written_is_a_diagnostic_and_scoring_goes_on(
    tester, world, health, folder
):
    log = folder / "log"
    kept = folder / "kept"
    shutil.move(log, kept)
    log.write_text("in the way")
    imagine(tester, world, 1.1)
    wait_for_score(health, waiting="1")
    world.x = 1.0
    status, _ = wait_for_score(health, compared="2")
    assert status.level == b"\x01" and "could not write" in status.message
    log.unlink()
    shutil.move(kept, log)
    imagine(tester, world, 1.1)
    wait_for_score(health, waiting="1")
    world.x = 1.0
    status, _ = wait_for_score(health, compared="3", logged="2")
    assert status.level == b"\x00"
    assert len(datasets.Dataset(log)) == 3  # the pair in between was kept in memory


def test_without_pyarrow_configuring_is_refused_with_advice(ros_domain, tmp_path):
    (tmp_path / "pyarrow.py").write_text("raise ImportError('not installed')")
    parameters = {**PARAMETERS, "self_scoring_log": str(tmp_path / "log")}
    environment = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    with running(
        "ipt_node", ros_domain + 1, tmp_path, parameters=parameters, environment=environment
    ) as process:
        process.wait_for_print("pip install pyarrow")
        assert process.returncode is None
        assert "ready:" not in process.printed()
