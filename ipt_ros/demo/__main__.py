"""Runs the demo: `python -m ipt_ros.demo --out demo_out`. Exit status 0 only when every question
was answered, 130 after Ctrl-C or SIGTERM, which end the nodes too.
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
import math
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ipt_model.weights import DEFAULT_MODEL


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ipt_ros.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the report")
    parser.add_argument(
        "--seed", type=int, default=850_036, help="which world (unseen in training)"
    )
    parser.add_argument("--level", choices=("room", "house"), default="room")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, or folder with weights")
    parser.add_argument("--device", default="auto")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    try:
        with interruptible():
            return shown(chosen)
    except Interrupted:
        print("ipt_ros.demo: stopped", file=sys.stderr)
        return INTERRUPTED


def shown(chosen: argparse.Namespace) -> int:
    """Everything that the demo shows; the exit status."""
    with undisturbed():
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from ipt_ros.client import Asker
        from ipt_ros.demo.report import write_report
        from ipt_ros.demo.robot import Robot, begin, start_node
        from ipt_ros.demo.scenario import Scenario

    if not begin("ipt_ros.demo", chosen.out):
        return 2
    began = time.monotonic()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    with ExitStack() as ends:
        ends.callback(rclpy.try_shutdown)
        sim = start_node(
            ends,
            "sim_node",
            {"seed": chosen.seed, "level": chosen.level},
            chosen.out / "sim_node.log",
        )
        ipt = start_node(
            ends,
            "ipt_node",
            {
                "model": chosen.model,
                "device": chosen.device,
                "pose_source": "odometry",
                "mounts": list(Scenario.MOUNT),
                # it is put elsewhere between questions, by a simulator that always knows where
                "memory_fastest_m_s": 1000.0,
            },
            chosen.out / "ipt_node.log",
        )
        asker = Asker(name="demo")
        ends.callback(asker.close)
        robot = Robot(asker)
        scenario = Scenario(chosen.seed, chosen.level, robot, asker, (sim, ipt), chosen.model)
        cards, space = scenario.run()
    wall_s = time.monotonic() - began
    records = [card.record for card in cards]
    (chosen.out / "answers.json").write_text(json.dumps(_plain(records), indent=2) + "\n")
    found = _plain(asdict(space.record))
    (chosen.out / "imagined_space.json").write_text(json.dumps(found, indent=2) + "\n")
    report = write_report(chosen.out / "report.html", cards, space, scenario.setting(), wall_s)
    _print_table(records)
    print(
        f"imagined space: {found['claims']} unseen cells claimed, {found['seen_cells_touched']} "
        f"seen ones touched, highest cost {found['highest']}"
    )
    print(f"\n{report}\n{chosen.out / 'answers.json'}\n{wall_s:.1f} s from start to report")
    return 0 if all(r["error_code"] == 0 and r["source_stamps"] for r in records) else 1


def _plain(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _print_table(records: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="What the robot asked")
    for column in ("action", "question", "answer", "p", "truth", "mode"):
        table.add_column(column, overflow="fold")
    for column in ("look", "context", "imagine", "answer", "total"):
        table.add_column(f"{column} ms", justify="right")
    for r in records:
        t = r["times"]
        stages = ("preprocess_s", "context_s", "imagine_s", "answer_s", "total_s")
        said = r["said"] if r["error_code"] == 0 else f"error {r['error_code']}: {r['error_msg']}"
        table.add_row(
            r["action"],
            r["question"],
            said,
            f"{r['confidence']:.2f}",
            str(r["truth"]),
            r["mode"] + (", imagine was withheld" if "withheld_before" in r else ""),
            *(f"{1000 * t[s]:.0f}" for s in stages),
        )
    Console(width=150 if not sys.stdout.isatty() else None).print(table)
    model = records[0]["model_id"]
    if "untrained" in model:
        print(
            f"The model is {model}: random weights. Its answers and pictures mean nothing; what "
            "this "
            "shows is that every part between camera and planner works."
        )


if __name__ == "__main__":
    raise SystemExit(main())
