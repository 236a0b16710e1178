"""`ipt`: ask a running `ipt_node` from the command line, and find out why it does not answer.

Exit code: 0 answered (or nothing to mend), 2 abstained, 1 an error. Arguments after --ros-args are
ROS's own, so namespaces and remappings work as with every node.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

ANSWERED, ERROR, ABSTAINED = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    """argparse ends with 2 for wrong arguments, which means `abstained` here."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--node", default="ipt_node", help="name of the node that is asked")
    common.add_argument("--json", action="store_true", help="print JSON, for programs")
    asking = argparse.ArgumentParser(add_help=False, parents=[common])
    add = asking.add_argument
    add("--mode", choices=["answer", "imagine", "auto"], default="", help="default: the node's")
    add("--budget", type=_seconds, default=0.0, metavar="S", help="seconds until the answer")
    add("--seed", type=int, default=0, help="same seed and same views give the same answer")
    add("--timeout", type=_seconds, default=120.0, metavar="S", help="then give up and cancel")
    add("--out", metavar="FILE", help="write the imagined view there (.png, .jpg)")
    add("--quiet", action="store_true", help="do not tell the progress")

    top = _Parser(prog="ipt", description="Ask a robot about space that it cannot see.")
    verbs = top.add_subparsers(dest="verb", required=True, parser_class=_Parser)

    ask = verbs.add_parser("ask", parents=[asking], help="any question about the present view")
    ask.add_argument("question")
    _options(ask)

    view = verbs.add_parser("imagine", parents=[asking], help="what is seen from elsewhere")
    add = view.add_argument
    add("--forward", type=float, default=0.0, metavar="M", help="negative: back")
    add("--left", type=float, default=0.0, metavar="M", help="negative: right")
    add("--turn", type=float, default=0.0, metavar="DEG", help="then turn left; negative: right")
    add("--object", default="", help="what to ask about, like 'green chair'")
    add("--question", default="", help="side or distance of the object, or one of your own")
    _options(view)

    count = verbs.add_parser("count", parents=[asking], help="how many stand around the robot")
    count.add_argument("category", help="singular, like chair")
    count.add_argument("--max", type=int, default=0, help="of the four counts: 4, 5 or 6")

    path = verbs.add_parser("path", parents=[asking], help="is this path clear?")
    path.add_argument("points", nargs="+", type=_point, metavar="X,Y", help="in metres")
    path.add_argument("--frame", default="odom", help="frame of the points")
    path.add_argument("--radius", type=float, default=0.0, metavar="M", help="of the robot")

    doctor = verbs.add_parser("doctor", parents=[common], help="why does it not answer?")
    doctor.add_argument("--listen", type=_seconds, default=4.0, metavar="S", help="to the topics")
    return top


def _options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--options", nargs="+", default=[], help="possible answers")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, got {text}")
    return value


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected x,y in metres, got {text!r}") from None
    return x, y


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
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    # Ctrl-C must reach us while the context still works: a goal under way is to be cancelled.
    rclpy.init(args=given[ros:], signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if options.verb == "doctor":
            from ipt_ros.cli.doctor import run
        else:
            from ipt_ros.cli.asking import run
        return run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ERROR
    finally:
        rclpy.try_shutdown()
