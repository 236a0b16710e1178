"""Runs the whole chain: `python -m ipt_ros.demo.fine_tuning --out finetune_out`. The same command
goes on where it was stopped. Exit status 0 when every stage finished, whether or not there was a
gain: the report says; 130 after Ctrl-C or SIGTERM.
"""

from __future__ import annotations

from ipt_ros.starting.interruption import (
    INTERRUPTED,
    Interrupted,
    end_at_once,
    interruptible,
    undisturbed,
)

if __name__ == "__main__":  # before anything that takes long is imported
    end_at_once(INTERRUPTED)

# isort: split
import argparse
import json
import sys
import time
from pathlib import Path

from ipt_ros.parameters.sim_node import LOOKS


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ipt_ros.demo.fine_tuning", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("finetune_out"), help="folder of it all")
    parser.add_argument("--look", choices=LOOKS, default="workshop", help="of the houses")
    parser.add_argument("--model", default="ipt-tiny", help="weights to fine-tune, name or folder")
    parser.add_argument("--houses", type=int, default=6, help="to learn from")
    parser.add_argument("--held-out", type=int, default=3, help="houses to ask in")
    parser.add_argument("--places", type=int, default=0, help="in a house, 0 for all")
    parser.add_argument("--examples", type=int, default=7200, help="showings in training")
    parser.add_argument("--rendered", type=int, default=800, help="rows beside the recorded ones")
    given = parser.parse_args(argv)
    for name in ("houses", "held_out", "examples", "rendered"):
        if getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: expected at least 1")
    return given


def main(argv: list[str] | None = None) -> int:
    given = arguments(argv)
    try:
        with interruptible():
            return shown(given)
    except Interrupted:
        print("ipt_ros.demo.fine_tuning: stopped; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def shown(given: argparse.Namespace) -> int:
    """The whole chain and its report; the exit status."""
    with undisturbed():
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from ipt_ros.demo.fine_tuning.chain import Chain, Size
        from ipt_ros.demo.fine_tuning.page import write_page
        from ipt_ros.demo.fine_tuning.recording import RecordingError
        from ipt_ros.demo.fine_tuning.stages import StageError
        from ipt_ros.demo.robot import begin

    if not begin("ipt_ros.demo.fine_tuning", given.out):
        return 2
    began = time.monotonic()
    size = Size(
        houses=given.houses,
        held_out=given.held_out,
        places=given.places,
        examples=given.examples,
        rendered=given.rendered,
    )
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        found = Chain(given.out, given.look, given.model, size).run()
    except (RecordingError, StageError) as error:
        print(f"ipt_ros.demo.fine_tuning: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    found["seconds"] = round(time.monotonic() - began, 1)
    (given.out / "finetune.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page = write_page(given.out / "report.html", found, given.out / "pictures")
    for sentence in found["verdict"]["sentences"]:
        print(sentence)
    print(f"\n{page}\n{given.out / 'finetune.json'}\n{found['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
