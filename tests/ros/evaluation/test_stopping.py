"""Programs that start nodes are stopped: no traceback, a report, and no node is left.

Real processes, in a session of their own as in a terminal, where Ctrl-C reaches all of them.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("open3d", reason="open3d draws the simulated world")
pytest.importorskip("rclpy", reason="rclpy is not installed")
from harness import PATIENCE_S, until
from test_scores import record

from ipt_ros.evaluation.__main__ import SMALL
from ipt_ros.evaluation.records import line_of

pytestmark = pytest.mark.slow(40)


@pytest.fixture
def started(ros_domain, tmp_path):
    """Starts a module of this package with --out in a terminal of its own."""
    running = []

    def start(module):
        said = (tmp_path / "said.txt").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--out", str(tmp_path / "out")],
            env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain + 3), "PYTHONUNBUFFERED": "1"},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        said.close()
        running.append(process)
        return process

    yield start
    for process in running:
        for pid in of_session(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait(PATIENCE_S)


def of_session(leader):
    """Who of the session of that process still lives."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it ended just now
        if int(session) == leader and state != "Z":
            found.append(int(path.parent.name))
    return found


def ended(process, tmp_path):
    """Its exit status and what it printed; nobody that it started is left."""
    code = process.wait(PATIENCE_S)
    said = (tmp_path / "said.txt").read_text()
    until(lambda: not of_session(process.pid), "every node that was started has ended")
    assert "Traceback" not in said, said
    return code, said


def asked_before(out):
    """One finished question, so that the next run first looks what is left in its world."""
    out.mkdir()
    kept = replace(record(), id=f"auto/{SMALL[0][0]}/q0/000/x", world=SMALL[0][0])
    (out / "episodes.jsonl").write_text(line_of(kept) + "\n")


def preparing(process):
    """It has loaded what draws worlds: it makes the questions of the first one."""
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    return "open3d" in maps


def test_ctrl_c_while_a_world_is_prepared_leaves_a_report(started, tmp_path):
    out = tmp_path / "out"
    asked_before(out)
    process = started("ipt_ros.evaluation")
    until(lambda: preparing(process), "a world is prepared")
    os.killpg(process.pid, signal.SIGINT)
    code, said = ended(process, tmp_path)
    assert code == 130 and "the same command goes on" in said
    assert json.loads((out / "evaluation.json").read_text())["episodes"] == 1
    assert (out / "evaluation.html").is_file()


def test_ctrl_c_while_nodes_start_ends_all_of_them(started, tmp_path):
    out = tmp_path / "out"
    process = started("ipt_ros.evaluation")
    # the evaluator was started last, and still imports
    until(lambda: len(of_session(process.pid)) >= 4, "all nodes are started")
    os.killpg(process.pid, signal.SIGINT)
    code, said = ended(process, tmp_path)
    assert code == 130 and "the same command goes on" in said
    assert not (out / "evaluation.json").exists()


def test_a_demo_that_is_terminated_takes_its_nodes_with_it(started, tmp_path):
    process = started("ipt_ros.demo")
    until(lambda: len(of_session(process.pid)) >= 3, "both nodes are started")
    process.terminate()
    code, said = ended(process, tmp_path)
    assert code == 130 and said.splitlines()[-1] == "ipt_ros.demo: stopped"
