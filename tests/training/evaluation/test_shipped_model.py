"""The weights in the package: small, calibrated, and no better or worse than their card says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Task
from ipt_model.weights.loading import find_folder
from ipt_training.commands.release import MOST_BYTES
from ipt_training.datasets.generate import make_example
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.evaluation.asking import BatchAsker
from ipt_training.tasks.sampling import Rejections

pytestmark = pytest.mark.slow(20)

FOLDER = find_folder("ipt-tiny")
MODES = ("answer", "imagine", "given")


@pytest.fixture(scope="module")
def imaginer() -> Imaginer:
    return Imaginer.from_pretrained("ipt-tiny", "cpu")


def test_it_fits_the_package_and_tells_how_it_was_made(imaginer) -> None:
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) <= MOST_BYTES
    names = {p.name for p in FOLDER.iterdir()}
    assert {"README.md", "calibration.json", "recipe.yaml", "ipt.json"} <= names
    assert imaginer.model_id == "ipt-tiny"
    assert set(imaginer.style.temperature) == set(Task) - {Task.FREE}


def test_its_card_has_every_task_in_every_mode(imaginer) -> None:
    measured = imaginer.style.training["measured"]
    card = (FOLDER / "README.md").read_text()
    assert set(measured) == {"perspective", "path", "counting", "clearance"}
    for task, found in measured.items():
        for mode in MODES:
            assert found[mode]["n"] >= 300
            assert f"| {task} | {mode} | {100 * found[mode]['share']:.1f} % |" in card
    stored = json.loads((FOLDER / "calibration.json").read_text())
    assert imaginer.style.to_dict()["temperature"] == stored["temperature"]


def test_it_answers_questions_about_new_rooms_as_often_as_its_card_says(imaginer) -> None:
    """Within what luck allows with 160 questions; the card's own interval is above chance."""
    plan = DatasetPlan(160, size_px=64, tasks=(("perspective", 1.0),), split="test", seed=41)
    slots = plan.slots()
    examples = [make_example(plan, slots, k, Rejections()) for k in range(plan.count)]
    found = dict(BatchAsker(imaginer._open).ask(examples, [Mode.ANSWER]))
    right = np.mean([found[k][Mode.ANSWER].text == e.answer for k, e in enumerate(examples)])
    told = imaginer.style.training["measured"]["perspective"]["answer"]
    assert told["low"] > 0.5
    assert abs(right - told["share"]) < 3 * np.sqrt(0.25 / plan.count)
