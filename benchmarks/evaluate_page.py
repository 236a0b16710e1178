"""What `make evaluate` found, as tables of docs/simulation.md: `make evaluate-page` runs it small
and puts them there; `python benchmarks/evaluate_page.py` writes the tables anew.

Takes every number from benchmarks/results/evaluate_small.json. `--of FOLDER` first puts there what
an evaluation left in that folder.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from machine import commit, processor_name
from pages import put

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "simulation.md"
RESULTS = ROOT / "benchmarks" / "results" / "evaluate_small.json"
NAME = "evaluated"
#: Stages that a goal may pass, as they are called on the page.
STAGES = {
    "queue": "waiting for the model",
    "preprocess": "views, poses, recalling",
    "context": "reading pictures and question",
    "imagine": "drawing, and looking at it",
    "answer": "finding the answer",
    "total": "from the goal to the answer",
}


def keep(folder: Path) -> None:
    """What an evaluation left in its folder becomes the result that the page is made of."""
    found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    found["measured_on"] = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        # of the last quarter of an hour: what else ran makes answers late
        "load": round(os.getloadavg()[2], 1),
        "commit": commit(),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def text(found: dict[str, Any]) -> str:
    """Everything between the marks of the page."""
    models = ", ".join(f"`{name}`" for name in found["models"])
    worlds = ", ".join(f"`{name}`" for name in found["worlds"])
    told = [
        f"{models}, {found['episodes']} questions in {worlds}. Right answers in per cent, with 95 "
        "% intervals: of those that were given, and of all had the withheld ones been given too.",
        "",
        *accuracy(found["tasks"]),
        "",
        "By how much of the asked view or path was in view from the place:",
        "",
        *by_share(found["tasks"]),
        "",
        *sentences(found),
        "",
        machine(found["measured_on"]),
        "",
        *latency(found["latency_s"]),
    ]
    return "\n".join(told)


def accuracy(tasks: dict[str, Any]) -> list[str]:
    """A row for each kind of question, and one for each task of several kinds."""
    lines = ["| task | kind | n | answered | right of those | right of all | chance | ECE |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for task, of in tasks.items():
        lines.append(f"| {task} | all | {_row(of)} | {_percent(of['chance'])} | {_ece(of)} |")
        kinds = of["by_kind"]
        lines += [f"| | {kind} | {_row(part)} | | |" for kind, part in kinds.items()]
    return lines


def by_share(tasks: dict[str, Any]) -> list[str]:
    lines = ["| task | share seen | n | answered | right of those | right of all |"]
    lines.append("|---|---|---|---|---|---|")
    for task, of in tasks.items():
        shares = of["by_share_seen"]
        lines += [f"| {task} | {share} | {_row(part)} |" for share, part in shares.items()]
    return lines


def _row(part: dict[str, Any]) -> str:
    given = part["answered"]
    cells = [part["n"], given["n"], _rate(given), _rate(part["had_all_been_answered"])]
    return " | ".join(str(cell) for cell in cells)


def sentences(found: dict[str, Any]) -> list[str]:
    outcomes = {k: n for k, n in found["abstentions"]["outcomes"].items() if n}
    lines = ["- Replies: " + ", ".join(f"{n} {name}" for name, n in outcomes.items()) + "."]
    calibration, views, mask = found["calibration"], found["imagination"], found["map"]
    if calibration["ece"] is not None:
        lines.append(
            f"- Calibration: stated probabilities are off by {100 * calibration['ece']:.1f} "
            f"points on average (ECE over {calibration['n']} replies, withheld ones included)."
        )
    if views["n"]:
        lines.append(
            f"- Imagined views: PSNR {views['psnr_db']:.1f} dB over {views['n']}, of which "
            f"{_percent(views['seen_share'])} % is remembered."
        )
    if mask["iou"] is not None:
        lines.append(
            f"- Imagined space: IoU {mask['iou']:.2f} of occupied cells, over {mask['cells']:,} "
            f"unseen cells at {mask['stands']} places; {_percent(mask['occupied_share'])} % of "
            "them are occupied in truth."
        )
    return lines


def machine(measured_on: dict[str, Any]) -> str:
    """Simulator, node and evaluator run beside each other, and whatever else did."""
    cores = f"{measured_on['cores']} cores of {measured_on['processor']}"
    return f"Times on {cores}, at a load of {measured_on['load']:.0f}:"


def latency(stages: dict[str, Any]) -> list[str]:
    lines = ["| stage | median, ms | 95th percentile, ms |", "|---|---|---|"]
    for stage, of in stages.items():
        if of["p95"] > 0:
            name = STAGES.get(stage, stage)
            lines.append(f"| {name} | {1000 * of['median']:.0f} | {1000 * of['p95']:.0f} |")
    return lines


def _rate(share: dict[str, Any]) -> str:
    if not share["n"]:
        return "–"
    return f"{_percent(share['share'])} ({_percent(share['low'])}–{_percent(share['high'])})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _ece(of: dict[str, Any]) -> str:
    return "–" if of["ece"] is None else f"{of['ece']:.2f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", type=Path, metavar="FOLDER", help="take this evaluation's numbers")
    given = parser.parse_args(arguments)
    if given.of:
        keep(given.of)
    put(PAGE, NAME, text(json.loads(RESULTS.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
