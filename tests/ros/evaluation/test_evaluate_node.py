"""evaluate_node as users run it: simulator, node and evaluator as processes over DDS."""

import json
import re
import signal

import pytest

pytest.importorskip("open3d", reason="open3d draws the simulated world")
pytest.importorskip("rclpy", reason="rclpy is not installed")
from harness import PATIENCE_S, running, until

from ipt_model.weights import DEFAULT_MODEL

pytestmark = pytest.mark.slow(60)
MOUNT = [0.1, 0.0, 1.2, 0.0, 0.25, 0.0]
WORLD = "room_850001"
#: Longest for two stands on a machine that does other things too, s.
ALL_S = 240.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def robot(ros_domain, folder):
    """The simulator and the node with the shipped model, in simulated time."""
    domain = ros_domain + 2
    sim = {"level": "room", "seed": 850_001, "publish_clock": True, "rate": 10.0}
    ipt = {"pose_source": "odometry", "mounts": MOUNT, "map_source": "memory",
           "use_sim_time": True}  # fmt: skip
    with (
        running("sim_node", domain, folder, parameters=sim),
        running("ipt_node", domain, folder, parameters=ipt) as node,
    ):
        yield domain, node


def evaluator(domain, folder, **parameters):
    given = {"world": WORLD, "stands": 2, "masks": 1, "use_sim_time": True, **parameters}
    return running("evaluate_node", domain, folder, parameters=given)


def lines(out):
    path = out / "episodes.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_that_is_interrupted_goes_on_to_the_whole_report(robot, folder):
    domain, _ = robot
    out = folder / "out"
    with evaluator(domain, folder, out=str(out)) as process:
        until(
            lambda: len(lines(out)) >= 3 or process.returncode is not None,
            "three episodes are finished",
            ALL_S,
        )
        assert process.returncode is None, process.printed()
        code, took_s = process.terminate(signal.SIGINT)
        assert code == 130 and "the same command goes on" in process.printed()
        assert "Traceback" not in process.printed() and took_s < PATIENCE_S
    before = lines(out)
    assert 3 <= len(before) < 10
    half = json.loads((out / "evaluation.json").read_text())
    assert half["episodes"] == sum(json.loads(line)["task"] != "map" for line in before)

    with evaluator(domain, folder, out=str(out)) as process:
        assert process.wait(ALL_S) == 0, process.printed()
        assert re.search(r"\d of 9 questions were asked before", process.printed())
    after = lines(out)
    assert after[: len(before)] == before
    records = [json.loads(line) for line in after]
    assert len({r["id"] for r in records}) == len(records) == 10
    found = json.loads((out / "evaluation.json").read_text())
    assert found["episodes"] == 9 and found["models"] == [DEFAULT_MODEL]
    assert set(found["tasks"]) == {"perspective", "path", "counting", "clearance"}
    outcomes = found["abstentions"]["outcomes"]
    assert outcomes["answered"] + outcomes["withheld"] >= 7 and not outcomes["timeout"]
    assert found["map"]["cells"] > 100 and 0 < found["map"]["iou"] < 1
    pictures = found["imagination"]
    assert pictures["n"] >= 2 and pictures["psnr_db"] > 8
    # what is remembered is nearer to the truth than what is imagined, or the memory is of no use
    assert pictures["error_seen"] < pictures["error_imagined"]
    assert found["latency_s"]["total"]["median"] > 0
    page = (out / "evaluation.html").read_text()
    assert page.count("data:image/png;base64,") >= 6
    assert not re.search(r"(src|href)='(?!data:)", page)

    # everything is asked: neither simulator nor node is needed
    with evaluator(domain + 1, folder, out=str(out)) as process:
        assert process.wait(ALL_S) == 0
    assert lines(out) == after


def test_a_world_that_the_simulator_does_not_run_is_named(robot, folder):
    domain, _ = robot
    with evaluator(domain, folder, world="room_850003", out=str(folder / "other")) as process:
        assert process.wait(ALL_S) == 1
        said = process.printed()
    assert "the camera sees another world than room_850003" in said and "room 850003" in said, said
    assert "Traceback" not in said, said
    with evaluator(domain, folder, world="kitchen", out=str(folder / "no")) as process:
        assert process.wait(ALL_S) == 1
        assert "world 'kitchen'" in process.printed() and "demo" in process.printed()


def test_a_node_that_is_not_there_is_named(robot, folder):
    domain, _ = robot
    out = folder / "nobody"
    given = {"target": "robot2/ipt_node", "start_timeout_s": 1.0, "out": str(out)}
    with evaluator(domain, folder, **given) as process:
        assert process.wait(ALL_S) == 1
        assert "/robot2/ipt_node is not there after 1 s" in process.printed()


def test_gazebo_without_its_messages_is_told_in_one_line(robot, folder):
    domain, _ = robot
    try:
        import ros_gz_interfaces  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("ros_gz_interfaces is installed")
    given = {"simulator": "gazebo", "out": str(folder / "gz")}
    with evaluator(domain, folder, **given) as process:
        assert process.wait(ALL_S) == 1
        said = process.printed()
    assert "ros_gz_interfaces is not installed" in said and "Traceback" not in said


def test_a_node_that_dies_is_named_and_what_was_asked_is_reported(robot, folder):
    """The last one: it takes the node with it."""
    domain, node = robot
    out = folder / "dies"
    given = {"questions_seed": 1, "masks": 0, "goal_timeout_s": 2.0, "out": str(out)}
    with evaluator(domain, folder, **given) as process:
        until(lambda: lines(out) or process.returncode is not None, "an episode is there", ALL_S)
        node.signal(signal.SIGKILL)
        assert process.wait(ALL_S) == 1, process.printed()
        said = process.printed().splitlines()[-1]
    assert said.startswith("evaluate_node: ") and ("ipt_node" in said or "in a row" in said)
    assert json.loads((out / "evaluation.json").read_text())["episodes"] >= 1
