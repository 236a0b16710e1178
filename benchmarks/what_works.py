"""README's table of what the shipped model can do: `python benchmarks/what_works.py`.

Takes every number from benchmarks/results/ipt_tiny_finer_test.json, which ipt-eval wrote, and puts
the table between the marks in README.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages import put

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results" / "ipt_tiny_finer_test.json"
#: Row: what is asked, the action that asks it, the task, and one variant of it or all.
ROWS = (
    ("left or right, closer or further, from another place", "", "perspective", ""),
    ("the same, as a robot with depth asks it", "`imagine_view`", "perspective", "pose+anchored"),
    ("the same, without depth", "`imagine_view`", "perspective", "pose"),
    ("is this path through unseen space clear", "`trace_path`", "clearance", ""),
    ("how many things of a colour stand around", "`count_objects`", "counting", ""),
    ("which object is on your left along a path", "none", "path", ""),
)
#: Percentage points above chance that make an answer worth asking for.
CLEARLY = 10


def rate(found: dict[str, Any]) -> str:
    """Per cent with the 95 % interval."""
    share, low, high = (100 * found[name] for name in ("share", "low", "high"))
    return f"{share:.1f} ({low:.1f}–{high:.1f})"


def points(found: dict[str, Any]) -> str:
    """Points gained by a comparison of `ipt-eval --before`, with the 95 % interval."""
    gained, low, high = (100 * found[name] for name in ("difference", "low", "high"))
    return f"{gained:+.1f} ({low:+.1f} to {high:+.1f})"


def judged(rates: list[dict[str, Any]], chance: float) -> str:
    """By the lower end of the better interval of answering at once and after drawing."""
    low = max(found["low"] for found in rates)
    if 100 * (low - chance) >= CLEARLY:
        return "better than chance"
    return "hardly better than a guess" if low > chance else "a guess"


def row(what: str, action: str, task: str, variant: str, results: dict[str, Any]) -> str:
    found = results["tasks"][task]
    modes = [found["modes"][mode] for mode in ("answer", "imagine", "given")]
    rates = [mode["by_variant"][variant] if variant else mode["accuracy"] for mode in modes]
    chance = found["chance"]
    cells = [f"{task}: {what}", action, str(rates[0]["n"]), *map(rate, rates)]
    return "| " + " | ".join([*cells, f"{100 * chance:.0f}", judged(rates[:2], chance)]) + " |"


def drawing(results: dict[str, Any]) -> list[str]:
    """What is known of the drawings and of the probabilities, a line each."""
    tasks = results["tasks"]
    gains = [
        name
        for name, task in tasks.items()
        if task["modes"]["imagine"]["accuracy"]["low"]
        > task["modes"]["answer"]["accuracy"]["high"]
    ]
    by_variant = tasks["perspective"]["imagination_by_variant"]
    with_depth, without = (by_variant[v]["object_present"] for v in ("pose+anchored", "pose"))
    maps = tasks["clearance"]["imagination"]
    errors = [mode["ece"] for task in tasks.values() for mode in task["modes"].values()]
    return [
        f"- Drawing first makes answers better in {', '.join(gains) or 'no task'}.",
        f"- The asked object is in its place in {rate(with_depth)} % of the views drawn with "
        f"depth (n = {with_depth['n']}), and in {rate(without)} % of those without "
        f"(n = {without['n']}).",
        f"- Drawn maps fit unseen cells with IoU {maps['map_drawn']['iou']:.2f}. Plain inpainting "
        f"has {maps['map_inpainted']['iou']:.2f} (n = {maps['n']}).",
        f"- Stated probabilities are off by at most {100 * max(errors):.1f} points on average in "
        "any task and mode (expected calibration error).",
    ]


def table(results: dict[str, Any]) -> str:
    lines = [
        "| task | action | n | `answer`: nothing drawn | `imagine`: own drawing "
        "| `given`: true view | chance | today |",
        "|---|---|--:|--:|--:|--:|--:|---|",
    ]
    lines += [row(*what, results) for what in ROWS]
    return "\n".join([*lines, "", *drawing(results)])


if __name__ == "__main__":
    put(README, "works", table(json.loads(RESULTS.read_text(encoding="utf-8"))))
