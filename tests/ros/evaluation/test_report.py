"""The page is whole by itself, whatever was answered; and the command knows what is left to do."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from test_scores import record, records

from ipt_ros.evaluation.__main__ import arguments, is_finished, main
from ipt_ros.evaluation.course import mask_id, picture_path
from ipt_ros.evaluation.node import EPISODES, left, stands_for
from ipt_ros.evaluation.page import page
from ipt_ros.evaluation.records import Records
from ipt_ros.evaluation.scores import summary
from ipt_ros.evaluation.true_world import TrueWorld
from ipt_ros.parameters.evaluate_node import EVALUATE_PARAMETERS
from ipt_ros.parameters.table import checked, defaults
from ipt_training.worlds.reading import find_truth

WORLDS = Path(__file__).parents[3] / "worlds"
VOID = {"meta", "img", "rect", "line", "circle"}


class Balanced(HTMLParser):
    """Every element that is opened is closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@given(records())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_page_is_made_of_any_records(tmp_path, many):
    text = page({**summary(many), "simulator": "embedded"}, many, tmp_path, 4)
    assert f"{len(many)} questions" in "".join(Balanced(text).texts)


def test_words_of_others_are_no_markup_and_pictures_are_inside(tmp_path):
    one = record(question="<script>alert(1)</script>", number="w/q0/000/side")
    picture = np.full((6, 8, 3), (10, 200, 30), np.uint8)
    path = picture_path(tmp_path, one.id, 0, "imagined")
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), picture)
    (path.parent / "1 half.png").write_bytes(path.read_bytes()[:20])
    text = page({**summary([one]), "simulator": "embedded"}, [one], tmp_path, 4)
    Balanced(text)
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert text.count("data:image/png;base64,") == 1
    assert not re.search(r"(src|href)='(?!data:)", text)


def test_a_world_is_finished_when_every_episode_and_mask_is(tmp_path):
    values = checked(EVALUATE_PARAMETERS, defaults(EVALUATE_PARAMETERS), {"stands": 2, "masks": 1})
    world = TrueWorld(find_truth("room_850001", WORLDS))
    stands = stands_for(world, values)
    kept = Records(tmp_path / EPISODES)
    names = [e.id for s in stands for e in s.episodes] + [mask_id(s) for s in stands if s.mask]
    assert left(stands, kept) == len(names) == 10
    chosen = arguments(["--out", str(tmp_path)])
    for n, name in enumerate(names):
        assert not is_finished(chosen, "room_850001", 2, 1)
        kept.add(record(number=name))
        assert left(stands, kept) == len(names) - n - 1
    assert is_finished(chosen, "room_850001", 2, 1)
    # another mode is asked anew
    assert not is_finished(
        arguments(["--out", str(tmp_path), "--mode", "answer"]), "room_850001", 2, 1
    )
    assert json.loads((tmp_path / EPISODES).read_text().splitlines()[0])["outcome"] == "answered"


def test_a_folder_that_cannot_be_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--out" in said


@pytest.mark.parametrize("given", [["--mode", "guess"], ["--worlds"]])
def test_an_option_that_there_is_not_is_refused(given, capsys):
    with pytest.raises(SystemExit):
        arguments(given)
    assert given[0] in capsys.readouterr().err
