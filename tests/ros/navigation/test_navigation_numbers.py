"""Numbers of drives, and the page that is made of them."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from ipt_ros.navigation.planning.arms import ARMS
from ipt_ros.navigation.results import statistics
from ipt_ros.navigation.results.page import PICTURE, page
from ipt_ros.navigation.results.picture import picture_of
from ipt_ros.navigation.results.report import write_report
from ipt_ros.navigation.results.summary import model_hash, summary

ROOT = Path(__file__).parents[3]
RESULT = ROOT / "benchmarks" / "results" / "navigation_gain.json"
NAMES = [arm.name for arm in ARMS]


def record(errand, arm, driven_m, outcome="arrived", **more):
    house = int(errand.partition("/")[0])
    return {
        "errand": errand, "house": house, "relevant": errand.endswith(("0", "2")),
        "change": "none", "oracle_m": 10.0, "arm": arm, "outcome": outcome, "driven_m": driven_m,
        "time_s": 2 * driven_m, "plans": 20, "other_ways": 1, "contacts": 0, "masks": 0,
        "near": 0, "least_m": 0.3, "track": [[0.0, 0.0, 0.0], [1.0, 0.5, 0.1]], **more,
    }  # fmt: skip


def drives(lengths):
    """Of some errands by the way that an arm drives, m; None where it does not arrive."""
    rows = []
    for k, by_arm in enumerate(lengths):
        errand = f"{850001 + k // 2}/{k % 2}"
        for name in NAMES:
            driven = by_arm.get(name, by_arm["flat"])
            end = "out of time" if driven is None else "arrived"
            rows.append(record(errand, name, 50.0 if driven is None else driven, end))
    return rows


def test_spl_is_against_the_shortest_way_that_was_driven():
    (errand,) = statistics.whole(drives([{"flat": 12.0, "oracle": 9.0}]), NAMES)
    assert statistics.spl(errand, "oracle") == 1.0
    assert statistics.spl(errand, "flat") == pytest.approx(0.75)
    (errand,) = statistics.whole(drives([{"flat": None, "oracle": 9.0}]), NAMES)
    assert statistics.spl(errand, "flat") == 0.0
    assert statistics.seconds(errand, "flat") == statistics.GIVEN_UP_S


def test_an_errand_counts_when_every_arm_has_driven_it():
    rows = drives([{"flat": 10.0}, {"flat": 11.0}])
    assert len(statistics.whole(rows, NAMES)) == 2
    assert len(statistics.whole(rows[:-1], NAMES)) == 1


def test_wins_ties_and_losses_are_counted_by_the_way_driven():
    lengths = [
        {"flat": 10.0, "imagined": 9.0},
        {"flat": 10.0, "imagined": 10.1},
        {"flat": 10.0, "imagined": 12.0},
        {"flat": 10.0, "imagined": None},
        {"flat": None, "imagined": None},
        {"flat": None, "imagined": 30.0},
    ]
    errands = statistics.whole(drives(lengths), NAMES)
    found = statistics.against(errands, "imagined")
    assert (found["win"], found["tie"], found["loss"]) == (2, 2, 2)
    assert found["success"]["value"] == pytest.approx(0.0)


def test_a_gain_is_a_share_of_the_oracles():
    lengths = [{"flat": 20.0, "imagined": 40 / 3, "oracle": 10.0}] * 6
    found = statistics.against(statistics.whole(drives(lengths), NAMES), "imagined")
    assert found["spl"] == {"value": 0.25, "low": 0.25, "high": 0.25}
    assert found["of_oracle"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    nothing = statistics.whole(drives([{"flat": 10.0}] * 4), NAMES)
    assert statistics.against(nothing, "imagined")["of_oracle"] is None


def test_intervals_are_drawn_by_houses():
    """Errands of a house that agree are no more than one."""
    values = np.repeat([0.0, 1.0, 0.0, 1.0], 50)
    by_house = statistics.mean_of(values, np.repeat(range(4), 50))
    by_errand = statistics.mean_of(values, range(200))
    assert by_house["value"] == by_errand["value"] == 0.5
    assert by_house["high"] - by_house["low"] > 3 * (by_errand["high"] - by_errand["low"])
    assert statistics.mean_of(values, np.repeat(range(4), 50)) == by_house


def test_what_hurts_most_is_listed_first_and_drawn(tmp_path):
    lengths = [
        {"flat": 10.0, "imagined": 12.0},
        {"flat": 10.0, "imagined": None},
        {"flat": 14.0, "imagined": 10.0},
        {"flat": 10.0, "imagined": 10.0},
    ]
    text = "".join(json.dumps(row) + "\n" for row in drives(lengths))
    (tmp_path / "drives-1-of-1.jsonl").write_text(text)
    assert write_report(tmp_path, "ipt-tiny") == str(tmp_path / "navigation_gain.md")
    found = json.loads((tmp_path / "navigation_gain.json").read_text())
    hurts = found["hurts"]
    assert [one["errand"] for one in hurts["worst"]] == ["850001/1", "850001/0"]
    assert (hurts["worse"], hurts["better"]) == (2, 1)
    assert (hurts["stuck_only_there"], hurts["stuck_only_before"]) == (1, 0)
    told = (tmp_path / "navigation_gain.md").read_text()
    assert "On 2 of 4 errands" in told and "| 850001/1 |" in told and "nan" not in told
    assert (tmp_path / PICTURE).read_text() == picture_of(hurts)
    assert found["model"]["hash"] == model_hash("ipt-tiny")
    assert found == json.loads(json.dumps(summary(tmp_path, "ipt-tiny")))


def test_a_folder_without_a_whole_errand_has_no_page_yet(tmp_path):
    assert "no errand" in write_report(tmp_path, "ipt-tiny")


@pytest.mark.skipif(not RESULT.exists(), reason="nothing is published yet")
def test_the_page_is_that_of_the_published_numbers():
    found = json.loads(RESULT.read_text())
    assert (ROOT / "docs" / "navigation_gain.md").read_text() == page(found)
    if found["hurts"]["worst"]:
        picture = ROOT / "docs" / PICTURE
        assert picture.read_text() == picture_of(found["hurts"])
        assert picture.stat().st_size < 100_000


def test_the_script_makes_the_page_again_from_the_numbers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = runpy.run_path(str(ROOT / "benchmarks" / "navigation_gain.py"))
    main = script["main"]
    rows = drives([{"flat": 10.0, "imagined": 12.0}, {"flat": 10.0}])
    (tmp_path / "drives-1-of-1.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    result, told = tmp_path / "result.json", tmp_path / "page.md"
    monkeypatch.setitem(main.__globals__, "RESULTS", result)
    monkeypatch.setitem(main.__globals__, "PAGE", told)
    monkeypatch.setattr("sys.argv", ["navigation_gain.py", str(tmp_path)])
    main()
    first = result.read_bytes(), told.read_bytes()
    monkeypatch.setattr("sys.argv", ["navigation_gain.py"])
    main()
    assert (result.read_bytes(), told.read_bytes()) == first
