"""Audits find the leaks that are planted, and pass what has none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ipt_model.spatial.recalled import RecalledView
from ipt_training.audits import card as cards
from ipt_training.audits.audit import Audit, Score, item_of, run_audit, score_of, wilson
from ipt_training.audits.baselines import (
    BLIND,
    Item,
    majority_per_template,
    one_number,
    option_prior,
    picture_only,
    position_prior,
    question_only,
    shuffled_tiles,
    template_of,
)
from ipt_training.audits.report import markdown
from ipt_training.commands import dataset as cli
from ipt_training.datasets.generate import make_example, write_dataset
from ipt_training.datasets.parquet import Dataset, encode_shard, write_file
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.datasets.schema import example_from_row
from ipt_training.datasets.supervision import row_from_example
from ipt_training.tasks.sampling import Rejections

pytestmark = pytest.mark.slow(40)

COLOURS = ("blue", "green", "white", "black")


def items(
    count: int = 600, seed: int = 0, options: tuple[str, ...] = ("left", "right")
) -> list[Item]:
    """Questions without any leak: all is drawn independently of the answer."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        order = tuple(options[int(i)] for i in rng.permutation(len(options)))
        made.append(
            Item(
                text=f"Is the {COLOURS[int(rng.integers(4))]} ball on your left or right?",
                options=order,
                answer_index=int(rng.integers(len(options))),
                image=rng.integers(0, 256, (32, 32, 3), np.uint8),
                numbers={
                    "distance": float(rng.random()),
                    "option size": tuple(rng.random(len(options)).tolist()),
                },
            )
        )
    return made


def answering(item: Item, word: str) -> Item:
    return replace(item, answer_index=item.options.index(word))


@pytest.mark.parametrize("name", list(BLIND))
@pytest.mark.parametrize("options", [("left", "right"), ("a b", "c d", "e f", "g h")])
def test_what_leaks_nothing_stays_at_chance(name: str, options: tuple[str, ...]) -> None:
    right = BLIND[name](items(800, 1, options))
    assert right.mean() - 1 / len(options) < 0.06
    assert right.mean() > 0.5 / len(options)  # a guesser, not a refuser


def test_the_majority_of_a_template_is_found() -> None:
    path = "Walking from 1 to 2, which object can you see on your left at M1?"
    clear = "Is the drawn path clear?"
    leaky = []
    for i, item in enumerate(items()):
        asked = replace(item, text=path if i % 2 else clear)
        leaky.append(answering(asked, "left" if i % 2 and i % 10 else "right"))
    assert majority_per_template(leaky).mean() > 0.85
    assert (template_of(path), template_of(clear)) == ("path 0", "clearance 0")
    assert template_of("What is this?") == "What is this?"


def test_an_answer_that_is_always_the_same_word_is_found() -> None:
    leaky = [answering(item, "left") if i % 4 else item for i, item in enumerate(items())]
    assert option_prior(leaky).mean() > 0.8


def test_a_favourite_position_is_found() -> None:
    leaky = [replace(item, answer_index=0) if i % 3 else item for i, item in enumerate(items())]
    assert position_prior(leaky).mean() > 0.75


def test_a_word_of_the_question_that_tells_the_answer_is_found() -> None:
    leaky = [
        answering(item, "left" if "white" in item.text or "blue" in item.text else "right")
        for item in items()
    ]
    assert question_only(leaky).mean() > 0.95
    assert option_prior(leaky).mean() < 0.6


def test_a_colour_cast_that_tells_the_answer_is_found() -> None:
    leaky = []
    for item in items():
        image = item.image.copy()
        if item.answer == "left":
            image[..., 0] //= 3
        leaky.append(replace(item, image=image))
    assert picture_only(leaky).mean() > 0.9


