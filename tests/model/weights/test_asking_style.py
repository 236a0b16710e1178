"""`ipt.json`: what is written is read back, and what is wrong is named."""

import json
from pathlib import Path

import pytest

from ipt_model.inference.flow import FlowSettings
from ipt_model.network.transforms import ImageSizes, SizeRule
from ipt_model.question import Mode, Task
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.weights.asking_style import AskingStyle, AskingStyleError, InputEncodings
from ipt_model.weights.loading import find_folder
from ipt_model.wording.prompts import PromptStyle

SMALL = AskingStyle(
    model_id="small",
    prompt=PromptStyle(answer_style="word", system_think="Draw.", system_answer=""),
    image_sizes=ImageSizes(SizeRule(64, 16, 16), SizeRule(64, 8, 8)),
    pictures=PictureGeometry(map_side_m=4.0, count_frames=2, count_most=(5,)),
    inputs=InputEncodings(answer=("vae", "vit")),
    flow=FlowSettings(points=11, interval=(0.4, 1.0), renorm="global", min_steps=2),
    auto=(Mode.ANSWER,),
    auto_by_task={Task.CLEARANCE: (Mode.IMAGINE, Mode.ANSWER)},
    temperature={Task.PATH: {Mode.ANSWER: 1.5}},
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
    shipped = AskingStyle.load(find_folder("ipt-tiny"))
    assert shipped.pictures == PictureGeometry()


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
        ({"temperature": {"path": {"answer": 0}}}, "temperature.path.answer"),
        ({"prompt": {"order": "?"}}, "order"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, data: dict[str, object], message: str) -> None:
    (tmp_path / "ipt.json").write_text(json.dumps(data))
    with pytest.raises(AskingStyleError, match=message) as caught:
        AskingStyle.load(tmp_path)
    assert "ipt.json" in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ipt.json").write_text("{")
    with pytest.raises(AskingStyleError, match=r"ipt\.json"):
        AskingStyle.load(tmp_path)
