"""Temperatures that make stated probabilities true, found on validation data.

One temperature per task and mode: a model that was taught with true views believes its own
drawings too readily, and answers at once with more doubt. Where questions come with a recalled
view, also one for each class of how much of it was seen, and the share from which on AUTO need not
draw. Writes them, and the order of AUTO's modes, into the checkpoint's `ipt.json`, and what was
found into `calibration.json` beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ipt_model.question import Mode, Task
from ipt_model.weights.asking_style import SEEN_EDGES, AskingStyle, seen_class
from ipt_training.evaluation.metrics import (
    calibration_error,
    fit_temperature,
    reliability,
)
from ipt_training.evaluation.records import Record, confidence_of

FILE_NAME = "calibration.json"
#: A class of share seen has a temperature of its own from this many read answers on.
LEAST_OF_CLASS = 50
#: A level from which on AUTO recalls is looked for among so many remembered questions or more.
LEAST_REMEMBERED = 100
#: The levels that are tried.
LEVELS = tuple(k / 20 for k in range(20))
#: Entries of `ipt.json` that are written.
WRITTEN = (
    "temperature",
    "temperature_by_seen",
    "recall_above",
    "auto",
    "auto_by_task",
    "auto_remembering",
)


@dataclass(frozen=True)
class Calibration:
    """temperatures by task and mode, and by share seen; tables: the same, with ECE before and
    after and the reliability curves; auto: the robot's modes by their accuracy, best first, over
    all tasks and for each, also of questions with a recalled view; recall_above: see
    `AskingStyle`."""

    temperatures: dict[Task, dict[Mode, float]]
    tables: dict[str, dict[str, Any]]
    auto: tuple[Mode, ...]
    auto_by_task: dict[Task, tuple[Mode, ...]]
    temperatures_by_seen: dict[Task, dict[Mode, tuple[float | None, ...]]]
    recall_above: dict[Task, float]
    auto_remembering: dict[Task, tuple[Mode, ...]]


def calibrate(records: Sequence[Record], modes: Sequence[Mode]) -> Calibration:
    """Fit on these records, in each of these modes that any of them was asked in."""
    temperatures: dict[Task, dict[Mode, float]] = {}
    by_seen: dict[Task, dict[Mode, tuple[float | None, ...]]] = {}
    recall_above: dict[Task, float] = {}
    tables: dict[str, dict[str, Any]] = {}
    auto: dict[Task, tuple[Mode, ...]] = {}
    remembering: dict[Task, tuple[Mode, ...]] = {}
    for task in dict.fromkeys(r.task for r in records):
        of_task = [r for r in records if r.task is task]
        asked = {m: [r for r in of_task if m in r.replies] for m in modes}
        asked = {mode: some for mode, some in asked.items() if some}
        temperatures[task] = {mode: _fitted(some, mode) for mode, some in asked.items()}
        classes = {mode: _fitted_by_seen(some, mode) for mode, some in asked.items()}
        by_seen[task] = {m: own for m, own in classes.items() if any(t is not None for t in own)}
        style = AskingStyle(temperature=temperatures, temperature_by_seen=by_seen)
        tables[task.value] = {m.value: _table(some, m, style) for m, some in asked.items()}
        remembered = [r for r in of_task if r.share_seen is not None]
        auto[task] = _ranked([r for r in of_task if r.share_seen is None] or of_task, modes)
        if len(remembered) >= LEAST_REMEMBERED and len(auto[task]) > 1:
            remembering[task] = _ranked(remembered, modes, recalling=True)
        first = remembering.get(task) or auto[task]
        level = recall_level(of_task, first[0]) if first else None
        if level is not None:
            recall_above[task] = level
    by_seen = {task: own for task, own in by_seen.items() if own}
    best = _ranked(records, modes)
    return Calibration(temperatures, tables, best, auto, by_seen, recall_above, remembering)


def recall_level(records: Sequence[Record], otherwise: Mode) -> float | None:
    """The share seen from which on answers are best read from the recalled view; None where that
    is never so, or too few questions came with one.

    otherwise: the mode below it. Of levels that are equally often right the lowest: recalling
    costs less than drawing. It costs more than answering at once, so there it must be better by
    more than luck: by a standard deviation of the questions that one of both gets right.
    """
    known = [r for r in records if Mode.RECALL in r.replies and r.share_seen is not None]
    if len(known) < LEAST_REMEMBERED:
        return None

    def right(level: float) -> int:
        return sum(r.right(_taken(r, otherwise, level)) for r in known)

    best = max(LEVELS, key=right)  # the first, so the lowest
    above = [r for r in known if (r.share_seen or 0.0) >= best]
    won, lost = (
        sum(r.right(one) and not r.right(other) for r in above)
        for one, other in ((Mode.RECALL, otherwise), (otherwise, Mode.RECALL))
    )
    luck = _luck(won, lost) if otherwise is Mode.ANSWER else 0.0
    return best if above and won - lost >= luck else None


def _luck(won: int, lost: int) -> float:
    """How many questions more one mode may win than it loses by luck alone: a standard
    deviation."""
    return max(1.0, math.sqrt(won + lost))


def _ranked(
    records: Sequence[Record], modes: Sequence[Mode], recalling: bool = False
) -> tuple[Mode, ...]:
    """The robot's own modes, the better first. Drawing costs ten times as much as answering at
    once, so it comes first where it is right more often by more than luck.

    recalling: each with what AUTO recalls above its own level, where that makes a difference. What
    is best for the questions below that may be worse over all of them."""
    own = [m for m in (Mode.ANSWER, Mode.IMAGINE) if m in modes]
    if len(own) < 2:
        return tuple(own)

    def right(mode: Mode) -> list[bool]:
        level = recall_level(records, mode) if recalling else None
        return [r.right(_taken(r, mode, level)) for r in records]

    pairs = list(zip(right(Mode.IMAGINE), right(Mode.ANSWER), strict=True))
    won, lost = pairs.count((True, False)), pairs.count((False, True))
    if recalling and not won + lost:
        return _ranked(records, modes)
    return tuple(reversed(own)) if won - lost >= _luck(won, lost) else tuple(own)


def _taken(record: Record, otherwise: Mode, level: float | None) -> Mode:
    """What AUTO takes that recalls from a level on; None recalls nothing."""
    if level is None or record.share_seen is None or Mode.RECALL not in record.replies:
        return otherwise
    shown = record.share_seen >= level and record.share_seen > 0
    return Mode.RECALL if shown else otherwise


def _fitted(records: Sequence[Record], mode: Mode) -> float:
    read = [r for r in records if r.replies[mode].log_probabilities]
    scores = [r.replies[mode].log_probabilities for r in read]
    return round(fit_temperature(scores, [r.answer_index for r in read]), 4)


def _fitted_by_seen(records: Sequence[Record], mode: Mode) -> tuple[float | None, ...]:
    """A temperature for each class of share seen, None where there are too few answers."""
    out: list[float | None] = []
    for place in range(len(SEEN_EDGES) + 1):
        own = [
            r for r in records if r.share_seen is not None and seen_class(r.share_seen) == place
        ]
        read = [r for r in own if r.replies[mode].log_probabilities]
        out.append(_fitted(read, mode) if len(read) >= LEAST_OF_CLASS else None)
    return tuple(out)


def _table(records: Sequence[Record], mode: Mode, style: AskingStyle) -> dict[str, Any]:
    read = [r for r in records if r.replies[mode].log_probabilities]
    right = [r.right(mode) for r in read]
    before = [max(r.replies[mode].probabilities()) for r in read]
    after = [confidence_of(r, mode, style) for r in read]
    return {
        "n": len(read),
        "temperature": style.temperature_of(records[0].task, mode),
        "ece_before": round(calibration_error(before, right), 4),
        "ece_after": round(calibration_error(after, right), 4),
        "reliability_before": [asdict(b) for b in reliability(before, right)],
        "reliability_after": [asdict(b) for b in reliability(after, right)],
    }


def calibrate_memory(
    folder: Path, records: Sequence[Record], modes: Sequence[Mode]
) -> Calibration:
    """What a checkpoint that is calibrated already lacks for questions with a recalled view, from
    records of such questions: the temperatures of mode recall and by share seen, and the share
    from which on AUTO recalls, and what it tries below that. All else is as the checkpoint has it,
    and so are tasks that were not asked."""
    style = AskingStyle.load(folder)
    remembered = [r for r in records if r.share_seen is not None]
    if not remembered:
        raise ValueError("no question of these comes with a recalled view")
    found = calibrate(remembered, modes)
    temperatures: dict[Task, dict[Mode, float]] = {}
    for task in {**style.temperature, **found.temperatures}:
        old, new = style.temperature.get(task, {}), found.temperatures.get(task, {})
        kept = {mode: t for mode, t in old.items() if mode is not Mode.RECALL or mode not in new}
        temperatures[task] = {**new, **kept}
    own = {**style.auto_remembering, **found.auto_remembering}
    firsts = {t: (own.get(t) or style.preferred(t))[0] for t in found.temperatures}
    if lacking := {mode.value for mode in firsts.values() if mode not in modes}:
        raise ValueError(
            f"--modes: expected {', '.join(sorted(lacking))} as well, which `auto` takes first "
            "with this checkpoint"
        )
    levels = {
        task: recall_level([r for r in remembered if r.task is task], first)
        for task, first in firsts.items()
    }
    asked = found.temperatures
    others = {t: level for t, level in style.recall_above.items() if t not in asked}
    classes = {t: dict(m) for t, m in style.temperature_by_seen.items() if t not in asked}
    return replace(
        found,
        temperatures=temperatures,
        temperatures_by_seen={**classes, **found.temperatures_by_seen},
        auto=style.auto,
        auto_by_task=dict(style.auto_by_task),
        auto_remembering=own,
        recall_above={
            **others,
            **{task: level for task, level in levels.items() if level is not None},
        },
    )


def write_calibration(folder: Path, found: Calibration, facts: Mapping[str, Any]) -> AskingStyle:
    """Into `ipt.json` and `calibration.json` of a checkpoint folder; returns what is now there."""
    style = replace(
        AskingStyle.load(folder),
        temperature=found.temperatures,
        temperature_by_seen=found.temperatures_by_seen,
        recall_above=found.recall_above,
        auto=found.auto,
        auto_by_task=found.auto_by_task,
        auto_remembering=found.auto_remembering,
    )
    style.save(folder)
    told = style.to_dict()
    data = {
        **facts,
        **{name: told[name] for name in WRITTEN},
        "tables": found.tables,
    }
    (folder / FILE_NAME).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return style
