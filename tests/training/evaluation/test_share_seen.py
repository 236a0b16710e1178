"""What is found from validation answers by how much of the asked view was seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ipt_model.question import Mode, Outcome, Task
from ipt_model.weights.asking_style import AskingStyle
from ipt_training.evaluation.calibration import (
    LEAST_OF_CLASS,
    LEAST_REMEMBERED,
    calibrate,
    calibrate_memory,
    recall_level,
    write_calibration,
)
from ipt_training.evaluation.records import Record, Reply, summary
from ipt_training.evaluation.report import page

MODES = (Mode.ANSWER, Mode.IMAGINE, Mode.RECALL, Mode.GIVEN)


def reply(right: bool, gap: float = 3.0) -> Reply:
    """Two options; the first is the right one."""
    logs = (gap, 0.0) if right else (0.0, gap)
    return Reply(Outcome.ANSWERED, 0 if right else 1, logs)


def remembered(
    number: int, share: float | None, recall: bool = True, imagine: bool = True, gap: float = 3.0
) -> Record:
    replies = {Mode.ANSWER: reply(number % 2 == 0), Mode.IMAGINE: reply(imagine)}
    if share is not None:
        replies[Mode.RECALL] = reply(recall, gap)
    return Record(number, Task.PATH, "ego", "left", 0, 2, replies, None, share)


def evenly(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / count


def test_the_level_is_where_recalling_begins_to_be_right_more_often() -> None:
    """Drawing is right two times in three whatever was seen, recalling above 0.6 always."""
    records = [
        remembered(k, float(share), recall=share > 0.6, imagine=k % 3 > 0)
        for k, share in enumerate(evenly(400))
    ]
    assert recall_level(records, Mode.IMAGINE) == 0.6
    found = calibrate(records, MODES)
    assert found.recall_above == {Task.PATH: 0.6}
    assert found.auto == (Mode.IMAGINE, Mode.ANSWER), "recalling is not one of AUTO's own modes"


def test_a_calibrated_checkpoint_gets_what_memory_needs_and_keeps_the_rest(tmp_path) -> None:
    """Recalling is compared with what AUTO does otherwise with a memory: drawing, for answering at
    once is right every other time. Recalling is right above 0.3."""
    other = {Task.COUNTING: {Mode.ANSWER: (1.5, None, 2.5, None)}}
    before = AskingStyle(
        temperature={Task.PATH: {Mode.ANSWER: 3.0, Mode.IMAGINE: 7.0}},
        temperature_by_seen=other,
        recall_above={Task.COUNTING: 0.5, Task.PATH: 0.9},
        auto_by_task={Task.PATH: (Mode.ANSWER, Mode.IMAGINE)},
    )
    before.save(tmp_path)
    records = [
        remembered(k, float(share), recall=share > 0.3) for k, share in enumerate(evenly(400))
    ]
    plain = [remembered(k, None) for k in range(100)]
    found = calibrate_memory(tmp_path, records + plain, MODES)
    after = write_calibration(tmp_path, found, {})
    own = after.temperature[Task.PATH]
    assert (own[Mode.ANSWER], own[Mode.IMAGINE]) == (3.0, 7.0) and own[Mode.RECALL] != 1.0
    assert len(after.temperature_by_seen[Task.PATH][Mode.RECALL]) == 4
    assert after.recall_above == {Task.COUNTING: 0.5, Task.PATH: 0.3}
    assert after.temperature_by_seen[Task.COUNTING] == other[Task.COUNTING]
    assert after.preferred(Task.PATH, 0.2) == (Mode.IMAGINE, Mode.ANSWER)
    assert after.preferred(Task.PATH) == (Mode.ANSWER, Mode.IMAGINE), "not asked without a memory"
    assert after.preferred(Task.PATH, 0.4)[0] is Mode.RECALL
    with pytest.raises(ValueError, match="recalled view"):
        calibrate_memory(tmp_path, plain, MODES)
    with pytest.raises(ValueError, match="--modes: expected imagine as well"):
        calibrate_memory(tmp_path, records, (Mode.RECALL,))


@pytest.mark.parametrize(("won", "lost", "first"), [(9, 1, True), (6, 4, False), (1, 6, False)])
def test_drawing_comes_first_where_it_is_better_by_more_than_luck(
    won: int, lost: int, first: bool
) -> None:
    """Answering at once is right every other time: even numbers can be lost, odd ones won."""
    records = [
        remembered(k, None, imagine=(k % 2 == 0) != (k // 2 < (lost if k % 2 == 0 else won)))
        for k in range(200)
    ]
    order = (Mode.IMAGINE, Mode.ANSWER) if first else (Mode.ANSWER, Mode.IMAGINE)
    assert calibrate(records, MODES[:2]).auto_by_task == {Task.PATH: order}


def test_questions_without_a_memory_say_whether_drawing_comes_first() -> None:
    """Drawing gains with a memory alone, where recalling does."""
    with_memory = [remembered(k, float(share)) for k, share in enumerate(evenly(400))]
    plain = [remembered(k, None, imagine=k % 2 == 0) for k in range(100)]
    found = calibrate([*with_memory, *plain], MODES)
    assert found.auto_by_task == {Task.PATH: (Mode.ANSWER, Mode.IMAGINE)}
    assert found.auto_remembering == {Task.PATH: (Mode.IMAGINE, Mode.ANSWER)}
    assert found.recall_above == {Task.PATH: 0.0}


def test_where_drawing_helps_a_memory_and_recalling_does_not_auto_draws(tmp_path) -> None:
    """As in questions on maps: what is filled from its edges is no clearer than before."""
    AskingStyle(auto_by_task={Task.PATH: (Mode.ANSWER, Mode.IMAGINE)}).save(tmp_path)
    records = [
        remembered(k, float(share), recall=k % 2 == 0) for k, share in enumerate(evenly(400))
    ]
    after = write_calibration(tmp_path, calibrate_memory(tmp_path, records, MODES), {})
    assert AskingStyle.load(tmp_path).preferred(Task.PATH, 0.9) == (Mode.IMAGINE, Mode.ANSWER)
    assert after.preferred(Task.PATH) == (Mode.ANSWER, Mode.IMAGINE)
    without = calibrate_memory(tmp_path, records, (Mode.IMAGINE, Mode.RECALL))
    assert without.auto_remembering == after.auto_remembering, "only both modes can be ranked"


def test_what_comes_below_the_level_is_what_is_best_there() -> None:
    """As in counts: where little was seen, answering at once is right and both others are not;
    where much was, the other way round, and drawing wins over all questions."""
    records = []
    for k, share in enumerate(evenly(400)):
        much = bool(share > 0.4)
        one = remembered(k, float(share), recall=much, imagine=much)
        records.append(replace(one, replies={**one.replies, Mode.ANSWER: reply(not much)}))
    found = calibrate(records, MODES)
    assert found.auto_remembering == {Task.PATH: (Mode.ANSWER, Mode.IMAGINE)}
    assert found.recall_above == {Task.PATH: 0.4}


@pytest.mark.parametrize(("won", "lost", "level"), [(4, 1, 0.0), (4, 3, None), (0, 0, None)])
def test_recalling_must_be_better_than_answering_at_once_by_more_than_luck(
    won: int, lost: int, level: float | None
) -> None:
    """Both are right everywhere else; where they differ, about as much was seen."""
    records = []
    for k, share in enumerate(evenly(200)):
        answer = k not in range(100, 100 + 2 * won, 2)
        recall = k not in range(101, 101 + 2 * lost, 2)
        one = remembered(k, float(share), recall=recall)
        records.append(replace(one, replies={**one.replies, Mode.ANSWER: reply(answer)}))
    assert recall_level(records, Mode.ANSWER) == level


def test_of_two_ways_that_are_as_often_right_the_cheaper_is_taken() -> None:
    records = [remembered(k, float(share)) for k, share in enumerate(evenly(200))]
    assert recall_level(records, Mode.IMAGINE) == 0.0


def test_nothing_is_recalled_where_it_is_worse_or_little_is_known() -> None:
    worse = [remembered(k, float(s), recall=False) for k, s in enumerate(evenly(200))]
    assert recall_level(worse, Mode.IMAGINE) is None
    few = [remembered(k, 0.9, imagine=False) for k in range(LEAST_REMEMBERED - 1)]
    assert recall_level(few, Mode.IMAGINE) is None
    assert recall_level([*few, remembered(0, 0.9, imagine=False)], Mode.IMAGINE) == 0.0
    without = [remembered(k, None) for k in range(500)]
    assert recall_level(without, Mode.IMAGINE) is None
    assert calibrate(without, MODES).recall_above == {}


def sure_by_share(count: int) -> list[Record]:
    """Equally sure everywhere, right ever more often the more was seen."""
    rng = np.random.default_rng(3)
    return [
        remembered(k, float(share), recall=bool(rng.random() < 0.5 + 0.5 * share))
        for k, share in enumerate(evenly(count))
    ]


def test_a_class_of_share_seen_has_its_own_temperature() -> None:
    records = sure_by_share(800)
    found = calibrate(records, MODES)
    own = found.temperatures_by_seen[Task.PATH][Mode.RECALL]
    assert all(value is not None for value in own)
    assert own[0] > own[1] > own[2] > own[3], "the less was seen, the less is an answer worth"
    overall = found.temperatures[Task.PATH][Mode.RECALL]
    assert own[0] > overall > own[3]
    style = AskingStyle(
        temperature=found.temperatures, temperature_by_seen=found.temperatures_by_seen
    )
    by_class = found.tables["path"]["recall"]["ece_after"]
    alone = summary(records, MODES, AskingStyle(temperature=found.temperatures))
    assert summary(records, MODES, style)["path"]["modes"]["recall"]["ece"] == by_class < 0.06
    assert alone["path"]["modes"]["recall"]["mean_confidence"] == pytest.approx(
        summary(records, MODES, style)["path"]["modes"]["recall"]["mean_confidence"], abs=0.05
    )


def test_small_classes_fall_back_to_task_and_mode() -> None:
    records = [remembered(k, 0.1) for k in range(LEAST_OF_CLASS)]
    records += [remembered(k, 0.9) for k in range(LEAST_OF_CLASS - 1)]
    found = calibrate(records, MODES).temperatures_by_seen[Task.PATH]
    for mode in (Mode.ANSWER, Mode.IMAGINE, Mode.RECALL):
        assert found[mode][0] is not None and found[mode][1:] == (None, None, None)
    assert Mode.GIVEN not in found, "nobody was asked in it"


def test_what_was_found_is_written_and_read_again(tmp_path: Path) -> None:
    AskingStyle(model_id="small").save(tmp_path)
    found = calibrate(sure_by_share(800), MODES)
    written = write_calibration(tmp_path, found, {"seed": 1})
    assert AskingStyle.load(tmp_path) == written
    assert written.temperature_by_seen == found.temperatures_by_seen
    assert written.recall_above == found.recall_above
    told = json.loads((tmp_path / "calibration.json").read_text())
    assert told["recall_above"] == written.to_dict()["recall_above"] and told["seed"] == 1
    assert told["temperature_by_seen"]["path"]["recall"][0] > 1


def test_answers_are_reported_by_share_seen() -> None:
    records = [remembered(k, s, recall=s > 0.5) for k, s in enumerate((0.1, 0.3, 0.6, 0.74, 0.9))]
    records += [remembered(k, None) for k in range(5, 8)]
    found = summary(records, MODES, AskingStyle())["path"]["modes"]
    assert set(found) == {"answer", "imagine", "recall"}
    assert found["recall"]["accuracy"]["n"] == 5 and found["imagine"]["accuracy"]["n"] == 8
    shares = {name: (a["k"], a["n"]) for name, a in found["recall"]["by_seen"].items()}
    assert list(shares.items()) == [
        ("0 to 25 %", (0, 1)),
        ("25 to 50 %", (0, 1)),
        ("50 to 75 %", (2, 2)),
        ("75 to 100 %", (1, 1)),
    ]
    plain = summary([replace(r, share_seen=None) for r in records], MODES, AskingStyle())
    assert "by_seen" not in plain["path"]["modes"]["imagine"]


def test_the_page_has_a_table_by_share_seen_where_anything_was() -> None:
    def shown(records: list[Record]) -> str:
        result = {
            "model": {"hash": "h"},
            "data": {"digest": "d", "examples": len(records)},
            "seed": 0,
            "temperature": {},
            "temperature_by_seen": {},
            "tasks": summary(records, MODES, AskingStyle()),
        }
        return page("t", result, records, [])

    title = "By how much of the view was seen"
    with_memory = shown([remembered(k, 0.6) for k in range(4)])
    assert title in with_memory and "50 to 75 %" in with_memory
    assert title not in shown([remembered(k, None) for k in range(4)])
