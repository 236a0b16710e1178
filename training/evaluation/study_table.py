"""The table of a study: accuracy of each supervision in each mode, and the differences.

In: the results of its runs as `study.json` holds them. Out: Markdown. It trains and asks nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from scipy import stats

from ipt_model.question import Mode
from ipt_training.datasets.supervision import SUPERVISIONS, Supervision


@dataclass(frozen=True)
class Cell:
    """An accuracy over seeds. half: of the 95 % interval of the mean, by Student's t over seeds;
    with one seed by the binomial over examples."""

    mean: float
    half: float
    seeds: int
    n: int


def cell(runs: Sequence[Mapping[str, Any]], supervision: str, mode: str, task: str | None) -> Cell:
    """Mean accuracy of a supervision in a mode on a task (None: over tasks) over all seeds."""
    values, asked = [], []
    for run in runs:
        if run["supervision"] != supervision:
            continue
        values.append(_share(run, mode, task))
        asked.append(sum(part["modes"][mode]["accuracy"]["n"] for part in _parts(run, task)))
    mean, n = statistics.fmean(values), min(asked)
    if len(values) > 1:
        half = _half(values)
    else:
        half = 1.96 * math.sqrt(max(mean * (1 - mean), 1e-9) / n)
    return Cell(mean, half, len(values), n)


def markdown(runs: Sequence[Mapping[str, Any]], examples: int) -> str:
    """The table: a line per supervision, a column per mode, over all tasks and for each."""
    supervisions = list(dict.fromkeys(run["supervision"] for run in runs))
    tasks = list(dict.fromkeys(task for run in runs for task in run["tasks"]))
    modes = [mode.value for mode in (Mode.ANSWER, Mode.IMAGINE, Mode.GIVEN)]
    seeds = len({run["seed"] for run in runs})
    lines = [
        "# Supervision and inference mode",
        "",
        f"{examples} showings per run, {seeds} seed{'s' if seeds > 1 else ''}; the checkpoint is "
        "chosen on validation and asked the test questions once, in every mode. Accuracy in "
        "percent with the 95 % half-width (Student's t over seeds; over examples where there is "
        "one seed).",
    ]
    for task in (None, *tasks) if len(tasks) > 1 else tasks:
        parts = [run["tasks"][task] if task else None for run in runs]
        chance = f", chance {100 * parts[0]['chance']:.0f} %" if parts[0] else ""
        n = cell(runs, supervisions[0], modes[0], task).n
        lines += ["", f"## {task or 'mean over tasks'} (n = {n}{chance})", ""]
        lines.append("| supervision | " + " | ".join(modes) + " | unparsable (answer) |")
        lines.append("|---|" + "---|" * (len(modes) + 1))
        for supervision in supervisions:
            row = [f"{supervision}: {SUPERVISIONS[cast(Supervision, supervision)]}"]
            for mode in modes:
                c = cell(runs, supervision, mode, task)
                row.append(f"{100 * c.mean:.1f} ± {100 * c.half:.1f}")
            row.append(f"{100 * _unparsable(runs, supervision, task):.1f}")
            lines.append("| " + " | ".join(row) + " |")
        lines += ["", *_differences(runs, supervisions, task)]
    return "\n".join(lines) + "\n"


#: What is compared with what, in which mode: (supervision, mode) twice.
QUESTIONS = (
    ("does drawing in training help the answer?", ("mixed", "answer"), ("label_vae", "answer")),
    ("learned by drawing the view, or by being given it?", ("ipt", "given"), ("given", "given")),
    ("does what is drawn matter?", ("ipt", "imagine"), ("ipt_wrong", "imagine")),
    ("does drawing before the answer help?", ("mixed", "imagine"), ("mixed", "answer")),
    ("and if the drawing were true?", ("mixed", "given"), ("mixed", "answer")),
    ("pictures or words to think in?", ("mixed", "imagine"), ("text_cot", "answer")),
)


def _differences(
    runs: Sequence[Mapping[str, Any]], supervisions: Sequence[str], task: str | None
) -> list[str]:
    """Answers to `QUESTIONS` where both supervisions were trained: points, paired by seed."""
    lines = ["| question | compared | points |", "|---|---|---|"]
    for question, *sides in QUESTIONS:
        if not {supervision for supervision, _ in sides} <= set(supervisions):
            continue
        a, b = (
            {r["seed"]: _share(r, s[1], task) for r in runs if r["supervision"] == s[0]}
            for s in sides
        )
        gaps = [a[seed] - b[seed] for seed in sorted(set(a) & set(b))]
        if not gaps:
            continue
        said = f"{100 * statistics.fmean(gaps):+.1f}"
        if len(gaps) > 1:
            said += f" ± {100 * _half(gaps):.1f}"
        names = " less ".join(f"{supervision}/{mode}" for supervision, mode in sides)
        lines.append(f"| {question} | {names} | {said} |")
    return lines if len(lines) > 2 else []


def _half(values: Sequence[float]) -> float:
    """Half the 95 % interval of a mean over seeds, by Student's t."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return float(stats.t.ppf(0.975, len(values) - 1)) * error


def _parts(run: Mapping[str, Any], task: str | None) -> list[Any]:
    """What a run found on a task, or on each."""
    return [run["tasks"][task]] if task else list(run["tasks"].values())


def _share(run: Mapping[str, Any], mode: str, task: str | None) -> float:
    found = (part["modes"][mode]["accuracy"]["share"] for part in _parts(run, task))
    return statistics.fmean(found)


def _unparsable(runs: Sequence[Mapping[str, Any]], supervision: str, task: str | None) -> float:
    shares = [
        part["modes"][Mode.ANSWER.value]["unparsable"]["share"]
        for run in runs
        if run["supervision"] == supervision
        for part in _parts(run, task)
    ]
    return statistics.fmean(shares)
