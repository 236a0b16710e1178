"""Examples that remember: what is recalled of the asked view, how much, and by which views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ipt_model.question import Task
from ipt_model.spatial.maps import UNKNOWN
from ipt_model.spatial.recalled import HOLE_RGB, RecalledView
from ipt_model.wording.rows import (
    RECALLED_COLUMNS,
    SchemaError,
    decode_recalled,
    encode_image,
    encode_recalled,
)
from ipt_training.audits.card import EDGE, GAP, SHOWN_PX, card, names_of
from ipt_training.datasets.generate import find_example, make_example
from ipt_training.datasets.parquet import Dataset, encode_shard, write_file
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.datasets.schema import example_from_row
from ipt_training.datasets.supervision import row_from_example
from ipt_training.example import Example
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.tasks import TASKS, task_module
from ipt_training.tasks.geometry import ObjectTable, free_points, is_free
from ipt_training.tasks.sampling import Context, Rejections, Wanted
from ipt_training.tasks.seen.remembered import MOST_VIEWS, choose, memory_of, recall_view
from ipt_training.tasks.seen.walks import earlier_poses
from ipt_training.tasks.stored_maps import grids_of

pytestmark = pytest.mark.slow(60)
SIZE_PX = 48
#: Shares that are quickly found; the plan asks for all of them.
KINDS = (
    (Task.PERSPECTIVE, "pose+memory", "left-right", (0.25, 0.5)),
    (Task.PERSPECTIVE, "pose+anchored+memory", "closer", (0.5, 0.75)),
    (Task.PATH, "ego+memory", "left", (0.0, 0.25)),
    (Task.PATH, "map+memory", "right", (0.75, 1.01)),
    (Task.COUNTING, "rotation+memory", "any", (0.25, 0.5)),
    (Task.COUNTING, "corners+by colour+memory", "any", (0.0, 0.25)),
    (Task.CLEARANCE, "two views+memory", "clear", (0.25, 0.5)),
    (Task.CLEARANCE, "one view+told radius+memory", "blocked", (0.0, 0.25)),
)


def seeds(first: int) -> Iterator[int]:
    yield from range(first, first + 600)


@pytest.fixture(scope="module")
def remembering() -> list[Example]:
    return [
        find_example(
            task,
            Wanted(variant, subcategory, 1, 77 + number, share),
            seeds=seeds(1000 * number),
            level="room",
            context=Context(SIZE_PX, Rejections()),
        )
        for number, (task, variant, subcategory, share) in enumerate(KINDS)
    ]


def test_as_much_was_seen_as_is_wanted(remembering: list[Example]) -> None:
    for example, (_, variant, _, (low, high)) in zip(remembering, KINDS, strict=True):
        recalled = example.recalled
        assert recalled is not None and example.question.recalled is recalled
        assert low <= recalled.share_seen < high, variant
        assert example.facts["share_seen"] == pytest.approx(recalled.share_seen, abs=1e-4)
        assert 1 <= len(example.facts["memory_poses"]) <= MOST_VIEWS
        assert recalled.rgb.shape == example.true_view.shape
        if example.question.task is Task.CLEARANCE:  # an unknown cell is drawn as such
            assert (recalled.filled == recalled.rgb).all()
        else:
            assert (recalled.rgb[~recalled.seen] == HOLE_RGB).all()


def test_what_is_recalled_is_what_the_true_view_shows(remembering: list[Example]) -> None:
    for example in remembering:
        recalled = example.recalled
        assert recalled is not None
        if example.question.task is Task.CLEARANCE:
            same = (recalled.rgb == example.true_view).all(axis=2)
            assert same[recalled.seen].all()
        elif recalled.seen.any():
            off = np.abs(recalled.rgb.astype(int) - example.true_view)[recalled.seen]
            # the same surfaces, in other light and with other edges
            assert np.median(off) < 14, example.variant


def test_recalled_views_can_be_made_again(remembering: list[Example]) -> None:
    """From the scene and the stored poses alone, by the robot's own memory."""
    for example in remembering:
        facts, task = example.facts, example.question.task
        if task not in (Task.PERSPECTIVE, Task.PATH):
            continue
        scene = make_scene(example.scene_seed, facts["level"], **facts["scene_request"])
        camera = Camera.from_fov(SIZE_PX, SIZE_PX, facts["fov_rad"])
        poses = [np.array(pose) for pose in facts["memory_poses"]]
        memory = memory_of(Renderer(scene), poses, camera)
        asked = np.array(facts["pose_after" if task is Task.PERSPECTIVE else "pose_imagined"])
        again = recall_view(memory, asked, camera)
        assert example.recalled is not None
        assert (again.seen == example.recalled.seen).mean() > 0.97


