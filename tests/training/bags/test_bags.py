"""From a recording to rows: every layout gives the same rows, and what is wrong is named or
counted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from recorded import MOUNT, START_NS, STEP_NS, Layout, drive, write_bag
from rosbags.rosbag2 import StoragePlugin

from ipt_model.messages.faults import MessageFault
from ipt_model.messages.pictures import compressed_to_depth
from ipt_training.audits.baselines import Item, majority_per_template, position_prior
from ipt_training.bags.contract import Contract, ContractError, guess
from ipt_training.bags.frames import FrameReader, check_unit
from ipt_training.bags.mining.perspective import planar_motion
from ipt_training.bags.mining.questions import mine
from ipt_training.bags.mining.window import Mining, Window, framed
from ipt_training.bags.poses import NoPose, PoseTree, Track
from ipt_training.bags.reading import BagError, open_bag
from ipt_training.commands.bag import main
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row

pytestmark = pytest.mark.slow(30)


def frames_of(path: Path, **changes):
    with open_bag(path) as bag:
        contract = Contract(**{**guess(bag.topics).__dict__, **changes})
        reader = FrameReader(bag, contract)
        return list(reader.frames()), reader


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "drive")


@pytest.fixture(scope="module")
def frames(bag):
    return frames_of(bag)[0]


# -- frames
def test_frames_have_their_pictures_depths_and_poses(frames) -> None:
    made = drive()
    assert len(frames) == len(made.bases)
    for k, frame in enumerate(frames):
        assert frame.stamp_ns == START_NS + k * STEP_NS, "the stamp, not the time of the log"
        assert np.array_equal(frame.rgb, made.colour[k])
        assert np.abs(frame.depth_m - made.depth[k]).max() < 1e-3
        x, y, yaw = made.bases[k]
        there = x + MOUNT[0] * math.cos(yaw), y + MOUNT[0] * math.sin(yaw), MOUNT[2]
        assert np.allclose(frame.world_from_camera[:3, 3], there, atol=1e-6)
        assert frame.world_from_camera[2, 2] == pytest.approx(-math.sin(MOUNT[4]))


@pytest.mark.parametrize(
    "layout",
    [
        Layout(storage=StoragePlugin.SQLITE3),
        Layout(compressed=True),
        Layout(storage=StoragePlugin.SQLITE3, compressed=True),
        Layout(pictures="bgr8", depths="32FC1"),
        Layout(pictures="padded", depths="compressedDepth"),
    ],
)
def test_every_layout_gives_the_same_frames(tmp_path, frames, layout: Layout) -> None:
    found, _ = frames_of(write_bag(tmp_path / "bag", layout))
    assert len(found) == len(frames)
    for a, b in zip(found, frames, strict=True):
        assert np.array_equal(a.rgb, b.rgb)
        assert np.abs(a.depth_m - b.depth_m).max() < 1e-3
        assert np.array_equal(a.world_from_camera, b.world_from_camera)


def test_jpeg_pictures_and_odometry_with_a_mount(tmp_path, frames) -> None:
    layout = Layout(pictures="jpeg", poses="odometry", leave_out=("/tf_static",))
    found, _ = frames_of(write_bag(tmp_path / "bag", layout), mount=MOUNT)
    assert len(found) == len(frames)
    for a, b in zip(found, frames, strict=True):
        assert np.abs(a.rgb.astype(int) - b.rgb).mean() < 4
        assert np.allclose(a.world_from_camera, b.world_from_camera, atol=1e-6)


def test_what_is_left_out_is_counted_by_reason(tmp_path) -> None:
    made = drive()
    broken = replace(
        made,
        colour=[np.zeros_like(p) if k == 3 else p for k, p in enumerate(made.colour)],
        depth=[np.zeros_like(d) if k == 5 else d for k, d in enumerate(made.depth)],
    )
    still = [b if k != 8 else made.bases[7] for k, b in enumerate(made.bases)]
    broken.bases = still
    moved = {10: -(10**10), 15: 3 * 10**17}
    path = write_bag(tmp_path / "bag", Layout(stamps=moved), broken)
    found, reader = frames_of(path)
    dropped = reader.dropped
    assert dropped["exposure"] == 1 and dropped["empty depth"] == 1
    assert dropped["stood still"] == 1 and dropped["no pose"] >= 1
    assert dropped["stamp jump"] >= 1
    assert len(found) + sum(dropped.values()) == len(made.bases)


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(depths="millimetres as 32FC1"), "depth unit.*not in the unit"),
        (Layout(leave_out=("/tf",)), "no /tf to take poses from"),
        (Layout(leave_out=("/camera/color/camera_info",)), "nothing to guess from"),
        (Layout(leave_out=("/camera/depth/image",)), "nothing to guess from"),
        (Layout(leave_out=("/tf_static",)), "no frame could be used: .* no pose"),
    ],
)
def test_a_recording_that_cannot_be_used_says_why(
    tmp_path, capsys, layout: Layout, said: str
) -> None:
    path = write_bag(tmp_path / "bag", layout)
    assert main(["convert", str(path), "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert pytest.importorskip("re").search(said, err), err


@pytest.mark.parametrize("kept", [0, 50, 0.3, 0.9])
def test_truncated_files_are_refused_or_end_with_an_error(tmp_path, bag, kept: float) -> None:
    (file,) = bag.glob("*.mcap")
    data = file.read_bytes()
    short = tmp_path / "short.mcap"
    short.write_bytes(data[: kept if kept > 1 else int(kept * len(data))])
    with pytest.raises(BagError, match=r"short\.mcap"), open_bag(short) as opened:
        list(opened.messages(opened.topics))


def test_a_single_file_is_a_recording_too(bag, frames) -> None:
    (file,) = bag.glob("*.mcap")
    assert len(frames_of(file)[0]) == len(frames)


def test_broken_bytes_never_do_more_than_an_error(tmp_path, bag) -> None:
    """A clear error or fewer frames, and never a frame that was not recorded."""
    (file,) = bag.glob("*.mcap")
    data = file.read_bytes()
    known = {START_NS + k * STEP_NS for k in range(len(drive().bases))}
    rng = np.random.default_rng(0)
    for n in range(40):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 3).tolist():
            broken[at] = int(rng.integers(256))
        path = tmp_path / f"{n}.mcap"
        path.write_bytes(broken)
        try:
            found, _ = frames_of(path)
        except (BagError, ContractError):
            continue
        finally:
            path.unlink()
        assert {f.stamp_ns for f in found} <= known or len(found) <= len(known)


# -- poses and depth
def test_poses_lie_between_samples_and_gaps_say_nothing() -> None:
    track = Track()
    for stamp, x in ((0, 0.0), (10**9, 1.0), (5 * 10**9, 2.0), (5 * 10**9 + 10**8, 9.0)):
        pose = np.eye(4)
        pose[0, 3] = x
        track.put(stamp, pose)
    assert track.at(5 * 10**8)[0, 3] == pytest.approx(0.5)
    for stamp, kind in (
        (-1, "no pose"),
        (3 * 10**9, "no pose"),
        (6 * 10**9, "no pose"),
        (5 * 10**9 + 10**7, "pose jump"),
    ):
        with pytest.raises(NoPose) as error:
            track.at(stamp)
        assert error.value.kind == kind


def test_frames_that_hang_together_badly_have_no_pose() -> None:
    tree = PoseTree()
    tree.fixed = {"a": ("b", np.eye(4)), "b": ("a", np.eye(4)), "c": ("d", np.eye(4))}
    with pytest.raises(NoPose, match="circle"):
        tree.at("a", "odom", 0)
    with pytest.raises(NoPose, match="no way"):
        tree.at("c", "odom", 0)


@pytest.mark.parametrize("metres", [1500.0, 0.001])
def test_depth_in_another_unit_is_found(metres: float) -> None:
    with pytest.raises(MessageFault, match="median"):
        check_unit(np.full((4, 4), metres, np.float32))


def test_compressed_depth_of_floats_and_damaged_ones() -> None:
    import struct
    from types import SimpleNamespace

    import cv2

    depth = np.linspace(0.5, 5, 64, dtype=np.float32).reshape(8, 8)
    a, b = 100.0, 0.0
    _, png = cv2.imencode(".png", np.rint(a / depth * 50).astype(np.uint16))
    data = struct.pack("<iff", 0, 50 * a, b) + png.tobytes()
    name = "32FC1; compressedDepth png"
    found = compressed_to_depth(SimpleNamespace(data=data, format=name))
    assert np.abs(found - depth).max() < 0.01
    for broken, form in ((data[:20], name), (data[:6], name), (data, "jpeg"), (png, name)):
        with pytest.raises(MessageFault):
            compressed_to_depth(SimpleNamespace(data=bytes(broken), format=form))


# -- contracts
def test_contracts_are_guessed_written_and_read(tmp_path, bag, capsys) -> None:
    file = tmp_path / "bag.yaml"
    assert main(["inspect", str(bag), "--write", str(file)]) == 0
    assert "/camera/color/image" in capsys.readouterr().out
    with open_bag(bag) as opened:
        assert Contract.load(file) == guess(opened.topics)
    assert main(["inspect", str(bag)]) == 0
    assert "colour: /camera/color/image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "expected entries"),
        ("{}", "lacks colour, depth, camera_info"),
        ("{colour: a, depth: b, camera_info: c, speed: 3}", "unknown entries"),
        ("{colour: a, depth: b, camera_info: 3}", "camera_info: expected str"),
        ("{colour: a, depth: b, camera_info: c, odometry: d}", "mount: needed"),
        ("{colour: a, depth: b, camera_info: c, mount: [1]}", "mount: expected x, y"),
        ("{colour: a, depth: b, camera_info: c, every_s: -1}", "every_s: expected a positive"),
        ("{colour: [", "YAML|parsing|expected"),
    ],
)
def test_a_broken_contract_names_its_entry(tmp_path, text: str, said: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ContractError, match=said):
        Contract.load(file)


def test_a_contract_of_another_bag_is_refused(tmp_path, bag, capsys) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("{colour: /other, depth: /camera/depth/image, camera_info: /tf}")
    run = ["convert", str(bag), "--contract", str(file), "--out", str(tmp_path / "out")]
    assert main(run) == 1
    assert "the bag has no topic /other; it has" in capsys.readouterr().err


# -- rows
def test_rows_are_true_and_their_memory_does_not_hold_the_answer(frames) -> None:
    made = list(mine(frames, Mining(kinds=("perspective",))))
    assert len(made) > 20
    by_stamp = {f.stamp_ns: f for f in frames}
    for b, example in made:
        before, after = (by_stamp[s] for s in example.facts["stamps_ns"])
        assert after is frames[b]
        x, _, z = example.facts["object_after_m"]
        if example.answer in ("left", "right"):
            assert example.answer == ("right" if x > 0 else "left")
        else:
            x0, _, z0 = example.facts["object_before_m"]
            further = math.hypot(x, z) > math.hypot(x0, z0)
            assert example.answer == ("further" if further else "closer")
        first, recalled = example.question.images
        assert (first != framed_base(before)).any() and np.array_equal(
            recalled, example.recalled.rgb
        )
        assert example.facts["share_seen"] == pytest.approx(example.recalled.share_seen, abs=1e-3)
        memory = Window(frames, Mining()).memory(
            frames.index(before), [b], np.random.default_rng(0)
        )
        assert all(v.stamp_ns <= before.stamp_ns for v in memory.views)
        apart = [np.abs(v.world_from_camera - after.world_from_camera).max() for v in memory.views]
        assert min(apart) > 0.2
    answers = [e.answer for _, e in made]
    for pair in (("left", "right"), ("closer", "further")):
        counts = [answers.count(a) for a in pair]
        assert abs(counts[0] - counts[1]) <= 0.3 * sum(counts) + 2
    again = list(mine(frames, Mining(kinds=("perspective",))))
    assert all(
        np.array_equal(a.question.images[0], b.question.images[0]) and a.answer == b.answer
        for (_, a), (_, b) in zip(made, again, strict=True)
    )


def framed_base(frame) -> np.ndarray:
    from ipt_training.bags.mining.window import square

    return square(frame, 64).rgb


def test_the_frame_is_where_the_spot_is() -> None:
    rgb = np.zeros((64, 64, 3), np.uint8)
    out = framed(rgb, (20, 40), (40, 220, 60), 0.07)
    rows, columns = np.nonzero(out.any(axis=-1))
    assert (rows.mean(), columns.mean()) == (40, 20) and not out[40, 20].any()


def test_motions_out_of_the_plane_are_none(frames) -> None:
    a = frames[0]
    high = a.world_from_camera.copy()
    high[2, 3] += 0.5
    assert planar_motion(a, replace(a, world_from_camera=high)) is None
    assert planar_motion(a, a) is None
    turned = planar_motion(frames[0], frames[2])
    assert turned is not None and math.degrees(turned.turn_rad) == pytest.approx(60, abs=3)


def test_a_recording_becomes_a_dataset_once(tmp_path, bag, capsys) -> None:
    out = tmp_path / "out"
    run = ["convert", str(bag), "--tasks", "perspective", "--out", str(out)]
    assert main(run) == 0
    said = capsys.readouterr().out
    manifest = json.loads((out / "manifest.json").read_text())["drive"]
    assert manifest["frames"] == len(drive().bases) and f"{manifest['frames']} frames" in said
    splits = {s: n for s, n in manifest["rows"].items() if n}
    places: dict[str, set] = {}
    items = []
    for split, count in splits.items():
        dataset = Dataset(out / split)
        assert len(dataset) == count and (out / split / "look.html").exists()
        for row in dataset:
            example = example_from_row(row)
            x, y = example.facts["place_m"]
            places.setdefault(split, set()).add((x // 2.0, y // 2.0))
            items.append(
                Item(
                    example.question.text,
                    example.question.options,
                    example.answer_index,
                    example.question.images[0],
                )
            )
    assert len(places) < 2 or not set.intersection(*places.values()), "places are held out whole"
    assert position_prior(items).mean() < 0.75 and majority_per_template(items).mean() < 0.8
    written = {p: p.read_bytes() for p in out.rglob("*.parquet")}
    times = {p: p.stat().st_mtime_ns for p in written}
    assert main(run) == 0
    assert {p: p.stat().st_mtime_ns for p in written} == times, "what is there is kept"
    other = tmp_path / "again"
    assert main([*run[:-1], str(other)]) == 0
    for path, data in written.items():
        assert (other / path.relative_to(out)).read_bytes() == data, "the same bytes"
    stripped = tmp_path / "stripped"
    assert main([*run[:-1], str(stripped), "--strip-stamps"]) == 0
    facts = [example_from_row(r).facts for s in splits for r in Dataset(stripped / s)]
    assert facts and not any("stamps_ns" in f for f in facts)
