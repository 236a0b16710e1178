"""Warping seen RGB-D: against a plane in closed form and against true renders of the new view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ipt_model.spatial.geometry import warp_rgbd
from ipt_model.spatial.recalled import HOLE_RGB


@dataclass(frozen=True)
class Lens:
    fx: float
    fy: float
    cx: float
    cy: float


LENS = Lens(50.0, 50.0, 32.0, 24.0)


def _plane(depth: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 200, (48, 64, 3), np.uint8)
    return rgb, np.full((48, 64), depth, np.float32)


def _moved(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = (x, y, z)
    return pose


def test_no_motion_gives_the_picture_back() -> None:
    rgb, depth = _plane()
    out = warp_rgbd(rgb, depth, LENS, np.eye(4), np.eye(4))
    assert out.seen.all()
    np.testing.assert_array_equal(out.rgb, rgb)
    np.testing.assert_allclose(out.depth_m, depth)


def test_a_step_to_the_right_shifts_the_picture_left() -> None:
    rgb, depth = _plane()
    out = warp_rgbd(rgb, depth, LENS, np.eye(4), _moved(x=0.2))  # 5 pixels at 2 m
    np.testing.assert_array_equal(out.rgb[:, :59], rgb[:, 5:])
    assert out.seen[:, :59].all() and not out.seen[:, 59:].any()
    assert (out.rgb[:, 59:] == HOLE_RGB).all() and (out.depth_m[:, 59:] == 0).all()


def test_coming_closer_leaves_no_cracks() -> None:
    rgb, depth = _plane()
    out = warp_rgbd(rgb, depth, LENS, np.eye(4), _moved(z=1.5))
    assert out.seen.all()
    np.testing.assert_allclose(out.depth_m, 0.5, atol=1e-5)


def test_a_slanted_floor_leaves_no_cracks() -> None:
    """Rows of a floor spread unevenly when one walks over it: patches must follow the slope."""
    v = (np.arange(48) + 0.5 - LENS.cy) / LENS.fy
    depth = np.where(v > 0.05, 1.0 / np.maximum(v, 0.05), 0.0)[:, None].repeat(64, 1)
    rgb = np.full((48, 64, 3), 90, np.uint8)
    out = warp_rgbd(rgb, depth.astype(np.float32), LENS, np.eye(4), _moved(z=1.0))
    below = v > 0.12
    assert out.seen[below].mean() > 0.995
    known = out.seen[below]
    truth = (1.0 / v[below])[:, None].repeat(64, 1)[known]
    error = np.abs(out.depth_m[below][known] - truth) / truth
    assert np.quantile(error, 0.9) < 0.2


def test_the_nearer_surface_wins_and_uncovers_a_hole() -> None:
    rgb = np.full((48, 64, 3), 40, np.uint8)
    depth = np.full((48, 64), 4.0, np.float32)
    rgb[16:32, 24:40] = (200, 0, 0)
    depth[16:32, 24:40] = 1.0
    out = warp_rgbd(rgb, depth, LENS, np.eye(4), _moved(x=0.2))
    # near: 10 pixels to the left, far: 2.5
    assert (out.rgb[20:28, 15:29] == (200, 0, 0)).all()
    assert not out.seen[20:28, 32:36].any()
    assert (out.rgb[20:28, 40:58] == 40).all()


def test_turning_away_shows_nothing() -> None:
    rgb, depth = _plane()
    back = np.diag([-1.0, 1.0, -1.0, 1.0])
    out = warp_rgbd(rgb, depth, LENS, np.eye(4), back)
    assert not out.seen.any()


def test_other_size_and_lens() -> None:
    rgb, depth = _plane()
    wide = Lens(25.0, 25.0, 48.0, 36.0)
    out = warp_rgbd(rgb, depth, LENS, np.eye(4), np.eye(4), wide, (72, 96))
    assert out.rgb.shape == (72, 96, 3)
    rows, cols = np.nonzero(out.seen)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (24, 47, 32, 63)


def test_unknown_depth_is_not_drawn() -> None:
    rgb, depth = _plane()
    depth[:10] = 0
    depth[10:20] = np.nan
    out = warp_rgbd(rgb, depth, LENS, np.eye(4), np.eye(4))
    assert not out.seen[:20].any() and out.seen[20:].all()
    nothing = warp_rgbd(rgb, depth * 0, LENS, np.eye(4), np.eye(4))
    assert not nothing.seen.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rgb": np.zeros((48, 64), np.uint8)}, "H x W x 3 uint8"),
        ({"depth_m": np.zeros((4, 4))}, "size of rgb"),
        ({"source_pose": np.eye(3)}, "source_pose"),
        ({"target_pose": np.full((4, 4), np.nan)}, "target_pose"),
        ({"size": (0, 5)}, "positive height"),
    ],
)
def test_bad_input_is_named(change: dict, message: str) -> None:
    rgb, depth = _plane()
    given = {
        "rgb": rgb,
        "depth_m": depth,
        "intrinsics": LENS,
        "source_pose": np.eye(4),
        "target_pose": np.eye(4),
    }
    with pytest.raises(ValueError, match=message):
        warp_rgbd(**{**given, **change})
