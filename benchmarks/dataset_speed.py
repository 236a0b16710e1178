"""How fast views and examples are made on this machine: `python benchmarks/dataset_speed.py`.

Views per second by size (RGB, depth and instance ids of one pose), each renderer in a process with
one thread, by turns on the same scenes: ours (Embree) and MuJoCo's where it is
installed (`pip install mujoco`; MUJOCO_GL=egl or osmesa without a display). Then examples per
second by task, in one process and with all cores. Written to
benchmarks/results/dataset_speed.json and, as tables, to docs/datasets.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import mujoco_peer
import numpy as np
from machine import processor_name
from pages import put

from ipt_training.datasets.generate import make_example, write_dataset
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.datasets.supervision import row_from_example
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.scene import Scene
from ipt_training.tasks import TASKS
from ipt_training.tasks.geometry import ObjectTable, free_points
from ipt_training.tasks.sampling import Rejections

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "datasets.md"
RESULTS = ROOT / "benchmarks" / "results" / "dataset_speed.json"
FOV = math.radians(85)
#: Side in pixels: scenes, and views of each.
SIZES = {64: (12, 16), 128: (12, 16), 256: (6, 12), 512: (3, 8)}
#: The peer is also asked for pictures without shadows and smooth edges, as fast as it can.
EMBREE, PEER, PEER_PLAIN = "embree", "mujoco", "mujoco, plain"


def scenes_and_poses(level: str, scenes: int, number: int) -> list[tuple[Scene, list[np.ndarray]]]:
    """Scenes with poses a robot might look from."""
    out = []
    for seed in range(scenes):
        scene = make_scene(seed, level)
        rng = np.random.default_rng(seed)
        points = free_points(scene, ObjectTable.of(scene), rng, 8 * number)[:number]
        yaws = rng.uniform(-math.pi, math.pi, len(points))
        poses = [
            camera_pose(x, y, float(yaw), 1.0, 0.15)
            for (x, y), yaw in zip(points, yaws, strict=True)
        ]
        out.append((scene, poses))
    return out


def embree(scene: Scene, poses: list[np.ndarray], size: int) -> float:
    """Draw all poses; seconds without building shadow map and ray tree."""
    camera = Camera.from_fov(size, size, FOV)
    renderer = Renderer(scene)
    renderer.cast_views(poses[:1], camera)
    begin = time.perf_counter()
    for pose in poses:
        renderer.render(pose, camera)
    return time.perf_counter() - begin


def views(subject: str, level: str, size: int, scenes: int, number: int) -> dict[str, float]:
    """Views per second of one renderer, in the process that calls this."""
    draw: dict[str, Callable[[Scene, list[np.ndarray]], float]] = {
        EMBREE: lambda scene, poses: embree(scene, poses, size),
        PEER: lambda scene, poses: mujoco_peer.draw(scene, poses, size, FOV),
        PEER_PLAIN: lambda scene, poses: mujoco_peer.draw(scene, poses, size, FOV, plain=True),
    }
    made = scenes_and_poses(level, scenes, number)
    draw[subject](made[0][0], made[0][1][:1])  # loading libraries is not drawing
    drawing = 0.0
    wall, processor = time.perf_counter(), time.process_time()
    for scene, poses in made:
        drawing += draw[subject](scene, poses)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    items = sum(len(poses) for _, poses in made)
    return {
        "views": items,
        "per_second": round(items / wall, 2),
        "per_processor_second": round(items / processor, 2),
        "per_second_without_set_up": round(items / drawing, 2),
    }


def same_ids(level: str, size: int) -> float:
    """How far the peer's picture is ours."""
    scenes, poses = zip(*scenes_and_poses(level, 4, 4), strict=True)
    return mujoco_peer.same_ids(list(scenes), list(poses), size, FOV)


class Subjects:
    """Renderers, each in a process of its own; one that fails once is not asked again."""

    def __init__(self, peer: bool) -> None:
        self.names = [EMBREE, *([PEER, PEER_PLAIN] if peer else [])]
        spawn = multiprocessing.get_context("spawn")
        self._pools = {name: ProcessPoolExecutor(1, spawn) for name in self.names}
        self.absent: dict[str, str] = {}
        if not peer:
            self.absent[PEER] = "not asked for, or mujoco is not installed (pip install mujoco)"

    def ask(self, name: str, what: Callable[..., Any], *values: Any) -> Any:
        """What the process says; None, and a reason kept, when it cannot."""
        if name in self.absent:
            return None
        try:
            return self._pools[name].submit(what, *values).result(900)
        except Exception as error:  # whatever a GL stack throws, or its death, is the result
            self.absent[name] = f"{type(error).__name__}: {error}"
            return None

    def close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown()


