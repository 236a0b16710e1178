"""Temperatures that make stated probabilities true, found on validation data.

One temperature per task and mode: a model that was taught with true views believes its own
drawings too readily, and answers at once with more doubt. Writes them, and the order of AUTO's
modes, into the checkpoint's `ipt.json`, and what was found into `calibration.json` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ipt_model.question import Mode, Task
from ipt_model.weights.asking_style import AskingStyle
from ipt_training.evaluation.metrics import (
    calibration_error,
    fit_temperature,
    reliability,
    share_of,
)
from ipt_training.evaluation.records import Record

FILE_NAME = "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """temperatures by task and mode; tables: the same, with ECE before and after and the
    reliability curves; auto: the robot's modes by their accuracy, best first, over all tasks and
    for each."""

    temperatures: dict[Task, dict[Mode, float]]
    tables: dict[str, dict[str, Any]]
    auto: tuple[Mode, ...]
    auto_by_task: dict[Task, tuple[Mode, ...]]


def calibrate(records: Sequence[Record], modes: Sequence[Mode]) -> Calibration:
    """Fit on these records, in each of these modes."""
    temperatures: dict[Task, dict[Mode, float]] = {}
    tables: dict[str, dict[str, Any]] = {}
    auto: dict[Task, tuple[Mode, ...]] = {}
    for task in dict.fromkeys(r.task for r in records):
        of_task = [r for r in records if r.task is task]
        found = temperatures[task] = {mode: _fitted(of_task, mode) for mode in modes}
        tables[task.value] = {m.value: _table(of_task, m, found[m]) for m in modes}
        auto[task] = _ranked(of_task, modes)
    return Calibration(temperatures, tables, _ranked(records, modes), auto)


def _ranked(records: Sequence[Record], modes: Sequence[Mode]) -> tuple[Mode, ...]:
    """The robot's own modes, the most often right first; of equals the one that costs less."""
    own = [m for m in (Mode.ANSWER, Mode.IMAGINE) if m in modes]
    accuracy = {m: share_of([r.right(m) for r in records]).value for m in own}
    return tuple(sorted(own, key=lambda m: -accuracy[m]))


def _fitted(records: Sequence[Record], mode: Mode) -> float:
    read = [r for r in records if r.replies[mode].log_probabilities]
    scores = [r.replies[mode].log_probabilities for r in read]
    return round(fit_temperature(scores, [r.answer_index for r in read]), 4)


def _table(records: Sequence[Record], mode: Mode, temperature: float) -> dict[str, Any]:
    read = [r for r in records if r.replies[mode].log_probabilities]
    right = [r.right(mode) for r in read]
    before = [max(r.replies[mode].probabilities()) for r in read]
    after = [max(r.replies[mode].probabilities(temperature)) for r in read]
    return {
        "n": len(read),
        "temperature": temperature,
        "ece_before": round(calibration_error(before, right), 4),
        "ece_after": round(calibration_error(after, right), 4),
        "reliability_before": [asdict(b) for b in reliability(before, right)],
        "reliability_after": [asdict(b) for b in reliability(after, right)],
    }


def write_calibration(folder: Path, found: Calibration, facts: Mapping[str, Any]) -> AskingStyle:
    """Into `ipt.json` and `calibration.json` of a checkpoint folder; returns what is now there."""
    style = replace(
        AskingStyle.load(folder),
        temperature=found.temperatures,
        auto=found.auto,
        auto_by_task=found.auto_by_task,
    )
    style.save(folder)
    told = style.to_dict()
    data = {
        **facts,
        **{name: told[name] for name in ("temperature", "auto", "auto_by_task")},
        "tables": found.tables,
    }
    (folder / FILE_NAME).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return style
