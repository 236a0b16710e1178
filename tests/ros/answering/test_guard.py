"""The guard against rendered truth: the true view scores high, a shifted or foreign one low."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ipt_model.question import Answer, Mode, Outcome, Provenance, StageTimes
from ipt_model.spatial import maps
from ipt_model.spatial.geometry import warp_rgbd
from ipt_model.spatial.recalled import RecalledView
from ipt_ros.answering.guard import (
    GuardScores,
    Thresholds,
    map_consistency,
    option_spread,
    view_consistency,
    why_withheld,
)


@pytest.fixture(scope="module")
def rendered():
    """Of several rooms: what was seen here moved there, the true view there, a foreign view."""
    pytest.importorskip("open3d", reason="open3d is not installed")
    from ipt_training.houses.generator import make_scene
    from ipt_training.rendering.embree import Renderer
    from ipt_training.scenes.camera import Camera, camera_pose

    camera = Camera.from_fov(64, 48, 1.57)
    found = []
    for seed in range(850_100, 850_112):
        scene = make_scene(seed, "room")
        renderer = Renderer(scene)
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(-1, 1, 2)
        yaw = rng.uniform(-3, 3)
        here = camera_pose(x, y, yaw, 1.2, 0.25)
        there = camera_pose(x + 0.5 * np.cos(yaw), y + 0.5 * np.sin(yaw), yaw + 0.3, 1.2, 0.25)
        away = camera_pose(x, y, yaw + 2.2, 1.2, 0.25)
        seen, true, foreign = renderer.render_many([here, there, away], camera)
        warped = warp_rgbd(seen.rgb, seen.depth_m, camera, here, there)
        found.append((warped, true.rgb, foreign.rgb))
    return found


def scores(pairs, pick):
    values = [view_consistency(pick(w, t, f), w)[1] for w, t, f in pairs]
    return np.array([v for v in values if not np.isnan(v)])


def test_the_true_view_scores_high_and_wrong_ones_low(rendered):
    true = scores(rendered, lambda w, t, f: t)
    foreign = scores(rendered, lambda w, t, f: f)
    shifted = scores(rendered, lambda w, t, f: np.roll(t, 16, axis=1))
    noise = scores(
        rendered, lambda w, t, f: np.random.default_rng(0).integers(0, 255, t.shape, np.uint8)
    )
    assert len(true) >= 10
    assert np.median(true) > 0.6
    for wrong in (foreign, shifted, noise):
        # area under the ROC curve: how often a true view scores above a wrong one
        assert (true[:, None] > wrong[None]).mean() > 0.95
        assert np.median(wrong) < Thresholds().consistency < np.median(true)


def test_the_same_picture_is_wholly_consistent(rendered):
    warped, _, _ = rendered[0]
    overlap, consistency = view_consistency(warped.rgb, warped)
    assert overlap == pytest.approx(warped.seen.mean())
    assert consistency > 0.95


def recalled(rgb, seen=None, depth_m=2.0):
    """A recalled view of a flat wall, or of the depths given; seen wholly, or where said."""
    seen = np.ones(rgb.shape[:2], bool) if seen is None else seen
    depth = np.where(seen, depth_m, 0.0).astype(np.float32)
    return RecalledView(rgb, depth, seen)


def room(seed=0):
    """48 x 64: a wall and a floor with ten coloured boxes before them."""
    rng = np.random.default_rng(seed)
    picture = np.full((48, 64, 3), (180, 170, 160), np.uint8)
    picture[28:] = (90, 70, 50)
    for _ in range(10):
        top, left = rng.integers(4, 34), rng.integers(0, 52)
        picture[top : top + 10, left : left + 9] = rng.integers(0, 255, 3)
    return picture


@pytest.mark.parametrize("gain", [0.6, 0.8, 1.25, 1.4])
def test_another_exposure_is_the_same_picture(gain):
    picture = room() // 2 + 20
    exposed = np.clip(picture * gain, 0, 255).astype(np.uint8)
    assert view_consistency(exposed, recalled(picture))[1] > 0.9


def test_a_wrong_picture_is_not_faded_into_a_right_one():
    wrong = room(1)
    for fade in (1.0, 0.5, 0.2):
        faded = (wrong * fade).astype(np.uint8)
        assert view_consistency(faded, recalled(room()))[1] < 0.2
    # nor is a wall of another brightness or colour taken for another exposure of this one
    wall = np.full((48, 64, 3), 200, np.uint8)
    for other in ((120, 120, 120), (200, 160, 200)):
        assert view_consistency(np.full_like(wall, other), recalled(wall))[1] < 0.2
    assert view_consistency(np.full_like(wall, 170), recalled(wall))[1] > 0.9


def test_a_pixel_of_pose_error_is_forgiven_and_a_displaced_picture_is_not():
    picture = room()
    scores = [view_consistency(np.roll(picture, n, axis=1), recalled(picture))[1] for n in (1, 16)]
    assert scores[0] > 0.9 and scores[1] < 0.3
    # larger pictures are compared at the same size: two of 128 pixels are one of 64
    large = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)
    assert view_consistency(np.roll(large, 2, axis=1), recalled(large))[1] > 0.9


def test_what_lies_at_a_jump_of_depth_does_not_count():
    picture = room()
    depth = np.full((48, 64), 4.0)
    depth[:, 20:40] = 2.0
    badly_registered = picture.copy()
    badly_registered[:, [19, 20, 39, 40]] = (255, 0, 255)
    assert view_consistency(picture, recalled(badly_registered, depth_m=depth))[1] > 0.95
    assert view_consistency(picture, recalled(badly_registered))[1] < 0.9


def test_one_thing_that_is_wrong_is_not_outvoted_by_all_that_is_right():
    picture = room()
    changed = picture.copy()
    changed[10:34, 20:38] = (0, 255, 0)
    whole = (
        1.0
        - np.abs(changed.astype(float) - picture).mean()
        / np.abs(picture - np.median(picture, axis=(0, 1))).mean()
    )
    found = view_consistency(changed, recalled(picture))[1]
    assert found < Thresholds().consistency < whole


FRAMES = Path(__file__).parents[4] / "shared" / "data" / "real_rgbd"


@pytest.mark.slow(10)
@pytest.mark.skipif(not FRAMES.exists(), reason="the real frames do not lie beside the repository")
@pytest.mark.parametrize("how", ["moved as it is", "from memory"])
def test_true_views_of_real_frames_pass_and_wrong_ones_do_not(how, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    guard_real = pytest.importorskip("guard_real")
    real_frames = pytest.importorskip("real_frames")
    frames = real_frames.load_frames(FRAMES, 320)
    drawn = [frame.rgb for frame in real_frames.load_frames(FRAMES, 64)]
    rooms = [room(seed) for seed in range(4)]
    found = guard_real.scores(frames, drawn, rooms, how)
    report = guard_real.summary(found, Thresholds().consistency, resamples=2)
    if how == "moved as it is":
        assert report["pairs"] == 20
    assert report["true passed"] >= 0.95
    for kind in ("mirrored", "rows shifted", "columns shifted", "rendered room", "noise"):
        assert report["wrong"][kind]["passed"] == 0.0
    assert report["wrong"]["blank wall"]["passed"] == 0.0
    assert report["wrong"]["another frame"]["auc"] > 0.95


def test_too_little_overlap_is_not_a_score():
    known = np.zeros((48, 64), bool)
    known[:2, :2] = True
    picture = np.zeros((48, 64, 3), np.uint8)
    overlap, consistency = view_consistency(picture, recalled(picture, known))
    assert overlap < 0.01 and np.isnan(consistency)


@given(
    arrays(np.uint8, (24, 32, 3)),
    arrays(np.uint8, (48, 64, 3)),
    arrays(bool, (48, 64)),
)
def test_scores_stay_between_0_and_1(imagined, seen, known):
    overlap, consistency = view_consistency(imagined, recalled(seen, known))
    assert 0 <= overlap <= 1
    assert np.isnan(consistency) or 0 <= consistency <= 1


def test_a_map_that_repeats_what_was_seen():
    cells = np.full((30, 30), maps.UNKNOWN, np.int8)
    cells[:15] = maps.FREE
    cells[14] = maps.OCCUPIED
    exact = np.where(cells == maps.OCCUPIED, 1.0, 0.0)
    assert map_consistency(cells, exact) == 1.0
    assert map_consistency(cells, 1.0 - exact) == 0.0
    # a drawing of free floor everywhere is right about most cells and wrong about every wall
    assert map_consistency(cells, np.zeros((30, 30))) == 0.5
    assert np.isnan(map_consistency(np.full((30, 30), maps.UNKNOWN, np.int8), exact))


def answer(*probabilities, outcome=Outcome.ANSWERED):
    return Answer(
        outcome,
        "left",
        probabilities,
        (),
        StageTimes(),
        Provenance("m", "h", 0, 0, Mode.ANSWER),
    )


@pytest.mark.parametrize(
    ("given_answer", "found", "reason"),
    [
        (answer(0.9, 0.1), GuardScores(0.5, 0.8, 0.1), ""),
        (answer(0.55, 0.45), GuardScores(0.5, 0.8, 0.1), "confidence 0.55"),
        (answer(0.9, 0.1), GuardScores(0.5, 0.1, 0.1), "contradicts"),
        (answer(0.9, 0.1), GuardScores(0.5, 0.8, 0.6), "disagree"),
        (answer(0.9, 0.1), GuardScores(), ""),  # what cannot be measured does not count against it
        (answer(), GuardScores(), ""),  # a free answer has no probability
        (answer(0.2, 0.2, outcome=Outcome.UNPARSABLE), GuardScores(), ""),  # withheld already
    ],
)
def test_below_each_threshold_there_is_a_reason(given_answer, found, reason):
    said = why_withheld(given_answer, found, Thresholds())
    assert reason in said and bool(reason) == bool(said)


def test_spread_between_imaginations():
    assert option_spread([(0.9, 0.1), (0.3, 0.7)], chosen=0) == pytest.approx(0.6)
    assert option_spread([(0.9, 0.1)], chosen=0) == 0.0


@pytest.mark.parametrize(
    ("of_map", "agreement", "believed"),
    [
        (False, 0.5, True),
        (False, 0.3, False),
        (True, 0.65, True),
        # far above what a view needs, and still close to a map that says nothing
        (True, 0.55, False),
    ],
)
def test_views_and_maps_have_limits_of_their_own(of_map, agreement, believed):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from ipt_ros.answering.questions import Check

    scores, withheld = judged(Check(lambda *_: (0.9, agreement), of_map), SMALL)
    assert scores.consistency == agreement
    assert (withheld == "") == believed


def test_a_count_seen_from_above_is_held_to_the_limit_of_views():
    """Its picture is coloured and its consistency that of views, though it shows a square of the
    floor as a map does."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    grounded = a_count()
    recalled = grounded.question.recalled
    assert grounded.map_view is not None and recalled is not None
    plain = np.median(recalled.rgb[recalled.seen], axis=0)
    believed = {}
    for share in np.linspace(0.0, 1.0, 41):
        faded = share * recalled.filled + (1.0 - share) * plain
        scores, withheld = judged(grounded.check, faded.astype(np.uint8))
        believed[scores.consistency] = withheld
    between = {c for c in believed if 0.35 <= c < 0.6}
    assert between and min(believed) < 0.35
    assert all((reason == "") == (c >= 0.35) for c, reason in believed.items())
    assert "below 0.35" in believed[min(believed)]


