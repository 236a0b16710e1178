"""An audit as the table that the documentation shows: `python -m ipt_training.audits.report
audit.json`.

In: the JSON that `ipt-dataset --audit` stored. Out: Markdown. Of the one-number baselines only the
strongest of each group is a row; the JSON has all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def markdown(audit: dict[str, Any]) -> str:
    """Two tables: baselines against their limits, and what each filter refused."""
    lines = [
        "| questions | baseline | n | accuracy | 95 % | chance | limit |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    scores = audit["scores"]
    limits = audit["limits_points"]
    for group in dict.fromkeys(s["group"] for s in scores):
        mine = [s for s in scores if s["group"] == group]
        numbers = [s for s in mine if s["kind"] == "one number"]
        rows = [s for s in mine if s["kind"] == "blind"]
        if numbers:
            best = max(numbers, key=lambda s: s["accuracy"])
            name = f"strongest of {len(numbers)} single numbers: {best['baseline']}"
            rows.append({**best, "baseline": name})
        lines += [_row(s, s["chance"] + limits[s["kind"]]) for s in rows]
    lines += ["", "| task | scenes an example | refused per example |", "|---|--:|---|"]
    for task, reasons in audit["rejections"].items():
        made = max(reasons.get("made", 0), 1)
        refused = sorted(
            ((n, r) for r, n in reasons.items() if r not in ("made", "tried scenes")), reverse=True
        )
        text = ", ".join(f"{r} {n / made:.2f}" for n, r in refused if n / made >= 0.005)
        lines.append(f"| {task} | {reasons.get('tried scenes', 0) / made:.2f} | {text} |")
    return "\n".join(lines) + "\n"


def _row(score: dict[str, Any], limit: float) -> str:
    return (
        f"| {score['group']} | {score['baseline']} | {score['count']} | {score['accuracy']:.1f} | "
        f"{score['low']:.1f}-{score['high']:.1f} | {score['chance']:.0f} | {limit:.0f} |"
    )


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())), end="")
