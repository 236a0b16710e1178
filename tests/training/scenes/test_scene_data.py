"""Scenes as data: equal seeds give equal scenes everywhere, JSON keeps all of it, impossible
wishes are refused.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipt_training.houses.furniture import HOUSE_CATEGORIES, ROOM_CATEGORIES
from ipt_training.houses.generator import make_scene
from ipt_training.scenes.colours import COLOURS
from ipt_training.scenes.scene import Scene, SceneError
from ipt_training.scenes.splits import seeds_of, split_of

_FINGERPRINT = """
import hashlib, json
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
h = hashlib.sha256()
for level in ("room", "house"):
    scene = make_scene(4321, level)
    h.update(json.dumps(scene.to_dict(), sort_keys=True).encode())
    view = Renderer(scene).render(camera_pose(0, 0, 0.5, 1.2, 0.2), Camera.from_fov(64, 48, 1.4))
    h.update(view.rgb.tobytes() + view.depth_m.tobytes() + view.instance.tobytes())
print(h.hexdigest())
"""


@pytest.mark.slow
def test_scene_and_picture_are_the_same_bytes_in_every_process() -> None:
    prints = set()
    for hash_seed in ("0", "17"):
        done = subprocess.run(
            [sys.executable, "-c", _FINGERPRINT],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PATH": "/usr/bin:/bin"},
        )
        prints.add(done.stdout.strip())
    assert len(prints) == 1


def test_scenes_do_not_change_between_versions() -> None:
    """A published dataset names scenes by seed: a change here changes every dataset, so it must be
    deliberate."""
    digest = hashlib.sha256()
    for level in ("room", "house"):
        for seed in range(20):
            digest.update(json.dumps(make_scene(seed, level).to_dict(), sort_keys=True).encode())
    assert digest.hexdigest()[:16] == "21c9d533287cd04c"


@settings(max_examples=60)
@given(st.integers(0, 899_999), st.sampled_from(["room", "house"]))
def test_json_round_trip(seed: int, level: str) -> None:
    scene = make_scene(seed, level)
    assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


def test_room_level_is_what_the_tasks_need() -> None:
    repeated = 0
    for seed in range(300):
        scene = make_scene(seed, "room")
        assert len(scene.rooms) == 1
        assert 4 <= len(scene.objects) <= 9
        assert scene.unique_names() == {o.name for o in scene.objects}
        assert {o.category for o in scene.objects} <= set(ROOM_CATEGORIES)
        repeated += max(Counter(o.category for o in scene.objects).values()) >= 3
    assert repeated > 60  # counting needs several of a kind


@pytest.mark.slow
def test_house_level_has_one_to_four_rooms_of_four_to_eight_metres() -> None:
    rooms: Counter[int] = Counter()
    seen: set[str] = set()
    for seed in range(300):
        scene = make_scene(seed, "house")
        rooms[len(scene.rooms)] += 1
        seen |= {o.category for o in scene.objects}
        assert len(scene.doors) >= len(scene.rooms) - 1
        for room in scene.rooms:
            assert 4.0 - 1e-9 <= room.x_max - room.x_min <= 8.0 + 1e-9
            assert 4.0 - 1e-9 <= room.y_max - room.y_min <= 8.0 + 1e-9
    assert set(rooms) == {1, 2, 3, 4} and min(rooms.values()) > 20
    assert seen == set(HOUSE_CATEGORIES)


def test_no_object_is_red() -> None:
    assert "red" not in COLOURS
    for seed in range(100):
        for thing in make_scene(seed, "house").objects:
            for part in thing.primitives:
                r, g, b = part.colour
                assert not (r > 150 and g < 60 and b < 60), (thing.name, part.colour)


def test_names_that_repeat_are_not_unique() -> None:
    for seed in range(200):
        scene = make_scene(seed, "house")
        counts = Counter(o.name for o in scene.objects)
        if max(counts.values()) > 1:
            twice = next(i for i, o in enumerate(scene.objects) if counts[o.name] > 1)
            assert not scene.is_unique(twice)
            assert scene.objects[twice].name not in scene.unique_names()
            return
    pytest.fail("no house with a repeated name in 200 seeds")


def test_too_many_objects_says_how_many_fit() -> None:
    with pytest.raises(SceneError, match=r"objects=500: only \d+ fit") as caught:
        make_scene(3, "house", objects=500)
    fit = int(str(caught.value).split("only ")[1].split(" ")[0])
    assert 20 < fit < 300
    scene = make_scene(3, "room", objects=12)
    assert len(scene.objects) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 900_000}, "never touched"),
        ({"seed": -1}, "expected 0 to"),
        ({"seed": 1, "level": "castle"}, "castle"),
        ({"seed": 1, "objects": 0}, "at least 1"),
        ({"seed": 1, "rooms": 3}, "one room"),
        ({"seed": 1, "level": "house", "rooms": 5}, "1 to 4"),
    ],
)
def test_impossible_requests(arguments: dict, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        make_scene(**arguments)


def test_broken_json_is_refused_by_name() -> None:
    data = make_scene(1).to_dict()
    with pytest.raises(SceneError, match="version 1, got 7"):
        Scene.from_dict({**data, "version": 7})
    with pytest.raises(SceneError, match="rooms"):
        Scene.from_dict({k: v for k, v in data.items() if k != "rooms"})
    data["objects"][0]["primitives"][0]["shape"] = "torus"
    with pytest.raises(SceneError, match="torus"):
        Scene.from_dict(data)


def test_splits_do_not_share_a_seed() -> None:
    assert [split_of(s) for s in (0, 799_999)] == ["train"] * 2
    assert [split_of(s) for s in (800_000, 849_999)] == ["validation"] * 2
    assert [split_of(s) for s in (850_000, 899_999)] == ["test"] * 2
    for seed in (900_000, 10**9):
        with pytest.raises(SceneError, match="never touched"):
            split_of(seed)
    with pytest.raises(SceneError, match="0 to 899,999"):
        split_of(-5)
    assert seeds_of("test")[0] == 850_000
    with pytest.raises(SceneError, match="holdout"):
        seeds_of("holdout")


def test_importing_scenes_is_cheap() -> None:
    code = (
        "import sys\n"
        "import ipt_training.houses.generator, ipt_training.rendering.embree\n"
        "import ipt_training.scenes.grids\n"
        "print([m for m in ('open3d', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
