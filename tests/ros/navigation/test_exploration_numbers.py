"""Numbers of searches, and the page that is made of them."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from ipt_ros.navigation.exploring.arms import ARMS
from ipt_ros.navigation.exploring.page import page
from ipt_ros.navigation.exploring.report import write_report
from ipt_ros.navigation.exploring.summary import auc_of, summary, table, views
from ipt_ros.navigation.results.statistics import spl, whole

ROOT = Path(__file__).parents[3]
RESULT = ROOT / "benchmarks" / "results" / "exploration.json"
NAMES = [arm.name for arm in ARMS]


def record(errand, arm, driven_m, decisions=()):
    return {
        "errand": errand, "house": int(errand.partition("/")[0]), "thing": "green chair",
        "oracle_m": 5.0, "arm": arm, "outcome": "out of time" if driven_m is None else "found",
        "driven_m": 60.0 if driven_m is None else driven_m, "time_s": 50.0, "contacts": 0,
        "visits": 3, "decisions": list(decisions), "track": [[0.0, 0.0, 0.0]],
    }  # fmt: skip


def decision(scores, there, chosen):
    return {"scores": scores, "there": there, "chosen": chosen}


def drives(lengths, decisions=()):
    """Of some searches by the way that an arm drives, m; None where it does not find it."""
    rows = []
    for k, by_arm in enumerate(lengths):
        for name in NAMES:
            driven = by_arm.get(name, by_arm["nearest"])
            some = decisions if name not in ("nearest", "oracle") else ()
            rows.append(record(f"{850000 + k // 2}/{k % 2}", name, driven, some))
    return rows


def kept(folder, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "drives-1-of-1.jsonl").write_text(text)


def test_a_search_that_finds_counts_by_its_way_and_one_that_does_not_counts_nothing():
    lengths = [{"nearest": 20.0, "imagined": 10.0, "oracle": 5.0}, {"nearest": 8.0, "true": None}]
    first, second = whole(drives(lengths), NAMES)
    assert (spl(first, "nearest"), spl(first, "imagined")) == (0.25, 0.5)
    assert (spl(second, "nearest"), spl(second, "true")) == (1.0, 0.0)


def test_arms_are_compared_search_by_search():
    lengths = [
        {"nearest": 20.0, "imagined": 10.0, "oracle": 5.0},
        {"nearest": 10.0, "imagined": 10.1, "oracle": 5.0},
        {"nearest": 10.0, "imagined": None, "oracle": 5.0},
        {"nearest": 10.0, "imagined": 12.0, "oracle": 5.0},
    ]
    found = table(whole(drives(lengths), NAMES))
    mine = found["against"]["imagined"]
    assert (mine["win"], mine["tie"], mine["loss"]) == (1, 1, 2)
    assert mine["both"] == 3 and mine["driven_m"]["value"] == pytest.approx(-2.633, abs=1e-3)
    assert mine["found"]["value"] == -0.25
    assert found["arms"]["imagined"]["found"]["k"] == 3
    assert found["against"]["oracle"]["of_oracle"]["value"] == 1.0
    assert (found["houses"], found["last_seed"]) == (2, 850001)


def test_views_are_judged_by_what_is_there():
    decisions = [
        decision([0, 30], [False, True], 1),
        decision([20, 0], [False, True], 0),
        decision([0, 0], [False, False], 0),
        decision([9, 9], [True, True], 0),
    ]
    found = views(whole(drives([{"nearest": 9.0}], decisions), NAMES), "imagined")
    assert (found["shown_there"]["k"], found["shown_there"]["n"]) == (3, 4)
    assert (found["shown_elsewhere"]["k"], found["shown_elsewhere"]["n"]) == (1, 4)
    right = found["right"]
    assert (right["n"], right["chosen"]["k"], right["nearest"]["k"]) == (2, 1, 0)
    assert right["by_chance"] == 0.5


def test_the_area_under_the_curve_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    rows = [
        (850000 + int(rng.integers(8)), int(rng.integers(6)), bool(rng.random() < 0.3))
        for _ in range(120)
    ]
    mine = [s for _, s, there in rows if there]
    other = [s for _, s, there in rows if not there]
    pairs = [(a > b) + 0.5 * (a == b) for a in mine for b in other]
    found = auc_of(rows)
    assert found["value"] == pytest.approx(np.mean(pairs), abs=1e-4)
    assert 0.2 < found["low"] < found["value"] < found["high"] < 0.8
    assert auc_of([(1, 5, True), (1, 3, True)]) is None
    sure = auc_of([(k, 10 * there, bool(there)) for k in range(4) for there in (0, 1)])
    assert sure == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_the_page_says_whichever_way_it_comes_out(tmp_path):
    decisions = [decision([0, 30], [False, True], 1), decision([4, 0], [True, False], 0)]
    told = {}
    for driven in (5.0, 40.0, None):
        kept(tmp_path, drives([{"nearest": 20.0, "imagined": driven}] * 6, decisions))
        assert write_report(tmp_path, "ipt-tiny") == str(tmp_path / "exploration.md")
        told[driven] = (tmp_path / "exploration.md").read_text()
        assert "nan" not in told[driven] and "None" not in told[driven]
    first = {k: text.partition("frontier: ")[2].partition(".")[0] for k, text in told.items()}
    assert first == {5.0: "a gain", 40.0: "a loss", None: "a loss"}
    found = json.loads((tmp_path / "exploration.json").read_text())
    assert found == json.loads(json.dumps(summary(tmp_path, "ipt-tiny")))


def test_a_folder_without_a_whole_search_has_no_page_yet(tmp_path):
    kept(tmp_path, drives([{"nearest": 9.0}])[:-1])
    assert "no search" in write_report(tmp_path, "ipt-tiny")


@pytest.mark.skipif(not RESULT.exists(), reason="nothing is published yet")
def test_the_published_page_is_that_of_the_published_numbers():
    found = json.loads(RESULT.read_text())
    assert (ROOT / "docs" / "exploration.md").read_text() == page(found)
    assert found["all"]["errands"] > 10


def test_the_script_makes_the_page_again_from_the_numbers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    main = runpy.run_path(str(ROOT / "benchmarks" / "exploration.py"))["main"]
    kept(tmp_path, drives([{"nearest": 10.0, "imagined": 12.0}, {"nearest": 10.0}]))
    result, told = tmp_path / "result.json", tmp_path / "page.md"
    monkeypatch.setitem(main.__globals__, "RESULTS", result)
    monkeypatch.setitem(main.__globals__, "PAGE", told)
    monkeypatch.setattr("sys.argv", ["exploration.py", str(tmp_path)])
    main()
    first = result.read_bytes(), told.read_bytes()
    monkeypatch.setattr("sys.argv", ["exploration.py"])
    main()
    assert (result.read_bytes(), told.read_bytes()) == first
