"""How fast the spatial memory is and how often what it calls seen is right.

`python benchmarks/memory_recall.py [--houses 60] [--real FOLDER]` writes
benchmarks/results/memory_recall.json. Three parts: processor time of add and recall, beside
Open3D's voxel block grid; precision of `seen` in test houses, by how far the virtual camera is
from where the robot turned once; and real frames (a folder with c1.png, d1.pgm, ..., pose.txt),
each recalled from the others.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import commit, processor_name
from pages import put
from real_frames import CAMERA, load_frames

from ipt_model.spatial.lens import Lens
from ipt_model.spatial.memory import SpatialMemory
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, View, camera_pose
from ipt_training.scenes.splits import seeds_of
from ipt_training.tasks.geometry import ObjectTable, free_points

RESULTS = Path(__file__).parent / "results" / "memory_recall.json"
PAGE = Path(__file__).parents[1] / "docs" / "memory.md"
SECOND = 10**9
ROBOT = Camera.from_fov(320, 240, math.radians(95))
ASKED = Camera.from_fov(128, 128, math.radians(90))
SIZE = (ASKED.height, ASKED.width)
RUNS = 30


def milliseconds(work: Callable[[], Any]) -> dict[str, float]:
    """Processor time of one run: median and slowest of RUNS."""
    took = []
    for _ in range(RUNS):
        begun = time.process_time()
        work()
        took.append(1e3 * (time.process_time() - begun))
    return {"median": round(float(np.median(took)), 2), "slowest": round(max(took), 2)}


class House:
    """A test house, a robot's height and places where it may stand."""

    def __init__(self, seed: int) -> None:
        self.scene = make_scene(seed, "house")
        self.renderer = Renderer(self.scene)
        self.rng = np.random.default_rng(seed)
        self.places = free_points(self.scene, ObjectTable.of(self.scene), self.rng, 60)
        self.height = float(self.rng.uniform(0.6, 1.4))
        self.pitch = float(self.rng.uniform(0.05, 0.25))

    def pose(self, place: int, yaw: float) -> np.ndarray:
        x, y = self.places[place % len(self.places)]
        return camera_pose(float(x), float(y), yaw, self.height, self.pitch)

    def sees(self, at: np.ndarray, poses: list[np.ndarray]) -> bool:
        return any(self.renderer.sees(at[None, :3, 3], p, slack_m=-0.1)[0] for p in poses)


