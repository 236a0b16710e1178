"""The verbs that ask: arguments to a goal, the goal's progress to the terminal, its result to a
report.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from ipt_model.messages.poses import from_xyz_rpy
from ipt_ros.cli import ABSTAINED, ANSWERED, ERROR
from ipt_ros.cli.report import error_line, print_table, report_of, write_picture
from ipt_ros.client import Asker, AskRefused, AskTimeout, read_parameters
from ipt_ros.conversions import matrix_to_pose, planar_matrix

#: How long the node may take to accept a goal and to end a cancelled one, s.
SOON_S = 10.0


def run(options: argparse.Namespace) -> int:
    asker = Asker(options.node, name="ipt_command")
    try:
        result = _ask(asker, options)
    except (AskRefused, AskTimeout) as error:
        print(f"error: {error}. `ipt doctor` looks for the cause", file=sys.stderr)
        return ERROR
    finally:
        asker.close()
    if result.error_code:
        if options.json:
            print(json.dumps(report_of(options.verb, result), indent=1))
        print(error_line(result), file=sys.stderr)
        return ERROR
    try:
        file = write_picture(options.out, result.imagined_view)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    report = report_of(options.verb, result, file)
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        print_table(report)
    return ANSWERED if is_answered(options.verb, result) else ABSTAINED


def is_answered(verb: str, result: Any) -> bool:
    """A path that was seen blocked or free all along has its verdict, whatever the model said."""
    if verb == "path":
        return bool(result.verdict.verdict != result.verdict.UNKNOWN)
    return not result.answer.abstained


def _ask(asker: Asker, options: argparse.Namespace) -> Any:
    """The result's fields. Interrupted or out of time, the goal is cancelled before we leave."""
    kind, goal = goal_of(asker, options)
    line = ProgressLine(sys.stderr, options.quiet or options.json)
    soon = min(SOON_S, options.timeout)
    asker.reach(kind, soon)
    # a goal that was sent is the robot's before we hold its handle: without it nobody can cancel
    with interrupts_held() as let_go:
        under_way = asker.start(kind, goal, soon, line.heard)
        try:
            let_go()
            return asker.finish(under_way, options.timeout).result
        except KeyboardInterrupt:
            asker.cancel(under_way, SOON_S)
            return asker.finish(under_way, SOON_S).result
        except AskTimeout:
            asker.cancel(under_way, SOON_S)
            raise
        finally:
            line.end()


@contextlib.contextmanager
def interrupts_held() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM wait until the yielded function is called, at the latest for the end."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in numbers}

    def let_go() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            came.clear()
            raise KeyboardInterrupt

    try:
        yield let_go
    finally:
        let_go()


class ProgressLine:
    """Stage and progress: one line that is written over on a terminal, else a line per stage."""

    def __init__(self, stream: TextIO, quiet: bool) -> None:
        self._stream, self._quiet = stream, quiet
        self._live = stream.isatty()
        self._stage = ""

    def heard(self, feedback: Any) -> None:
        if self._quiet or (feedback.stage == self._stage and not self._live):
            return
        self._stage = feedback.stage
        text = f"{feedback.stage:<12}{100 * feedback.progress:4.0f} %"
        self._stream.write(f"\r{text}" if self._live else f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the terminal's line empty for what comes next."""
        if self._live and self._stage:
            self._stream.write("\r" + " " * 24 + "\r")
            self._stream.flush()


def goal_of(asker: Asker, options: argparse.Namespace) -> tuple[Any, Any]:
    """The action and its goal."""
    from builtin_interfaces.msg import Duration

    from imaginative_perception import action

    seconds = math.floor(options.budget)
    common = {
        "mode": options.mode,
        "budget": Duration(sec=seconds, nanosec=int((options.budget - seconds) * 1e9)),
        "seed": options.seed,
    }
    if options.verb == "ask":
        goal = action.AskSpatial.Goal(question=options.question, options=options.options, **common)
        return action.AskSpatial, goal
    if options.verb == "count":
        goal = action.CountObjects.Goal(category=options.category, max_count=options.max, **common)
        return action.CountObjects, goal
    if options.verb == "path":
        goal = action.TracePath.Goal(robot_radius_m=options.radius, **common)
        goal.path.header.frame_id = options.frame
        goal.path.poses = [_waypoint(x, y, options.frame) for x, y in options.points]
        return action.TracePath, goal
    goal = action.ImagineView.Goal(
        object=options.object, question=options.question, options=options.options, **common
    )
    known = read_parameters(asker, ("base_frame", "mounts", "pose_source"), SOON_S)
    goal.viewpoint.header.frame_id = known["base_frame"]
    goal.viewpoint.pose = viewpoint(options, known)
    return action.ImagineView, goal


def _waypoint(x: float, y: float, frame: str) -> Any:
    from geometry_msgs.msg import PoseStamped

    pose = PoseStamped(pose=matrix_to_pose(planar_matrix(x, y, 0.0)))
    pose.header.frame_id = frame
    return pose


def viewpoint(options: argparse.Namespace, known: dict[str, Any]) -> Any:
    """The camera's pose on the base after the robot has moved. Where the mount is only known to tf
    the camera is taken to sit on the base.
    """
    turn = math.radians(options.turn)
    moved = planar_matrix(options.forward, options.left, turn)
    if known["pose_source"] == "odometry":
        moved = moved @ from_xyz_rpy(*known["mounts"][:6])
    return matrix_to_pose(moved)
