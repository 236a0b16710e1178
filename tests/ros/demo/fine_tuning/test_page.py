"""The page tells what `finetune.json` holds, and no more."""

from __future__ import annotations

import copy
import re

import cv2
import numpy as np
import pytest

from ipt_ros.demo.fine_tuning.page import write_page
from ipt_ros.demo.fine_tuning.verdict import judge

COMPARED = {
    "perspective": {
        "imagine": {
            "before": {"share": 0.512},
            "after": {"share": 0.687},
            "difference": 0.175,
            "low": 0.091,
            "high": 0.262,
            "n": 240,
            "groups": 31,
        },
        "answer": {
            "before": {"share": 0.5},
            "after": {"share": 0.381},
            "difference": -0.119,
            "low": -0.2,
            "high": -0.04,
            "n": 240,
            "groups": 31,
        },
    }
}
DRIVE = {
    "name": "workshop_house_7",
    "seed": 7,
    "rooms": 3,
    "places": 9,
    "reached": 8,
    "skipped": 1,
    "pictures": 211,
    "driven_m": 43.2,
    "simulated_s": 98.0,
    "megabytes": 23.4,
}


@pytest.fixture
def found():
    answer = {"said": "left", "error_code": 0, "error_msg": "", "confidence": 0.81}
    return {
        "look": "workshop",
        "weights": "ipt-tiny",
        "seconds": 612.0,
        "houses": {"train": [7], "held out": [850_000]},
        "recorded": {"drives": [DRIVE, {**DRIVE, "seed": 850_000, "skipped": 0}]},
        "converted": {
            "train": {"rows": {"perspective": 321, "clearance": 54}},
            "validation": {"rows": {"perspective": 61}},
            "held out": {"rows": {"perspective": 240}},
            "dropped": {"data": {"stood still": 17, "blur": 2}, "held_out": {}},
            "frames": {"data": 192, "held_out": 101},
            "samples": [
                {
                    "task": "perspective",
                    "question": "Where is the <thing>?",
                    "options": ["left", "right"],
                    "answer": "right",
                    "pictures": {"true view": "row.png"},
                }
            ],
        },
        "rendered": {"rows": 800},
        "trained": {"steps": 83, "losses": {"mse": [0.8, 0.41]}, "looks": [0.5, 0.6]},
        "evaluated": {"compared": COMPARED},
        "deployed": {
            "house": "workshop_house_850000",
            "asked": [
                {
                    "object": "blue chair",
                    "truth": "left",
                    "answers": {
                        "before": {**answer, "said": "right"},
                        "after": answer,
                    },
                    "pictures": dict.fromkeys(("seen", "before", "after", "truth"), "view.png"),
                }
            ],
        },
        "verdict": {"gain": True, "sentences": ["Yes: it was.", "Luck alone."]},
        "stages": [
            {"name": "record", "seconds": 120.0, "repeated": True},
            {"name": "train", "seconds": 240.0, "repeated": False},
        ],
    }


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("row.png", "view.png"):
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 90, np.uint8))
    return folder


def cells(page):
    """Rows of all tables, as lists of texts."""
    return [
        [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]
        for row in re.findall(r"<tr>.*?</tr>", page)
    ]


def test_every_number_of_the_comparison_is_on_the_page(found, pictures, tmp_path):
    page = write_page(tmp_path / "report.html", found, pictures).read_text()
    table = cells(page)
    imagined = ["perspective", "imagine", "51.2 %", "68.7 %", "+17.5", "+9.1 to +26.2"]
    assert [*imagined, "240", "31"] in table
    assert [
        "perspective",
        "answer",
        "50.0 %",
        "38.1 %",
        "-11.9",
        "-20.0 to -4.0",
        "240",
        "31",
    ] in table
    assert "class='number right'>+17.5" in page and "class='number wrong'>-11.9" in page
    assert "<p class='answered right'>Yes: it was.</p><p>Luck alone.</p>" in page


def test_what_was_recorded_and_left_out_is_told(found, pictures, tmp_path):
    page = write_page(tmp_path / "report.html", found, pictures).read_text()
    assert ["7", "learning", "3", "8 of 9", "1", "43 m", "98 s", "211", "23"] in cells(page)
    assert ["850000", "asking", "3", "8 of 9", "0", "43 m", "98 s", "211", "23"] in cells(page)
    assert "192 became frames; left out: 17 stood still, 2 blur." in page
    assert "101 became frames; left out: none." in page
    assert "learned from: 321 perspective, 54 clearance" in page
    assert "mse 0.800 at the first and 0.410 at the last step" in page
    assert "record 120 s" in page and "train 240 s (before)" in page


def test_its_pictures_are_inside_and_its_texts_are_texts(found, pictures, tmp_path):
    page = write_page(tmp_path / "report.html", found, pictures).read_text()
    assert page.count("data:image/png;base64,") == 5
    assert not re.search(r"(src|href)='(?!data:)", page)
    assert "Where is the &lt;thing&gt;?" in page and "<b>right</b>" in page
    assert "before: right (0.81); after: left (0.81); truth: left" in page


def test_the_answer_changes_with_the_numbers_alone(found, pictures, tmp_path):
    worse = copy.deepcopy(found)
    one = worse["evaluated"]["compared"]["perspective"]["imagine"]
    one.update(difference=0.01, low=-0.05, high=0.07)
    verdict = judge(worse["evaluated"]["compared"], {"mse": [0.5] * 30}, [0.6, 0.5], 375)
    worse["verdict"] = {"gain": verdict.gain, "sentences": list(verdict.sentences)}
    page = write_page(tmp_path / "report.html", worse, pictures).read_text()
    assert "<p class='answered wrong'>No: none of 2 comparisons" in page
    assert "did not fall" in page and "no better after its first look" in page
