"""The two audits of whether a question can be answered: they pass what can be, and fail what
cannot.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ipt_model.question import Question, Task
from ipt_training.audits import well_posed
from ipt_training.audits.reader import (
    Case,
    Found,
    Training,
    Vocabulary,
    read,
    shuffled,
    table_of,
)
from ipt_training.audits.well_posed import WellPosedError, case_of, run_well_posed
from ipt_training.datasets.parquet import Dataset, encode_shard, write_file
from ipt_training.datasets.supervision import row_from_example
from ipt_training.example import Example
from ipt_training.scenes.colours import COLOURS

pytestmark = pytest.mark.slow(60)
SIZE_PX = 64
QUICK = Training(epochs=6, batch=8)
NAMES = ("blue", "green", "yellow", "purple")


def room(rng: np.random.Generator) -> np.ndarray:
    picture = np.full((SIZE_PX, SIZE_PX, 3), 150, np.uint8)
    return picture + rng.integers(0, 20, picture.shape).astype(np.uint8)


def put(picture: np.ndarray, colour: str, row: int, column: int, side: int = 9) -> None:
    picture[row : row + side, column : column + side] = COLOURS[colour]


def side_example(rng: np.random.Generator, index: int, inputs_tell: bool) -> Example:
    """On which side the named ball is: the true view shows it beside one of another colour."""
    blue, other = (str(c) for c in rng.permutation(NAMES)[:2])
    right = index % 2
    view = room(rng)
    for colour, on_right in ((blue, right), (other, 1 - right)):
        put(view, colour, int(rng.integers(5, 50)), int(rng.integers(3, 18)) + 34 * on_right)
    options = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    image = view if inputs_tell else room(rng)
    return Example(
        question=Question(Task.PERSPECTIVE, (image,), f"Where is the {blue} ball?", options),
        answer_index=options.index("right" if right else "left"),
        true_view=view,
        think="I imagine the view.",
        reasoning="It is there.",
        variant="pose",
        subcategory=f"left-{'right' if right else 'left'}",
        scene_seed=index,
        facts={"object": f"{blue} ball", "motion": [0.0, 0.0, 0.0]},
    )


def dataset(
    folder: Path, first: int, count: int, split: str, inputs_tell: bool = False
) -> Dataset:
    folder.mkdir()
    rng = np.random.default_rng(first)
    rows = [
        row_from_example(
            side_example(rng, first + n, inputs_tell), index=n, split=split, level="room"
        )
        for n in range(count)
    ]
    write_file(folder / "part.parquet", encode_shard(rows))
    return Dataset(folder)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """The true view tells the answer, the inputs do not."""
    folder = tmp_path_factory.mktemp("houses")
    return (
        dataset(folder / "train", 0, 400, "train"),
        dataset(folder / "test", 850_000, 100, "test"),
    )


def test_what_the_true_view_shows_is_readable_and_what_no_input_shows_is_not_inferable(
    houses: tuple[Dataset, Dataset],
) -> None:
    readable, inferable = run_well_posed(*houses, seeds=(0,), training=QUICK)
    assert (readable.audit, inferable.audit) == ("readable", "inferable")
    assert readable.passes and readable.accuracy >= 95 and readable.test == 100
    assert readable.low < readable.accuracy <= readable.high
    assert readable.parts == {"side": (readable.accuracy, 100)}
    assert 35 < inferable.accuracy < 65 and inferable.chance == 50


def test_answers_by_chance_are_not_readable(houses: tuple[Dataset, Dataset]) -> None:
    (level,) = run_well_posed(
        *houses, audits=("readable",), seeds=(0,), training=QUICK, by_chance=True
    )
    assert not level.passes and level.accuracy < 70


def test_inputs_that_show_the_answer_are_inferable(tmp_path: Path) -> None:
    train = dataset(tmp_path / "train", 0, 200, "train", inputs_tell=True)
    test = dataset(tmp_path / "test", 850_000, 100, "test", inputs_tell=True)
    (level,) = run_well_posed(train, test, audits=("inferable",), seeds=(0,), training=QUICK)
    assert level.accuracy > 90


def test_houses_that_were_trained_on_are_refused(
    houses: tuple[Dataset, Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WellPosedError, match=r"400 houses of .* are also in"):
        run_well_posed(houses[0], houses[0])
    assert well_posed.main([str(houses[0].path), str(houses[0].path)]) == 2
    assert "houses" in capsys.readouterr().err


def test_the_command_writes_its_levels_and_fails_what_is_not_readable(
    houses: tuple[Dataset, Dataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "levels.json"
    folders = [str(dataset.path) for dataset in houses]
    few = ["--audits", "readable", "--seeds", "0", "--most", "40", "--epochs", "1"]
    assert well_posed.main([*folders, *few, "--out", str(out)]) == 1
    (level,) = json.loads(out.read_text())
    assert level["train"] == level["test"] == 40 and not level["passes"]
    assert "| perspective | readable | 40 | 40 | 1 |" in capsys.readouterr().out


def test_a_count_takes_the_option_next_to_it() -> None:
    picture = room(np.random.default_rng(0))
    cases = [
        Case((picture,), ("blue object",), (), options, 0)
        for options in (("1", "2", "3", "4"), ("5", "3", "4", "2"))
    ]
    table = table_of(cases, Vocabulary.of(cases))
    assert table.kind == "counts"
    found = Found(torch.zeros(2, 1, 1), torch.tensor([2.8, 2.8]), torch.tensor(1.0))
    assert found.scores(table, torch.arange(2)).argmax(1).tolist() == [2, 1]


def test_answers_by_chance_keep_the_questions() -> None:
    cases = [Case((), ("blue object",), (), ("1", "2", "3", "4"), 0) for _ in range(200)]
    drawn = [case.answer_index for case in shuffled(cases, 0)]
    assert np.bincount(drawn, minlength=4).min() > 30
    assert all(case.options == cases[0].options for case in shuffled(cases, 0))


def test_things_among_the_options_are_looked_for() -> None:
    rng = np.random.default_rng(0)

    def case() -> Case:
        picture, order = room(rng), [str(c) for c in rng.permutation(NAMES)]
        put(picture, order[0], int(rng.integers(5, 50)), int(rng.integers(5, 50)))
        place = int(rng.integers(4))
        options = [*order[1 : place + 1], order[0], *order[place + 1 :]]
        return Case(
            (picture,),
            ("left",),
            (),
            tuple(f"{o} ball" for o in options),
            place,
            things=True,
            colours=COLOURS,
        )

    train, test = [case() for _ in range(240)], [case() for _ in range(80)]
    assert read(train, test, 0, Training(epochs=5, batch=16)).mean() > 0.9


def test_every_audit_sees_what_it_is_named_after(houses: tuple[Dataset, Dataset]) -> None:
    example = side_example(np.random.default_rng(0), 1, inputs_tell=False)
    readable, inferable = case_of(example, "readable"), case_of(example, "inferable")
    assert (readable.pictures[0] == example.true_view).all()
    assert not readable.pictures[1].any(), "a question of side shows no other view"
    assert (inferable.pictures[0] == example.question.images[0]).all()
    assert len(inferable.pictures) == 1 and inferable.numbers
    with pytest.raises(WellPosedError, match="expected one of readable, inferable, got 'both'"):
        case_of(example, "both")
