"""`make demo` as a newcomer runs it: both nodes as processes, the shipped model, the report."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from ipt_model.spatial import maps
from ipt_model.weights import DEFAULT_MODEL


@pytest.fixture(scope="module")
def demo(ros_domain, tmp_path_factory):
    """The folder that the demo wrote, and what it printed."""
    pytest.importorskip("open3d", reason="open3d draws the simulated world")
    out = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "ipt_ros.demo", "--out", str(out)],
        env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain + 3)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return out, done.stdout


def test_every_action_is_answered_from_images_that_it_names(demo):
    records = json.loads((demo[0] / "answers.json").read_text())
    actions = ["ImagineView", "TracePath", "CountObjects", "AskSpatial"]
    assert [r["action"] for r in records] == actions
    for record in records:
        assert record["error_code"] == 0 and record["source_stamps"]
        assert record["model_id"] == DEFAULT_MODEL and record["said"]
        drawn = record["mode"] == "imagine"
        assert (record["flow_steps"] > 0) == drawn == (record["times"]["imagine_s"] > 0)
        assert drawn == (record["action"] == "ImagineView" and "withheld_before" not in record)
        if not record["abstained"]:
            assert math.isclose(sum(record["option_probabilities"]), 1.0, abs_tol=1e-3)
            assert record["answer"] in record["options"]


def test_the_mask_claims_unseen_cells_alone_and_is_taken_back(demo):
    found = json.loads((demo[0] / "imagined_space.json").read_text())
    assert found["claims"] > 100 and 0 <= found["highest"] <= 90
    assert found["seen_cells_touched"] == 0
    assert found["taken_back_s"] < 20  # NaN when it never was


def test_the_report_holds_all_its_pictures(demo):
    page = (demo[0] / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 12
    # the view that was partly seen is shown with its tint and what that means
    shares = [r["seen_share"] for r in json.loads((demo[0] / "answers.json").read_text())]
    assert 0.0 < shares[0] < 1.0
    assert page.count("class='key legend'") == sum(share > 0 for share in shares)
    assert not re.search(r"(src|href)='(?!data:)", page)
    assert "untrained" not in page and "right" in demo[1]


def test_claims_are_painted_over_the_unknown_alone():
    from ipt_ros.demo.space import FREE_RGB, OCCUPIED_RGB, draw_claims

    cells = np.full((10, 10), -1, np.int8)
    cells[0, 0], cells[9, 9] = 0, 90
    mask = maps.OccupancyGrid(cells, 0.1, (0.0, 0.0))
    view = maps.MapView(0.0, 0.0, 1.0, 20)
    plain = np.full((20, 20, 3), 7, np.uint8)
    painted = draw_claims(plain, mask, view)
    assert tuple(painted[-1, 0]) == FREE_RGB and tuple(painted[0, -1]) == OCCUPIED_RGB
    assert (painted == 7).all(axis=2).sum() == 20 * 20 - 8


def test_a_folder_that_cannot_be_is_refused_in_one_line(tmp_path, capsys):
    from ipt_ros.demo.__main__ import main

    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--out" in said
