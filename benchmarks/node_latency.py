"""What the node adds to the model: camera stamp to answer, and everything in between that is not
the model.

Starts the simulator at 640 x 480 RGB-D and the node as processes, asks questions over DDS, and
writes a JSON:
`. scripts/environment.sh && python benchmarks/node_latency.py --questions 60`
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("ROS_DOMAIN_ID", str(60 + os.getpid() % 10))

import rclpy
from diagnostic_msgs.msg import DiagnosticArray

from imaginative_perception.action import AskSpatial, ImagineView
from ipt_ros.client import Asker
from ipt_ros.conversions import stamp_to_ns
from ipt_ros.demo.robot import NodeProcess, Robot
from ipt_ros.demo.scenario import Scenario

OUT = Path(__file__).parent / "results" / "node_latency.json"


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "p90": ordered[int(0.9 * (len(ordered) - 1))],
        "max": ordered[-1],
    }


def ask(asker: Asker, kind: str) -> dict[str, float]:
    """One question's times, ms."""
    if kind.startswith("imagine_view"):
        mode = "recall" if kind.endswith("recalled") else "imagine"
        goal = ImagineView.Goal(object="ball", mode=mode)
        goal.viewpoint.header.frame_id = "base_link"
        goal.viewpoint.pose.position.x = 0.6
        goal.viewpoint.pose.position.z = 1.2
        goal.viewpoint.pose.orientation.w = 1.0
        result = asker.ask(ImagineView, goal)
    else:
        goal = AskSpatial.Goal(
            question="Turn left 60 degrees. Will the ball be on your left or right?",
            options=["left", "right"],
            mode="answer",
        )
        result = asker.ask(AskSpatial, goal)
    arrived_ns = time.time_ns()
    if result.error_code:
        raise RuntimeError(result.error_msg)
    t = result.answer.times
    model_s = t.context_s + t.imagine_s + t.answer_s
    return {
        "stamp_to_answer_ms": (arrived_ns - stamp_to_ns(result.answer.header.stamp)) / 1e6,
        "goal_to_answer_ms": 1e3 * t.total_s,
        "model_ms": 1e3 * model_s,
        # decoding, pose, warping, resizing for the model, guard, messages
        "node_ms": 1e3 * (t.total_s - t.queue_s - model_s),
    }


def callback_figures(asker: Asker) -> dict[str, float]:
    """From the node's own diagnostics."""
    heard: list[dict[str, str]] = []

    def listen(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": camera"):
                heard.append({v.key: v.value for v in status.values})

    asker.node.create_subscription(DiagnosticArray, "/diagnostics", listen, 10)
    deadline = time.monotonic() + 20
    while not heard and time.monotonic() < deadline:
        time.sleep(0.05)
    return {k: float(v) for k, v in heard[-1].items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--model", default="ipt-tiny")
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    rclpy.init()
    folder = Path(tempfile.mkdtemp())
    world = {"seed": 850036, "width": 640, "height": 480}
    sim = NodeProcess("sim_node", world, folder / "sim.log")
    ipt = NodeProcess(
        "ipt_node",
        {"model": chosen.model, "pose_source": "odometry", "mounts": list(Scenario.MOUNT)},
        folder / "ipt.log",
    )
    asker = Asker(name="latency")
    try:
        robot = Robot(asker)
        robot.wait_until(robot.senses_ready, "camera and map", 60)
        robot.wait_until(lambda: "ready:" in (folder / "ipt.log").read_text(), "the model", 240)
        record: dict[str, object] = {}
        robot.look_around()
        for kind in ("ask_spatial", "imagine_view", "imagine_view_recalled"):
            for _ in range(3):
                ask(asker, kind)
            rows = [ask(asker, kind) for _ in range(chosen.questions)]
            record[kind] = {name: quantiles([r[name] for r in rows]) for name in rows[0]}
        record["camera_callback"] = callback_figures(asker)
    finally:
        asker.close()
        ipt.stop()
        sim.stop()
    record["conditions"] = {
        "model": chosen.model,
        "questions": chosen.questions,
        "camera": "640x480 RGB-D, simulator in a process of its own",
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average_1min": os.getloadavg()[0],
    }
    chosen.out.parent.mkdir(exist_ok=True)
    chosen.out.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
