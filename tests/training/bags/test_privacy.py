"""What is hidden of a recording stays hidden: in rows, in what is remembered, after going on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from face_network import write_face_network
from recorded import START_NS, STEP_NS, drive, write_bag

from ipt_model.messages.faults import MessageFault
from ipt_training.bags.contract import Blur, Contract, ContractError, guess
from ipt_training.bags.frames import FrameReader
from ipt_training.bags.privacy import Privacy, PrivacyError, Region, coarse, face_finder
from ipt_training.bags.reading import open_bag
from ipt_training.commands.bag import main
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row

pytestmark = pytest.mark.slow(30)
MAGENTA, STRIPE = (255, 0, 255), (155, 0, 155)


def load(folder: Path, boxes: object, classes: tuple[str, ...] = ()) -> Privacy:
    path = folder / "boxes.json"
    path.write_text(boxes if isinstance(boxes, str) else json.dumps(boxes))
    return Privacy.load(Blur(str(path), classes))


# -- blurring
@pytest.mark.parametrize("size", [(3, 5), (24, 24), (200, 90), (480, 640)])
def test_what_is_blurred_cannot_be_told_from_its_opposite(size) -> None:
    """Stripes and the same stripes swapped, text and no text: nothing as fine as a sixth of a box
    is left."""
    cell = max(1, min(size) // 12)
    stripes = np.indices(size).sum(axis=0) // cell % 2 * np.uint8(255)
    one = np.repeat(stripes[..., None], 3, axis=2).astype(np.uint8)
    left = coarse(one).astype(int) - coarse(255 - one).astype(int)
    if min(size) > 12:
        assert np.abs(left).mean() < 30 and np.abs(one.astype(int) - (255 - one)).mean() == 255
    few = coarse(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    assert few.shape == (*size, 3) and few.std() < 80


def test_no_more_than_sixteen_shades_can_be_got_back() -> None:
    """The blurred box is a linear picture of 16 numbers: pictures with equal means are equal."""
    rng = np.random.default_rng(1)
    means = rng.integers(60, 200, (4, 4, 1))
    pictures = []
    for _ in range(2):
        noise = rng.integers(-50, 50, (64, 64, 1)).reshape(4, 16, 4, 16, 1)
        noise = noise - np.rint(noise.mean(axis=(1, 3), keepdims=True)).astype(int)
        parts = np.clip(means[:, None, :, None] + noise, 0, 255)
        pictures.append(np.repeat(parts.reshape(64, 64, 1), 3, axis=2).astype(np.uint8))
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 20
    assert np.abs(coarse(pictures[0]).astype(int) - coarse(pictures[1])).max() <= 2


def test_boxes_are_grown_clipped_and_the_rest_is_untouched() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    before = rgb.copy()
    privacy = Privacy([Region((70.5, -5.0, 40.0, 25.0), "screen")])
    out = privacy.blurred(rgb, 1)
    changed = (out != rgb).any(axis=-1)
    assert np.array_equal(rgb, before) and privacy.counts == {"screen": 1}
    assert not changed[24:].any() and not changed[:, :64].any()
    assert changed[:24, 65:].mean() > 0.9
    assert Privacy().blurred(rgb, 1) is rgb


def test_a_box_beside_the_picture_or_of_another_size_is_refused() -> None:
    rgb = np.zeros((60, 80, 3), np.uint8)
    with pytest.raises(PrivacyError, match=r"screen \[80.0, .* lies outside a picture of 80 x 60"):
        Privacy([Region((80.0, 1.0, 5.0, 5.0), "screen")]).blurred(rgb, 1)
    with pytest.raises(PrivacyError, match=r"pictures of \(640, 480\), these have \(80, 60\)"):
        Privacy([Region((1.0, 1.0, 5.0, 5.0), "a", (640, 480))]).blurred(rgb, 1)


# -- files
COCO = {
    "always": [{"bbox": [0, 0, 8, 8], "class": "screen"}],
    "images": [
        {"id": 1, "stamp_ns": START_NS, "width": 80, "height": 60},
        {"id": 2, "stamp_ns": START_NS + STEP_NS},
    ],
    "annotations": [
        {"image_id": 1, "category_id": 3, "bbox": [20, 20, 10, 10]},
        {"image_id": 1, "category_id": 4, "bbox": [40, 20, 10, 10.5]},
    ],
    "categories": [{"id": 3, "name": "person"}, {"id": 4, "name": "dog"}],
}


def test_classes_choose_and_a_picture_nobody_looked_at_is_left_out(tmp_path) -> None:
    rgb = np.zeros((60, 80, 3), np.uint8)
    every = load(tmp_path, COCO)
    every.blurred(rgb, START_NS)
    every.blurred(rgb, START_NS + STEP_NS + 100)  # written with rounded digits
    assert every.counts == {"screen": 2, "person": 1, "dog": 1}
    persons = load(tmp_path, COCO, ("person",))
    persons.blurred(rgb, START_NS)
    assert persons.counts == {"person": 1}
    with pytest.raises(MessageFault) as fault:
        persons.blurred(rgb, START_NS + STEP_NS // 2)
    assert fault.value.kind == "not looked at"


def changed(**entries) -> dict:
    return {**COCO, **entries}


BAD_BOXES = [[0, 0, 8], [0, 0, 0, 8], [0, 0, float("nan"), 8], [0, 0, 8, float("inf")], "all"]


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        *((changed(always=[{"bbox": b, "class": "a"}]), "bbox: expected") for b in BAD_BOXES),
        (changed(always=[{"bbox": [True, 0, 8, 8], "class": "a"}]), "expected numbers"),
        (changed(always=[{"bbox": [0, 0, 8, 8]}]), "lacks 'class'"),
        (changed(always={"bbox": [0, 0, 8, 8]}), "always: expected a list"),
        (changed(images=[{"id": 1, "stamp_ns": 1.5}]), "whole nanoseconds, got 1.5"),
        (changed(images=[{"id": 1}]), "lacks 'stamp_ns'"),
        (changed(images=[]), "names one that is not there"),
        (changed(categories=[]), "annotations need categories"),
        ({"boxes": []}, "expected the entries always"),
        ([], "expected the entries always"),
        ("{always: [", "boxes.json"),
        ("[" * 3000, "boxes.json"),
    ],
)
def test_a_file_of_boxes_that_is_not_clear_is_refused(tmp_path, boxes, said) -> None:
    with pytest.raises(PrivacyError, match=said):
        load(tmp_path, boxes)


def test_yaml_is_read_too_and_a_missing_file_is_named(tmp_path) -> None:
    text = "always:\n  - {bbox: [0, 0, 8, 8], class: screen}\n"
    assert load(tmp_path, text).always == (Region((0.0, 0.0, 8.0, 8.0), "screen"),)
    with pytest.raises(PrivacyError, match=r"none\.yaml"):
        Privacy.load(Blur(str(tmp_path / "none.yaml")))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("[a]", "blur: expected dict"),
        ("{boxs: a}", "blur: expected boxes, classes and faces"),
        ("{boxes: 3}", "blur: boxes: expected a file"),
        ("{boxes: a, classes: person}", "blur: classes: expected names"),
        ("{classes: [person]}", "there is no file of boxes"),
    ],
)
def test_a_broken_entry_of_the_contract_is_named(tmp_path, entry, said) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"{{colour: a, depth: b, camera_info: c, blur: {entry}}}")
    with pytest.raises(ContractError, match=said):
        Contract.load(path)


def test_files_lie_beside_the_contract_and_its_text_is_read_again(tmp_path) -> None:
    contract = Contract("a", "b", "c", blur=Blur("boxes.yaml", ("person",) * 30, "faces.onnx"))
    (tmp_path / "c.yaml").write_text(contract.text())
    found = Contract.load(tmp_path / "c.yaml").blur
    assert found == Blur(
        str(tmp_path / "boxes.yaml"), ("person",) * 30, str(tmp_path / "faces.onnx")
    )


# -- faces
def with_patch(at: tuple[int, int], side: int = 32) -> np.ndarray:
    rgb = np.full((120, 160, 3), 90, np.uint8)
    rgb[at[1] : at[1] + side, at[0] : at[0] + side] = MAGENTA
    return rgb


def test_a_yunet_finds_faces_where_they_are(tmp_path) -> None:
    find = face_finder(write_face_network(tmp_path / "faces.onnx"))
    boxes = find(with_patch((64, 32)))
    assert boxes and find(np.full((120, 160, 3), 90, np.uint8)) == []
    for x, y, w, h in boxes:
        assert 56 <= x + w / 2 <= 104 and 24 <= y + h / 2 <= 72
    assert face_finder(tmp_path / "faces.onnx")(np.zeros((480, 640, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("faces.onnx", b"", "is no network"),
        ("faces.onnx", b"not a network", "is no network"),
        ("faces.xml", b"<a/>", "is no cascade|has no cascades"),
        ("faces.pt", b"", "expected a YuNet .onnx or a cascade .xml"),
    ],
)
def test_a_detector_that_cannot_be_loaded_is_named(tmp_path, name, data, said) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PrivacyError, match=said):
        Privacy.load(Blur(faces=str(tmp_path / name)))
    with pytest.raises(PrivacyError, match=r"gone\.onnx"):
        Privacy.load(Blur(faces=str(tmp_path / "gone.onnx")))


def test_a_detector_that_says_nonsense_is_no_detector_without_faces(tmp_path) -> None:
    find = face_finder(write_face_network(tmp_path / "faces.onnx", corner=float("nan")))
    with pytest.raises(PrivacyError, match=r"found a face at (nan|inf)"):
        find(with_patch((64, 32)))


@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no cascades")
def test_a_cascade_of_the_opencv_wheel_is_loaded() -> None:
    find = face_finder(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml")
    assert find(np.full((120, 160, 3), 90, np.uint8)) == []


# -- recordings
@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something magenta with stripes, which moves, in every picture."""
    made = drive()
    seen = [rgb.copy() for rgb in made.colour]
    for k, rgb in enumerate(seen):
        left = 32 + 2 * k
        rgb[32:64, left : left + 32] = MAGENTA
        rgb[32:64, left + 8 : left + 16] = rgb[32:64, left + 24 : left + 32] = STRIPE
    marked = type(made)(made.bases, seen, made.depth, made.camera)
    return write_bag(tmp_path_factory.mktemp("bags") / "drive", made=marked)