def walked(number: int) -> tuple[House, list[tuple[View, np.ndarray]]]:
    """Views of a robot that looks around at one place after the other."""
    house = House(seeds_of("test")[0])
    poses = [house.pose(k // 4, k * math.pi / 2 + 0.1 * k) for k in range(number)]
    return house, [(house.renderer.render(pose, ROBOT), pose) for pose in poses]


def filled(views: list[tuple[View, np.ndarray]]) -> SpatialMemory:
    memory = SpatialMemory()
    for k, (view, pose) in enumerate(views):
        memory.add(view.rgb, view.depth_m, ROBOT, pose, k * SECOND)
    return memory


def speed() -> dict[str, Any]:
    house, views = walked(64)
    memory, found = SpatialMemory(), {}
    took: list[float] = []
    for k, (view, pose) in enumerate(views, 1):
        begun = time.process_time()
        memory.add(view.rgb, view.depth_m, ROBOT, pose, k * SECOND)
        took.append(1e3 * (time.process_time() - begun))
        if k not in (4, 16, 64):
            continue
        asked = iter([house.pose(n, 0.7 * n) for n in range(RUNS)])
        last = took[-max(4, k // 4) :]
        found[f"{k} views"] = {
            "kept": len(memory),
            "megabytes": round(memory.n_bytes / 2**20, 1),
            "add_ms": {
                "median": round(float(np.median(last)), 2),
                "slowest": round(max(last), 2),
            },
            "recall_ms": milliseconds(lambda asked=asked: memory.recall(next(asked), ASKED, SIZE)),
        }
    return found


def open3d_speed(number: int = 16) -> dict[str, Any]:
    """The same views fused into voxels of 3 cm, and cast into the same picture."""
    import open3d as o3d
    import open3d.core as o3c

    _, views = walked(number)
    device = o3c.Device("CPU:0")
    intrinsic = _matrix(ROBOT, o3c)
    took = []

    def fuse() -> Any:
        grid = o3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight", "color"),
            (o3c.float32, o3c.float32, o3c.float32),
            ((1), (1), (3)),
            0.03,
            8,
            20000,
            device,
        )
        for view, pose in views:
            depth = o3d.t.geometry.Image(np.ascontiguousarray(view.depth_m))
            colour = o3d.t.geometry.Image(np.ascontiguousarray(view.rgb.astype(np.float32) / 255))
            extrinsic = o3c.Tensor(np.linalg.inv(pose))
            begun = time.process_time()
            blocks = grid.compute_unique_block_coordinates(depth, intrinsic, extrinsic, 1.0, 12.0)
            grid.integrate(blocks, depth, colour, intrinsic, intrinsic, extrinsic, 1.0, 12.0)
            took.append(1e3 * (time.process_time() - begun))
        return grid

    grid = fuse()
    blocks = grid.hashmap().key_tensor()
    # places that the robot has been at: from others its ray casting may not come back
    asked = iter([views[k % number][1] for k in range(RUNS)])
    lens = _matrix(ASKED, o3c)

    def cast() -> None:
        grid.ray_cast(
            blocks,
            lens,
            o3c.Tensor(np.linalg.inv(next(asked))),
            *SIZE[::-1],
            ["depth", "color"],
            1.0,
            0.1,
            12.0,
            1.0,
        )

    return {
        "voxel_m": 0.03,
        "add_ms": {"median": round(float(np.median(took)), 2), "slowest": round(max(took), 2)},
        "recall_ms": milliseconds(cast),
        "note": "no line of sight and no correction of what moved: both would come on top",
    }


def _matrix(camera: Camera, o3c: Any) -> Any:
    # Open3D counts pixel centres from 0
    return o3c.Tensor(
        np.array([[camera.fx, 0, camera.cx - 0.5], [0, camera.fy, camera.cy - 0.5], [0, 0, 1.0]])
    )


def precision(houses: int) -> dict[str, Any]:
    """One turn on the spot in four views; then any view from a place that the robot could see."""
    rows: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
    for seed in seeds_of("test")[:houses]:
        house = House(seed)
        start = float(house.rng.uniform(-math.pi, math.pi))
        poses = [house.pose(0, start + k * math.pi / 2) for k in range(4)]
        memory = filled([(house.renderer.render(p, ROBOT), p) for p in poses])
        for k in range(1, len(house.places)):
            asked = house.pose(k, float(house.rng.uniform(-math.pi, math.pi)))
            away = float(np.linalg.norm(asked[:2, 3] - poses[0][:2, 3]))
            if away > 3.0 or not house.sees(asked, poses):
                continue
            true = house.renderer.render(asked, ASKED)
            found = memory.recall(asked, ASKED, SIZE)
            right = np.abs(found.depth_m - true.depth_m) < 0.15 + 0.05 * true.depth_m
            name = f"{math.floor(away)} to {math.floor(away) + 1} m"
            row = (found.share_seen, int((found.seen & right).sum()), int(found.seen.sum()))
            rows[name].append(row)
            rows["all"].append(row)
    return {name: _summary(rows[name]) for name in sorted(rows)}


def _summary(rows: list[tuple[float, int, int]]) -> dict[str, Any]:
    share, right, seen = (np.array(column, float) for column in zip(*rows, strict=True))
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(rows), (2000, len(rows)))
    spread = right[draws].sum(1) / seen[draws].sum(1)
    return {
        "n": len(rows),
        "share_seen": round(float(share.mean()), 4),
        "right_in_depth": round(float(right.sum() / seen.sum()), 5),
        "interval_95": [round(float(v), 5) for v in np.quantile(spread, (0.025, 0.975))],
    }


def real(folder: Path) -> dict[str, Any]:
    """Each frame recalled from the other four, beside what one frame's depth moved alone gives."""
    frames = load_frames(folder, CAMERA.width)
    lens = Lens.of(CAMERA)
    poses = [frame.world_from_camera for frame in frames]
    depths = [frame.depth_m for frame in frames]
    each = []
    for k, (depth, pose) in enumerate(zip(depths, poses, strict=True)):
        memory = SpatialMemory()
        for j, frame in enumerate(frames):
            if j != k:
                memory.add(frame.rgb, frame.depth_m, lens, poses[j], j * 60 * SECOND)
        small = Lens.of(lens, 0.5, 0.5)
        found = memory.recall(pose, small, (240, 320))
        true = depth[::2, ::2]
        both = found.seen & (true > 0)
        error = np.abs(found.depth_m - true)[both]
        each.append(
            {
                "share_seen": round(found.share_seen, 3),
                "median_depth_error_m": round(float(np.median(error)), 4) if both.any() else None,
                "views_kept": len(memory),
            }
        )
    return {"between_frames_m": _between(depths, poses, lens), "recalled": each}


def _between(depths: list[np.ndarray], poses: list[np.ndarray], lens: Lens) -> list[float]:
    """The sensor's own disagreement: median error of one frame's depth moved to another's place,
    for each frame from the one that agrees best."""
    found = []
    for k, (depth, pose) in enumerate(zip(depths, poses, strict=True)):
        errors = []
        for j, (other, place) in enumerate(zip(depths, poses, strict=True)):
            if j == k:
                continue
            v, u = np.nonzero(other)
            z = other[v, u]
            x, y = (u + 0.5 - lens.cx) / lens.fx * z, (v + 0.5 - lens.cy) / lens.fy * z
            moved = np.linalg.inv(pose) @ place @ np.stack([x, y, z, np.ones_like(z)])
            front = moved[2] > 0.1
            a, b, z = (n[front] for n in moved[:3])
            a = np.floor(a / z * lens.fx + lens.cx).astype(int)
            b = np.floor(b / z * lens.fy + lens.cy).astype(int)
            inside = (a >= 0) & (b >= 0) & (a < depth.shape[1]) & (b < depth.shape[0])
            there, z = depth[b[inside], a[inside]], z[inside]
            if (there > 0).sum() > 1000:
                errors.append(float(np.median(np.abs(there - z)[there > 0])))
        found.append(round(min(errors), 4) if errors else float("nan"))
    return found


def table(record: dict[str, Any]) -> str:
    """For docs/memory.md."""
    rows = [
        "| views of 320 x 240 | kept | MB | add, ms | recall at 128 px, ms |",
        "|---|---|---|---|---|",
    ]
    for name, one in record["speed"].items():
        add, recall = (one[k]["median"] for k in ("add_ms", "recall_ms"))
        rows.append(f"| {name} | {one['kept']} | {one['megabytes']} | {add} | {recall} |")
    peer = record["open3d_voxel_block_grid"]
    add, recall = (peer[k]["median"] for k in ("add_ms", "recall_ms"))
    rows.append(f"| Open3D's voxel block grid, 16 views, 3 cm | | | {add} | {recall} |")
    rows += [
        "",
        "Median processor time on one core. Open3D's has no line of sight and no correction of "
        "what moved.",
        "",
        "| camera from where the robot turned once | n | share seen | right in depth (95 %) |",
        "|---|---|---|---|",
    ]
    for name, one in record["test_houses"].items():
        low, high = (100 * v for v in one["interval_95"])
        rows.append(
            f"| {name} | {one['n']} | {100 * one['share_seen']:.0f} % | "
            f"{100 * one['right_in_depth']:.2f} % ({low:.2f}-{high:.2f}) |"
        )
    rows += ["", "Right means within 0.15 m + 5 % of the true depth."]
    if "real_frames" in record:
        found = record["real_frames"]
        errors = [one["median_depth_error_m"] for one in found["recalled"]]
        own = found["between_frames_m"]
        rows += [
            "",
            f"Five real frames of a hand-held camera, each recalled from the other four: median "
            f"depth error {_list(errors)} m. Between it and the frame that agrees best, with "
            f"nothing but the poses, it is {_list(own)} m.",
        ]
    return "\n".join(rows)


def _list(values: list[float | None]) -> str:
    return ", ".join("none in common" if v is None else f"{v:.3f}" for v in values)


def _peer() -> dict[str, Any]:
    """In a process of its own: now and then Open3D's ray casting does not come back."""
    command = [sys.executable, __file__, "--peer"]
    for _ in range(5):
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    raise SystemExit("Open3D's ray casting did not come back in five tries")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--houses", type=int, default=60)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--peer", action="store_true", help="Open3D alone; prints its JSON")
    given = parser.parse_args()
    if given.peer:
        print(json.dumps(open3d_speed()))
        return
    record: dict[str, Any] = {
        "machine": processor_name(),
        "commit": commit(),
        "pictures": "robot 320 x 240 at 95 degrees, asked 128 x 128 at 90 degrees",
        "speed": speed(),
        "open3d_voxel_block_grid": _peer(),
        "test_houses": precision(given.houses),
    }
    if given.real is not None:
        record["real_frames"] = real(given.real)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "recall", table(record))
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
