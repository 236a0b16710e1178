"""`ipt`: ask a running `ipt_node` from the command line, and find out why it does not answer.

Exit code: 0 answered (or nothing to mend), 2 abstained, 1 an error. Arguments after --ros-args are
ROS's own, so namespaces and remappings work as with every node.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ipt_ros.cli.values import number, picture_file, point, robot_name, seconds, text, whole
from ipt_ros.starting.interruption import SIGNALS

ANSWERED, ERROR, ABSTAINED = 0, 1, 2
#: That a goal may name.
MODES = ("answer", "imagine", "recall", "auto")


class _Parser(argparse.ArgumentParser):
    """argparse ends with 2 for wrong arguments, which means `abstained` here."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    add = common.add_argument
    add("--node", type=robot_name, default="ipt_node", help="the node that is asked")
    add("--json", action="store_true", help="print JSON, for programs")
    asking = _Parser(add_help=False, parents=[common])
    add = asking.add_argument
    add("--mode", choices=MODES, default="", help="default: the node's")
    add("--budget", type=seconds, default=0.0, metavar="S", help="seconds until the answer")
    add(
        "--seed",
        type=whole(-(2**63), 2**63 - 1),
        default=0,
        help="same seed and same views give the same answer",
    )
    add("--timeout", type=seconds, default=120.0, metavar="S", help="then give up and cancel")
    add(
        "--out",
        type=picture_file,
        metavar="FILE",
        help="write the imagined view there (.png, .jpg)",
    )
    add("--quiet", action="store_true", help="do not tell the progress")

    top = _Parser(prog="ipt", description="Ask a robot about space that it cannot see.")
    verbs = top.add_subparsers(dest="verb", required=True, parser_class=_Parser)

    ask = verbs.add_parser("ask", parents=[asking], help="any question about the present view")
    ask.add_argument("question", type=text)
    _options(ask)

    view = verbs.add_parser("imagine", parents=[asking], help="what is seen from elsewhere")
    add = view.add_argument
    add("--forward", type=number(), default=0.0, metavar="M", help="negative: back")
    add("--left", type=number(), default=0.0, metavar="M", help="negative: right")
    add(
        "--turn",
        type=number(),
        default=0.0,
        metavar="DEG",
        help="then turn left; negative: right",
    )
    add("--object", type=text, default="", help="what to ask about, like 'green chair'")
    add(
        "--question",
        type=text,
        default="",
        help="side or distance of the object, or one of your own",
    )
    _options(view)

    count = verbs.add_parser("count", parents=[asking], help="how many stand around the robot")
    add = count.add_argument
    add("category", type=text, help="singular, like chair")
    add("--max", type=whole(0, 2**31 - 1), default=0, help="of the four counts: 4, 5 or 6")

    path = verbs.add_parser("path", parents=[asking], help="is this path clear?")
    add = path.add_argument
    add("points", nargs="+", type=point, metavar="X,Y", help="in metres")
    add("--frame", type=text, default="odom", help="frame of the points")
    add("--radius", type=number(0.0), default=0.0, metavar="M", help="of the robot")

    doctor = verbs.add_parser("doctor", parents=[common], help="why does it not answer?")
    doctor.add_argument("--listen", type=seconds, default=4.0, metavar="S", help="to the topics")
    return top


def _options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--options", type=text, nargs="+", default=[], help="possible answers")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """A point that begins with a minus sign is no option."""
    return parser().parse_args(
        [f" {a}" if re.match(r"-[\d.]+(,|$)", a) and "," in a else a for a in arguments]
    )


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    ros = given.index("--ros-args") if "--ros-args" in given else len(given)
    options = parse(given[:ros])
    try:
        run = _start(options.verb, given[ros:])
    except ImportError as error:
        return _fail(f"{error.name} cannot be imported: source ROS and this package's workspace")
    except RuntimeError as error:  # of rcl: arguments, names, domain, middleware
        return _fail(f"ROS does not start: {error}")
    import rclpy

    before = {one: signal.getsignal(one) for one in SIGNALS}
    try:
        # Ctrl-C must reach us while the context still works: a goal under way is to be cancelled.
        for one in SIGNALS:
            signal.signal(one, _interrupt)
        code = run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ERROR
    except BrokenPipeError:  # `ipt doctor | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        rclpy.try_shutdown()


def _start(verb: str, ros: list[str]) -> Callable[[argparse.Namespace], int]:
    """Starts ROS with its own arguments; returns what runs the verb."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    if verb == "doctor":
        from ipt_ros.cli.doctor import run
    else:
        from ipt_ros.cli.asking import run
    rclpy.init(args=ros, signal_handler_options=SignalHandlerOptions.NO)
    return run


def _fail(said: str) -> int:
    print(f"error: {' '.join(said.split())}", file=sys.stderr)
    return ERROR
