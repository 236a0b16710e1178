"""The `ipt` executable beside a running node over DDS: answers, exit codes, Ctrl-C, doctor."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from ament_index_python.packages import get_package_prefix
from harness import PACKAGE, PATIENCE_S, peer, running, until
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from robot_input import RobotInput

from ipt_ros.cli import ABSTAINED, ANSWERED, ERROR, parse

sys.path.append(str(Path(__file__).parents[2] / "model"))
from tiny_models import BOS, EOS, write_model

pytestmark = pytest.mark.slow(80)

#: After a drawing it says "left", with e^2 against e^1; without one it says nothing readable.
SAYS_LEFT = {
    BOS: "<image_end>",
    "<image_end>": "<answer>",
    "<answer>": {"left": 2.0, "right": 1.0},
    "left": "</answer>",
    "right": "</answer>",
    "</answer>": EOS,
}
PARAMETERS = {
    "pose_source": "odometry",
    "mounts": [0.1, 0.0, 1.2, 0.0, 0.25, 0.0],
    "flow_steps": 2,
    "view_max_age_s": 3.0,
    "min_consistency": 0.0,
}


@pytest.fixture(scope="module")
def node(ros_domain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    model = {"model": str(write_model(folder / "model", SAYS_LEFT))}
    with running("ipt_node", ros_domain, folder, parameters={**PARAMETERS, **model}) as p:
        p.wait_for_print("ready:")
        yield p


@pytest.fixture(scope="module")
def tester(ros_domain):
    with peer(ros_domain) as one:
        yield one


@pytest.fixture(scope="module")
def robot(node, tester):
    one = RobotInput(tester)
    one.send_map()
    yield one
    one.close()


@pytest.fixture(scope="module")
def ipt(ros_domain, robot):
    """Runs the executable to its end."""

    def run(*arguments, domain=ros_domain, rc=None):
        done = subprocess.run(command(*arguments), env=environment(domain), **TEXT, timeout=120)
        print(done.stdout, done.stderr)
        assert rc is None or done.returncode == rc
        return done

    ask = ("ask", "Which side?", "--options", "left", "right", "--mode", "imagine")
    until(lambda: run(*ask).returncode == ANSWERED, "the node answers")
    return run


TEXT = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def command(*arguments):
    return [str(Path(get_package_prefix(PACKAGE)) / "lib" / PACKAGE / "ipt"), *arguments]


def environment(domain):
    return {**os.environ, "ROS_DOMAIN_ID": str(domain), "COLUMNS": "200"}


# -- asking ---------------------------------------------------------------------------------------


def test_an_answer_is_a_table_with_the_progress_beside_it(ipt):
    done = ipt(
        "ask", "Which side?", "--options", "left", "right", "--mode", "imagine", rc=ANSWERED
    )
    assert "answer         left" in done.stdout
    assert " 73.1 %  left" in done.stdout and " 26.9 %  right" in done.stdout
    stages = [line.split()[0] for line in done.stderr.splitlines()]
    # the last one may be overtaken by the result, which comes another way
    assert {"context", "imagine"} <= set(stages) and len(stages) == len(set(stages))


def test_json_is_for_programs_and_the_view_goes_to_a_file(ipt, tmp_path):
    out = tmp_path / "view.png"
    motion = ("--forward", "1.2", "--left", "0.4", "--turn", "60", "--seed", "5")
    done = ipt(
        *("imagine", *motion, "--object", "green chair", "--mode", "imagine"),
        *("--json", "--out", str(out)),
        rc=ANSWERED,
    )
    report = json.loads(done.stdout)
    assert report["answer"] == "left" and report["options"]["left"] == pytest.approx(0.731, 1e-2)
    assert report["provenance"]["seed"] == 5 and report["provenance"]["flow_steps"] == 2
    assert report["times_s"]["total"] > 0
    view = report["imagined_view"]
    assert cv2.imread(str(out)).shape == (view["height"], view["width"], 3)
    # the camera sits 0.1 m before the base, which turns by 60 degrees after it has moved
    assert view["camera_at"] == pytest.approx([1.25, 0.49, 1.2], abs=0.06)
    assert "green chair" in report["question"] and "turn left 60 degrees" in report["question"]
    assert done.stderr == ""


def test_an_abstained_answer_ends_with_two(ipt):
    done = ipt("ask", "Which way?", "--options", "up", "down", rc=ABSTAINED)
    assert "the model's reply holds no answer" in done.stdout
    done = ipt("ask", "Which side?", "--options", "left", "right", "--budget", "0.001")
    assert done.returncode == ABSTAINED and "budget" in done.stdout


def test_a_path_that_was_seen_free_is_answered_whatever_the_model_says(ipt):
    done = ipt("path", "-3,0", "-2.5,0.1", "--frame", "odom", "--mode", "answer", rc=ANSWERED)
    assert "path           clear, blocked with 0 %" in done.stdout
    assert "risk per pose  0.00 0.00" in done.stdout


def test_a_count_that_nobody_can_read_is_abstained(ipt, robot):
    def counted():
        robot.look_around()
        done = ipt("count", "chair", "--max", "5", "--json")
        return done if done.returncode == ABSTAINED else None

    report = json.loads(until(counted, "the node remembers four views").stdout)
    assert report["count"] == -1 and report["abstained"]
    assert report["question"] and report["options"] is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("path", "1,0", "--frame", "mars"), "UNKNOWN_FRAME (10111): frame 'mars'"),
        (("ask", ""), "BAD_GOAL (10112)"),
        (("path", "1;0"), "expected x,y in metres"),
        (
            ("ask", "?", "--node", "/ghost", "--timeout", "2"),
            "no action server /ghost/ask_spatial",
        ),
        (("imagine", "--mode", "imagine", "--out", "/dev/full/x.png"), "is no folder"),
        (("imagine", "--mode", "imagine", "--out", "/sys/x.png"), "/sys/x.png"),
        (("sing",), "invalid choice"),
    ],
)
def test_an_error_ends_with_one_and_is_named(ipt, arguments, words):
    assert words in ipt(*arguments, rc=ERROR).stderr


ASKED = ("ask", "Which side?")
BAD_INPUT = [
    ((*ASKED, "--seed", "9" * 30), "--seed: expected a whole number from -"),
    ((*ASKED, "--seed", "x"), "--seed: expected a whole number from -"),
    (("count", "chair", "--max", "-1"), "--max: expected a whole number from 0"),
    (("count", "chair", "--max", "9" * 12), "--max: expected a whole number from 0"),
    ((*ASKED, "--budget", "nan"), "--budget: expected seconds"),
    ((*ASKED, "--budget", "soon"), "--budget: expected seconds"),
    (("imagine", "--forward", "nan"), "--forward: expected a number from -"),
    (("imagine", "--turn", "1e300"), "--turn: expected a number from -"),
    (("path", "1,0", "--radius", "inf"), "--radius: expected a number from 0"),
    (("path", "1,0", "--radius", "-0.3"), "--radius: expected a number from 0"),
    (("path", "nan,0"), "expected x,y in metres"),
    (("path", "1e18,0"), "expected x,y in metres"),
    ((*ASKED, "--node", "not a name"), "--node: expected a node's name"),
    ((*ASKED, "--node", "/robot1/"), "--node: expected a node's name"),
    (("ask", b"caf\xe9"), "expected UTF-8"),
    (("count", b"caf\xe9"), "expected UTF-8"),
    ((*ASKED, "--options", b"caf\xe9", "no"), "expected UTF-8"),
    (("imagine", "--out", "x.nonsense"), "--out: x.nonsense: no picture format"),
    (("imagine", "--out", "/nowhere/x.png"), "--out: /nowhere is no folder"),
    (("doctor", "--listen", "-1"), "--listen: expected seconds"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_INPUT, ids=range(len(BAD_INPUT)))
def test_a_bad_argument_is_one_line_before_anything_is_asked(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        parse([os.fsdecode(a) for a in arguments])
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == ERROR and words in said[-1]
    assert [line for line in said if line.startswith("ipt")] == said[-1:]


@pytest.mark.parametrize(
    ("variables", "ros", "words"),
    [
        ({}, ("-r", "nonsense"), "ROS does not start: "),
        ({}, ("nonsense",), "ROS does not start: "),
        ({"ROS_DOMAIN_ID": "abc"}, (), "ROS_DOMAIN_ID is not an integral number"),
    ],
)
def test_where_ros_does_not_start_one_line_says_why(ros_domain, variables, ros, words):
    run = command("ask", "?", "--ros-args", *ros)
    done = subprocess.run(run, env={**environment(ros_domain), **variables}, **TEXT, timeout=60)
    assert done.returncode == ERROR and words in done.stderr
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("error:") for line in done.stderr.splitlines()) == 1


def test_without_ros_one_line_says_what_to_source():
    run = [sys.executable, "-c", WITHOUT_ROS]
    done = subprocess.run(run, cwd=Path(__file__).parents[3], **TEXT, timeout=60)
    assert done.returncode == ERROR
    assert done.stderr.startswith("error: rclpy cannot be imported: source ROS")
    assert done.stderr.count("\n") == 1


#: A shell in which ROS was not sourced.
WITHOUT_ROS = """
import sys
sys.modules["rclpy"] = None
from ipt_ros.cli import main
sys.exit(main(["ask", "Which side?"]))
"""


def test_a_reader_that_leaves_is_no_traceback(ros_domain):
    run = subprocess.Popen(
        command("doctor", "--listen", "0"), env=environment(ros_domain + 1), **TEXT
    )
    run.stdout.close()
    said = run.stderr.read()
    run.stderr.close()
    assert run.wait(60) == ERROR and "Traceback" not in said


def set_flow_steps(tester, steps):
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=steps)
    request = SetParameters.Request(parameters=[Parameter(name="flow_steps", value=value)])
    results = tester.call(SetParameters, "ipt_node/set_parameters", request).results
    assert results[0].successful


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_goal(ipt, tester, ros_domain, number):
    set_flow_steps(tester, 200)
    ask = command("ask", "Which side?", "--options", "left", "right", "--mode", "imagine")
    process = subprocess.Popen(ask, env=environment(ros_domain), **TEXT)
    try:
        for line in process.stderr:
            if line.startswith("imagine"):
                break
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        set_flow_steps(tester, 2)
    if process.returncode in (ANSWERED, ABSTAINED) and "CANCELLED" not in said:
        pytest.skip("the goal ended before the signal reached the command")
    assert process.returncode == ERROR
    assert "CANCELLED (10103): cancelled by the asker" in said


#: The command, interrupted after its goal was accepted and before it knows the goal's handle.
INTERRUPTED_EARLY = """
import os, signal, sys
from ipt_ros.client import Asker
from ipt_ros.cli import main
there = Asker._there
def interrupt(self, call, *more):
    if getattr(call, "__name__", "") == "get_result_async":
        os.kill(os.getpid(), signal.SIGINT)
    return there(self, call, *more)
