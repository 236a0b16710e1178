"""Recordings that are whole and still not as they should be: each says why, or its frames are
those of before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from recorded import START_NS, STEP_NS, STORE, Drive, Layout, drive, write_bag
from rosbags.rosbag2 import StoragePlugin, Writer

from ipt_training.bags.contract import Contract, guess
from ipt_training.bags.frames import FrameReader
from ipt_training.bags.reading import BagError, open_bag
from ipt_training.commands.bag import main

pytestmark = pytest.mark.slow(30)


def part(turns: slice = slice(0, 8)) -> Drive:
    made = drive()
    return Drive(made.bases[turns], made.colour[turns], made.depth[turns], made.camera)


def said_of(path: Path, out: Path, capsys, *more: str) -> str:
    assert main(["convert", str(path), "--out", str(out), *more]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said and not list(out.rglob("*.parquet"))
    return said


def also(path: Path, made: Path, kinds: dict[str, str], plugin: StoragePlugin) -> Path:
    """The recording `made`, with further topics of which nobody knows the type."""
    with open_bag(made) as bag, Writer(path, version=9, storage_plugin=plugin) as writer:
        reader = bag._reader
        known = {
            c.id: writer.add_connection(c.topic, c.msgtype, typestore=STORE)
            for c in reader.connections
        }
        for topic, kind in kinds.items():
            odd = writer.add_connection(
                topic, kind, msgdef="no field at all <", rihs01="RIHS01_" + "0" * 64
            )
            writer.write(odd, START_NS, b"\0\1\0\0" + bytes(16))
        for connection, stamp_ns, data in reader.messages():
            writer.write(known[connection.id], stamp_ns, data)
    return path


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_topics_of_unknown_types_do_not_matter(tmp_path, plugin) -> None:
    made = write_bag(tmp_path / "made", made=part())
    path = also(tmp_path / "odd", made, {"/arm": "our_msgs/msg/Arm"}, plugin)
    with open_bag(path) as bag:
        assert bag.topics["/arm"] == "our_msgs/msg/Arm"
        assert len(list(FrameReader(bag, guess(bag.topics)).frames())) == 8


def test_of_two_cameras_the_one_of_the_contract_is_read(tmp_path) -> None:
    """The guess takes colour, depth and calibration of one camera."""
    topics = {
        "/rear/color/image": "sensor_msgs/msg/Image",
        "/rear/depth/image": "sensor_msgs/msg/Image",
        "/rear/color/camera_info": "sensor_msgs/msg/CameraInfo",
        "/front/color/image": "sensor_msgs/msg/Image",
        "/front/depth/image": "sensor_msgs/msg/Image",
        "/front/color/camera_info": "sensor_msgs/msg/CameraInfo",
        "/tf": "tf2_msgs/msg/TFMessage",
    }
    found = guess(topics)
    assert {t.split("/")[1] for t in (found.colour, found.depth, found.camera_info)} == {"front"}
    made = write_bag(tmp_path / "made", made=part())
    with open_bag(made) as bag:
        contract = Contract(
            "/rear/color/image", "/camera/depth/image", "/camera/color/camera_info"
        )
        with pytest.raises(ValueError, match="colour: the bag has no topic /rear/color/image"):
            FrameReader(bag, contract)


def test_a_robot_that_never_moved_has_no_questions(tmp_path, capsys) -> None:
    made = part()
    made.bases = made.bases[:1] * len(made.bases)
    path = write_bag(tmp_path / "bag", made=made)
    assert main(["convert", str(path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "1 frames, rows: 0 train, 0 validation; left out: 7 stood still" in said
    assert not list((tmp_path / "out").glob("*/*.parquet"))


def test_pictures_before_any_calibration_are_counted(tmp_path, capsys) -> None:
    """It is there, but says it is of another size."""
    made = part()
    camera = type(made.camera)(80, 60, 50.0, 50.0, 40.0, 30.0)
    made = Drive(made.bases, made.colour, made.depth, camera)
    said = said_of(write_bag(tmp_path / "bag", made=made), tmp_path / "out", capsys)
    assert "no frame could be used: 8 bad calibration" in said


def test_a_clock_that_is_set_back_loses_what_comes_after_it_only(tmp_path) -> None:
    back = dict.fromkeys(range(4, 8), -(10**11))
    with open_bag(write_bag(tmp_path / "bag", Layout(stamps=back), part())) as bag:
        reader = FrameReader(bag, guess(bag.topics))
        stamps = [frame.stamp_ns for frame in reader.frames()]
    assert stamps == [START_NS + k * STEP_NS for k in range(4)]
    assert reader.dropped == {"stamp jump": 4}


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "a.bag", "a.txt"])
@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"SQLite format 3\0" + b"\0" * 4000])
def test_files_that_are_no_recordings_are_named(tmp_path, capsys, name, data) -> None:
    (tmp_path / name).write_bytes(data)
    said = said_of(tmp_path / name, tmp_path / "out", capsys)
    assert said.count(name) >= 1 and ("is empty" in said or "is no recording" in said)


def test_folders_that_are_no_recordings_are_named(tmp_path, capsys) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "metadata.yaml" in said_of(empty, tmp_path / "out", capsys)
    (empty / "metadata.yaml").write_text("[1, 2")
    assert "is no recording" in said_of(empty, tmp_path / "out", capsys)
    made = write_bag(tmp_path / "made", made=part())
    told = (made / "metadata.yaml").read_text()
    (made / "metadata.yaml").write_text(told.replace("message_count: 8", "message_count: 8)"))
    assert "is no recording" in said_of(made, tmp_path / "out", capsys)
    next(made.glob("*.mcap")).unlink()
    assert "missing" in said_of(made, tmp_path / "out", capsys)


def test_a_recording_without_messages_is_told(tmp_path, capsys) -> None:
    made = part(slice(0, 0))
    path = write_bag(tmp_path / "bag", made=made)
    assert "nothing to guess from" in said_of(path, tmp_path / "out", capsys)


def test_a_message_longer_than_it_says_is_counted(tmp_path) -> None:
    """Of the pictures alone; the rest of the recording is used."""
    made = write_bag(tmp_path / "made", made=part())
    path = tmp_path / "cut"
    with open_bag(made) as bag, Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as out:
        reader, number = bag._reader, 0
        known = {
            c.id: out.add_connection(c.topic, c.msgtype, typestore=STORE)
            for c in reader.connections
        }
        for connection, stamp_ns, data in reader.messages():
            if connection.topic == "/camera/color/image":
                number += 1
                data = data[: len(data) // 2] if number in (3, 5) else data
            out.write(known[connection.id], stamp_ns, data)
    with open_bag(path) as bag:
        reader = FrameReader(bag, guess(bag.topics))
        frames = list(reader.frames())
    assert len(frames) == 6 and reader.dropped == {"cannot be decoded": 2}
    assert all(np.isfinite(frame.world_from_camera).all() for frame in frames)


def test_a_manifest_that_is_damaged_is_named(tmp_path, capsys) -> None:
    made = write_bag(tmp_path / "made", made=part())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{")
    assert "manifest.json: is damaged" in said_of(made, tmp_path / "out", capsys)
    with pytest.raises(BagError, match="no such file"), open_bag(tmp_path / "none"):
        pass
