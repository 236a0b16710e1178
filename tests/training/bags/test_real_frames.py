"""Five frames of a real sensor, written as a recording: what is mined of them is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from recorded import STORE, _depth, _info, _picture, _transform
from rosbags.rosbag2 import StoragePlugin, Writer

from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_training.bags.contract import guess
from ipt_training.bags.frames import FrameReader
from ipt_training.bags.mining.questions import mine
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.reading import open_bag
from ipt_training.scenes.camera import Camera

REAL = Path(__file__).parents[4] / "shared" / "data" / "real_rgbd"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real frames are not here")


def write_real(folder: Path) -> Path:
    """Their poses are of the camera in that of the first: the world is turned upright."""
    from scipy.spatial.transform import Rotation

    t: Any = STORE.types
    camera = Camera(640, 480, 518.0, 519.0, 326.0, 254.0)
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}

        def put(topic: str, kind: str, stamp_ns: int, message: Any) -> None:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], stamp_ns, STORE.serialize_cdr(message, kind))

        def header(stamp_ns: int, frame: str) -> Any:
            stamp = t["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
            return t["std_msgs/msg/Header"](stamp, frame)

        for k, line in enumerate((REAL / "pose.txt").read_text().splitlines(), 1):
            values = [float(v) for v in line.split()]
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_quat(values[3:]).as_matrix()
            pose[:3, 3] = values[:3]
            stamp_ns = k * 10**9
            kind = "tf2_msgs/msg/TFMessage"
            moved = _transform(
                t, header(stamp_ns, "odom"), "camera_optical", BODY_FROM_OPTICAL @ pose
            )
            put("/tf", kind, stamp_ns, t[kind]([moved]))
            told = header(stamp_ns, "camera_optical")
            rgb = cv2.imread(str(REAL / f"c{k}.png"))[:, :, ::-1]
            depth = cv2.imread(str(REAL / f"d{k}.pgm"), cv2.IMREAD_UNCHANGED) / 1000
            put("/camera/color/camera_info", *_info(t, stamp_ns, told, camera))
            put("/camera/depth/image", *_depth(t, stamp_ns, told, depth, "16UC1"))
            put("/camera/color/image", *_picture(t, stamp_ns, told, rgb, "rgb8"))
    return folder


def test_real_frames_give_questions_whose_views_are_those_of_the_place(tmp_path: Path) -> None:
    with open_bag(write_real(tmp_path / "real")) as bag:
        reader = FrameReader(bag, guess(bag.topics))
        frames = list(reader.frames())
    assert len(frames) == 5 and not reader.dropped
    made = [example for _, example in mine(frames, Mining(size_px=128))]
    assert len(made) >= 4
    looked_at = 0
    for example in made:
        recalled, view = example.recalled, example.true_view
        assert recalled.share_seen < 0.95
        if recalled.share_seen < 0.1:
            continue
        looked_at += 1
        off = np.abs(recalled.rgb.astype(float) - view)[recalled.seen].mean()
        moved = np.roll(view, 24, axis=1)
        assert off < 45, "what is recalled looks like the place"
        assert off < np.abs(recalled.rgb.astype(float) - moved)[recalled.seen].mean()
    assert looked_at >= 3
