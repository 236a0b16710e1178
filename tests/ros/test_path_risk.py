"""Risk along a path: sight wins over imagination, and what neither tells stays unsaid."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ipt_model.maps import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ipt_ros.path_risk import path_risk

ALONG = np.stack([np.linspace(0.1, 1.9, 10), np.full(10, 1.0)], axis=1)


def grid(cells):
    return OccupancyGrid(cells.astype(np.int8), 0.1, (0.0, 0.0))


def test_seen_free_all_along_is_no_risk_whatever_is_imagined():
    found = path_risk(grid(np.full((20, 20), FREE)), ALONG, 0.25, np.ones((20, 20)))
    # the ends of the path reach over the edge of the map, which is unknown
    assert (found.risk[3:-3] == 0).all()


def test_the_first_pose_that_touches_something_seen_is_named():
    cells = np.full((20, 20), FREE)
    cells[:, 10] = OCCUPIED
    found = path_risk(grid(cells), ALONG, 0.15, None)
    assert found.seen_blocked == int(np.flatnonzero(ALONG[:, 0] > 1.0 - 0.2)[0])
    assert found.risk[found.seen_blocked] == 1.0


def test_unknown_without_imagination_is_not_a_number():
    found = path_risk(grid(np.full((20, 20), UNKNOWN)), ALONG, 0.15, None)
    assert np.isnan(found.risk).all()
    assert not found.all_seen


def test_imagination_speaks_for_unknown_cells():
    cells = np.full((20, 20), UNKNOWN)
    imagined = np.full((20, 20), 0.1)
    imagined[:, 12:] = 0.8
    found = path_risk(grid(cells), ALONG[2:-2], 0.15, imagined)
    assert found.risk[0] == 0.1 and found.risk[-1] == 0.8
    assert (np.diff(found.risk) >= 0).all()


cell_values = st.sampled_from([UNKNOWN, FREE, OCCUPIED])


@given(
    arrays(np.int8, (12, 12), elements=cell_values),
    arrays(np.float64, (12, 12), elements=st.floats(0, 1)),
    st.floats(0.05, 0.5),
    arrays(np.float64, (5, 2), elements=st.floats(-0.5, 1.7)),
)
def test_sight_always_wins(cells, imagined, radius, path):
    found = path_risk(grid(cells), path, radius, imagined)
    with_doubt = path_risk(grid(cells), path, radius, 1.0 - imagined)
    assert found.seen_blocked == with_doubt.seen_blocked
    assert found.all_seen == with_doubt.all_seen
    known = found.risk[~np.isnan(found.risk)]
    assert ((known >= 0) & (known <= 1)).all()
    if found.all_seen:
        assert set(known) <= {0.0, 1.0}
        assert np.array_equal(found.risk, with_doubt.risk)
