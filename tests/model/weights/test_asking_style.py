"""`ipt.json`: what is written is read back, and what is wrong is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ipt_model.inference.flow import FlowSettings
from ipt_model.network.transforms import ImageSizes, SizeRule
from ipt_model.question import Mode, Task
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.weights.asking_style import AskingStyle, AskingStyleError, InputEncodings
from ipt_model.weights.loading import find_folder
from ipt_model.wording.prompts import PromptStyle

SHARES = (None, 0.1, 0.25, 0.7, 0.75)
SMALL = AskingStyle(
    model_id="small",
    prompt=PromptStyle(answer_style="word", system_think="Draw.", system_answer=""),
    image_sizes=ImageSizes(SizeRule(64, 16, 16), SizeRule(64, 8, 8)),
    pictures=PictureGeometry(map_side_m=4.0, count_frames=2, count_most=(5,)),
    inputs=InputEncodings(answer=("vae", "vit")),
    flow=FlowSettings(points=11, interval=(0.4, 1.0), renorm="global", min_steps=2),
    auto=(Mode.ANSWER,),
    auto_by_task={Task.CLEARANCE: (Mode.IMAGINE, Mode.ANSWER)},
    auto_remembering={Task.COUNTING: (Mode.ANSWER, Mode.IMAGINE)},
    recall_above={Task.PATH: 0.4},
    temperature={Task.PATH: {Mode.ANSWER: 1.5}},
    temperature_by_seen={Task.PATH: {Mode.IMAGINE: (None, 2.0, 1.5, None)}},
    training={"seed": 1},
)


def test_round_trip(tmp_path: Path) -> None:
    SMALL.save(tmp_path)
    assert AskingStyle.load(tmp_path) == SMALL


def test_layout_that_is_not_told_is_that_of_our_data(tmp_path: Path) -> None:
    (tmp_path / "ipt.json").write_text(json.dumps({"pictures": {"map_side_m": 4}}))
    assert AskingStyle.load(tmp_path).pictures == PictureGeometry(map_side_m=4.0)
    (tmp_path / "ipt.json").write_text("{}")
    assert AskingStyle.load(tmp_path).pictures == PictureGeometry()
    for name in ("ipt-tiny", "ipt-tiny-finer"):
        shipped = AskingStyle.load(find_folder(name))
        assert shipped.pictures == replace(PictureGeometry(), told_radius_m=(0.1, 0.35))


def test_a_plain_bagel_folder_needs_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "BAGEL-7B-MoT"
    folder.mkdir()
    style = AskingStyle.load(folder)
    assert style == AskingStyle(model_id="BAGEL-7B-MoT")
    assert (style.flow.points, style.flow.shift, style.flow.text_scale) == (50, 3.0, 4.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"flwo": {}}, "flwo"),
        ({"flow": {"points": 1}}, "flow.points: .* at least 2"),
        ({"flow": {"points": 4}}, "min_steps <= points - 1"),
        ({"flow": {"interval": [0.5, 0.5]}}, "low < high"),
        ({"flow": {"renorm": "none"}}, "renorm"),
        ({"flow": {"pionts": 3}}, "pionts"),
        ({"pictures": {"map_sied_m": 4}}, "pictures.*map_sied_m"),
        ({"pictures": {"map_side_m": 0}}, "pictures.map_side_m: .* above 0 m, got 0"),
        ({"pictures": {"map_side_m": "6"}}, "pictures.map_side_m: expected a number, got '6'"),
        ({"pictures": {"map_behind_m": 7}}, "pictures.map_behind_m: .* got 7"),
        ({"pictures": {"map_shown": 1.5}}, "pictures.map_shown"),
        ({"pictures": {"count_frames": 2.5}}, "pictures.count_frames: expected a whole number"),
        ({"pictures": {"count_most": 4}}, "pictures.count_most: expected a list"),
        ({"pictures": {"count_most": [4, 2]}}, "pictures.count_most: .* at least 3"),
        ({"pictures": {"count_most": ["4"]}}, "pictures.count_most: expected a whole number each"),
        ({"inputs": {"answer": ["audio"]}}, "audio"),
        ({"auto": ["given"]}, "given"),
        ({"auto": ["best"]}, "best"),
        ({"auto_by_task": {"path": []}}, "auto_by_task.path"),
        ({"auto_remembering": {"path": ["recall"]}}, "auto_remembering.path"),
        ({"temperature": {"path": {"answer": 0}}}, "temperature.path.answer"),
        ({"recall_above": {"path": 1.5}}, "recall_above.path: expected 0 to 1"),
        ({"temperature_by_seen": {"path": {"recall": [1, 1]}}}, "path.recall: expected 4 numbers"),
        ({"temperature_by_seen": {"path": {"recall": [1, 1, 0, 1]}}}, "path.recall: expected > 0"),
        ({"flow": {"anchoring": "blended"}}, "anchoring: expected off or ddnm"),
        ({"auto": ["recall"]}, "recall"),
        ({"prompt": {"order": "?"}}, "order"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, data: dict[str, object], message: str) -> None:
    (tmp_path / "ipt.json").write_text(json.dumps(data))
    with pytest.raises(AskingStyleError, match=message) as caught:
        AskingStyle.load(tmp_path)
    assert "ipt.json" in str(caught.value)


def test_temperatures_fall_back_to_task_and_mode_and_then_to_one() -> None:
    style = replace(SMALL, temperature={Task.PATH: {Mode.IMAGINE: 3.0}})
    found = [style.temperature_of(Task.PATH, Mode.IMAGINE, share) for share in SHARES]
    assert found == [3.0, 3.0, 2.0, 1.5, 3.0]
    assert style.temperature_of(Task.PATH, Mode.RECALL, 0.6) == 1.0


def test_enough_seen_goes_before_what_auto_prefers() -> None:
    assert SMALL.preferred(Task.PATH) == SMALL.preferred(Task.PATH, 0.39) == (Mode.ANSWER,)
    assert SMALL.preferred(Task.PATH, 0.4) == (Mode.RECALL, Mode.ANSWER)
    assert SMALL.preferred(Task.CLEARANCE, 1.0) == (Mode.IMAGINE, Mode.ANSWER)
    always = replace(SMALL, recall_above={Task.PATH: 0.0})
    assert always.preferred(Task.PATH, 0.01) == (Mode.RECALL, Mode.ANSWER)
    assert always.preferred(Task.PATH, 0.0) == (Mode.ANSWER,)  # a picture of nothing


def test_files_from_before_there_was_memory_are_read(tmp_path: Path) -> None:
    old = AskingStyle.load(find_folder("ipt-tiny")).to_dict()
    for name in ("recall_above", "temperature_by_seen"):
        del old[name]
    for name in ("anchoring", "anchor_noise"):
        del old["flow"][name]
    (tmp_path / "ipt.json").write_text(json.dumps(old))
    style = AskingStyle.load(tmp_path)
    assert style.recall_above == style.temperature_by_seen == {}
    assert style.flow.anchoring == "ddnm"
    assert Mode.RECALL not in style.preferred(Task.PATH, 1.0)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ipt.json").write_text("{")
    with pytest.raises(AskingStyleError, match=r"ipt\.json"):
        AskingStyle.load(tmp_path)