def test_the_view_of_the_question_is_remembered_too(remembering: list[Example]) -> None:
    for example in remembering:
        if example.question.task is Task.PERSPECTIVE:
            newest = np.array(example.facts["memory_poses"][-1])
            assert newest == pytest.approx(np.array(example.facts["pose_before"]), abs=1e-4)
        if example.variant == "pose+anchored+memory":
            assert example.recalled is not None
            assert (example.question.images[-1] == example.recalled.rgb).all()


def test_a_remembered_map_is_the_partial_map(remembering: list[Example]) -> None:
    maps = [e for e in remembering if e.question.task is Task.CLEARANCE]
    assert len(maps) == 2
    for example in maps:
        truth, seen = grids_of(example.facts)
        known = seen.cells != UNKNOWN
        assert (truth.cells[known] == seen.cells[known]).all()
        assert example.recalled is not None
        mask = example.recalled.seen
        assert (example.recalled.rgb[mask] == example.question.images[-1][mask]).all()
        assert mask.mean() == pytest.approx(known.mean(), abs=0.03)


def test_plans_ask_for_every_share_as_often() -> None:
    for task in TASKS:
        module = task_module(task)
        variants = tuple(v for v in module.MORE_VARIANTS if v.endswith("+memory"))
        assert {v.removesuffix("+memory") for v in variants} >= set(module.VARIANTS)
        plan = DatasetPlan(1, 64, ((task.value, 1.0),), variants=variants)
        asked = {(v, share) for v in variants for share in module.SHARES}
        impossible = {
            (v, s)
            for v, s in asked
            for part, t in getattr(module, "IMPOSSIBLE", ())
            if s == t and part in v
        }
        assert set(plan.kinds_of(task.value)) == asked - impossible
        kinds = len(asked - impossible) * len(module.SUBCATEGORIES)
        count = 2 * kinds * module.OPTION_COUNT
        plan = replace(plan, count=count)
        slots = plan.slots()
        wants = [slots[i][1] for i in range(count)]
        together = Counter((w.variant, w.share_seen, w.subcategory) for w in wants)
        assert len(together) == kinds and len(set(together.values())) == 1
        assert {w.share_seen for w in wants} == set(module.SHARES)
        plain = DatasetPlan(8, 64, ((task.value, 1.0),)).slots()
        assert all(plain[i][1].share_seen is None for i in range(8))


def test_rows_keep_what_was_recalled_and_plain_rows_are_as_before(
    remembering: list[Example], tmp_path: Path
) -> None:
    plan = DatasetPlan(1, SIZE_PX, (("counting", 1.0),))
    plain = make_example(plan, plan.slots(), 0, Rejections())

    def rows(examples: list[Example]) -> list[object]:
        return [row_from_example(e, index=0, split="train", level="room") for e in examples]

    write_file(tmp_path / "a.parquet", encode_shard(rows([plain])))
    write_file(tmp_path / "b.parquet", encode_shard(rows([plain, *remembering])))
    alone, both = Dataset(tmp_path / "a.parquet"), Dataset(tmp_path)
    assert not set(RECALLED_COLUMNS.names) & set(alone[0].own)
    assert b"recalled_image" not in (tmp_path / "a.parquet").read_bytes()
    found = [example_from_row(row) for row in both]
    assert [e.recalled is None for e in found] == [True, True, *[False] * len(remembering)]
    for example, again in zip(remembering, found[2:], strict=True):
        assert example.recalled is not None and again.recalled is not None
        assert (again.recalled.rgb == example.recalled.rgb).all()
        assert (again.recalled.seen == example.recalled.seen).all()
        assert again.question.recalled is again.recalled
    shares = both.column("share_seen")
    assert shares[:2] == [None, None] and all(0 <= share <= 1 for share in shares[2:])


