"""Self-scoring against rendered truth, and its log on a real disk: small, full, and read by the
datasets' own reader.
"""

import json
import math
import multiprocessing
import resource
from dataclasses import replace

import numpy as np
import pytest

from ipt_model.messages.poses import from_xyz_rpy
from ipt_model.question import Answer, Mode, Outcome, Provenance, StageTimes
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.wording.prompts import PromptStyle
from ipt_ros.answering.questions import recalled_view
from ipt_ros.conversions import Intrinsics
from ipt_ros.self_scoring.compare import (
    ImaginedView,
    ImaginedViews,
    Reach,
    RunningScore,
    Score,
    asked_anew,
    compare,
    frustum_overlap,
    is_same_place,
    reduced,
)
from ipt_ros.self_scoring.log import PairLog, PairLogError, training_row
from ipt_ros.self_scoring.similarity import peak_signal_to_noise, structural_similarity
from ipt_ros.senses.observations import Observation

PINHOLE = Intrinsics(64, 48, 32.0, 32.0, 32.0, 24.0)
REACH = Reach()


def pose(x=0.0, y=0.0, yaw=0.0):
    return from_xyz_rpy(x, y, 1.2, 0.0, 0.25, yaw) @ BODY_FROM_OPTICAL


def observation(rgb, depth_m, at, stamp_ns):
    return Observation(stamp_ns, "optical", rgb, depth_m, PINHOLE, at)


def drawn(picture, there, source, **more):
    return ImaginedView(
        source, "green ball", "", (), picture, PINHOLE, there, confidence=0.9, **more
    )


class Place:
    """A rendered room: where the robot was, what it imagined, and what is seen from close by."""

    def __init__(self, seed):
        pytest.importorskip("open3d", reason="open3d is not installed")
        from ipt_training.houses.generator import make_scene
        from ipt_training.rendering.embree import Renderer
        from ipt_training.scenes.camera import Camera

        renderer = Renderer(make_scene(seed, "room"))
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(-0.7, 0.7, 2)
        yaw = rng.uniform(-3, 3)
        c, s = math.cos(yaw), math.sin(yaw)
        self.there = pose(x + 0.6 * c, y + 0.6 * s, yaw + 0.5)
        near = pose(x + 0.7 * c, y + 0.55 * s, yaw + 0.42)  # within reach, but not the same
        away = pose(x, y, yaw + 2.5)
        views = renderer.render_many(
            [pose(x, y, yaw), self.there, near, away],
            Camera(64, 48, 32.0, 32.0, 32.0, 24.0),
        )
        here, self.true, later, other = (v.rgb for v in views)
        self.source = observation(here, views[0].depth_m, pose(x, y, yaw), 1)
        self.later = observation(later, views[2].depth_m, near, 2)
        # what a robot gets whose odometry has drifted: another place under this pose
        self.foreign = replace(self.later, rgb=other, depth_m=views[3].depth_m)
        self.away = observation(other, views[3].depth_m, away, 3)


@pytest.fixture(scope="module")
def places():
    return [Place(seed) for seed in range(860_000, 860_010)]


# -- scores against rendered truth ----------------------------------------------------------------


def area_under_curve(right, wrong):
    """How often a right one scores above a wrong one."""
    right, wrong = ([v for v in values if not math.isnan(v)] for values in (right, wrong))
    return float(np.mean([a > b for a in right for b in wrong]))


def test_a_true_drawing_scores_high_when_the_place_is_seen_later(places):
    noise = np.random.default_rng(0).integers(0, 255, places[0].true.shape, np.uint8)
    true = [compare(drawn(p.true, p.there, p.source), p.later) for p in places]
    copied = [compare(drawn(p.source.rgb, p.there, p.source), p.later) for p in places]
    foreign = [compare(drawn(p.away.rgb, p.there, p.source), p.later) for p in places]
    random = [compare(drawn(noise, p.there, p.source), p.later) for p in places]
    assert np.median([s.consistency for s in true]) > 0.6
    assert np.median([s.ssim for s in true]) > 0.7
    assert np.median([s.psnr_db for s in true]) > 18
    for wrong in (copied, foreign, random):
        for name in ("consistency", "ssim", "psnr_db"):
            values = [[getattr(s, name) for s in scores] for scores in (true, wrong)]
            assert area_under_curve(*values) > 0.9, name


def test_the_unseen_part_is_scored_apart(places):
    """A drawing that copies what was seen and paints the rest in one colour is found out."""
    lazy, honest = [], []
    for place in places:
        anchor = recalled_view(place.source, place.there, 128)
        plain = np.where(anchor.seen[:, :, None], anchor.rgb, (90, 90, 90)).astype(np.uint8)
        seen = {"seen": anchor.seen}
        lazy.append(compare(drawn(plain, place.there, place.source, **seen), place.later))
        honest.append(compare(drawn(place.true, place.there, place.source, **seen), place.later))
    told = [s for s in honest if not math.isnan(s.unseen)]
    assert len(told) >= 5
    assert area_under_curve([s.unseen for s in honest], [s.unseen for s in lazy]) > 0.8
    medians = [np.nanmedian([s.unseen for s in scores]) for scores in (lazy, honest)]
    assert medians[0] < 0.2 and medians[1] > 0.4


