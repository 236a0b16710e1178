"""What is asked in a recording: it is true, of what lies ahead, and nobody has seen it before."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("open3d", reason="open3d draws the recorded room")
pytest.importorskip("rosbags", reason="rosbags writes and reads recordings")
pytest.importorskip("rclpy", reason="rclpy is not installed")
import recordings

from ipt_model.question import Task
from ipt_model.spatial.geometry import beside
from ipt_ros.evaluation.body import PlaceError
from ipt_ros.evaluation.in_bag.playback import Playback
from ipt_ros.evaluation.in_bag.recording import KEPT_PX, Recording
from ipt_training.bags import places
from ipt_training.bags.mining.window import APART_M, APART_RAD, Mining
from ipt_training.bags.reading import BagError


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return recordings.write(tmp_path_factory.mktemp("recordings") / "drive")


@pytest.fixture(scope="module")
def asked(bag):
    """The recording, its frames by stamp, and what is asked in it."""
    recording = Recording(bag, None, 0, 0.15)
    with recording.frames() as frames:
        known = {frame.stamp_ns: frame for frame in frames}
    return recording, known, recording.stands(3, 1, "auto")


def test_stands_lie_in_order_and_one_looks_at_the_imagined_space(asked):
    recording, known, stands = asked
    stamps = [stand.stamp_ns for stand in stands]
    assert len(stands) == 3 and stamps == sorted(stamps) and set(stamps) <= set(known)
    assert sum(stand.mask for stand in stands) == 1
    names = [e.id for stand in stands for e in stand.episodes]
    assert len(set(names)) == len(names) >= 3
    assert all(name.startswith(f"auto/{recording.name}/q0-") for name in names)
    truth = recording.truths.maps[stands[-1].id]
    assert (truth.cells == 0).any() and (truth.cells > 50).any()


def test_the_framed_spot_lies_where_the_answer_says_in_a_view_of_later(asked):
    """Held against the recorded depth of the place and the pose of the later view alone."""
    recording, known, stands = asked
    seen = Counter()
    for stand in stands:
        here = known[stand.stamp_ns]
        for episode in stand.episodes:
            if episode.task is not Task.PERSPECTIVE:
                continue
            x, y = episode.spot_px
            z = float(here.depth_m[y, x])
            camera = here.camera
            local = (x + 0.5 - camera.cx) / camera.fx * z, (y + 0.5 - camera.cy) / camera.fy * z, z
            world = here.world_from_camera @ (*local, 1.0)
            later = [f for f in known.values() if at(f) == pytest.approx(episode.viewpoint[:2])]
            later = [f for f in later if f.stamp_ns > stand.stamp_ns]
            assert later, "what is asked about was seen later"
            then = [np.linalg.inv(f.world_from_camera) @ world for f in later]
            if episode.kind == "side":
                assert {"left" if p[0] < 0 else "right" for p in then} >= {episode.answer}
            else:
                change = [np.hypot(p[0], p[2]) - np.hypot(local[0], z) for p in then]
                assert {"closer" if c < 0 else "further" for c in change} == {episode.answer}
            seen[episode.kind] += 1
            assert recording.true_view(episode.id).shape == here.rgb.shape
            assert here.rgb.shape[1] <= KEPT_PX
    assert seen.total() >= 3


def at(frame):
    """Where the camera's body stands."""
    return tuple(frame.world_from_camera[:2, 3])


def test_what_is_asked_about_never_looked_so_before(asked):
    _, known, stands = asked
    for stand in stands:
        before = [f.world_from_camera for s, f in known.items() if s <= stand.stamp_ns]
        for episode in stand.episodes:
            if episode.viewpoint is None:
                continue
            views = [
                f.world_from_camera
                for s, f in known.items()
                if s > stand.stamp_ns and at(f) == pytest.approx(episode.viewpoint[:2])
            ]
            # of views from one place, one in another direction may have been seen before
            assert any(
                not any(beside(old, view, APART_M, APART_RAD) for old in before) for view in views
            )


def test_equal_recordings_are_asked_equally(tmp_path):
    one, two = (
        Recording(recordings.write(tmp_path / name / "drive", frames=8), None, 0, 0.15)
        for name in "ab"
    )
    assert one.stands(1, 1, "auto") == two.stands(1, 1, "auto")


def test_a_recording_in_which_nothing_can_be_asked_says_why(tmp_path):
    short = Recording(recordings.write(tmp_path / "short", frames=1), None, 0, 0.15)
    with pytest.raises(BagError, match=r"short: nothing can be asked in it: .*see again later"):
        short.stands(3, 1, "auto")


def test_every_place_is_looked_at_once_with_time_before_and_behind_it(monkeypatch):
    """Of a recording of any length so many frames are held and no more."""
    windows = []

    def questions(window):
        windows.append((window.frames[0].stamp_ns, len(window.frames), window.asked_at))
        assert len(window.heard.earlier) == window.frames[0].stamp_ns
        return iter(())

    monkeypatch.setattr(places, "WINDOW", 12)
    for kind in (places.perspective, places.clearance):
        monkeypatch.setattr(kind, "questions", questions)
    small = np.zeros((2, 2, 3), np.uint8)
    frames = (
        SimpleNamespace(stamp_ns=k, rgb=small, depth_m=small, world_from_camera=np.eye(4))
        for k in range(100)
    )
    assert not list(places.asked_places(frames, Mining(), 0.15, 3, Counter()))
    asked = [(first + k, k, size) for first, size, numbers in windows[::2] for k in numbers]
    assert [number for number, _, _ in asked] == list(range(0, 100, 3))
    assert max(size for _, _, size in asked) == 12
    for number, k, size in asked:
        assert k >= min(3, number) and size - k > min(3, 99 - number)


def played(frames):
    """A playback to a node that takes in everything at once."""
    node = SimpleNamespace(resolve_service_name=lambda name: f"/{name}")
    one = Playback(SimpleNamespace(node=node, target="ipt_node"), None, frames, "odom")
    one._take = lambda frame: setattr(one, "_shown", frame)
    return one


def test_a_node_that_cannot_follow_a_recording_is_told_what_it_needs():
    playback = played(iter(()))
    fit = {"use_sim_time": True, "fixed_frame": "odom", "image_transport": "raw"}
    playback._check(fit)
    for name, value in (
        ("use_sim_time", False),
        ("fixed_frame", "map"),
        ("image_transport", "compressed"),
    ):
        with pytest.raises(PlaceError, match=rf"^/ipt_node.*{name}"):
            playback._check({**fit, name: value})


def test_nothing_behind_the_place_is_played():
    given = []

    def frames():
        for k in range(1, 10):
            given.append(k)
            yield SimpleNamespace(stamp_ns=10 * k)

    playback = played(frames())
    assert playback.play_to(40).stamp_ns == 40 and given == [1, 2, 3, 4]
    assert playback.play_to(40).stamp_ns == 40 and given == [1, 2, 3, 4]
    assert playback.play_to(60).stamp_ns == 60 and given[-1] == 6
    with pytest.raises(PlaceError, match="no frame"):
        playback.play_to(61)
