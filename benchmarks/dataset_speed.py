"""How fast views and examples are made on this machine: `python benchmarks/dataset_speed.py`.

Views per second by size (RGB, depth and instances of one pose), against MuJoCo's renderer on the
same scenes where it is installed (`pip install mujoco`; MUJOCO_GL=egl or osmesa without a
display), then examples per second by task, in one process and with all cores. Wall and processor
time are both written to benchmarks/results/dataset_speed.json: on a machine that does other
things, the second is the one to compare.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ipt_training.datasets.generate import make_example, write_dataset
from ipt_training.datasets.plan import Plan
from ipt_training.datasets.supervision import row_from_example
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.embree import Renderer
from ipt_training.scenes.generator import make_scene
from ipt_training.scenes.scene import SHAPES, Scene
from ipt_training.scenes.solids import solids_of
from ipt_training.tasks import TASKS
from ipt_training.tasks.geometry import ObjectTable, free_points
from ipt_training.tasks.sampling import Rejections

FOV = math.radians(85)


def views_of(scene: Scene, number: int) -> list[np.ndarray]:
    """Poses a robot might look from."""
    rng = np.random.default_rng(scene.seed)
    points = free_points(scene, ObjectTable.of(scene), rng, 8 * number)[:number]
    return [
        camera_pose(x, y, float(yaw), 1.0, 0.15)
        for (x, y), yaw in zip(points, rng.uniform(-3.14, 3.14, len(points)), strict=True)
    ]


def timed(work: Callable[[], int]) -> dict[str, float]:
    """Items per second of wall and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    items = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        "items": items,
        "per_second": round(items / wall, 2),
        "per_processor_second": round(items / processor, 2),
    }


class Clock:
    """Seconds spent in the blocks it is entered for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self._since


def embree_views(level: str, size: int, scenes: int, number: int) -> dict[str, float]:
    """Ours, building the renderer of each scene included."""
    made = [make_scene(seed, level) for seed in range(scenes)]
    poses = [views_of(scene, number) for scene in made]
    camera = Camera.from_fov(size, size, FOV)
    Renderer(made[0]).render(poses[0][0], camera)  # loading open3d is not drawing

    drawing = Clock()

    def work() -> int:
        drawn = 0
        for scene, here in zip(made, poses, strict=True):
            renderer = Renderer(scene)
            renderer.cast_views(here[:1], camera)  # builds the ray tree
            with drawing:
                for pose in here:
                    renderer.render(pose, camera)
                    drawn += 1
        return drawn

    found = timed(work)
    return {**found, "per_second_without_set_up": round(found["items"] / drawing.seconds, 2)}


def mujoco_model(scene: Scene, poses: list[np.ndarray], size: int) -> Any:
    """The same solids, floor and cameras as a MuJoCo model. Cones are meshes there."""
    import mujoco

    solids = solids_of(scene)
    turn = np.arange(24) * 2 * math.pi / 24
    ring = [f"{0.5 * math.cos(a):.4f} {0.5 * math.sin(a):.4f} -0.5" for a in turn]
    cone = " ".join([*ring, "0 0 0.5"])
    meshes, geoms = [], []
    for i in range(len(solids)):
        shape = SHAPES[int(solids.shape[i])]
        sx, sy, sz = (float(v) for v in solids.size[i])
        r, g, b = (float(v) for v in solids.colour[i])
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, solids.rotation[i].reshape(9))
        place = (
            f'pos="{" ".join(f"{v:.5f}" for v in solids.position[i])}" '
            f'quat="{" ".join(f"{v:.6f}" for v in quat)}" rgba="{r:.3f} {g:.3f} {b:.3f} 1" '
            'contype="0" conaffinity="0"'
        )
        if shape == "cone":
            meshes.append(f'<mesh name="m{i}" vertex="{cone}" scale="{sx} {sy} {sz}"/>')
            geoms.append(f'<geom type="mesh" mesh="m{i}" {place}/>')
        else:
            half = {
                "box": f"{sx / 2} {sy / 2} {sz / 2}",
                "cylinder": f"{sx / 2} {sz / 2}",
                "sphere": f"{sx / 2}",
            }[shape]
            geoms.append(f'<geom type="{shape}" size="{half}" {place}/>')
    cameras = []
    for k, pose in enumerate(poses):
        # MuJoCo's camera looks along -z with y up
        right, up = pose[:3, 0], -pose[:3, 1]
        axes = " ".join(f"{v:.6f}" for v in (*right, *up))
        at = " ".join(f"{v:.5f}" for v in pose[:3, 3])
        cameras.append(
            f'<camera name="c{k}" pos="{at}" xyaxes="{axes}" fovy="{math.degrees(FOV)}"/>'
        )
    lights = "".join(
        f'<light directional="true" dir="{-d[0]} {-d[1]} {-d[2]}" diffuse="{s} {s} {s}"/>'
        for d, s in ((lamp.direction, lamp.intensity) for lamp in scene.lights)
    )
    xml = f"""<mujoco><visual><global offwidth="{size}" offheight="{size}"/>
      <map znear="0.01" zfar="50"/><quality shadowsize="1024" offsamples="4"/></visual>
      <asset>{"".join(meshes)}</asset>
      <worldbody>{lights}<geom type="plane" size="20 20 0.1" rgba="0.6 0.6 0.6 1"/>
      {"".join(geoms)}{"".join(cameras)}</worldbody></mujoco>"""
    return mujoco.MjModel.from_xml_string(xml)


def mujoco_views(
    level: str, size: int, scenes: int, number: int, everything: bool
) -> dict[str, float]:
    """The peer, its model and renderer per scene included. everything: depth and ids too."""
    import mujoco

    made = [make_scene(seed, level) for seed in range(scenes)]
    poses = [views_of(scene, number) for scene in made]

    drawing = Clock()

    def work() -> int:
        drawn = 0
        for scene, here in zip(made, poses, strict=True):
            model = mujoco_model(scene, here, size)
            data = mujoco.MjData(model)
            mujoco.mj_forward(model, data)
            with mujoco.Renderer(model, size, size) as renderer, drawing:
                for k in range(len(here)):
                    for product in ("rgb", "depth", "segmentation")[: 3 if everything else 1]:
                        renderer.disable_depth_rendering()
                        renderer.disable_segmentation_rendering()
                        if product == "depth":
                            renderer.enable_depth_rendering()
                        elif product == "segmentation":
                            renderer.enable_segmentation_rendering()
                        renderer.update_scene(data, camera=f"c{k}")
                        renderer.render()
                    drawn += 1
        return drawn

    found = timed(work)
    return {**found, "per_second_without_set_up": round(found["items"] / drawing.seconds, 2)}


def same_picture(level: str, size: int = 128) -> float:
    """Share of pixels on which both renderers see an object, over pixels where either does."""
    import mujoco

    agree = []
    for seed in range(4):
        scene = make_scene(seed, level)
        poses = views_of(scene, 4)
        camera = Camera.from_fov(size, size, FOV)
        model = mujoco_model(scene, poses, size)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        ids = solids_of(scene).instance
        ours = Renderer(scene)
        with mujoco.Renderer(model, size, size) as renderer:
            renderer.enable_segmentation_rendering()
            for k, pose in enumerate(poses):
                renderer.update_scene(data, camera=f"c{k}")
                geom = renderer.render()[..., 0]
                theirs = np.where(geom >= 1, ids[np.clip(geom - 1, 0, len(ids) - 1)], -9)
                mine = ours.render(pose, camera).instance
                either = (mine >= 0) | (theirs >= 0)
                if either.any():
                    agree.append(float((mine == theirs)[either].mean()))
    return round(float(np.mean(agree)), 4)


def examples(task: str, level: str, size: int, count: int) -> dict[str, float]:
    """Finding, rendering and encoding examples of one task, in this process."""
    plan = Plan(count, size, ((task, 1.0),), level=level)
    slots = plan.slots()
    rejections = Rejections()
    make_example(plan, slots, 0, Rejections())

    def work() -> int:
        for i in range(count):
            example = make_example(plan, slots, i, rejections)
            row_from_example(example, index=i, split="train", level=level)
        return count

    return timed(work)


def all_cores(level: str, size: int, count: int, workers: int) -> dict[str, float]:
    """The whole command's work on a mix of all tasks, files written."""
    with tempfile.TemporaryDirectory() as folder:
        wall = time.perf_counter()
        plan = Plan(count, size, level=level, shards=4 * workers)
        made = write_dataset(plan, Path(folder) / "data", workers=workers)
        wall = time.perf_counter() - wall
        return {
            "examples": made.rows,
            "workers": workers,
            "per_second": round(made.rows / wall, 2),
            "seconds_for_20000": round(20000 * wall / made.rows),
            "bytes_per_example": round(made.size_bytes / made.rows),
        }