def test_tiles_keep_their_pixels_and_lose_their_places() -> None:
    image = np.arange(32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    shuffled = shuffled_tiles(image, np.random.default_rng(0))
    assert (shuffled != image).any()
    assert (np.sort(shuffled.ravel()) == np.sort(image.ravel())).all()


@pytest.mark.parametrize("name", ["distance", "option size"])
def test_one_number_that_tells_the_answer_is_found(name: str) -> None:
    clean = items(800, 3)
    assert abs(one_number(clean, name).mean() - 0.5) < 0.07
    leaky = []
    for item in clean:
        if name == "distance":
            leaky.append(answering(item, "left" if item.numbers["distance"] > 0.4 else "right"))
        else:
            sizes = item.numbers["option size"]
            leaky.append(replace(item, answer_index=int(np.argmin(sizes))))
    assert one_number(leaky, name).mean() > 0.9


def test_a_number_that_tells_the_rank_of_a_count_is_found() -> None:
    leaky = []
    for item in items(600, 5, ("2", "3", "4", "5")):
        rank = int(4 * item.numbers["distance"])
        leaky.append(answering(item, str(2 + rank)))
    assert one_number(leaky, "distance").mean() > 0.9


def test_intervals_hold_the_truth() -> None:
    assert wilson(50, 100) == pytest.approx((40.4, 59.6), abs=0.1)
    low, high = wilson(0, 20)
    assert low == pytest.approx(0, abs=1e-9) and 10 < high < 20
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        low, high = wilson(int(rng.binomial(200, 0.3)), 200)
        inside += low <= 30 <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_scores_are_judged_by_their_limits() -> None:
    def score(kind: str, share: float, count: int = 1000) -> Score:
        right = np.arange(count) < share * count
        return score_of("group", "name", kind, right, 50.0)

    assert score("blind", 0.53).passes and not score("blind", 0.54).passes
    assert score("one number", 0.58).passes and not score("one number", 0.59).passes
    assert score("blind", 0.9, count=50).passes and not score("blind", 0.9, count=50).judged
    audit = Audit(rows=1, scores=[score("blind", 0.6)])
    assert not audit.passes and audit.to_dict()["scores"][0]["passes"] is False


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_dataset(DatasetPlan(96, 32, shards=1, split="test"), folder)
    return folder


def test_a_dataset_is_audited_and_shown(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # too few to judge, so nothing can leak: what is tested is that all of it is there
    assert cli.main(["--out", str(small), "--audit", "--look"]) == 0
    printed = capsys.readouterr().out
    assert "Audit of 96 examples" in printed and "passes" in printed
    stored = json.loads((small / "audit.json").read_text())
    assert stored["passes"] and stored["rows"] == 96
    groups = {s["group"] for s in stored["scores"]}
    assert {"path", "counting", "clearance", "perspective"} <= groups
    assert stored["balance"]["path"]["sub-category"] == {"left": 0.5, "right": 0.5}
    assert stored["rejections"]["path"]["made"] == 24
    table = markdown(stored)
    assert table.count("strongest of") == 3  # too few for the groups of perspective
    assert "| path | option prior | 24 |" in table and "scenes an example" in table
    page = (small / "look.html").read_text()
    assert page.count("<article>") == 96
    assert page.count("data:image/png;base64,") > 240
    for index in range(96):
        example = example_from_row(Dataset(small)[index])
        numbers = item_of(example, index).numbers
        assert all(np.isfinite(v).all() for v in numbers.values())


def test_any_row_can_be_a_picture_in_a_document(small: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "card.png"
    kinds = set()
    for index in range(0, 96, 5):
        cards.main([str(small), "--row", str(index), "--out", str(drawn)])
        example = example_from_row(Dataset(small)[index])
        shown = np.asarray(Image.open(drawn))
        pictures = [*example.question.images, example.true_view]
        names = cards.names_of(example)
        assert len(names) == len(set(names)) == len(pictures) and names[-1] == "true view"
        for k, picture in enumerate(pictures):
            left = cards.EDGE + k * (cards.SHOWN_PX + cards.GAP)
            middle = left + cards.SHOWN_PX // 2
            assert (shown[cards.EDGE + cards.SHOWN_PX // 2, middle] == picture[16, 16]).all()
        assert (shown == cards.RIGHT).all(axis=2).any()
        kinds.add(example.question.task)
    assert len(kinds) == 4


def test_duplicates_and_strangers_are_problems(small: Path, tmp_path: Path) -> None:
    rows = list(Dataset(small))
    assert not run_audit(small).problems
    twice = tmp_path / "twice"
    twice.mkdir()
    write_file(twice / "part.parquet", encode_shard([*rows, rows[0]]))
    assert "1 questions occur more than once" in run_audit(twice).problems
    problems = run_audit(small, others=[twice]).problems
    assert any("97 first pictures are also in" in p for p in problems)
    assert any("houses or places are also in" in p for p in problems)
    stray = tmp_path / "stray"
    stray.mkdir()
    plan = DatasetPlan(1, 32, (("counting", 1.0),))
    example = make_example(plan, plan.slots(), 0, Rejections())
    wrong = row_from_example(example, index=0, split="test", level="room")
    write_file(stray / "part.parquet", encode_shard([wrong]))
    assert any("belongs to train, not to test" in p for p in run_audit(stray).problems)


def test_later_rows_of_a_task_fill_its_finer_groups(tmp_path: Path) -> None:
    """A leak in a variant that the first rows of the task do not have is found all the same."""
    plan = DatasetPlan(1, 32, (("perspective", 1.0),))
    made = make_example(plan, plan.slots(), 0, Rejections())
    rng = np.random.default_rng(0)
    rows = []
    for index in range(160):
        late = index >= 80
        options, place = ("left", "right") if late else ("closer", "further"), index % 2
        height = 0.5 + place + 0.4 * rng.random() if late else float(rng.random())
        example = replace(
            made,
            question=replace(made.question, text=f"Question {index}?", options=options),
            answer_index=place,
            variant="marker+anchored" if late else "pose",
            subcategory=f"left-{options[place]}" if late else options[place],
            facts={**made.facts, "camera_height_m": height},
        )
        rows.append(row_from_example(example, index=index, split="train", level="room"))
    write_file(tmp_path / "part.parquet", encode_shard(rows))
    audit = run_audit(tmp_path, most_per_task=40)
    assert not audit.problems
    counts = {score.group: score.count for score in audit.scores}
    early, late = "perspective/pose/distance", "perspective/marker/side"
    assert counts == {"perspective": 40, early: 40, late: 40}
    height_of = {s.group: s.accuracy for s in audit.scores if s.baseline == "camera height"}
    assert height_of[late] > 90 and height_of[early] < 75


@pytest.mark.parametrize("leaks", [True, False])
def test_how_much_was_seen_must_not_tell_the_answer(tmp_path: Path, leaks: bool) -> None:
    """Of rows with a memory alone; those without one have no share."""
    plan = DatasetPlan(1, 32, (("path", 1.0),))
    made = make_example(plan, plan.slots(), 0, Rejections())
    rng = np.random.default_rng(0)
    rows = []
    for index in range(500):
        place = index % 4
        seen = np.zeros(made.true_view.shape[:2], bool)
        share = place / 4 + 0.2 * rng.random() if leaks else rng.random()
        seen[:, : int(share * seen.shape[1])] = True
        view = RecalledView(made.true_view, np.zeros(seen.shape, np.float32), seen)
        remembers = index < 400
        example = replace(
            made,
            question=replace(made.question, text=f"Question {index}?"),
            answer_index=place,
            variant="map+memory" if remembers else "map",
            recalled=view if remembers else None,
            facts={**made.facts, "memory_poses": [0] * (1 + index % 3)},
        )
        rows.append(row_from_example(example, index=index, split="train", level="room"))
    write_file(tmp_path / "part.parquet", encode_shard(rows))
    scores = {s.baseline: s for s in run_audit(tmp_path).scores if s.group == "path/memory"}
    assert set(scores) == {"share seen", "views remembered"}
    assert {s.count for s in scores.values()} == {400}
    assert scores["share seen"].passes is not leaks and scores["views remembered"].passes
