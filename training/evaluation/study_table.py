"""The table of a study: accuracy of each supervision in each mode, and the differences.

In: the results of its runs as `study.json` holds them. Out: Markdown. It trains and asks nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from ipt_model.question import Mode
from ipt_training.evaluation.asking import MODES
from ipt_training.evaluation.study_arms import ARMS, BASE


@dataclass(frozen=True)
class Cell:
    """An accuracy over seeds. half: of the 95 % interval of the mean, by Student's t over seeds;
    with one seed by the binomial over examples."""

    mean: float
    half: float
    seeds: int
    n: int


@dataclass(frozen=True)
class Asked:
    """Which questions: task, None for the mean over tasks; memory: those with one, those without
    one, None for both."""

    task: str | None = None
    memory: bool | None = None

    @property
    def words(self) -> str:
        how = {None: "", True: ", with a memory", False: ", without a memory"}
        return f"{self.task or 'mean over tasks'}{how[self.memory]}"


def cell(runs: Sequence[Mapping[str, Any]], arm: str, mode: str, asked: Asked) -> Cell:
    """Mean accuracy of an arm in a mode over all seeds."""
    own = [run for run in runs if run["supervision"] == arm]
    values = [_share(run, mode, asked) for run in own]
    n = min(sum(n for _, n in _found(run, mode, asked)) for run in own)
    mean = statistics.fmean(values)
    if len(values) > 1:
        half = _half(values)
    else:
        half = 1.96 * math.sqrt(max(mean * (1 - mean), 1e-9) / n)
    return Cell(mean, half, len(values), n)


def markdown(runs: Sequence[Mapping[str, Any]], examples: int) -> str:
    """The table: a line per arm, a column per mode, over all tasks and for each, with a memory
    and without one where both were asked."""
    arms = list(dict.fromkeys(run["supervision"] for run in runs))
    seeds = len({run["seed"] for run in runs})
    chosen = any(run["checkpoint"]["validation"] is not None for run in runs)
    which = "checkpoint is chosen on validation and" if chosen else "last checkpoint is"
    lines = [
        "# Supervision and inference mode",
        "",
        f"{examples} showings per run, {_seeds(seeds)}; the {which} asked the test questions "
        "once, in every mode. Accuracy in percent with the 95 % half-width (Student's t over "
        "seeds; over examples where there is one seed).",
    ]
    for asked in _sections(runs):
        modes = [mode.value for mode in MODES if all(_found(r, mode.value, asked) for r in runs)]
        chances = {run["tasks"][asked.task]["chance"] for run in runs} if asked.task else set()
        chance = "".join(f", chance {100 * c:.0f} %" for c in chances)
        n = cell(runs, arms[0], modes[0], asked).n
        lines += ["", f"## {asked.words} (n = {n}{chance})", ""]
        lines.append("| supervision | " + " | ".join(modes) + " | unparsable (answer) |")
        lines.append("|---|" + "---|" * (len(modes) + 1))
        for arm in arms:
            row = [_name(arm, cell(runs, arm, modes[0], asked).seeds, seeds)]
            for mode in modes:
                c = cell(runs, arm, mode, asked)
                row.append(f"{100 * c.mean:.1f} ± {100 * c.half:.1f}")
            row.append(f"{100 * _unparsable(runs, arm, asked.task):.1f}")
            lines.append("| " + " | ".join(row) + " |")
        lines += ["", *_differences(runs, arms, asked)]
    return "\n".join(lines) + "\n"


def _name(arm: str, own: int, seeds: int) -> str:
    """Of a row; own: seeds that this arm has."""
    if arm == BASE:
        return "*where all begin*"
    few = f" ({_seeds(own)})" if own < seeds else ""
    return f"{arm}: {ARMS[arm].words}{few}"


def _seeds(number: int) -> str:
    return f"{number} seed{'s' if number > 1 else ''}"


def _sections(runs: Sequence[Mapping[str, Any]]) -> list[Asked]:
    """The mean over tasks where there are several, then each task; apart with a memory and without
    one, because modes that need one are asked of the former alone."""
    tasks = list(dict.fromkeys(task for run in runs for task in run["tasks"]))
    sections: list[Asked] = []
    for task in [None, *tasks] if len(tasks) > 1 else tasks:
        both = all(_found(r, "answer", Asked(task, m)) for r in runs for m in (False, True))
        sections += [Asked(task, False), Asked(task, True)] if both else [Asked(task)]
    return sections


#: What is compared with what, in which mode: (supervision, mode) twice.
QUESTIONS = (
    ("does training with pictures help the answer?", ("mixed", "answer"), ("label", "answer")),
    ("does drawing in training help the answer?", ("mixed", "answer"), ("label_vae", "answer")),
    ("learned by drawing the view, or by being given it?", ("ipt", "given"), ("given", "given")),
    ("and read from what was recalled?", ("ipt", "recall"), ("given", "recall")),
    ("does what is drawn matter?", ("ipt", "imagine"), ("ipt_wrong", "imagine")),
    ("is a drawing worth more by who learned to draw?", ("ipt", "imagine"), ("given", "imagine")),
    ("does drawing before the answer help?", ("mixed", "imagine"), ("mixed", "answer")),
    ("does recalling before the answer help?", ("mixed", "recall"), ("mixed", "answer")),
    ("does drawing the rest add to recalling?", ("mixed", "imagine"), ("mixed", "recall")),
    ("and where the answer sees the drawing alone?", ("hidden", "imagine"), ("mixed", "imagine")),
    ("and if the drawing were true?", ("mixed", "given"), ("mixed", "answer")),
    ("pictures or words to think in?", ("mixed", "imagine"), ("text_cot", "answer")),
)


def _differences(
    runs: Sequence[Mapping[str, Any]], arms: Sequence[str], asked: Asked
) -> list[str]:
    """Answers to `QUESTIONS` where both sides were trained and asked: points, paired by seed."""
    lines = ["| question | compared | points |", "|---|---|---|"]
    for question, *sides in QUESTIONS:
        if not {arm for arm, _ in sides} <= set(arms):
            continue
        a, b = (
            {
                run["seed"]: _share(run, mode, asked)
                for run in runs
                if run["supervision"] == arm and _found(run, mode, asked)
            }
            for arm, mode in sides
        )
        gaps = [a[seed] - b[seed] for seed in sorted(set(a) & set(b))]
        if not gaps:
            continue
        said = f"{100 * statistics.fmean(gaps):+.1f}"
        if len(gaps) > 1:
            said += f" ± {100 * _half(gaps):.1f}"
        names = " less ".join(f"{arm}/{mode}" for arm, mode in sides)
        lines.append(f"| {question} | {names} | {said} |")
    return lines if len(lines) > 2 else []


def _half(values: Sequence[float]) -> float:
    """Half the 95 % interval of a mean over seeds, by Student's t."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return float(stats.t.ppf(0.975, len(values) - 1)) * error


