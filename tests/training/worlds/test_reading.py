"""The truth about a world is read back as it was written, and held against the scene behind it."""

import json
from pathlib import Path

import pytest

from ipt_training.scenes.scene import SceneError
from ipt_training.worlds.folder import SHIPPED
from ipt_training.worlds.reading import find_truth, made_truth, read_truth, scene_of

WORLDS = Path(__file__).parents[3] / "worlds"


@pytest.mark.parametrize("key", SHIPPED, ids=lambda key: key.name)
def test_a_shipped_truth_is_the_one_that_level_and_seed_make(key):
    truth = find_truth(key.name, WORLDS)
    assert truth == made_truth(key.level, key.seed, key.name)
    scene = scene_of(truth)
    assert (scene.level, scene.seed) == (key.level, key.seed)
    assert [o.name for o in scene.objects] == [o["name"] for o in truth["objects"]]


def test_a_world_is_found_by_name_by_path_and_by_level_and_seed():
    assert find_truth("demo", WORLDS)["world"] == "demo"
    assert find_truth(str(WORLDS / "room_850001.json"), WORLDS)["seed"] == 850_001
    assert not (WORLDS / "room_850123.json").exists()
    found = find_truth("room_850123", WORLDS)
    assert (found["world"], found["level"], found["seed"]) == ("room_850123", "room", 850_123)


def test_a_world_that_there_is_not_is_named_with_those_that_there_are():
    with pytest.raises(SceneError, match=r"world 'kitchen'.*demo.*house_850000"):
        find_truth("kitchen", WORLDS)
    with pytest.raises(SceneError, match=r"nothing\.json"):
        find_truth("nothing.json", WORLDS)


def test_an_edited_truth_and_one_of_another_format_are_refused(tmp_path):
    truth = find_truth("demo", WORLDS)
    moved = json.loads(json.dumps(truth))
    moved["objects"][0]["position"][0] += 0.01
    with pytest.raises(SceneError, match="write the world anew with ipt-world"):
        scene_of(moved)
    lost = {**truth, "objects": truth["objects"][1:]}
    with pytest.raises(SceneError, match="write the world anew"):
        scene_of(lost)
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**truth, "format": 0}))
    with pytest.raises(SceneError, match="format 1"):
        read_truth(path)
    path.write_text("{")
    with pytest.raises(SceneError, match=r"old\.json"):
        read_truth(path)
