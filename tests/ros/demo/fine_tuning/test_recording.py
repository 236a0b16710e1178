"""What a drive over real DDS records is what the robot saw, from where it was."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("open3d", reason="open3d draws the simulated world")
pytest.importorskip("rosbags", reason="rosbags writes the recordings")
import rclpy

from ipt_ros.demo.fine_tuning.house import HouseDrive, HousePlan
from ipt_ros.demo.fine_tuning.recording import contract_of, robot_setup
from ipt_ros.parameters.sim_node import SIM_PARAMETERS
from ipt_ros.parameters.table import defaults
from ipt_training.bags.contract import Contract
from ipt_training.bags.frames import FrameReader
from ipt_training.bags.reading import open_bag
from ipt_training.commands.bag import main as ipt_bag
from ipt_training.datasets.parquet import Dataset
from ipt_training.houses.generator import make_scene
from ipt_training.houses.looks import dressed
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera

PLAN = HousePlan(850_004, "workshop", places=2)


@pytest.fixture(scope="module")
def recorded(ros_domain, tmp_path_factory):
    """How the drive went, its recording and the contract beside it."""
    folder = tmp_path_factory.mktemp("drive")
    setup = robot_setup()
    rclpy.init(domain_id=ros_domain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(ros_domain))
        try:
            drive = HouseDrive(PLAN, folder / PLAN.name, setup["camera"], folder).run()
        finally:
            rclpy.try_shutdown()
    contract = folder / "contract.yaml"
    contract.write_text(contract_of(setup["mounts"], 0.4).text())
    return drive, folder / PLAN.name, contract


def test_the_recording_is_whole_and_in_its_place(recorded):
    drive, bag, contract = recorded
    assert sorted(p.suffix for p in bag.iterdir()) == [".mcap", ".yaml"]
    assert not list((bag.parent / ".unfinished").iterdir())
    assert drive.reached == 2 and drive.skipped == 0
    with open_bag(bag) as opened:
        Contract.load(contract).check(opened.topics)
        counts = opened.counts
        assert counts["/camera/image"] == drive.pictures > 15
        assert abs(counts["/camera/depth_image"] - counts["/camera/image"]) <= 1
        assert counts["/odom"] > counts["/camera/image"]


def test_each_frame_shows_what_stands_where_its_pose_says(recorded):
    _, bag, contract = recorded
    sim = defaults(SIM_PARAMETERS)
    camera = Camera.from_fov(sim.width, sim.height, sim.horizontal_fov)
    scene = make_scene(PLAN.seed, PLAN.level)
    as_seen, usual = Renderer(dressed(scene, PLAN.look)), Renderer(scene)
    with open_bag(bag) as opened:
        frames = list(FrameReader(opened, Contract.load(contract)).frames())
    assert len(frames) > 10
    for frame in frames:
        true = as_seen.render(frame.world_from_camera, camera)
        assert np.abs(true.rgb.astype(int) - frame.rgb).mean() < 0.5  # grey levels
        assert np.median(np.abs(true.depth_m - frame.depth_m)) < 0.002  # millimetres are whole
    other = usual.render(frames[0].world_from_camera, camera).rgb
    assert np.abs(other.astype(int) - frames[0].rgb).mean() > 20
    # it looked all round where it stood
    yaws = [np.arctan2(f.world_from_camera[1, 2], f.world_from_camera[0, 2]) for f in frames]
    assert len({int(np.degrees(yaw) // 60) for yaw in yaws}) == 6


def test_the_recording_becomes_rows(recorded, tmp_path):
    _, bag, contract = recorded
    arguments = ["convert", str(bag), "--contract", str(contract), "--out", str(tmp_path)]
    assert ipt_bag([*arguments, "--held-out", "1", "--per-frame", "1"]) == 0
    rows = Dataset(tmp_path / "validation")
    assert len(rows) > 5 and "perspective" in set(rows.column("task"))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest[bag.name]["poses_broken"] == 0 and manifest[bag.name]["frames"] > 10
