"""What a cell counts is what docs/nav2.md says, and what the arms make of it."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN
from ipt_ros.navigation.planning.arms import ARMS, counts_for
from ipt_ros.navigation.planning.costs import (
    DEAREST,
    FREE_SPACE,
    INSCRIBED,
    LETHAL,
    NEUTRAL,
    NO_INFORMATION,
    costmap_of,
    filtered,
    mask_cost,
    navfn,
)

PAGE = (Path(__file__).parents[3] / "docs" / "nav2.md").read_text()
#: Mask, cost and what NavFn counts, of the page's table.
ROWS = [
    tuple(int(v) for v in row)
    for row in re.findall(r"^\| (\d+)[^|]*\| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
]


def test_the_page_has_a_table():
    assert [row[0] for row in ROWS] == [0, 25, 50, 90]


@pytest.mark.parametrize(("mask", "cost", "counts"), ROWS)
def test_a_mask_costs_and_counts_what_the_page_says(mask, cost, counts):
    unknown = np.array([[NO_INFORMATION]], np.uint8)
    written = filtered(unknown, np.array([[mask]], np.int8))
    assert written[0, 0] == cost
    assert navfn(written)[0, 0] == counts


def test_an_unknown_cell_counts_253_or_is_forbidden():
    unknown = np.array([[NO_INFORMATION]], np.uint8)
    assert f"an unknown cell counts {DEAREST}" in PAGE
    assert navfn(unknown)[0, 0] == DEAREST
    assert math.isinf(navfn(unknown, allow_unknown=False)[0, 0])


def test_a_mask_of_100_would_be_lethal_and_one_of_minus_1_says_nothing():
    said = mask_cost(np.array([[100, -1]], np.int8))
    assert said.tolist() == [[LETHAL, NO_INFORMATION]]


def test_the_filter_never_lowers_a_cost():
    costs = np.array([[0, 100, INSCRIBED, LETHAL, NO_INFORMATION]], np.uint8)
    written = filtered(costs, np.full((1, 5), 20, np.int8))
    assert written.tolist() == [[51, 100, INSCRIBED, LETHAL, 51]]


def test_obstacles_are_inflated_and_reach_into_the_unknown_by_the_radius_alone():
    cells = np.full((1, 20), FREE, np.int8)
    cells[0, 0] = OCCUPIED
    cells[0, 10:] = UNKNOWN
    costs = costmap_of(cells, 0.1, 0.25)[0]
    assert costs[0] == LETHAL
    assert (costs[1:3] == INSCRIBED).all()  # 0.05 and 0.15 m away
    falling = costs[3:9].astype(int)
    assert (np.diff(falling) < 0).all() and 0 < falling[0] < INSCRIBED
    assert (costs[10:] == NO_INFORMATION).all()
    cells[0, 1:] = UNKNOWN
    assert costmap_of(cells, 0.1, 0.25)[0, :4].tolist() == [
        LETHAL, INSCRIBED, INSCRIBED, NO_INFORMATION,
    ]  # fmt: skip
    assert costmap_of(cells, 0.1, 0.25, track_unknown=False)[0, 15] == FREE_SPACE


def test_arms_differ_in_unknown_cells_alone():
    rng = np.random.default_rng(0)
    truth = np.where(rng.random((40, 40)) < 0.02, OCCUPIED, FREE).astype(np.int8)
    seen = truth.copy()
    seen[:, 30:] = UNKNOWN
    mask = np.where(seen == UNKNOWN, 25, -1).astype(np.int8)
    found = {
        arm.name: counts_for(arm, seen, truth, mask if arm.mask else None, 0.1) for arm in ARMS
    }
    for counts in found.values():  # far from what the oracle alone knows of
        assert np.array_equal(counts[:, :20], found["flat"][:, :20])
    far = (slice(None), slice(39, None))
    clear = np.isfinite(found["flat"][far])
    assert (found["flat"][far][clear] == DEAREST).all()
    assert (found["free"][far][clear] == NEUTRAL).all()
    assert np.isinf(found["forbidden"][far]).all()
    assert (found["imagined"][far][clear] == 101).all()
    assert len({arm.name for arm in ARMS}) == len(ARMS) == 9
