"""Ctrl-C and SIGTERM at the moments that people cannot aim at: while a program of this package is
importing. Each program is real, and signals itself when it asks for a certain module.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from harness import PATIENCE_S, running

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
#: Loaded with the interpreter, before anything of ours.
AT_AN_IMPORT = """
import importlib.abc, os, sys
class At(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            sys.meta_path.remove(self)
            open(os.environ["REACHED"], "w").close()
            os.kill(os.getpid(), int(os.environ["NUMBER"]))
sys.meta_path.insert(0, At())
"""


@pytest.fixture
def signalled_at(tmp_path):
    """The environment of a process that is signalled when it imports a module."""
    (tmp_path / "sitecustomize.py").write_text(AT_AN_IMPORT)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def environment(number, module):
        reached = str(tmp_path / "reached")
        own = {"AT": module, "NUMBER": str(int(number)), "REACHED": reached}
        return {"PYTHONPATH": path, **own}

    yield environment
    assert (tmp_path / "reached").exists(), "it never came to that import"


def is_quiet(said):
    return "Traceback" not in said and "Exception ignored" not in said


@BOTH
@pytest.mark.parametrize("module", ["numpy", "rclpy", "ipt_ros.run"])
@pytest.mark.parametrize(
    ("executable", "status"), [("ipt_node", 0), ("sim_node", 0), ("evaluate_node", 130)]
)
def test_a_node_that_imports_ends_at_once(
    ros_domain, tmp_path, signalled_at, executable, status, module, number
):
    environment = signalled_at(number, module)
    with running(executable, ros_domain, tmp_path, environment=environment) as process:
        assert process.wait() == status
        assert process.printed() == ""


def run(arguments, environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )


@BOTH
@pytest.mark.parametrize("module", ["numpy", "rclpy"])
@pytest.mark.parametrize("program", ["demo", "demo.fine_tuning", "evaluation", "navigation"])
def test_a_program_that_imports_ends_quietly(
    ros_domain, tmp_path, signalled_at, program, module, number
):
    environment = {**signalled_at(number, module), "ROS_DOMAIN_ID": str(ros_domain)}
    done = run(["-m", f"ipt_ros.{program}", "--out", str(tmp_path / "out")], environment)
    assert done.returncode == 130, done.stderr
    assert is_quiet(done.stderr) and done.stdout == ""


@BOTH
def test_the_command_line_that_imports_ends_quietly(ros_domain, signalled_at, number):
    environment = {**signalled_at(number, "rclpy"), "ROS_DOMAIN_ID": str(ros_domain)}
    done = run(["-m", "ipt_ros.cli", "ask", "Which side?"], environment)
    assert done.returncode == 1 and is_quiet(done.stderr), done.stderr


@BOTH
def test_drives_that_are_stopped_say_so_and_go_on_another_time(
    ros_domain, tmp_path, signalled_at, number
):
    """At an import in the midst of its work."""
    environment = {
        **signalled_at(number, "ipt_ros.navigation.results.summary"),
        "ROS_DOMAIN_ID": str(ros_domain),
    }
    done = run(["-m", "ipt_ros.navigation", "--out", str(tmp_path / "out")], environment)
    assert done.returncode == 130
    assert done.stderr.splitlines() == ["ipt_ros.navigation: stopped; the same command goes on"]


# -- what the programs are made of


def printed(program):
    done = run(["-c", program], {})
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_what_a_library_makes_of_a_signal_is_a_signal_again():
    """Some that are broken off while they load say that they could not be loaded."""
    program = """
import os, signal
from ipt_ros.starting.interruption import Interrupted, interruptible, undisturbed

try:
    with interruptible(), undisturbed():
        os.kill(os.getpid(), signal.SIGTERM)
        print("loaded")
except Interrupted:
    print("behind it")
try:
    with interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException as broken_off:
            raise ImportError("initialization failed") from broken_off
except Interrupted:
    print("again")
os.kill(os.getpid(), signal.SIGTERM)
print("tidied up")
try:
    with interruptible(), undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        raise ImportError("of its own")
except Interrupted:
    print("not lost")
"""
    said = ["loaded", "behind it", "again", "tidied up", "not lost"]
    assert printed(program) == (0, said, "")


def test_an_error_without_a_signal_stays_one_and_signals_mean_what_they_meant():
    program = """
import os, signal
from ipt_ros.starting.interruption import end_at_once, interruptible

end_at_once(7)
try:
    with interruptible():
        raise ImportError("of its own")
except ImportError:
    print("an error")
os.kill(os.getpid(), signal.SIGINT)
print("not reached")
"""
    assert printed(program) == (7, ["an error"], "")


def test_a_signal_that_was_held_back_while_it_was_started_comes():
    """Programs hold signals back from what they start, whose interpreter has no answer to them."""
    program = """
import os, signal
from ipt_ros.starting.interruption import SIGNALS, end_at_once

signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
os.kill(os.getpid(), signal.SIGINT)
print("held back")
end_at_once(7)
print("not reached")
"""
    assert printed(program) == (7, ["held back"], "")
