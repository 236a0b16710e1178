"""A recording is played to a running node as users do it: processes over DDS."""

import json
import signal

import pytest

pytest.importorskip("open3d", reason="open3d draws the recorded room")
pytest.importorskip("rosbags", reason="rosbags writes and reads recordings")
pytest.importorskip("rclpy", reason="rclpy is not installed")
import recordings
from harness import BEST_EFFORT, peer, running, until
from sensor_msgs.msg import Image

from ipt_model.weights import DEFAULT_MODEL
from ipt_ros.conversions import stamp_to_ns
from ipt_ros.evaluation.__main__ import main

pytestmark = pytest.mark.slow(40)
#: Longest for two places on a machine that does other things too, s.
ALL_S = 240.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("played")


@pytest.fixture(scope="module")
def bag(folder):
    return recordings.write(folder / "drive")


def evaluator(domain, folder, **parameters):
    return running("evaluate_node", domain, folder, parameters={"simulator": "bag", **parameters})


def lines(out):
    path = out / "episodes.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_that_is_interrupted_goes_on_and_hears_no_more_than_it_must(ros_domain, folder, bag):
    domain, out = ros_domain + 1, folder / "out"
    node = {"pose_source": "odometry", "map_source": "memory", "use_sim_time": True}
    given = {"bag": str(bag), "out": str(out), "stands": 2, "masks": 1}
    with running("ipt_node", domain, folder, parameters=node), peer(domain) as hearer:
        heard = hearer.collect(Image, "camera/image", BEST_EFFORT)
        with evaluator(domain, folder, **given) as process:
            until(lambda: lines(out) or process.returncode is not None, "an episode ended", ALL_S)
            code, _ = process.terminate(signal.SIGINT)
            assert code == 130, process.printed()
            assert "Traceback" not in process.printed()
        before = lines(out)
        assert json.loads((out / "evaluation.json").read_text())["episodes"] >= 1

        with evaluator(domain, folder, **given) as process:
            assert process.wait(ALL_S) == 0, process.printed()
            assert "questions were asked before" in process.printed()
    records = [json.loads(line) for line in lines(out)]
    assert lines(out)[: len(before)] == before
    places = sorted({int(r["id"].split("/")[3]) for r in records})
    stamps = [stamp_to_ns(message.header.stamp) for message in heard.messages]
    # pictures of one place are stamped a little later each time; nothing behind it is played
    assert max(stamps) - places[-1] < 1_000_000
    assert sum(now < before for now, before in zip(stamps[1:], stamps, strict=False)) == 1

    asked = [r for r in records if r["task"] != "map"]
    found = json.loads((out / "evaluation.json").read_text())
    assert found["episodes"] == len(asked) >= 2 and found["simulator"] == "bag"
    assert found["worlds"] == ["drive"] and found["models"] == [DEFAULT_MODEL]
    outcomes = found["abstentions"]["outcomes"]
    assert outcomes["answered"] + outcomes["withheld"] == len(asked)
    assert len(records) == len(asked) + 1  # the imagined space, claimed or not
    pictures = found["imagination"]
    assert pictures["n"] >= 1 and pictures["psnr_db"] > 8
    page = (out / "evaluation.html").read_text()
    assert "Evaluation on a recording" in page and "asked here" in page


@pytest.mark.parametrize(
    ("name", "text"),
    [("nothing", "there is no such file"), ("broken", "is no recording that can be read")],
)
def test_a_recording_that_cannot_be_read_is_told_in_one_line(tmp_path, capfd, name, text):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "metadata.yaml").write_text("no: bag")
    assert main(["--bag", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and text in said and said.startswith("ipt_ros.evaluation: ")


def test_a_contract_that_is_missing_or_of_another_robot_is_told_in_one_line(tmp_path, capfd, bag):
    contract = tmp_path / "robot.yaml"
    run = ["--bag", str(bag), "--contract", str(contract), "--out", str(tmp_path / "out")]
    assert main(run) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "robot.yaml" in said
    contract.write_text("colour: /eye\ndepth: /depth\ncamera_info: /info\n")
    assert main(run) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "no topic /eye" in said


def test_a_recording_without_a_place_to_ask_at_is_told_in_one_line(ros_domain, folder, tmp_path):
    short = recordings.write(tmp_path / "short", frames=1)
    with evaluator(ros_domain, folder, bag=str(short), out=str(tmp_path / "out")) as process:
        assert process.wait(ALL_S) == 2
        said = process.printed().splitlines()
    assert said[-1].startswith("evaluate_node: ") and "nothing can be asked in it" in said[-1]
    assert not any("Traceback" in line for line in said)
