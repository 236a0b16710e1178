"""What the questions say is so, by the renderer at full size; and equal seeds ask equal ones."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open3d", reason="open3d draws the simulated world")
from ipt_model.question import Task
from ipt_model.spatial.maps import OCCUPIED
from ipt_model.wording.phrasing import Motion, motion_in, round_motion
from ipt_ros.evaluation.questions import stands_of
from ipt_ros.evaluation.true_world import TrueWorld
from ipt_training.scenes.projection import image_centres, image_shares
from ipt_training.scenes.standing import Furniture
from ipt_training.tasks.geometry import to_body
from ipt_training.worlds.reading import find_truth

pytestmark = pytest.mark.slow(20)

WORLDS = Path(__file__).parents[3] / "worlds"
NAMES = ("demo", "room_850001", "house_850001")


@pytest.fixture(scope="module", params=NAMES)
def world(request):
    return TrueWorld(find_truth(request.param, WORLDS))


@pytest.fixture(scope="module")
def stands(world):
    return list(stands_of(world, 8, 3, 2, 0.15))


def asked(stands, *kinds):
    return [(s, e) for s in stands for e in s.episodes if not kinds or e.kind in kinds]


def full(world, base):
    """Shares of the picture and columns from -0.5 to 0.5 of every object, at the camera's size."""
    instance = world.renderer.cast_views([world.eye(base)], world.lens).instance[0]
    number = len(world.scene.objects)
    columns = image_centres(instance, number)[:, 0] / world.lens.width - 0.5
    return image_shares(instance, number), columns


def index_of(world, name):
    (found,) = [i for i, o in enumerate(world.scene.objects) if o.name == name]
    return found


def test_equal_seeds_ask_equal_questions_and_others_ask_others(world, stands):
    again = list(stands_of(TrueWorld(world.truth), 8, 3, 2, 0.15))
    assert again == stands
    assert list(stands_of(world, 2, 4, 2, 0.15)) != stands[:2]
    # more stands are the same ones and more
    assert list(stands_of(world, 3, 3, 2, 0.15)) == stands[:3]


def test_every_task_is_asked_and_no_two_episodes_are_called_the_same(stands):
    names = [e.id for _, e in asked(stands)]
    assert len(set(names)) == len(names) > 24
    assert {e.task for _, e in asked(stands)} == {
        Task.PERSPECTIVE, Task.PATH, Task.COUNTING, Task.CLEARANCE,
    }  # fmt: skip
    assert [s.mask for s in stands].count(True) == 2
    assert all(e.answer in e.options for _, e in asked(stands))


def test_the_robot_can_stand_wherever_it_is_put(world, stands):
    furniture = Furniture(world.scene, world.robot["height"])
    bases = [s.pose for s in stands] + [e.then for _, e in asked(stands) if e.then is not None]
    assert len(bases) > 20
    for x, y, _ in bases:
        assert furniture.obstacle(x, y, world.robot["radius"]) is None


def test_a_thing_that_is_asked_about_is_in_view_and_where_the_answer_says(world, stands):
    found = asked(stands, "side", "in words", "distance")
    assert len(found) >= 8
    for stand, episode in found:
        name = episode.object or next(
            o.name for o in world.scene.objects if f"the {o.name} " in episode.text
        )
        thing = index_of(world, name)  # and alone of its name
        assert full(world, stand.pose)[0][thing] > 0.004
        shares, columns = full(world, episode.then)
        assert shares[thing] > 0.004
        if episode.kind == "distance":
            x, y = world.scene.objects[thing].position[:2]
            before, after = (
                math.dist(world.body_at(base)[:2], (x, y)) for base in (stand.pose, episode.then)
            )
            assert (after < before) == (episode.answer == "closer") and abs(after - before) > 0.49
        else:
            assert abs(columns[thing]) > 0.08
            assert ("left" if columns[thing] < 0 else "right") == episode.answer


def test_a_viewpoint_is_a_motion_that_words_can_tell(world, stands):
    for stand, episode in asked(stands, "side", "distance", "in words"):
        here = np.array(world.body_at(stand.pose))
        there = np.array(episode.viewpoint)
        forward, left = to_body(there[:2], here)
        motion = Motion(float(forward), float(left), float(there[2] - here[2]))
        spoken = round_motion(motion)
        assert motion.forward_m == pytest.approx(spoken.forward_m, abs=1e-6)
        assert motion.left_m == pytest.approx(spoken.left_m, abs=1e-6)
        assert math.remainder(motion.turn_rad - spoken.turn_rad, 2 * math.pi) == pytest.approx(0)
        if episode.kind == "in words":
            assert motion_in(episode.text) == spoken


def test_at_the_midpoint_the_answer_alone_is_in_view(world, stands):
    found = [(s, e) for s, e in asked(stands) if e.task is Task.PATH]
    assert found
    for _, episode in found:
        shares, _ = full(world, episode.then)
        for name in episode.options:
            share = shares[index_of(world, name)]
            assert share > 0.004 if name == episode.answer else share < 0.001


def test_counts_are_of_things_that_a_turn_shows(world, stands):
    found = asked(stands, "by colour", "by kind")
    assert found
    for stand, episode in found:
        seen = np.max([full(world, base)[0] for base in world.around(stand.pose)], axis=0)
        words = episode.category.split()
        members = [
            i
            for i, o in enumerate(world.scene.objects)
            if (o.colour == words[0] if words[-1] == "object" else o.category == episode.category)
        ]
        assert sum(seen[i] > 0.004 for i in members) == int(episode.answer)
        assert not any(0.001 < seen[i] < 0.004 for i in members)
        assert len(episode.options) == 4 and episode.options[-1] == str(episode.max_count)


def test_paths_are_clear_or_blocked_in_truth_and_partly_out_of_sight(world, stands):
    found = [(s, e) for s, e in asked(stands) if e.task is Task.CLEARANCE]
    assert {e.answer for _, e in found} == {"clear", "blocked"}
    occupied = world.map.centres()[world.map.cells == OCCUPIED]
    for stand, episode in found:
        line = np.array(episode.path)
        # by brute force over all occupied cells
        room = min(float(np.hypot(*(occupied - point).T).min()) for point in line)
        if episode.answer == "clear":
            assert room >= episode.radius_m
        else:
            assert room <= episode.radius_m
        known = world.map_from([stand.pose])
        seen = float((known.values(line) != -1).mean())
        assert seen == pytest.approx(episode.share_seen, abs=1e-3) and seen <= 0.8
        walls = known.centres()[known.cells == OCCUPIED]
        assert min(float(np.hypot(*(walls - p).T).min()) for p in line) > episode.radius_m


def test_both_answers_are_asked_for(world):
    many = Counter(
        e.answer for s in stands_of(world, 24, 0, 0, 0.15) for e in s.episodes if e.kind == "side"
    )
    assert min(many["left"], many["right"]) >= 5


def test_the_camera_tells_its_own_world_from_another(world):
    here = (*world.robot["start"],)
    own = world.depth_from(here)
    assert world.agreement(own, here) > 0.99
    assert world.agreement(np.where(own > 3, np.inf, own).astype(np.float32), here) < 1.0
    other = TrueWorld(find_truth(NAMES[0] if world.name != NAMES[0] else NAMES[1], WORLDS))
    assert world.agreement(other.depth_from(here), here) < 0.5
    assert world.agreement(own[::2, ::2], here) == 0.0
