"""The geometry behind every answer, on more than a thousand scenes, without the sampler."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from ipt_model.maps import MapView, OccupancyGrid, draw_map, read_map
from ipt_model.phrasing import Motion, motion_in_words
from ipt_training.example import Example
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.embree import Renderer
from ipt_training.scenes.grids import occupancy
from ipt_training.scenes.projection import image_centres, image_shares
from ipt_training.scenes.splits import SPLITS
from ipt_training.tasks import TASKS, task_module
from ipt_training.tasks.clearance import RADIUS_M, grids_of
from ipt_training.tasks.perspective import mark_share
from ipt_training.tasks.recast import scene_of

#: The examples are made within the first test that asks for them.
pytestmark = pytest.mark.timeout(900)
SIZE_PX = 48  # as the fixture makes them
NAMES = [t.value for t in TASKS]
Examples = Callable[[str], list[Example]]


def test_more_than_a_thousand_examples(examples: Examples) -> None:
    made = [example for name in NAMES for example in examples(name)]
    assert len(made) >= 1000
    # twins with unlike answers share a scene
    seeds = {example.scene_seed for example in made}
    assert len(seeds) >= 400
    assert seeds <= set(SPLITS["train"])


@pytest.mark.parametrize("name", NAMES)
def test_options_hold_the_answer_once_and_everything_is_balanced(
    examples: Examples, name: str
) -> None:
    module = task_module(name)
    made = examples(name)
    for example in made:
        options = example.question.options
        assert len(options) == module.OPTION_COUNT == len(set(options))
        assert options.count(example.answer) == 1
        assert example.variant in module.VARIANTS
        assert example.subcategory in module.SUBCATEGORIES
        for image in (*example.question.images, example.imagination):
            assert image.shape == (SIZE_PX, SIZE_PX, 3)
            assert image.dtype == np.uint8
        assert "{" not in example.question.text + example.reasoning
        assert example.think
    for values in (
        [e.subcategory for e in made],
        [e.variant for e in made],
        [e.answer_index for e in made],
    ):
        counts = Counter(values)
        assert max(counts.values()) - min(counts.values()) <= 0.1 * len(made)


def test_side_agrees_with_where_the_object_is_in_the_imagination(examples: Examples) -> None:
    asked = [e for e in examples("perspective") if "-" in e.subcategory]
    assert len(asked) >= 100
    for example in asked:
        facts = example.facts
        first, second = example.subcategory.split("-")
        assert example.answer == second
        right = facts["object_after_m"][0] > 0
        assert right == (second == "right")
        assert (facts["object_pixel_after"][0] > SIZE_PX / 2) == right
        assert abs(facts["object_pixel_after"][0] / SIZE_PX - 0.5) >= 0.09
        assert (facts["object_before_m"][0] > 0) == (first == "right")


def test_closer_and_further_agree_with_the_distances(examples: Examples) -> None:
    asked = [e for e in examples("perspective") if "-" not in e.subcategory]
    assert len(asked) >= 80
    for example in asked:
        before, after = (
            math.hypot(example.facts[k][0], example.facts[k][2])
            for k in ("object_before_m", "object_after_m")
        )
        # pitch tips the depth axis; the plan distance is stored beside it
        stored = (example.facts["distance_before_m"], example.facts["distance_after_m"])
        assert abs(stored[1] - stored[0]) >= 0.5
        assert (stored[1] < stored[0]) == (example.answer == "closer")
        assert before == pytest.approx(stored[0], abs=0.6)
        assert after == pytest.approx(stored[1], abs=0.6)


def test_the_imagination_is_rendered_where_the_motion_leads(examples: Examples) -> None:
    for number, example in enumerate(examples("perspective")):
        facts = example.facts
        before, after = np.array(facts["pose_before"]), np.array(facts["pose_after"])
        yaw = [math.atan2(p[1, 2], p[0, 2]) for p in (before, after)]
        forward, left, turn = facts["motion"]
        assert math.remainder(yaw[1] - yaw[0] - turn, 2 * math.pi) == pytest.approx(0, abs=2e-3)
        shift = after[:2, 3] - before[:2, 3]
        c, s = math.cos(yaw[0]), math.sin(yaw[0])
        assert c * shift[0] + s * shift[1] == pytest.approx(forward, abs=2e-3)
        assert -s * shift[0] + c * shift[1] == pytest.approx(left, abs=2e-3)
        if example.variant.startswith("pose"):
            assert motion_in_words(Motion(forward, left, turn)) in example.question.text.lower()
            assert forward == pytest.approx(round(forward, 1), abs=1e-6)
        else:
            assert abs(turn) == pytest.approx(math.pi / 2, abs=1e-3)
            assert re.search(rf"\b{'left' if turn > 0 else 'right'}\b", example.question.text)
        if number % 8 == 0:  # and it is what a renderer of its own shows from there
            camera = Camera.from_fov(SIZE_PX, SIZE_PX, facts["fov_rad"])
            scene = scene_of(example)
            view = Renderer(scene).render(after, camera)
            difference = np.abs(view.rgb.astype(int) - example.imagination)
            assert np.median(difference) <= 2
            shares = image_shares(view.instance, len(scene.objects))
            assert shares[facts["object_index"]] == pytest.approx(
                facts["object_share_after"], abs=0.01
            )
            column = image_centres(view.instance, len(scene.objects))[facts["object_index"], 0]
            assert column == pytest.approx(facts["object_pixel_after"][0], abs=0.5)


def test_red_is_the_mark_and_nothing_else(examples: Examples) -> None:
    for name in NAMES:
        for example in examples(name):
            marked = name == "perspective" and example.variant.startswith("marker")
            for k, image in enumerate((*example.question.images, example.imagination)):
                if marked and k == 0:
                    assert mark_share(image) > 0
                elif name != "clearance":  # its maps use colour for marks, none of them red
                    assert mark_share(image) < 0.002, (name, k)
            for index, word in enumerate(example.question.options):
                assert "red" not in word.split(), index


def test_anchored_questions_show_what_was_seen_and_mark_what_was_not(examples: Examples) -> None:
    anchored = [e for e in examples("perspective") if e.variant.endswith("anchored")]
    assert len(anchored) >= 100
    agreement = []
    for example in anchored:
        assert len(example.question.images) == 2
        warped = example.question.images[1].astype(int)
        hole = (warped == (255, 0, 255)).all(axis=2)
        assert "already known" in example.question.text
        if (~hole).sum() > 100:
            error = np.abs(warped - example.imagination)[~hole].mean()
            agreement.append(error)
    # seen surfaces lie where the true view has them; light changes with distance and edges blur
    assert np.median(agreement) < 14


def test_the_answer_of_a_path_is_in_the_side_view_and_no_other_option_is(
    examples: Examples,
) -> None:
    for number, example in enumerate(examples("path")):
        facts = example.facts
        pose = np.array(facts["pose_imagined"])
        heading = math.atan2(
            facts["end_m"][1] - facts["start_m"][1], facts["end_m"][0] - facts["start_m"][0]
        )
        side = math.remainder(math.atan2(pose[1, 2], pose[0, 2]) - heading, 2 * math.pi)
        assert (side > 0) == (example.subcategory == "left")
        assert abs(abs(side) - math.pi / 2) <= math.radians(25)
        assert re.search(rf"\b{example.subcategory}\b", example.question.text)
        assert len(example.question.images) == (3 if example.variant == "ego" else 1)
        assert set(example.question.options) == set(facts["option_objects"])
        if number % 4 == 0:
            scene = scene_of(example)
            camera = Camera.from_fov(SIZE_PX, SIZE_PX, facts["fov_rad"])
            instance = Renderer(scene).render(pose, camera).instance
            shares = image_shares(instance, len(scene.objects))
            for option, index in facts["option_objects"].items():
                assert scene.objects[index].name == option
                if option == example.answer:
                    assert shares[index] >= 0.006
                else:
                    assert shares[index] <= 0.001


def test_counts_agree_with_instances_in_frames_and_on_the_map(examples: Examples) -> None:
    made = examples("counting")
    ranks = Counter()
    for number, example in enumerate(made):
        facts = example.facts
        assert int(example.answer) == facts["count"] == len(facts["counted"])
        ranks[sorted(example.question.options, key=int).index(example.answer)] += 1
        assert min(facts["seen_in_frames"]) >= 1
        if example.subcategory == "overlap":
            assert facts["needs_matching"]
        if number % 4 == 0:
            scene = scene_of(example)
            counted = {
                i
                for i, o in enumerate(scene.objects)
                if o.category == facts["category"] and o.room == facts["room"]
            }
            assert counted == set(facts["counted"])
            camera = Camera.from_fov(SIZE_PX, SIZE_PX, facts["fov_rad"])
            renderer = Renderer(scene)
            views = renderer.render_many([np.array(p) for p in facts["poses"]], camera)
            seen = set(np.unique(np.stack([v.instance for v in views])).tolist())
            of_kind = {i for i, o in enumerate(scene.objects) if o.category == facts["category"]}
            assert seen & of_kind >= counted
            x0, _, x1, _ = square = facts["map_square_m"]
            top = renderer.top_down(tuple(square), (x1 - x0) / SIZE_PX)
            assert counted <= set(np.unique(top.instance).tolist())
    assert sum(e.facts["needs_matching"] for e in made) >= 0.5 * len(made)
    # rank of the truth among sorted options: uniform (chi-square, 3 degrees of freedom, p = 0.001)
    expected = len(made) / 4
    assert sum((ranks[k] - expected) ** 2 / expected for k in range(4)) < 16.3


def test_clearance_agrees_with_the_occupancy_of_the_world(examples: Examples) -> None:
    for number, example in enumerate(examples("clearance")):
        facts = example.facts
        truth, seen = grids_of(facts)
        path = np.array(facts["path_m"])
        dense = np.concatenate([np.linspace(a, b, 12) for a, b in itertools.pairwise(path)])
        values = truth.values(dense)
        assert (example.answer == "yes") == bool((values == 0).all())
        assert (example.answer == "yes") == (example.subcategory == "clear")
        assert not (seen.values(dense) == 100).any()  # nothing seen is in the way
        assert (seen.values(dense) == -1).any()  # something unseen is
        known = seen.cells >= 0
        assert (truth.cells[known] == seen.cells[known]).all()
        if number % 4 == 0:
            grid = occupancy(scene_of(example), 0.05)
            fine = OccupancyGrid(grid.cells, grid.resolution_m, grid.origin)
            # the robot's disc, swept along the path, over the world at twice the resolution
            angle = np.linspace(0, 2 * math.pi, 16)
            ring = np.column_stack([np.cos(angle), np.sin(angle)])
            disc = np.concatenate([radius * ring for radius in (0.0, 0.5 * RADIUS_M, RADIUS_M)])
            hit = bool((fine.values((dense[:, None] + disc).reshape(-1, 2)) == 100).any())
            assert hit == (example.answer == "no")


def test_maps_of_clearance_are_pictures_of_their_grids(examples: Examples) -> None:
    for example in examples("clearance")[:60]:
        truth, seen = grids_of(example.facts)
        view = MapView(*example.facts["map_view"], size_px=SIZE_PX)
        for grid, picture in ((truth, example.imagination), (seen, example.question.images[-1])):
            drawn = draw_map(grid, view)
            assert (drawn[..., 1] == picture[..., 1]).mean() > 0.995
        probability = read_map(example.imagination, view, truth)
        known = (truth.cells >= 0) & ~np.isnan(probability)
        right = (probability > 0.5) == (truth.cells == 100)
        assert right[known].mean() > 0.9  # 48 pixels for 64 cells
