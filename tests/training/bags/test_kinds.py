"""Paths, clearance and counts out of a recording, held against the scene that it was made in."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from recorded import Layout, tour, write_bag

from ipt_model.messages.poses import inverse
from ipt_model.spatial.geometry import beside
from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN
from ipt_training.audits.audit import run_audit
from ipt_training.bags.contract import Contract, guess
from ipt_training.bags.detections import DetectionsError, of_coco
from ipt_training.bags.frames import FrameReader
from ipt_training.bags.mining.counting import things_of
from ipt_training.bags.mining.questions import KINDS, mine
from ipt_training.bags.mining.window import APART_M, APART_RAD, Mining, Window
from ipt_training.bags.reading import open_bag
from ipt_training.commands.bag import main
from ipt_training.datasets.parquet import Dataset
from ipt_training.scenes.grids import occupancy
from ipt_training.tasks.stored_maps import grids_of

pytestmark = pytest.mark.slow(60)


@pytest.fixture(scope="module")
def bag_path(tmp_path_factory):
    return write_bag(tmp_path_factory.mktemp("bags") / "tour", Layout(detections=True), tour())


@pytest.fixture(scope="module")
def frames(bag_path):
    with open_bag(bag_path) as bag:
        contract = guess(bag.topics)
        assert contract.detections == "/detections"
        return list(FrameReader(bag, contract).frames())


@pytest.fixture(scope="module")
def made(frames):
    """Examples by kind, with the number of the frame that each belongs to."""
    kinds = ("path", "clearance", "counting")
    return {kind: list(mine(frames, Mining(kinds=(kind,)))) for kind in kinds}


def surface_beside(frame, point: np.ndarray) -> float | None:
    """How far behind the surface that the frame shows there a point lies, m; None where it lies
    outside the picture."""
    x, y, z = inverse(frame.world_from_camera)[:3] @ [*point, 1.0]
    if z <= 0.05:
        return None
    u = frame.camera.fx * x / z + frame.camera.cx
    v = frame.camera.fy * y / z + frame.camera.cy
    side, width = frame.camera.height, frame.camera.width
    if not (0.5 * (width - side) <= u < 0.5 * (width + side) and 0 <= v < side):
        return None
    return float(z - frame.depth_m[int(v), int(u)])


def test_of_four_framed_spots_one_is_seen_to_the_side(frames, made) -> None:
    examples = made["path"]
    assert len(examples) >= 15
    for b, example in examples:
        facts, frame = example.facts, frames[b]
        assert frame.stamp_ns == facts["stamps_ns"][0]
        behind = [surface_beside(frame, np.array(spot)) for spot in facts["spots_m"]]
        assert behind[0] is not None and abs(behind[0]) < 0.35
        assert all(d is None or d > 0.2 for d in behind[1:])
        start, end = np.array(facts["start_m"]), np.array(facts["end_m"])
        ahead, looks = end - start, frame.world_from_camera[:2, 2]
        turned = math.atan2(ahead[0] * looks[1] - ahead[1] * looks[0], float(ahead @ looks))
        assert example.subcategory == ("left" if turned > 0 else "right")
        assert example.subcategory in example.question.text
        assert abs(abs(turned) - math.pi / 2) < math.radians(31)
        assert 1.39 < float(np.hypot(*ahead)) < 5.01
        assert np.hypot(*(0.5 * (start + end) - frame.world_from_camera[:2, 3])) < 0.36
    ranks = Counter(e.facts["rank"] for _, e in examples)
    assert ranks.most_common(1)[0][1] <= 0.5 * len(examples), "no distance is the answer's"
    words = Counter(e.answer for _, e in examples)
    assert words.most_common(1)[0][1] <= 0.5 * len(examples), "nor is a colour"
    assert len({e.question.share_seen > 0.5 for _, e in examples}) == 2


def test_clear_paths_are_clear_and_blocked_ones_are_not(made) -> None:
    examples = made["clearance"]
    assert len(examples) >= 8
    kinds = Counter(e.subcategory for _, e in examples)
    assert abs(kinds["clear"] - kinds["blocked"]) <= 1
    floor = occupancy(tour().scene, 0.05)
    stops = np.argwhere(floor.cells == OCCUPIED)
    blocks = floor.centres()[stops[:, 0], stops[:, 1]]
    for _, example in examples:
        facts = example.facts
        ends = np.array(facts["path_m"])
        path = np.concatenate([np.linspace(a, b, 12) for a, b in itertools.pairwise(ends)])
        nearest = np.min(np.linalg.norm(path[:, None] - blocks[None], axis=-1), axis=1)
        hit = bool((nearest < facts["robot_radius_m"]).any())
        assert example.answer == ("no" if hit else "yes"), "the scene itself says the same"
        truth, seen = grids_of(facts)
        known = seen.cells != UNKNOWN
        assert np.array_equal(truth.cells[known], seen.cells[known])
        along = seen.values(path)
        assert set(np.unique(along)) <= {FREE, UNKNOWN} and (along == UNKNOWN).any()
        assert f"{facts['robot_radius_m']:.2f} m" in example.question.text
        assert (example.true_view != example.question.images[-1]).any()


def test_counts_are_those_of_the_scene(frames, made) -> None:
    drive = tour()
    by_stamp = {f.stamp_ns: k for k, f in enumerate(frames)}
    examples = made["counting"]
    assert len(examples) >= 30
    wrong = 0
    for _, example in examples:
        chosen = [by_stamp[s] for s in example.facts["stamps_ns"]]
        seen = {
            number
            for k in chosen
            for number, thing in enumerate(drive.scene.objects)
            if thing.category == example.facts["category"]
            and (drive.instances[k] == number).sum() >= 60
        }
        wrong += int(example.answer) != len(seen)
        assert len(example.question.images) == 4
    assert wrong == 0
    ranks = Counter(e.facts["rank"] for _, e in examples)
    assert max(ranks.values()) <= 0.4 * len(examples)


def test_no_memory_holds_a_view_like_the_one_asked_for(frames) -> None:
    window = Window(frames, Mining())
    rng = np.random.default_rng(1)
    for b in (3, 40, 77):
        target = frames[b].world_from_camera
        for _ in range(6):
            memory = window.memory(len(frames) - 1, [b], rng)
            assert memory is not None and len(memory) <= 16
            for view in memory.views:
                assert not beside(view.world_from_camera, target, APART_M, APART_RAD)
                assert view.stamp_ns != frames[b].stamp_ns
    early = window.memory(10, [3], rng)
    assert early is not None
    assert all(v.stamp_ns <= frames[10].stamp_ns for v in early.views)


@pytest.mark.parametrize("kind", list(KINDS))
def test_equal_frames_give_equal_questions(frames, kind: str) -> None:
    some = list(mine(frames[:25], Mining(kinds=(kind,))))
    again = list(mine(frames[:25], Mining(kinds=(kind,))))
    assert [(b, e.question.text, e.answer) for b, e in some] == [
        (b, e.question.text, e.answer) for b, e in again
    ]
    for (_, one), (_, other) in zip(some, again, strict=True):
        assert np.array_equal(one.true_view, other.true_view)
        assert all(map(np.array_equal, one.question.images, other.question.images))


def test_both_sides_of_the_split_share_no_picture_and_audits_look_at_them(
    tmp_path, bag_path
) -> None:
    run = ["convert", str(bag_path), "--out", str(tmp_path), "--held-out", "0.5"]
    assert main([*run, "--tasks", "perspective,path"]) == 0
    rows = {split: len(Dataset(tmp_path / split)) for split in ("train", "validation")}
    assert min(rows.values()) >= 10
    audit = run_audit(tmp_path / "train", others=[tmp_path / "validation"], most_per_task=40)
    assert not audit.problems
    judged = {score.group for score in audit.scores}
    assert {"perspective", "perspective/memory"} <= judged
    refused = json.loads((tmp_path / "manifest.json").read_text())["tour"]["refused"]
    assert refused["on both sides of the split"] > 0


# -- detections
def test_a_coco_file_says_the_same_as_the_topic(tmp_path, frames) -> None:
    drive = tour()
    names = sorted({o.category for o in drive.scene.objects})
    data = {
        "images": [{"id": k, "file_name": f"{f.stamp_ns}.png"} for k, f in enumerate(frames)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "annotations": [
            {
                "image_id": k,
                "category_id": names.index(name),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            }
            for k in range(len(frames))
            for name, (x0, y0, x1, y1) in drive.boxes(k)
        ],
    }
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(data))
    bag = write_bag(tmp_path / "bag", Layout(), drive)
    with open_bag(bag) as opened:
        contract = Contract(**{**guess(opened.topics).__dict__, "detections": str(path)})
        found = list(FrameReader(opened, contract).frames())
    assert [f.detections for f in found] == [f.detections for f in frames]


@pytest.mark.parametrize(
    "text, said",
    [
        ("[]", "list indices"),
        ('{"images": [], "annotations": []}', "'categories'"),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}',
            "expected the stamp in ns",
        ),
        (
            '{"images": [{"id": 1, "stamp_ns": 5}], "categories": [{"id": 1, "name": "cup"}], '
            '"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 0, NaN]}]}',
            "box of 'cup'",
        ),
        ("{", "Expecting"),
    ],
)
def test_a_broken_coco_file_says_what_is_wrong(tmp_path, text: str, said: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(DetectionsError, match=said):
        of_coco(path)


def test_two_views_of_one_thing_are_one_thing(frames) -> None:
    things = things_of(frames)
    scene = tour().scene
    assert len(things) == len(scene.objects)
    for thing in things:
        near = [math.dist(o.position[:2], thing.place[:2]) for o in scene.objects
                if o.category == thing.name]  # fmt: skip
        assert min(near) < 0.25