def _peer(level: str, size: int, scenes: int, number: int) -> dict[str, Any]:
    """In a process of its own: a GL library that is missing may end it."""
    if multiprocessing.get_start_method(allow_none=True) is None:
        multiprocessing.set_start_method("spawn")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            found: dict[str, Any] = {
                "rgb": pool.apply_async(mujoco_views, (level, size, scenes, number, False)).get(
                    300
                ),
                "rgb, depth, ids": pool.apply_async(
                    mujoco_views, (level, size, scenes, number, True)
                ).get(300),
            }
            if size == 128:
                found["same ids as ours, share"] = pool.apply_async(same_picture, (level,)).get(
                    300
                )
        except Exception as error:  # whatever a GL stack throws is the honest result here
            return {"absent": f"{type(error).__name__}: {error}"}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=120, help="examples per measurement")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--skip-peer", action="store_true")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "dataset_speed.json"
    )
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    result: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load_before": round(os.getloadavg()[0], 2),
            "mujoco_gl": os.environ.get("MUJOCO_GL", ""),
        },
        "views": {},
        "examples": {},
        "all_cores": {},
    }
    for level in ("room", "house"):
        for size, scenes, number in ((64, 12, 16), (128, 12, 16), (512, 3, 8)):
            key = f"{level} {size} px"
            entry = {"ours (rgb, depth, ids)": embree_views(level, size, scenes, number)}
            if not args.skip_peer:
                entry["mujoco"] = _peer(level, size, scenes, number)
            result["views"][key] = entry
            print(key, json.dumps(entry), flush=True)
    for size, level, count in (
        (64, "room", args.count),
        (128, "room", args.count),
        (512, "room", max(12, args.count // 8)),
        (128, "house", max(12, args.count // 4)),
    ):
        for task in TASKS:
            key = f"{task.value} {level} {size} px"
            result["examples"][key] = examples(task.value, level, size, count)
            print(key, json.dumps(result["examples"][key]), flush=True)
    for size, count in ((128, 4 * args.count), (512, args.count)):
        result["all_cores"][f"room {size} px"] = all_cores("room", size, count, args.workers)
        print(size, json.dumps(result["all_cores"][f"room {size} px"]), flush=True)
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