def contract_file(bag: Path, folder: Path, blur: str) -> Path:
    with open_bag(bag) as opened:
        lines = guess(opened.topics).text().splitlines()
    lines = [line for line in lines if not line.startswith("blur")]
    path = folder / "bag.yaml"
    path.write_text("\n".join([*lines, f"blur: {blur}", ""]))
    return path


def stripes(rgb: np.ndarray) -> tuple[float, int]:
    """The steps between magenta pixels side by side, and how many there are."""
    r, g, b = (rgb[..., k].astype(int) for k in range(3))
    known = np.minimum(r, b) - g > 100
    pairs = known[:, 1:] & known[:, :-1]
    return float(np.abs(np.diff(r, axis=1))[pairs].sum()), int(pairs.sum())


def test_nothing_that_is_written_or_remembered_shows_a_face(tmp_path, bag, capsys) -> None:
    write_face_network(tmp_path / "faces.onnx")
    contract = contract_file(bag, tmp_path, "{faces: faces.onnx}")
    run = ["convert", str(bag), "--tasks", "perspective", "--contract", str(contract), "--out"]
    assert main([*run, str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())["drive"]
    assert manifest["blurred"]["face"] >= manifest["frames"] > 10
    assert len(manifest["privacy"]["faces"]) == 64 and "face" in capsys.readouterr().out

    def striped(out: Path) -> float:
        found = []
        for split in ("train", "validation"):
            if any((out / split).glob("*.parquet")):
                for row in Dataset(out / split):
                    example = example_from_row(row)
                    pictures = [*example.question.images, example.true_view, example.recalled.rgb]
                    found += map(stripes, pictures)
        steps, pairs = np.sum(found, axis=0)
        assert pairs > 1000
        return float(steps / pairs)

    hidden = striped(tmp_path / "out")
    (tmp_path / "open").mkdir()
    plain = contract_file(bag, tmp_path / "open", "{}")
    assert (
        main(
            [
                "convert",
                str(bag),
                "--tasks",
                "perspective",
                "--contract",
                str(plain),
                "--out",
                str(tmp_path / "o"),
            ]
        )
        == 0
    )
    shown = json.loads((tmp_path / "o" / "manifest.json").read_text())["drive"]
    assert shown["digest"] != manifest["digest"] and shown["blurred"] == {}
    # a face keeps its colour, as the blurred box keeps its mean
    open_to_all = striped(tmp_path / "o")
    assert open_to_all > 4 and hidden < 0.4 * open_to_all


def test_frames_are_blurred_as_they_leave_the_reader(bag, tmp_path) -> None:
    boxes = {"always": [{"bbox": [0, 0, 160, 60], "class": "screen"}]}
    with open_bag(bag) as opened:
        plain = list(FrameReader(opened, guess(opened.topics)).frames())
    with open_bag(bag) as opened:
        privacy = load(tmp_path, boxes)
        reader = FrameReader(opened, guess(opened.topics), privacy=privacy)
        for frame, before in zip(reader.frames(), plain, strict=True):
            assert np.array_equal(frame.rgb[69:], before.rgb[69:])
            assert np.abs(np.diff(frame.rgb[:60].astype(int), axis=1)).max() < 30
    assert privacy.counts == {"screen": len(plain)}


def test_a_class_that_never_occurs_is_told_and_content_counts_not_the_place(
    tmp_path, bag, capsys
) -> None:
    boxes = {"always": [{"bbox": [0, 0, 20, 20], "class": "screen"}]}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    contract = contract_file(bag, tmp_path, "{boxes: boxes.json, classes: [screen, person]}")
    run = [
        "convert",
        str(bag),
        "--tasks",
        "perspective",
        "--contract",
        str(contract),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(run) == 0
    assert "blur: nothing of class person was found" in capsys.readouterr().err
    first = (tmp_path / "out" / "manifest.json").read_text()
    (tmp_path / "boxes.json").rename(tmp_path / "moved.json")
    contract.write_text(contract.read_text().replace("boxes.json", "moved.json"))
    assert main(run) == 0
    assert (tmp_path / "out" / "manifest.json").read_text() == first
    boxes["always"][0]["bbox"] = [0, 0, 21, 20]
    (tmp_path / "moved.json").write_text(json.dumps(boxes))
    assert main(run) == 0
    assert (tmp_path / "out" / "manifest.json").read_text() != first
    capsys.readouterr()
    boxes["always"][0]["bbox"] = [500, 0, 21, 20]
    (tmp_path / "moved.json").write_text(json.dumps(boxes))
    assert main(run) == 1
    assert "screen [500.0, 0.0, 21.0, 20.0] lies outside" in capsys.readouterr().err
    (tmp_path / "moved.json").unlink()
    assert main(run) == 2
    assert "blur: boxes: " in capsys.readouterr().err
