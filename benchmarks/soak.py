"""Thousands of questions to one node: does its memory grow, do threads leak, does every goal end?

Starts simulator and node as processes, asks all four actions in turn over DDS, reads the node's
resident memory and threads from /proc, and writes a JSON: `. scripts/environment.sh && python
benchmarks/soak.py --questions 5000`
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("ROS_DOMAIN_ID", str(40 + os.getpid() % 10))

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped

from imaginative_perception.action import AskSpatial, CountObjects, ImagineView, TracePath
from ipt_ros.client import Asker, AskTimeout
from ipt_ros.demo.robot import NodeProcess, Robot
from ipt_ros.demo.scenario import Scenario

OUT = Path(__file__).parent / "results" / "soak.json"
STATES = {4: "succeeded", 5: "canceled", 6: "aborted"}
#: Every so many-th goal is cancelled: a multiple of the kinds of goal, so that it is a drawing,
#: which is still under way when the cancel arrives.
CANCEL_EVERY, CANCELLED = 45, 43


def goals() -> list[tuple[type, object]]:
    """One of each action, drawing and not."""
    view = ImagineView.Goal(object="ball", mode="imagine")
    view.viewpoint.header.frame_id = "base_link"
    view.viewpoint.pose.position.x, view.viewpoint.pose.position.z = 0.6, 1.2
    view.viewpoint.pose.orientation.w = 1.0
    trace = TracePath.Goal(mode="imagine")
    trace.path.header.frame_id = "base_link"
    for x in (0.0, 0.5, 1.0):
        pose = PoseStamped()
        pose.pose.position.x = x
        pose.pose.orientation.w = 1.0
        trace.path.poses.append(pose)
    ask = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="answer")
    count = CountObjects.Goal(category="ball", mode="answer")
    return [(AskSpatial, ask)] * 6 + [
        (CountObjects, count),
        (ImagineView, view),
        (TracePath, trace),
    ]


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def slope(samples: list[tuple[int, float, int]]) -> float:
    """MB per 1,000 questions."""
    count, memory, _ = np.array(samples, float).T
    return float(np.polyfit(count / 1000.0, memory, 1)[0])


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=5000)
    parser.add_argument("--model", default="ipt-tiny")
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    rclpy.init()
    folder = Path(tempfile.mkdtemp())
    sim = NodeProcess("sim_node", {"seed": 850036, "rate": 10.0}, folder / "sim.log")
    ipt = NodeProcess(
        "ipt_node",
        {
            "model": chosen.model,
            "pose_source": "odometry",
            "mounts": list(Scenario.MOUNT),
            "flow_steps": 2,
            "view_max_age_s": 5.0,
            "keyframe_age_s": 3600.0,  # the robot looks around once, for all counts
        },
        folder / "ipt.log",
    )
    asker = Asker(name="soak")
    try:
        robot = Robot(asker)
        robot.wait_until(robot.senses_ready, "camera and map", 60)
        robot.wait_until(lambda: "ready:" in (folder / "ipt.log").read_text(), "the model", 240)
        robot.look_around()
        pid = ipt.process.pid
        kinds = goals()
        ends: Counter[str] = Counter()
        codes: Counter[int] = Counter()
        samples: list[tuple[int, float, int]] = []
        began = time.monotonic()
        every = max(1, min(50, chosen.questions // 30))
        for i in range(chosen.questions):
            action, goal = kinds[i % len(kinds)]
            asked = asker.start(action, goal, timeout_s=60)
            if i % CANCEL_EVERY == CANCELLED:
                asker.cancel(asked)
            try:
                end = asker.finish(asked, timeout_s=60)
            except AskTimeout:
                ends["no result"] += 1
                print(f"question {i}, {action.__name__}: no result", flush=True)
                continue
            ends[STATES.get(end.status, f"not terminal: {end.status}")] += 1
            codes[int(end.result.error_code)] += 1
            if i % every == 0:
                samples.append((i, resident_mb(pid), threads(pid)))
        wall_s = time.monotonic() - began
        ipt.check()
    finally:
        asker.close()
        ipt.stop()
        sim.stop()
    settled = [s for s in samples if s[0] >= chosen.questions // 5]
    late = [s for s in samples if s[0] >= chosen.questions // 2]
    _, memory, running = np.array(settled, float).T
    record = {
        "questions": chosen.questions,
        "wall_s": round(wall_s, 1),
        # allocators fill up for a while; what leaks goes on
        "resident_mb_per_1000_questions": {
            "after a fifth": round(slope(settled), 3),
            "second half": round(slope(late), 3),
        },
        "resident_mb": {"settled": memory[0], "end": memory[-1]},
        "threads": {
            "settled": int(running[0]),
            "end": int(running[-1]),
            "most": int(running.max()),
        },
        "ends": dict(ends),
        "error_codes": {str(k): v for k, v in sorted(codes.items())},
        "samples": [[int(n), round(m, 1), t] for n, m, t in samples],
        "model": chosen.model,
    }
    chosen.out.parent.mkdir(exist_ok=True)
    chosen.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({k: v for k, v in record.items() if k != "samples"}, indent=1))


if __name__ == "__main__":
    main()
