"""`ipt-eval`, calibration and release on a model trained for a second."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import small_settings

from ipt_model.asking.imaginer import Imaginer
from ipt_model.inference.option_log_probabilities import normalise
from ipt_model.question import Answer, Mode, Outcome, Provenance, Question, StageTimes, Task
from ipt_model.weights.asking_style import AskingStyle
from ipt_training.commands.evaluate import chosen_rows, main
from ipt_training.commands.release import main as release
from ipt_training.commands.train import train
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.evaluation.calibration import calibrate
from ipt_training.evaluation.paired import compared, difference
from ipt_training.evaluation.records import Record, Reply, reply_of, summary

pytestmark = pytest.mark.slow(20)


@pytest.fixture(scope="module")
def model(data, vae, tmp_path_factory) -> Path:
    settings = small_settings(
        data, vae, examples=50 * 8, optimiser={"rate": 5e-3, "warmup": 5, "average": 0.5}
    )
    out = tmp_path_factory.mktemp("model")
    train(settings, out)
    return out / "final"


@pytest.fixture(scope="module")
def report(model, data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("report")
    arguments = ["--model", str(model), "--data", str(data), "--out", str(out), "--calibrate"]
    assert main([*arguments, "--flow-steps", "2", "--per-task", "4", "--seed", "3"]) == 0
    return out


def test_the_report_says_on_what_it_was_measured(report, model, data) -> None:
    found = json.loads((report / "evaluation.json").read_text())
    assert found["model"]["hash"] == Imaginer.from_pretrained(model, "cpu").model_hash
    assert found["data"]["digest"] == Dataset(data).digest()
    assert found["data"]["examples"] == 16 and found["data"]["split"] == "train"
    assert found["seed"] == 3 and "--calibrate" in found["command"] and found["flow_steps"] == 2
    assert set(found["tasks"]) == {"perspective", "path", "counting", "clearance"}
    for task, part in found["tasks"].items():
        assert set(part["modes"]) == {"answer", "imagine", "given"} and part["n"] == 4
        for mode in part["modes"].values():
            a = mode["accuracy"]
            assert a["n"] == 4 and a["low"] <= a["share"] <= a["high"]
            assert sum(v["n"] for v in mode["by_subcategory"].values()) == 4
            assert a["share"] <= 1 - mode["unparsable"]["share"]
        assert part["imagination"]["n"] == 4 and 3 < part["imagination"]["psnr_db"] < 40
        assert ("map_drawn" in part["imagination"]) == (task == "clearance")
    assert found["tasks"]["perspective"]["chance"] == 0.5
    assert all(t["median"] > 0 for t in found["latency_s"].values())


def test_the_page_shows_examples_with_their_drawings(report) -> None:
    page = (report / "evaluation.html").read_text()
    assert page.count("<article>") == 16 and page.count(">imagined<") == 16
    assert page.count(">true view<") == 16 and "http" not in page
    assert all(task in page for task in ("perspective", "clearance", "Calibration"))


def test_calibration_is_written_where_the_robot_reads_it(report, model) -> None:
    style = AskingStyle.load(model)
    stored = json.loads((model / "calibration.json").read_text())
    assert set(style.temperature) == set(Task) - {Task.FREE}
    assert style.to_dict()["temperature"] == stored["temperature"]
    assert all(set(modes) == {*style.auto, Mode.GIVEN} for modes in style.temperature.values())
    assert [m.value for m in style.auto] == stored["auto"] and len(stored["auto"]) == 2
    assert style.to_dict()["auto_by_task"] == stored["auto_by_task"]
    assert set(style.auto_by_task) == set(style.temperature)
    table = stored["tables"]["path"]["answer"]
    assert {"ece_before", "ece_after", "reliability_after"} <= set(table)


def test_a_release_is_small_and_answers_alike(report, model, data, tmp_path) -> None:
    out = tmp_path / "ipt_tiny"
    arguments = ["--run", str(model), "--evaluation", str(report / "evaluation.json")]
    assert release([*arguments, "--out", str(out), "--name", "tried"]) == 0
    names = {p.name for p in out.iterdir()}
    assert {"ema.safetensors", "ae.safetensors", "ipt.json", "tokenizer.json"} <= names
    assert {"calibration.json", "recipe.yaml", "README.md"} <= names
    card = (out / "README.md").read_text()
    accuracy = json.loads((report / "evaluation.json").read_text())["tasks"]["path"]["modes"]
    assert f"{100 * accuracy['answer']['accuracy']['share']:.1f} %" in card
    assert "Not for" in card and "inpainting" in card
    measured = AskingStyle.load(out).training["measured"]["path"]
    assert measured["chance"] == 0.25
    assert measured["answer"]["share"] == accuracy["answer"]["accuracy"]["share"]
    small, big = Imaginer.from_pretrained(out, "cpu"), Imaginer.from_pretrained(model, "cpu")
    assert small.model_id == "tried" and small.style.temperature == big.style.temperature
    for row in (0, 1, 2, 3):
        question = example_from_row(Dataset(data)[row]).question
        a, b = small.ask(question, Mode.ANSWER), big.ask(question, Mode.ANSWER)
        assert a.option_probabilities == pytest.approx(b.option_probabilities, abs=0.02)
    sizes = [(p / "ema.safetensors").stat().st_size for p in (out, model)]
    assert sizes[0] < 0.6 * sizes[1]


def test_the_card_tells_of_a_memory_by_how_much_was_seen(report, model, tmp_path) -> None:
    found = json.loads((report / "evaluation.json").read_text())
    of_path = found["tasks"]["path"]["modes"]["imagine"]
    shares = {"25 to 50 %": 0.625, "75 to 100 %": 0.875}
    of_path["by_seen"] = {
        name: {"share": share, "low": 0.5, "high": 1.0, "n": 8} for name, share in shares.items()
    }
    of_path["reliance"] = {"share": 0.75}
    memory = tmp_path / "memory.json"
    memory.write_text(json.dumps(found))
    out = tmp_path / "ipt_tiny"
    arguments = ["--run", str(model), "--evaluation", str(report / "evaluation.json")]
    assert release([*arguments, "--memory", str(memory), "--out", str(out)]) == 0
    card = (out / "README.md").read_text()
    table = card[card.index("## With a memory") : card.index("## Drawings")].splitlines()
    assert "| 25 to 50 % seen | 75 to 100 % seen |" in table[4]
    row = next(line for line in table if line.startswith("| path | imagine |"))
    assert "| 62.5 % | 87.5 % |" in row and row.endswith("| 75.0 % |")
    assert len({line.count("|") for line in table if line.startswith("|")}) == 1
    by_seen = AskingStyle.load(out).training["measured"]["path"]["by_seen"]["imagine"]
    assert {name: rate["share"] for name, rate in by_seen.items()} == shares
    memory.write_text("[]")
    assert release([*arguments, "--memory", str(memory), "--out", str(out)]) == 2


def test_rows_are_chosen_by_task(data) -> None:
    dataset = Dataset(data)
    tasks = dataset.column("task")
    rows = chosen_rows(dataset, 2, ("path", "clearance"))
    assert sorted(tasks[row] for row in rows) == ["clearance"] * 2 + ["path"] * 2
    variants = dataset.column("variant")
    some = tuple(sorted({variants[row] for row in rows})[:1])
    chosen = chosen_rows(dataset, 9, variants=some)
    assert chosen and {variants[row] for row in chosen} == set(some)
    with pytest.raises(SystemExit, match="unknown"):
        chosen_rows(dataset, 2, ("cooking",))
    with pytest.raises(SystemExit, match="no example"):
        chosen_rows(dataset, 2, variants=("by heart",))


# -- tables from records made by hand
def record(number: int, kind: str, right: bool | None, logs=(2.0, 0.0)) -> Record:
    """A two-option example; right None is an unparsable reply."""
    if right is None:
        reply = Reply(Outcome.UNPARSABLE, None, ())
    else:
        reply = Reply(Outcome.ANSWERED, 0, logs)
    answer = 0 if right else 1
    return Record(number, Task.PERSPECTIVE, "pose", kind, answer, 2, {Mode.ANSWER: reply}, None)


def test_balanced_accuracy_weighs_sub_categories_alike() -> None:
    records = [record(i, "closer", True) for i in range(9)] + [record(9, "further", False)]
    found = summary(records, [Mode.ANSWER], AskingStyle())["perspective"]["modes"]["answer"]
    assert found["accuracy"]["share"] == 0.9 and found["balanced"] == 0.5


def test_unparsable_replies_are_wrong_and_counted() -> None:
    records = [record(0, "closer", True), record(1, "closer", None), record(2, "closer", None)]
    found = summary(records, [Mode.ANSWER], AskingStyle())["perspective"]["modes"]["answer"]
    assert found["accuracy"]["k"] == 1 and found["unparsable"]["share"] == 0.6667
    confidence = 1 / (1 + np.exp(-2))
    assert found["mean_confidence"] == pytest.approx(confidence, abs=1e-4)  # of what was read
    assert found["ece"] == pytest.approx(1 - confidence, abs=1e-4)


def test_a_reply_has_the_scores_before_calibration() -> None:
    raw, question = (-3.0, -1.5, -60.0), Question(Task.FREE, (), "Which?", ("a", "b", "c"))
    answer = Answer(
        Outcome.ANSWERED,
        "b",
        normalise(raw, 2.5),
        (),
        StageTimes(),
        Provenance("", "", 0, 0, Mode.ANSWER),
    )
    reply = reply_of(question, answer, 2.5)
    assert reply.index == 1
    for temperature in (1.0, 2.5, 0.3):
        assert reply.probabilities(temperature) == pytest.approx(normalise(raw, temperature))
    unread = replace(answer, outcome=Outcome.UNPARSABLE, text="", option_probabilities=())
    assert reply_of(question, unread, 2.5) == Reply(Outcome.UNPARSABLE, None, ())


def test_calibration_lowers_the_error_and_ranks_modes() -> None:
    rng = np.random.default_rng(0)
    records = []
    for i in range(400):
        right = bool(rng.random() < 0.7)
        one = record(i, "closer", right, logs=(5.0, 0.0))
        better = Reply(Outcome.ANSWERED, one.answer_index, (5.0, 0.0))
        records.append(
            Record(**{**one.__dict__, "replies": {**one.replies, Mode.IMAGINE: better}})
        )
    alike = [
        replace(r, task=Task.PATH, replies=dict.fromkeys(r.replies, r.replies[Mode.ANSWER]))
        for r in records[:9]
    ]
    found = calibrate([*records, *alike], [Mode.ANSWER, Mode.IMAGINE])
    assert found.auto == (Mode.IMAGINE, Mode.ANSWER)
    assert found.auto_by_task[Task.PERSPECTIVE] == (Mode.IMAGINE, Mode.ANSWER)
    assert found.auto_by_task[Task.PATH] == (Mode.ANSWER, Mode.IMAGINE)
    table = found.tables["perspective"]["answer"]
    assert table["ece_before"] > 0.25 > table["ece_after"]
    assert found.temperatures[Task.PERSPECTIVE][Mode.ANSWER] > 2


# -- before and after
def test_the_same_weights_gain_nothing_and_others_are_told_apart(model, data, tmp_path) -> None:
    arguments = ["--model", str(model), "--data", str(data), "--modes", "answer,given"]
    more = ["--per-task", "4", "--no-latency", "--out", str(tmp_path)]
    assert main([*arguments, *more, "--before", str(model)]) == 0
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert found["before"]["hash"] == found["model"]["hash"]
    for modes in found["compared"].values():
        assert set(modes) == {"answer", "given"}
        for one in modes.values():
            assert one["before"] == one["after"] and one["n"] == 4
            assert one["difference"] == one["low"] == one["high"] == 0
    assert main([*arguments, *more, "--before", "ipt-tiny"]) == 0
    other = json.loads((tmp_path / "evaluation.json").read_text())
    assert other["before"]["hash"] != other["model"]["hash"]
    for task, modes in other["compared"].items():
        for mode, one in modes.items():
            assert one["after"] == other["tasks"][task]["modes"][mode]["accuracy"]
            gain = one["after"]["share"] - one["before"]["share"]
            assert one["difference"] == pytest.approx(gain, abs=1e-3)
    assert "Before and after" in (tmp_path / "evaluation.html").read_text()


def test_intervals_of_gains_come_from_whole_places() -> None:
    rng = np.random.default_rng(1)
    # 20 places of 10 questions that rise or fall together: as good as 20 questions
    gains = rng.random(20) < 0.7
    before = [not g for g in gains for _ in range(10)]
    after = [bool(g) for g in gains for _ in range(10)]
    together = difference(before, after, [f"place {k // 10}" for k in range(200)])
    alone = difference(before, after, [str(k) for k in range(200)])
    assert together["difference"] == alone["difference"] == pytest.approx(2 * gains.mean() - 1)
    width = [one["high"] - one["low"] for one in (together, alone)]
    assert width[0] > 2.5 * width[1]
    assert together["groups"] == 20 and together["n"] == 200


def test_a_gain_is_inside_its_interval_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(150):
        before, after = rng.random(120) < 0.5, rng.random(120) < 0.65
        found = difference(before.tolist(), after.tolist(), [str(k) for k in range(120)])
        inside += found["low"] <= 0.15 <= found["high"]
    assert 0.9 < inside / 150 < 0.99


def test_records_of_other_questions_are_not_compared() -> None:
    a, b = [record(0, "closer", True)], [record(1, "closer", True)]
    with pytest.raises(ValueError, match="same questions"):
        compared(a, b, [Mode.ANSWER])


def test_a_mode_that_does_not_exist_is_refused(model, data) -> None:
    with pytest.raises(SystemExit):
        main(["--model", str(model), "--data", str(data), "--modes", "auto"])
    assert torch.get_num_threads() == 1
