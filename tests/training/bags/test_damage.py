"""Recordings and shards that are damaged anywhere: an error that names them or true rows, never a
crash, a hang, gigabytes of memory or a wrong row. IPT_DAMAGED says how many files of each kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from recorded import FOV, Layout, drive, write_bag
from rosbags.rosbag2 import StoragePlugin

from ipt_training.bags.converting import convert
from ipt_training.bags.mining.window import Mining
from ipt_training.scenes.camera import Camera

COUNT = int(os.environ.get("IPT_DAMAGED", "40"))
pytestmark = [pytest.mark.slow(60), pytest.mark.timeout(600 + 20 * COUNT)]
SEED = int(os.environ.get("IPT_DAMAGED_SEED", "0"))
LAYOUTS = {
    "mcap": Layout(),
    "mcap_zstd": Layout(compressed=True, depths="32FC1"),
    "sqlite": Layout(storage=StoragePlugin.SQLITE3),
    "sqlite_zstd": Layout(storage=StoragePlugin.SQLITE3, compressed=True, pictures="jpeg"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Recordings of some kB: pictures of 32 x 24."""
    made = drive()
    ten = slice(0, 10)
    small = type(made)(
        made.bases[ten],
        [cv2.resize(p, (32, 24), interpolation=cv2.INTER_AREA) for p in made.colour[ten]],
        [cv2.resize(d, (32, 24), interpolation=cv2.INTER_NEAREST) for d in made.depth[ten]],
        Camera.from_fov(32, 24, FOV),
    )
    folder = tmp_path_factory.mktemp("tiny")
    found = {name: write_bag(folder / name, layout, small) for name, layout in LAYOUTS.items()}
    found["mcap"] = next(found["mcap"].glob("*.mcap"))
    found["sqlite"] = next(found["sqlite"].glob("*.db3"))
    return found


def run(kind: str, source: Path) -> dict:
    command = [sys.executable, str(Path(__file__).with_name("damage.py")), kind, str(source)]
    done = subprocess.run([*command, str(SEED), str(COUNT)], capture_output=True, text=True)
    assert done.returncode == 0, f"died: {done.stderr[-2000:]}"
    said = json.loads(done.stdout.splitlines()[-1])
    print(source.name, said["ended"], f"{said['peak_bytes'] / 1e6:.0f} MB")
    assert not said["faults"], "\n".join(said["faults"][:3])
    assert said["peak_bytes"] < 1_000_000_000
    return said["ended"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_damaged_recordings_are_refused_or_give_true_rows(tiny, name: str) -> None:
    ended = run("bag", tiny[name])
    assert sum(ended.values()) == COUNT
    assert ended["refused"] and ended.get("whole", 0) + ended.get("left some out", 0), ended


def test_damaged_shards_are_refused_or_give_the_same_rows(tiny, tmp_path) -> None:
    found = convert(tiny["mcap"], tmp_path, None, Mining(16))
    part = max(
        found.parts, key=lambda part: next(tmp_path.rglob(f"*{Path(part).name}")).stat().st_size
    )
    ended = run("rows", next(tmp_path.rglob(f"*{part.replace('/', '.', 1)}")))
    assert sum(ended.values()) == COUNT and ended["refused"]


def test_damage_changes_files(tiny) -> None:
    from damage import damaged

    data = tiny["mcap"].read_bytes()
    made = [damaged(data, np.random.default_rng(k)) for k in range(50)]
    assert sum(one != data for one in made) > 45