Asker._there = interrupt
sys.exit(main())
"""


def test_ctrl_c_while_the_goal_is_sent_cancels_it_too(robot, tester, ros_domain):
    set_flow_steps(tester, 200)
    arguments = ("ask", "Which side?", "--options", "left", "right", "--mode", "imagine")
    ask = [sys.executable, "-c", INTERRUPTED_EARLY, *arguments]
    try:
        done = subprocess.run(ask, env=environment(ros_domain), **TEXT, timeout=PATIENCE_S)
    finally:
        set_flow_steps(tester, 2)
    assert done.returncode == ERROR, done
    assert "CANCELLED (10103): cancelled by the asker" in done.stderr


def test_a_point_may_begin_with_a_minus():
    assert parse(["path", "-1,-2.5", "3,-.5"]).points == [(-1.0, -2.5), (3.0, -0.5)]
    assert parse(["imagine", "--forward", "-1.5"]).forward == -1.5


# -- the doctor -----------------------------------------------------------------------------------


def lines_of(done, level):
    return [line for line in done.stdout.splitlines() if line.startswith(level)]


@pytest.fixture
def wholesome(robot, ipt):
    yield robot
    robot.wrong = lambda messages: messages
    robot.offset_ns = 0


def test_the_doctor_finds_nothing_on_a_healthy_robot(ipt, wholesome):
    done = until(lambda: doctor_without_failures(ipt), "an old error has been answered", 30)
    said = done.stdout
    assert "OK   node          /ipt_node is active" in said
    assert "64x48 rgb8" in said and "64x48 32FC1" in said and "50 % unknown" in said
    assert "odom -> base_link" in said and "OK   image stamps" in said
    assert "OK   model" in said
    assert said.splitlines()[-1].startswith("0 to mend")


def doctor_without_failures(ipt):
    done = ipt("doctor", "--listen", "2")
    return done if done.returncode == ANSWERED else None


def test_the_doctor_sees_a_camera_that_stopped_and_calibration_that_is_missing(ipt, wholesome):
    def without(messages):
        del messages["image"], messages["info"]
        return messages

    wholesome.wrong = without
    failed = lines_of(ipt("doctor", "--listen", "2", rc=ERROR), "FAIL")
    for about in ("image", "camera_info"):
        assert any(
            line.startswith(f"FAIL {about:<13}") and "nothing came" in line for line in failed
        )


def test_the_doctor_sees_stamps_of_another_clock_and_depth_of_another_size(ipt, wholesome):
    def wrong(messages):
        messages["depth"].width, messages["depth"].height = 32, 24
        messages["depth"].step = 32 * 4
        messages["depth"].data = messages["depth"].data[: 32 * 24 * 4]
        messages["image"].encoding = "rgb8"
        return messages

    wholesome.offset_ns = -20_000_000_000
    wholesome.wrong = wrong
    failed = "\n".join(lines_of(ipt("doctor", "--listen", "2", rc=ERROR), "FAIL"))
    assert re.search(r"2\d\.\d s old when it arrives", failed)
    assert "32x24, the image 64x48: it is not registered" in failed


def test_the_doctor_follows_remappings_and_finds_mismatched_qos(
    ipt, tester, ros_domain, tmp_path, wholesome
):
    """A node that asks for reliable images of a best-effort camera, under other topic names."""
    remaps = (
        *("-r", "__ns:=/strict", "-r", "camera/image:=/camera/image", "-r", "odom:=/odom"),
        *("-r", "camera/depth_image:=/camera/depth_image", "-r", "map:=/map"),
        *("-r", "camera/camera_info:=/nowhere/camera_info"),
    )
    parameters = {**PARAMETERS, "reliability": "reliable", "autostart": False}
    with running("ipt_node", ros_domain, tmp_path, parameters=parameters, ros_arguments=remaps):
        configure = ChangeState.Request(transition=Transition(id=1))
        assert tester.call(ChangeState, "/strict/ipt_node/change_state", configure).success
        for _ in range(4):  # the node waits a while before it calls an input silent
            done = ipt("doctor", "--node", "/strict/ipt_node", "--listen", "2", rc=ERROR)
            if "told by the node" in done.stdout:
                break
        # the other robot is none of its business
        healthy = until(lambda: doctor_without_failures(ipt), "an old error was answered", 60)
        assert "/strict" not in healthy.stdout

        def both_named_by(stream, words, *arguments):
            """Whoever was just started hears of both nodes only after a while."""
            said = ipt(*arguments, "--node", "/gone/ipt_node", rc=ERROR)
            return words in getattr(said, stream)

        words = "ipt doctor --node /ipt_node or ipt doctor --node /strict/ipt_node"
        until(lambda: both_named_by("stdout", words, "doctor", "--listen", "1"), "both are named")
        words = "there is /ipt_node/ask_spatial, /strict/ipt_node/ask_spatial"
        until(lambda: both_named_by("stderr", words, "ask", "?", "--timeout", "3"), "both again")
    failed = "\n".join(lines_of(done, "FAIL"))
    assert "/strict/ipt_node is inactive" in failed and "lifecycle set" in failed
    assert "do not go together on /camera/image" in failed
    assert "set the parameter reliability to best_effort" in failed
    assert "nobody publishes /nowhere/camera_info" in failed
    assert "-r /nowhere/camera_info:=/camera/camera_info" in failed
    assert "told by the node on /diagnostics" in done.stdout


def test_the_doctor_says_that_no_node_is_there(ipt, ros_domain):
    done = ipt("doctor", "--listen", "0.5", "--json", domain=ros_domain + 1, rc=ERROR)
    found = {f["about"]: f for f in json.loads(done.stdout) if f["level"] == "FAIL"}
    assert "/ipt_node is not running" in found["node"]["text"]
    assert "nobody publishes /camera/image" in found["image"]["text"]