def a_count():
    """Asked in a rendered room after one turn on the spot."""
    pytest.importorskip("open3d", reason="open3d is not installed")
    from ipt_model.spatial.memory import SpatialMemory
    from ipt_model.spatial.picture_geometry import PictureGeometry
    from ipt_ros.answering.questions import ask_count
    from ipt_ros.conversions import Intrinsics
    from ipt_ros.senses.observations import Observation
    from ipt_training.houses.generator import make_scene
    from ipt_training.rendering.embree import Renderer
    from ipt_training.scenes.camera import Camera, camera_pose

    renderer = Renderer(make_scene(850_100, "room"))
    lens = Camera.from_fov(96, 72, 1.57)
    pinhole = Intrinsics(96, 72, lens.fx, lens.fy, lens.cx, lens.cy)
    views, memory = [], SpatialMemory()
    for k in range(4):
        pose = camera_pose(0.0, 0.0, 0.5 * np.pi * k, 1.2, 0.25)
        (seen,) = renderer.render_many([pose], lens)
        views.append(Observation(k + 1, "optical", seen.rgb, seen.depth_m, pinhole, pose))
        memory.add(seen.rgb, seen.depth_m, pinhole, pose, k + 1, "camera")
    return ask_count(views, "red object", PictureGeometry(), picture_px=64, memory=memory)


SMALL = np.zeros((8, 8, 3), np.uint8)


def judged(check, picture):
    """What the node makes of an answer that was read from this drawing, by its own defaults."""
    from ipt_ros.actions.server import judge
    from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
    from ipt_ros.parameters.table import defaults

    drawn = replace(answer(0.9, 0.1), raw_views=(picture,))
    return judge(SimpleNamespace(check=check), drawn, defaults(IPT_PARAMETERS))


def test_the_defaults_of_guard_and_node_are_the_same():
    from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
    from ipt_ros.parameters.table import defaults

    own = defaults(IPT_PARAMETERS)
    named = Thresholds(own.min_confidence, own.min_consistency, own.max_spread)
    assert named == Thresholds()