def _found(run: Mapping[str, Any], mode: str, asked: Asked) -> list[tuple[float, int]]:
    """Share of right answers and number of questions, of the task or of each; empty where the mode
    was not asked."""
    parts = [run["tasks"][asked.task]] if asked.task else list(run["tasks"].values())
    found = []
    for part in parts:
        if (told := part["modes"].get(mode)) is None:
            return []
        if asked.memory is None:
            found.append((told["accuracy"]["share"], told["accuracy"]["n"]))
            continue
        variants = [
            rate
            for name, rate in told.get("by_variant", {}).items()
            if ("memory" in name.split("+")) == asked.memory
        ]
        if not (n := sum(rate["n"] for rate in variants)):
            return []
        found.append((sum(rate["share"] * rate["n"] for rate in variants) / n, n))
    return found


def _share(run: Mapping[str, Any], mode: str, asked: Asked) -> float:
    return statistics.fmean(share for share, _ in _found(run, mode, asked))


def _unparsable(runs: Sequence[Mapping[str, Any]], arm: str, task: str | None) -> float:
    return statistics.fmean(
        part["modes"][Mode.ANSWER.value]["unparsable"]["share"]
        for run in runs
        if run["supervision"] == arm
        for part in ([run["tasks"][task]] if task else run["tasks"].values())
    )
