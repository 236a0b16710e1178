"""What signals and faults do to the loop that runs a node, by a clock of the test's own."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from ipt_ros.run import INSISTING_S, Stop
from ipt_ros.spinning import REPORTED_S, Faults, hand_over
from ipt_ros.texts import MOST, cut


class Time:
    def __init__(self):
        self.now = 100.0
        self.pauses = []

    def __call__(self):
        return self.now

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


class Executor:
    def __init__(self):
        self.tasks = []

    def create_task(self, task):
        self.tasks.append(task)


@pytest.fixture
def clock():
    return Time()


def test_a_second_signal_counts_only_a_second_after_the_first_was_dealt_with(clock):
    happened = []
    stop = Stop(clock, insist=lambda: happened.append("insisted"))

    def last_word():
        happened.append("last word")
        clock.now += 3.0  # somebody who listens is slow

    executor = Executor()
    stop.spinning(executor, last_word)
    stop.signalled()
    assert happened == ["last word"] and stop.asked.is_set() and len(executor.tasks) == 1
    clock.now += INSISTING_S - 0.01
    stop.signalled()
    assert happened == ["last word"]
    clock.now += 0.02
    stop.signalled()
    assert happened == ["last word", "insisted"]


def test_a_signal_before_there_is_a_node_is_kept(clock):
    stop = Stop(clock)
    stop.signalled()
    assert stop.asked.is_set()


def test_a_last_word_that_fails_stops_all_the_same(clock):
    stop, executor = Stop(clock), Executor()

    def last_word():
        raise RuntimeError("no publisher")

    stop.spinning(executor, last_word)
    with pytest.raises(RuntimeError):
        stop.signalled()
    assert stop.asked.is_set() and executor.tasks


def fault(text="poison"):
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_fault_that_comes_back_is_told_seldom_and_slowed_down(clock):
    told = []
    faults = Faults(lambda error, where: told.append((str(error), where)), clock, clock.pause)
    began = clock.now
    for _ in range(1000):
        faults.happened(fault())
    # 1,000 in a row take most of 100 s, and are told every 5 s
    assert clock.now - began > 90
    assert 90 / REPORTED_S - 2 < len(told) <= 100 / REPORTED_S + 1
    assert max(clock.pauses) <= 0.1


def test_a_fault_among_good_callbacks_hardly_slows_anything(clock):
    faults = Faults(lambda *_: None, clock, clock.pause)
    for _ in range(1000):
        faults.happened(fault())
        faults.none()
    assert sum(clock.pauses) < 1.0


def test_what_is_handed_to_a_node_that_has_left_its_executor_is_dropped():
    node = SimpleNamespace(executor=Executor())
    hand_over(node, clock)
    assert node.executor.tasks == [clock]
    node.executor = None
    hand_over(node, clock)


def test_a_report_that_fails_is_given_up(clock, capsys):
    def report(error, where):
        raise RuntimeError("the report failed too")

    Faults(report, clock, clock.pause).happened(fault())
    assert "the report failed too" in capsys.readouterr().err


def test_long_texts_keep_their_beginning_and_their_end():
    text = "question: " + "x" * 500_000 + "; say less"
    short = cut(text)
    assert len(short) < MOST + 50
    assert short.startswith("question: x") and short.endswith("; say less")
    assert f"{len(text) - MOST} characters left out" in short
    assert cut("as it is") == "as it is"


POISONED = """
import os, signal
from rclpy.node import Node
from std_msgs.msg import String
from ipt_ros.run import run_node

class Poisoned(Node):
    def __init__(self):
        super().__init__("poisoned")
        self.rounds, self.heard = 0, 0
        self.publisher = self.create_publisher(String, "poison", 10)
        self.create_subscription(String, "poison", self.hear, 10)
        self.create_timer(0.01, self.tick)
        self.create_timer(0.01, self.fail)

    def hear(self, message):
        self.heard += 1
        raise UnicodeError("message")

    def fail(self):
        raise KeyError("timer")

    async def task(self):
        raise OSError("task")

    def tick(self):
        self.rounds += 1
        self.publisher.publish(String(data="x"))
        self.executor.create_task(self.task)
        if self.rounds >= 20 and self.heard:
            os.kill(os.getpid(), signal.SIGTERM)

    def report(self, error, during):
        print("report", type(error).__name__, during.split()[0], flush=True)

    def last_word(self):
        print("last word", flush=True)

    def close(self):
        print("close", flush=True)
        raise ValueError("close")

run_node("poisoned", Poisoned)
"""


@pytest.mark.timeout(120)
def test_a_node_whose_callbacks_fail_runs_on_and_ends_as_it_should(ros_domain):
    ended = subprocess.run(
        [sys.executable, "-c", POISONED],
        env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    lines = ended.stdout.split("\n")
    assert ended.returncode == 0, ended.stderr
    told = {line for line in lines if line.startswith("report")}
    assert len({line.split()[1] for line in told} & {"UnicodeError", "KeyError", "OSError"}) == 3
    assert lines.index("last word") < lines.index("close")
    assert any("report ValueError" in line for line in lines)
