"""What tasks share: wishes that retries do not change, options, twins, words, map scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_model.spatial.maps import OccupancyGrid
from ipt_model.wording.phrasing import Motion
from ipt_training.evaluation.map_completion import completion_scores, inpainted
from ipt_training.houses.generator import make_scene
from ipt_training.tasks import reasoning
from ipt_training.tasks.counting import ask_of
from ipt_training.tasks.drawing import draw_path, room_square
from ipt_training.tasks.geometry import ObjectTable, free_points, is_free, moved, to_body
from ipt_training.tasks.recast import Casting, recast
from ipt_training.tasks.sampling import Context, Rejections, TaskError, Wanted, place_answer
from ipt_training.tasks.stored_maps import cells_of, rows_of
from ipt_training.tasks.twins import matched_pairs


def wanted(draw: int) -> Wanted:
    return Wanted("rotation", "any", 0, draw)


def test_streams_repeat_and_do_not_follow_each_other() -> None:
    first = [wanted(d).stream("turn").random() for d in range(2000)]
    again = [wanted(d).stream("turn").random() for d in range(2000)]
    other = [wanted(d).stream("twins").random() for d in range(2000)]
    assert first == again
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.08


@given(st.integers(0, 3), st.integers(0, 1000))
def test_the_answer_is_placed_where_it_is_wanted(position: int, seed: int) -> None:
    words = ["a", "b", "c", "d"]
    options = place_answer(words, "c", position, np.random.default_rng(seed))
    assert options[position] == "c"
    assert sorted(options) == words


@pytest.mark.parametrize(
    ("options", "right", "position"),
    [(["a", "b"], "c", 0), (["a", "a"], "a", 0), (["a", "b"], "a", 2), ([], "a", 0)],
)
def test_options_that_cannot_be_are_refused(options: list[str], right: str, position: int) -> None:
    with pytest.raises(TaskError, match="expected"):
        place_answer(options, right, position, np.random.default_rng(0))


def test_pictures_too_small_to_show_anything_are_refused() -> None:
    with pytest.raises(TaskError, match="at least 16, got 8"):
        Context(8, Rejections())


def test_rejections_add_up_and_survive_json() -> None:
    a, b = Rejections(), Rejections()
    a.add("path", "blank wall", 2)
    b.add("path", "blank wall")
    b.add("path", "made")
    a.merge(b)
    assert a.as_dict() == {"path": {"blank wall": 3, "made": 1}}
    assert Rejections.from_dict(a.as_dict()).counts == a.counts


def test_twins_agree_within_the_tolerance_and_even_out_what_differs() -> None:
    rng = np.random.default_rng(0)
    tolerance = np.array([0.2, 0.2])
    chosen: list[list[float]] = [[], []]
    for _ in range(300):
        # one answer has many proposals far away, the other few and near
        far = np.column_stack([rng.normal(3.0, 1.0, 60), rng.uniform(0, 1, 60)])
        near = np.column_stack([rng.normal(2.0, 0.7, 12), rng.uniform(0, 1, 12)])
        for k, (mine, other) in enumerate(((far, near), (near, far))):
            for a, b in matched_pairs(mine, other, tolerance, rng):
                assert (np.abs(mine[a] - other[b]) <= tolerance).all()
                chosen[k].append(float(mine[a, 0]))
                break
    assert abs(np.mean(chosen[0]) - np.mean(chosen[1])) < 0.15  # apart by 1.0 without twins
    assert abs(np.std(chosen[0]) - np.std(chosen[1])) < 0.15


def test_no_twins_without_both_answers() -> None:
    some, none = np.zeros((3, 2)), np.zeros((0, 2))
    for pair in ((some, none), (none, some)):
        assert list(matched_pairs(*pair, np.ones(2), np.random.default_rng(0))) == []


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_a_motion_and_back(forward: float, left: float, turn: float) -> None:
    pose = np.array([1.0, -2.0, 0.7])
    there = moved(pose, np.array(forward), np.array(left), np.array(turn))
    assert np.allclose(to_body(there[:2], pose), (forward, left), atol=1e-9)
    assert there[2] == pytest.approx(0.7 + turn)


def test_free_places_keep_their_distance() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        scene = make_scene(seed, "house" if seed % 4 == 0 else "room")
        table = ObjectTable.of(scene)
        points = free_points(scene, table, rng, 100, 0.4)
        assert len(points) > 3
        assert is_free(scene, table, points, 0.4).all()
        for x, y in points:
            room = scene.rooms[scene.room_at(x, y)]
            assert room.contains(x, y, 0.399)
        for thing in scene.objects:  # corners of footprints are on them, so at no distance
            own = table.distance(np.array(thing.corners(-1e-6)))
            assert own.min(axis=1).max() < 1e-5


def test_counting_asks_are_independent_of_the_rank() -> None:
    asks = [ask_of(wanted(d), "room") for d in range(4000)]
    for first in (1, 2, 3):
        ranks = np.bincount([a.rank for a in asks if a.first == first], minlength=4)
        assert ranks.min() > 0.21 * ranks.sum()
    assert all(a.count in a.numbers and len(a.numbers) == 4 for a in asks)
    assert all(ask_of(Wanted("corners", "overlap", 0, d), "room").count >= 2 for d in range(200))


def test_recasting_replaces_in_place_and_refuses_what_does_not_fit() -> None:
    scene = make_scene(11, "room", objects=8)
    fitted = 0
    for index in range(8):
        cast = recast(scene, [Casting(index, "pillar", 5)])
        if cast is None:
            continue
        fitted += 1
        assert cast.objects[index].category == "pillar"
        assert cast.objects[index].position == scene.objects[index].position
        assert cast.objects[index].colour == scene.objects[index].colour
        others = [i for i in range(8) if i != index]
        assert all(cast.objects[i] == scene.objects[i] for i in others)
    assert fitted
    crowded = make_scene(12, "house")
    tables = [Casting(i, "table", i) for i in range(len(crowded.objects))]
    assert recast(crowded, tables) is None


def test_path_drawings_leave_the_rest_alone_and_mark_the_asked_side() -> None:
    picture = np.full((64, 64, 3), 120, np.uint8)
    start, end = np.array([12.0, 50.0]), np.array([12.0, 14.0])  # up the map
    drawn = draw_path(picture, start, end, "left")
    changed = (drawn != picture).any(axis=2)
    assert not changed[:, 24:].any()
    magenta = (drawn[..., 0] > 200) & (drawn[..., 1] < 80) & (drawn[..., 2] > 200)
    assert magenta[:, :10].sum() > magenta[:, 15:].sum() + 4
    right = draw_path(picture, start, end, "right")
    magenta = (right[..., 0] > 200) & (right[..., 1] < 80) & (right[..., 2] > 200)
    assert magenta[:, 15:].sum() > 4
    assert tuple(drawn[50 - 3, 12 - 3]) != (120, 120, 120)


def test_the_map_of_a_room_holds_all_of_it() -> None:
    scene = make_scene(4, "house")
    for room in scene.rooms:
        x0, y0, x1, y1 = room_square(
            scene, 0.5 * (room.x_min + room.x_max), 0.5 * (room.y_min + room.y_max)
        )
        assert x0 < room.x_min and x1 > room.x_max and y0 < room.y_min and y1 > room.y_max
        assert x1 - x0 == pytest.approx(y1 - y0)


def test_reasoning_says_what_the_numbers_say() -> None:
    rng = np.random.default_rng(0)
    motion = Motion(1.0, 0.0, math.pi / 2)
    text = reasoning.perspective_reasoning(
        asked="distance",
        name="blue ball",
        before=(3.0, 0.5),
        after=(0.5, -2.0),
        motion=motion,
        marker=True,
        rng=rng,
    )
    assert text.endswith("So the blue ball gets closer.")
    assert "about 3 m" in text and "about 2 m" in text
    text = reasoning.perspective_reasoning(
        asked="side",
        name="blue ball",
        before=(3.0, 0.5),
        after=(0.5, -2.0),
        motion=motion,
        marker=False,
        rng=rng,
    )
    assert text.endswith("Then the blue ball is on my right.")
    assert "move 1.0 m forward, then turn left 90 degrees" in text
    assert reasoning.about(0.1) == "less than half a metre"
    assert reasoning.about(1.6) == "about 1.5 m"
    assert reasoning.direction(1, 0) == "straight ahead"
    assert reasoning.direction(0, -1) == "beside me on the right"
    assert reasoning.direction(-1, 0.01) == "straight behind me"
    assert reasoning.map_direction(math.pi / 2) == "top"
    assert reasoning.map_direction(-math.pi / 4) == "lower right"
    text = reasoning.counting_reasoning(
        "crate", [["red crate"], [], ["red crate", "blue crate"]], 2
    )
    assert text == (
        "Frame 1 shows the red crate. Frame 2 shows no crate. Frame 3 shows the blue crate for "
        "the first time and the red crate again. Counting each once, that makes 2 crates."
    )
    text = reasoning.clearance_reasoning(
        clear=False, blocker="wall", blocker_at_m=1.1, hidden_m=0.6, nearest=None
    )
    assert "wall goes on" in text and text.endswith("So the path is not clear.")


def test_grids_as_text_and_back() -> None:
    cells = np.array([[0, 100, -1], [-1, -1, 0]], np.int8)
    assert rows_of(cells) == [".#?", "??."]
    assert (cells_of(rows_of(cells)) == cells).all()


def test_completion_is_scored_where_nothing_was_seen() -> None:
    truth = OccupancyGrid(np.array([[0, 100, 100, 0, -1]], np.int8), 0.1, (0, 0))
    seen = OccupancyGrid(np.array([[0, 100, -1, -1, -1]], np.int8), 0.1, (0, 0))
    perfect = completion_scores(np.array([[0.9, 0.0, 1.0, 0.0, 1.0]]), truth, seen)
    assert (perfect.iou, perfect.brier, perfect.cells) == (1.0, 0.0, 2)
    wrong = completion_scores(np.array([[0.0, 1.0, 0.0, 1.0, 0.0]]), truth, seen)
    assert (wrong.iou, wrong.brier) == (0.0, 1.0)
    doubt = completion_scores(np.full((1, 5), np.nan), truth, seen)
    assert doubt.brier == 0.25
    filled = inpainted(seen)
    assert filled.shape == (1, 5)
    assert filled[0, 1] == 1.0 and filled[0, 0] == 0.0