def test_a_foreign_view_under_a_near_pose_is_not_taken_for_the_truth(places):
    def verdict(place, later):
        imagined = drawn(place.true, place.there, place.source)
        return is_same_place(asked_anew(imagined, later, 128), later.rgb, 0.25)

    assert sum(verdict(p, p.later) for p in places) == len(places)
    assert sum(verdict(p, p.foreign) for p in places) <= 1


def test_without_depth_the_later_view_itself_is_compared(places):
    place = places[0]
    flat = replace(place.later, depth_m=None)
    source = replace(place.source, depth_m=None)
    score = compare(drawn(place.later.rgb, place.there, source), flat)
    assert (score.consistency, score.ssim, score.psnr_db) == (1.0, pytest.approx(1.0), 60.0)
    assert score.unseen == 1.0  # all of it: without depth nothing could be copied


def test_the_question_is_put_anew_for_the_pose_that_was_reached(places):
    place = places[0]
    grounded = asked_anew(drawn(place.true, place.there, place.source), place.later, 128)
    assert grounded.question.options == ("left", "right")
    moved = np.linalg.norm((grounded.world_from_camera - place.later.world_from_camera)[:2, 3])
    assert moved < 0.071  # half a step of the words, each way
    assert "green ball" in grounded.question.text


def test_similarities_are_nan_where_nothing_is_known():
    picture = np.zeros((20, 20, 3), np.uint8)
    unknown = np.zeros((20, 20), bool)
    assert math.isnan(structural_similarity(picture, picture, unknown))
    assert math.isnan(peak_signal_to_noise(picture, picture, unknown))


# -- what counts as seen --------------------------------------------------------------------------


def waiting(*there):
    blank = np.zeros((48, 64, 3), np.uint8)
    waiting = ImaginedViews(number=4, age_s=60)
    for at in there:
        waiting.keep(drawn(blank, at, observation(blank, None, pose(), 1_000)))
    return waiting


def test_only_a_camera_in_reach_sees_what_was_imagined():
    one = waiting(pose(1.0, 0.0, 0.5))
    assert one.seen_from(2_000, pose(1.1, 0.1, 0.4), REACH)
    assert not one.seen_from(2_000, pose(1.4, 0.0, 0.5), REACH)  # too far
    assert not one.seen_from(2_000, pose(1.0, 0.0, 0.8), REACH)  # turned away
    assert not one.seen_from(2_000, pose(1.1, 0.1, 0.4), replace(REACH, overlap=0.99))
    assert len(one) == 1


def test_the_view_that_it_was_imagined_from_does_not_count():
    assert not waiting(pose()).seen_from(1_000, pose(), REACH)


def test_waiting_is_bounded_and_forgets_the_old_and_the_future():
    many = waiting(*(pose(float(i)) for i in range(9)))
    assert len(many) == 4
    assert len(many.seen_from(2_000, pose(8.0), REACH)) == 1
    many.drop(many.seen_from(2_000, pose(8.0), REACH)[0])
    assert len(many) == 3 and not many.seen_from(2_000, pose(8.0), REACH)
    assert not many.seen_from(61_000_000_000, pose(7.0), REACH) and len(many) == 0
    early = waiting(pose())
    assert not early.seen_from(500, pose(), REACH) and len(early) == 0


def test_frustum_overlap_is_one_at_the_same_pose_and_none_back_to_back():
    assert frustum_overlap(PINHOLE, pose(), pose()) == 1.0
    assert frustum_overlap(PINHOLE, pose(), pose(yaw=math.pi)) == 0.0
    half = frustum_overlap(PINHOLE, pose(), pose(yaw=math.pi / 4))
    assert 0.3 < half < 0.6  # 90 degrees wide, turned by half of it


def test_reducing_keeps_the_rays(places):
    small = reduced(places[0].source, 32)
    assert small.rgb.shape == (24, 32, 3) and small.depth_m.shape == (24, 32)
    assert small.intrinsics.fx / small.intrinsics.width == pytest.approx(PINHOLE.fx / 64)


def test_drift_tells_an_overconfident_model_from_an_honest_one():
    running = RunningScore()
    assert math.isnan(running.drift())
    for i in range(100):
        running.add(Score(0.5, float("nan"), 0.4, 20.0))
        running.judge(0.9, i % 2 == 0)
    assert running.drift() == pytest.approx(0.4)
    figures = running.figures()
    assert figures["compared"] == "100" and figures["judged_answers"] == "50"
    assert figures["mean_consistency"] == "0.500" and figures["confirmed_share"] == "0.500"
    assert figures["mean_unseen_consistency"] == "nan"


# -- the log --------------------------------------------------------------------------------------


def answer(text="left"):
    probabilities = (0.7, 0.3) if text in ("left", "right") else ()
    provenance = Provenance("m", "sha256:0", 1, 0, Mode.GIVEN)
    return Answer(Outcome.ANSWERED, text, probabilities, (), StageTimes(), provenance)


