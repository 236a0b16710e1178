"""How fast a recording becomes rows: `python benchmarks/bag_speed.py [--seconds 20]`.

A robot drives and turns in a made house; 640 x 480 RGB and 16UC1 depth at 10 Hz become MCAP,
about 15 MB a second, and `ipt-bag convert` keeps 2 Hz of them, as always. Wall and processor time
are of the whole command; per GB they are without its start, which a second of the recording tells.
Memory is the most that it held.
A second conversion must give the same bytes. Written to benchmarks/results/bag_speed.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import commit, processor_name

from ipt_training.bags.contract import guess
from ipt_training.bags.converting import digest_of
from ipt_training.bags.frames import read_poses
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.reading import open_bag
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.splits import seeds_of
from ipt_training.tasks.geometry import ObjectTable, free_points

RESULTS = Path(__file__).parent / "results" / "bag_speed.json"
CAMERA = Camera.from_fov(640, 480, math.radians(75))
HZ, HEIGHT_M, PITCH_RAD = 10, 0.9, 0.15
START_NS = 1_700_000_000 * 10**9
COMMAND = "from ipt_training.commands.bag import main; raise SystemExit(main())"


def poses(seconds: int) -> list[tuple[float, float, float]]:
    """x, y, yaw at each picture: a look around at a place, then on to the next."""
    scene = make_scene(seeds_of("test")[0], "room")
    rng = np.random.default_rng(0)
    places = free_points(scene, ObjectTable.of(scene), rng, 40)[:12]
    out = []
    for k in range(seconds * HZ):
        step, share = divmod(k / (4 * HZ), 1.0)  # four seconds a place
        a, b = (places[int(step + one) % len(places)] for one in (0, 1))
        x, y = a + (b - a) * max(0.0, 4 * share - 3)
        out.append((float(x), float(y), 2 * math.pi * (k / (3 * HZ))))
    return out


def write(folder: Path, seconds: int) -> Path:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    t: Any = store.types
    renderer = Renderer(make_scene(seeds_of("test")[0], "room"))
    path = folder / "drive"
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        known: dict[str, Any] = {}

        def put(topic: str, kind: str, stamp_ns: int, message: Any) -> None:
            if topic not in known:
                known[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(known[topic], stamp_ns, store.serialize_cdr(message, kind))

        def header(stamp_ns: int, frame: str) -> Any:
            stamp = t["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
            return t["std_msgs/msg/Header"](stamp, frame)

        def image(stamp_ns: int, pixels: np.ndarray, encoding: str) -> Any:
            rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
            return t["sensor_msgs/msg/Image"](
                header(stamp_ns, "camera"),
                *pixels.shape[:2],
                encoding,
                0,
                rows.shape[1],
                rows.ravel(),
            )

        for k, (x, y, yaw) in enumerate(poses(seconds)):
            stamp_ns = START_NS + k * 10**9 // HZ
            pose = camera_pose(x, y, yaw, HEIGHT_M, PITCH_RAD)
            view = renderer.render(pose, CAMERA)
            put("/tf", "tf2_msgs/msg/TFMessage", stamp_ns, _tf(t, header(stamp_ns, "odom"), pose))
            put("/camera/color/camera_info", *_info(t, stamp_ns, header(stamp_ns, "camera")))
            millimetres = np.rint(1000 * view.depth_m).astype(np.uint16)
            kind = "sensor_msgs/msg/Image"
            put("/camera/depth/image", kind, stamp_ns, image(stamp_ns, millimetres, "16UC1"))
            put("/camera/color/image", kind, stamp_ns, image(stamp_ns, view.rgb, "rgb8"))
    return path


def _tf(t: Any, header: Any, pose: np.ndarray) -> Any:
    from scipy.spatial.transform import Rotation

    x, y, z, w = (float(v) for v in Rotation.from_matrix(pose[:3, :3]).as_quat())
    moved = t["geometry_msgs/msg/Transform"](
        t["geometry_msgs/msg/Vector3"](*(float(v) for v in pose[:3, 3])),
        t["geometry_msgs/msg/Quaternion"](x, y, z, w),
    )
    one = t["geometry_msgs/msg/TransformStamped"](header, "camera", moved)
    return t["tf2_msgs/msg/TFMessage"]([one])


def _info(t: Any, stamp_ns: int, header: Any) -> tuple[str, int, Any]:
    kind = "sensor_msgs/msg/CameraInfo"
    cx, cy = CAMERA.cx - 0.5, CAMERA.cy - 0.5
    k = np.array([CAMERA.fx, 0, cx, 0, CAMERA.fy, cy, 0, 0, 1], float)
    p = np.array([CAMERA.fx, 0, cx, 0, 0, CAMERA.fy, cy, 0, 0, 0, 1, 0], float)
    roi = t["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    size = CAMERA.height, CAMERA.width
    plain = np.zeros(5), k, np.eye(3).ravel(), p, 0, 0, roi
    return kind, stamp_ns, t[kind](header, *size, "plumb_bob", *plain)


def convert(bag: Path, out: Path) -> dict[str, float]:
    """One command: seconds by the wall and of the processor, and its largest memory."""
    begun = time.perf_counter()
    arguments = ["convert", str(bag), "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    return {
        "wall_s": round(time.perf_counter() - begun, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
    }


def fingerprint(out: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(out.rglob("*.parquet")):
        total.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def passes(bag: Path) -> dict[str, float]:
    """Processor seconds of what is done beside reading frames and mining."""
    with open_bag(bag) as opened:
        contract = guess(opened.topics)
        begun = time.process_time()
        read_poses(opened, contract)
        read = time.process_time()
        digest_of(bag, contract, Mining())
    found = {"poses_s": read - begun, "digest_s": time.process_time() - read}
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="of the recording")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small").mkdir()
        bag = write(folder, given.seconds)
        size = sum(path.stat().st_size for path in bag.iterdir())
        start = convert(write(folder / "small", 1), folder / "start")
        first, second = convert(bag, folder / "first"), convert(bag, folder / "second")
        kept = convert(bag, folder / "first")
        manifest = json.loads((folder / "first" / "manifest.json").read_text())["drive"]
        found = {
            "machine": {"processor": processor_name(), "cores": len(os.sched_getaffinity(0))},
            "load_average": round(os.getloadavg()[0], 1),
            "commit": commit(),
            "recording": {"seconds": given.seconds, "gigabytes": round(size / 1e9, 3)},
            "frames": manifest["frames"],
            "rows": manifest["rows"],
            "start": start,
            "conversion": first,
            "again": kept,
            "of_it": passes(bag),
            "wall_s_per_gb": round((first["wall_s"] - start["wall_s"]) / (size / 1e9), 1),
            "cpu_s_per_gb": round((first["cpu_s"] - start["cpu_s"]) / (size / 1e9), 1),
            "second_conversion_same_bytes": fingerprint(folder / "first")
            == fingerprint(folder / "second"),
            "second": second,
        }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