def test_cards_show_what_was_recalled(remembering: list[Example]) -> None:
    example = remembering[0]
    names = names_of(example)
    assert len(names) == len(example.question.images) + 2 and "recalled, " in names[-2]
    shown = np.asarray(card(example))
    assert example.recalled is not None
    left = EDGE + (len(names) - 2) * (SHOWN_PX + GAP)
    middle = shown[EDGE + SHOWN_PX // 2, left + SHOWN_PX // 2]
    assert (middle == example.recalled.rgb[SIZE_PX // 2, SIZE_PX // 2]).all()


def test_recalled_columns_are_whole_or_refused() -> None:
    seen = np.zeros((8, 8), bool)
    seen[2:5] = True
    rgb = np.where(seen[..., None], np.uint8(9), np.array(HOLE_RGB, np.uint8))
    own = encode_recalled(RecalledView(rgb, np.zeros((8, 8), np.float32), seen))
    assert own["share_seen"] == 0.375 and len(own["recalled_seen"]) < 100
    back = decode_recalled(own)
    assert back is not None and (back.seen == seen).all() and (back.rgb == rgb).all()
    assert decode_recalled({}) is None
    with pytest.raises(SchemaError, match="recalled_seen: the value is null"):
        decode_recalled({**own, "recalled_seen": None})
    wide = encode_recalled(
        RecalledView(np.zeros((8, 9, 3), np.uint8), seen, np.ones((8, 9), bool))
    )
    with pytest.raises(SchemaError, match=r"expected the size of its picture \(8, 9\)"):
        decode_recalled({**wide, "recalled_seen": own["recalled_seen"]})


def test_how_holes_were_filled_is_kept_with_what_was_recalled() -> None:
    rgb, seen = np.full((8, 8, 3), 9, np.uint8), np.zeros((8, 8), bool)
    nowhere, filling = np.zeros((8, 8), np.float32), np.full((8, 8, 3), 77, np.uint8)
    view = RecalledView(rgb, nowhere, seen, filling=filling)
    own = encode_recalled(view)
    back = decode_recalled(own)
    assert back is not None and (back.filled == 77).all()
    plain = decode_recalled(encode_recalled(RecalledView(rgb, nowhere, seen)))
    assert plain is not None and plain.filling is None
    before = {name: value for name, value in own.items() if name != "recalled_filled"}
    assert decode_recalled(before) is not None  # files from before there was such a column
    small = {**own, "recalled_filled": encode_image(filling[:4])}
    with pytest.raises(SchemaError, match=r"recalled_filled: expected the size of its picture"):
        decode_recalled(small)


def test_views_are_chosen_until_enough_is_shown_and_not_too_much() -> None:
    rng = np.random.default_rng(0)
    base = np.arange(100) < 10
    shown = [(np.arange(100) >= 10 * k) & (np.arange(100) < 10 * k + 15) for k in range(10)]
    for aim in (0.05, 0.3, 0.6, 0.9):
        chosen = choose(base, shown, 100, aim, rng, 7)
        seen = np.logical_or.reduce([base, *(shown[k] for k in chosen)]).sum()
        assert seen <= 100 * aim + 8 or not chosen
        assert len(chosen) <= 7 and len(set(chosen)) == len(chosen)
        assert seen >= 100 * aim or len(chosen) == 7 or aim > 0.85
    assert choose(base, shown, 100, 0.05, rng, 7) == []
    assert len(choose(np.zeros(100, bool), shown, 100, 0.0, rng, 7)) == 1


def test_a_robot_walked_over_free_floor_to_where_it_stands() -> None:
    scene = make_scene(7, "room")
    table = ObjectTable.of(scene)
    rng = np.random.default_rng(0)
    x, y = free_points(scene, table, rng, 50)[0]
    poses = earlier_poses(scene, rng, (float(x), float(y), 0.3), 1.1, 0.1)
    places = np.array([pose[:2, 3] for pose in poses])
    assert len(poses) >= 7 and is_free(scene, table, places, 0.2).all()
    here = np.hypot(*(places - (x, y)).T) < 1e-9
    headings = [np.arctan2(pose[1, 2], pose[0, 2]) for pose in np.array(poses)[here]]
    # it turned all round and looks last next to where it looks now
    assert here.sum() == 7 and not here[: (~here).sum()].any()
    assert abs(np.angle(np.exp(1j * (headings[-1] - 0.3)))) == pytest.approx(np.pi / 4)
