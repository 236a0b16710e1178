"""Pictures per second of the simulator as a subscriber gets them: `benchmarks/sim_rate.py`.

Starts `sim_node` as a process and counts what arrives over DDS in another: RGB, depth and
camera_info, at 320 x 240 and 640 x 480, alone and while a third process keeps torch busy on every
core. Reliable QoS, so that what is counted is what was made. `asked_hz` 60 is more than it can
give. Writes benchmarks/results/sim_rate.json. On a machine that does other things the rates are
too low; `load_average_before` and `priority` tell. Needs the built package on the path:
`. scripts/environment.sh`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

RESULTS = Path(__file__).parent / "results" / "sim_rate.json"
PACKAGE = "imaginative_perception"
SIZES = ((320, 240), (640, 480))
#: What a model's decoder does most of its time, on all cores, until it is ended.
TORCH_LOAD = """
import torch
model = torch.nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True).eval()
x = torch.randn(1, 1024, 512)
with torch.inference_mode():
    print("busy", flush=True)
    while True:
        model(x)
"""


class Counter(Node):
    """Arrival times of raw messages; nothing is decoded, so that the node alone is measured."""

    def __init__(self, context: rclpy.Context) -> None:
        super().__init__("sim_rate", context=context)
        self.arrivals: dict[str, list[float]] = {}
        for kind, topic in (
            (Image, "camera/image"),
            (Image, "camera/depth_image"),
            (CameraInfo, "camera/camera_info"),
        ):
            times: list[float] = []
            self.arrivals[topic] = times
            self.create_subscription(
                kind,
                topic,
                lambda _, times=times: times.append(time.monotonic()),
                10,
                raw=True,
            )


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def priority() -> str:
    """Whether this session goes before others on the machine: `nice -15` in its autogroup does."""
    group = Path("/proc/self/autogroup")
    return group.read_text().strip() if group.exists() else f"nice {os.nice(0)}"


def measure(size: tuple[int, int], seconds: float, domain_id: int, wanted_hz: float) -> Any:
    """One run: what arrived in `seconds`, after the first pictures."""
    executable = Path(get_package_prefix(PACKAGE)) / "lib" / PACKAGE / "sim_node"
    parameters = {
        "width": size[0],
        "height": size[1],
        "rate": wanted_hz,
        "reliability": "reliable",
    }
    command = [str(executable), "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        executor = SingleThreadedExecutor(context=context)
        try:
            node = Counter(context)
            executor.add_node(node)
            images = node.arrivals["camera/image"]
            deadline = time.monotonic() + 60
            while len(images) < 10:
                executor.spin_once(timeout_sec=0.5)
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    sys.exit(f"sim_node gave no pictures:\n{output.read().decode()}")
            for times in node.arrivals.values():
                times.clear()
            began, cpu = time.monotonic(), cpu_seconds(process.pid)
            while time.monotonic() - began < seconds:
                executor.spin_once(timeout_sec=0.1)
            wall, cpu = time.monotonic() - began, cpu_seconds(process.pid) - cpu
            gaps = [1000 * (b - a) for a, b in itertools.pairwise(images)]
            return {
                "hz": {topic: round(len(t) / wall, 2) for topic, t in node.arrivals.items()},
                "gap_ms": {
                    "median": round(statistics.median(gaps), 1),
                    "p95": round(sorted(gaps)[int(0.95 * len(gaps))], 1),
                    "max": round(max(gaps), 1),
                },
                "sim_node_cores": round(cpu / wall, 2),
                "cpu_ms_per_picture": round(1000 * cpu / len(images), 1),
            }
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            executor.shutdown()
            rclpy.try_shutdown(context=context)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of counting, per run")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    runs = []
    for number, (load, wanted_hz, size) in enumerate(
        itertools.product((None, "torch on every core"), (60.0, 15.0), SIZES)
    ):
        busy = None
        if load:
            busy = subprocess.Popen(
                [sys.executable, "-c", TORCH_LOAD], stdout=subprocess.PIPE, text=True
            )
            assert busy.stdout is not None
            busy.stdout.readline()
        before = os.getloadavg()[0]
        try:
            result = measure(size, arguments.seconds, 1 + (os.getpid() + number) % 100, wanted_hz)
        finally:
            if busy:
                busy.kill()
                busy.wait()
        runs.append(
            {"width": size[0], "height": size[1], "beside": load, "asked_hz": wanted_hz}
            | result
            | {"load_average_before": round(before, 2)}
        )
        print(json.dumps(runs[-1]), flush=True)
    arguments.out.parent.mkdir(exist_ok=True)
    machine = {
        "cores": os.cpu_count(),
        "priority": priority(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "rmw": os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"),
        "transports": os.environ.get("FASTDDS_BUILTIN_TRANSPORTS", "default"),
    }
    report = {"machine": machine, "seconds": arguments.seconds, "runs": runs}
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