def all_views(subjects: Subjects, sizes: list[int], rounds: int) -> dict[str, Any]:
    """{level and size: {renderer: medians over the rounds}}."""
    found: dict[str, Any] = {}
    for level in ("room", "house"):
        for size in sizes:
            scenes, number = SIZES[size]
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in subjects.names}
            for _ in range(rounds):
                for name in subjects.names:
                    made = subjects.ask(name, views, name, level, size, scenes, number)
                    runs[name] += [made] if made else []
            entry: dict[str, Any] = {
                name: {key: median(run[key] for run in made) for key in made[0]}
                for name, made in runs.items()
                if made
            }
            if PEER in entry:
                entry["same ids, share"] = subjects.ask(PEER, same_ids, level, size)
            found[f"{level} {size} px"] = entry
            print(level, size, json.dumps(entry), flush=True)
    return found


def examples(task: str, level: str, size: int, count: int) -> dict[str, float]:
    """Finding, rendering and encoding examples of one task, in this process."""
    plan = DatasetPlan(count, size, ((task, 1.0),), level=level)
    slots = plan.slots()
    rejections = Rejections()
    make_example(plan, slots, 0, Rejections())
    wall, processor = time.perf_counter(), time.process_time()
    for i in range(count):
        example = make_example(plan, slots, i, rejections)
        row_from_example(example, index=i, split="train", level=level)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        "examples": count,
        "per_second": round(count / wall, 2),
        "per_processor_second": round(count / processor, 2),
    }


def all_cores(tasks: list[str], size: int, count: int, workers: int) -> dict[str, float]:
    """The whole command's work, starting its workers and writing files included."""
    mix = tuple((task, 1.0) for task in tasks)
    with tempfile.TemporaryDirectory() as folder:
        wall = time.perf_counter()
        plan = DatasetPlan(count, size, mix, shards=min(count, 8 * workers))
        made = write_dataset(plan, Path(folder) / "data", workers=workers)
        wall = time.perf_counter() - wall
    return {
        "examples": made.rows,
        "workers": workers,
        "per_second": round(made.rows / wall, 2),
        "bytes_per_example": round(made.size_bytes / made.rows),
    }


def tables(result: dict[str, Any]) -> str:
    """What the documentation shows of the result."""
    names = [EMBREE, PEER, PEER_PLAIN]
    names = [name for name in names if any(name in entry for entry in result["views"].values())]
    lines = [
        f"On {result['machine']['processor']}, from "
        "[dataset_speed.json](../benchmarks/results/dataset_speed.json): views with RGB, depth "
        "and ids (*plain*: without shadows and smooth edges), and examples.",
        "",
        f"| views a second, one thread | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for key, entry in result["views"].items():
        cells = [
            f"{entry[n]['per_second_without_set_up']:.0f}" if n in entry else "" for n in names
        ]
        lines.append(f"| {key} | {' | '.join(cells)} |")
    for name, why in result["absent"].items():
        lines += ["", f"{name}: {why}"]
    workers = result["machine"]["cores"]
    lines += ["", f"| examples a second | one process | {workers} processes |", "|---|---|---|"]
    for key, entry in result["examples"].items():
        many = result["all_cores"].get(key)
        one = f"{entry['per_second']:.1f}"
        lines.append(
            f"| {key} | {one} | {many['per_second']:.1f} |" if many else f"| {key} | {one} | |"
        )
    for key, many in result["all_cores"].items():
        if key not in result["examples"]:
            lines.append(f"| {key} | | {many['per_second']:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=120, help="examples per measurement")
    parser.add_argument("--rounds", type=int, default=3, help="by turns, of every renderer")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--skip-peer", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    peer = not args.skip_peer and importlib.util.find_spec("mujoco") is not None
    result: dict[str, Any] = {
        "machine": {
            "processor": processor_name(),
            "cores": args.workers,
            "python": platform.python_version(),
            "load_before": round(os.getloadavg()[0], 2),
            "mujoco": importlib.metadata.version("mujoco") if peer else "",
            "mujoco_gl": os.environ.get("MUJOCO_GL", ""),
        },
    }
    subjects = Subjects(peer)
    result["views"] = all_views(subjects, args.sizes, args.rounds)
    result["absent"] = subjects.absent
    subjects.close()
    result["examples"], result["all_cores"] = {}, {}
    names = [task.value for task in TASKS]
    for size, level, count in (
        (64, "room", args.count),
        (128, "room", args.count),
        (512, "room", max(12, args.count // 8)),
        (128, "house", max(12, args.count // 4)),
    ):
        for task in names:
            key = f"{task}, {level}, {size} px"
            result["examples"][key] = examples(task, level, size, count)
            print(key, json.dumps(result["examples"][key]), flush=True)
    for key, tasks, size, count in (
        *((f"{task}, room, 128 px", [task], 128, 4 * args.count) for task in names),
        ("all tasks, room, 128 px", names, 128, 8 * args.count),
        ("all tasks, room, 512 px", names, 512, 4 * args.count),
    ):
        result["all_cores"][key] = all_cores(tasks, size, count, args.workers)
        print(key, json.dumps(result["all_cores"][key]), flush=True)
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    if args.out == RESULTS:
        put(PAGE, "speed", tables(result))
    else:
        print(tables(result))


if __name__ == "__main__":
    main()