def row_of(place, index=0, text="", target="green ball", label="left"):
    imagined = drawn(place.true, place.there, place.source, stated="right")
    imagined = replace(imagined, target=target, text=text)
    grounded = asked_anew(imagined, place.later, 128)
    at = place.later.world_from_camera
    score = compare(imagined, place.later)
    return training_row(
        imagined, grounded.question, place.later.rgb, at, answer(label), score, index
    )


def test_logged_rows_are_training_rows(tmp_path, places):
    datasets = pytest.importorskip("ipt_training.datasets.parquet")
    from ipt_training.datasets.schema import decode_image, example_from_row
    from ipt_training.datasets.supervision import supervise_row

    log = PairLog(tmp_path, 1 << 24)
    for i, place in enumerate(places):
        log.append(row_of(place, i))
    dataset = datasets.Dataset(tmp_path)
    assert len(dataset) == len(places)
    example = example_from_row(dataset[3])
    place = places[3]
    assert np.array_equal(example.true_view, place.later.rgb)
    assert np.array_equal(example.question.images[0], place.source.rgb)
    assert (example.question.options, example.answer) == (("left", "right"), "left")
    assert example.variant == "pose+anchored" and len(example.question.images) == 2
    assert example.facts["stated_answer"] == "right"
    assert example.facts["pose_after"] == place.later.world_from_camera.tolist()
    import base64

    picture = decode_image(base64.b64decode(example.facts["imagined_png"]))
    assert np.array_equal(picture, place.true)
    for supervision in ("ipt", "label", "mixed", "given"):
        for row in dataset:
            assert supervise_row(row, supervision, PromptStyle()).inputs[0].shape == (48, 64, 3)


def test_a_free_question_is_logged_with_its_words(tmp_path, places):
    datasets = pytest.importorskip("ipt_training.datasets.parquet")
    from ipt_training.datasets.supervision import supervise_row

    PairLog(tmp_path, 1 << 24).append(
        row_of(places[0], text="What stands there?", target="", label="a ball")
    )
    sample = supervise_row(datasets.Dataset(tmp_path)[0], "ipt", PromptStyle())
    assert sample.target[-1].endswith("<answer>a ball</answer>")
    assert sample.flow_loss


def test_the_log_stays_below_its_bytes_and_drops_the_oldest(tmp_path, places):
    datasets = pytest.importorskip("ipt_training.datasets.parquet")
    most = 200_000
    stranger = tmp_path / "mine.parquet"
    stranger.write_bytes(b"not of this log")
    log = PairLog(tmp_path, most)
    row = row_of(places[0])
    for i in range(120):
        own = {**row.own, "example_index": i}
        log.append(replace(row, own=own))
        assert log.n_bytes <= most
    assert len(log.shards()) >= 2
    assert log.n_bytes > most // 4
    kept = [i for p in log.shards() for i in datasets.Dataset(p).column("example_index")]
    assert kept == list(range(kept[0], 120)) and kept[0] > 0
    assert stranger.read_bytes() == b"not of this log"


def test_a_log_begun_anew_goes_on_in_the_same_folder(tmp_path, places):
    datasets = pytest.importorskip("ipt_training.datasets.parquet")
    for _ in range(3):
        PairLog(tmp_path, 1 << 20).append(row_of(places[0]))
    assert len(datasets.Dataset(tmp_path)) == 3


def test_a_pair_larger_than_the_whole_log_is_refused(tmp_path, places):
    log = PairLog(tmp_path, 5_000)
    with pytest.raises(PairLogError, match="self_scoring_log_bytes"):
        log.append(row_of(places[0]))
    assert log.n_bytes == 0


def no_more_than(n_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


def write_with_a_full_disk(folder, row, told):
    """In a process of its own: the kernel refuses to let any file grow, as a full disk does."""
    log = PairLog(folder, 1 << 24)
    log.append(row)
    no_more_than(1_000)
    try:
        log.append(row)
        told.put("no error")
    except PairLogError as error:
        told.put(str(error))
    no_more_than(resource.RLIM_INFINITY)
    log.append(row)  # room again: what could not be written is not lost
    told.put(log.written)


def test_a_full_disk_is_told_and_survived(tmp_path, places):
    datasets = pytest.importorskip("ipt_training.datasets.parquet")
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    process = spawn.Process(
        target=write_with_a_full_disk, args=(tmp_path, row_of(places[0]), told)
    )
    process.start()
    text, written = told.get(timeout=60), told.get(timeout=60)
    process.join(30)
    assert "could not write" in text and "File too large" in text and str(tmp_path) in text
    assert written == 2 and process.exitcode == 0
    assert len(datasets.Dataset(tmp_path)) == 3
    assert not list(tmp_path.glob(".*")), "no half file stays"


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PairLogError, match="Not a directory"):
        PairLog(tmp_path / "file" / "log", 1 << 20)


def test_facts_hold_no_nan(places):
    facts = json.loads(row_of(places[0]).own["facts"], parse_constant=lambda c: pytest.fail(c))
    assert facts["source"] == "robot"
