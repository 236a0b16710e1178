"""What learning from own drawings changes: `python benchmarks/own_views.py NAME=JSON ...`.

Puts evaluations of the same questions side by side (`ipt-eval` of the run before, and of runs
that went on from it) and writes benchmarks/results/own_views.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "own_views.json"


def main() -> None:
    runs: dict[str, Any] = {}
    data = set()
    for argument in sys.argv[1:]:
        name, _, path = argument.partition("=")
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        data.add(found["data"]["digest"])
        runs[name] = {
            "model": found["model"]["hash"],
            "accuracy": {
                task: {mode: one["accuracy"] for mode, one in part["modes"].items()}
                for task, part in found["tasks"].items()
            },
            "ece_uncalibrated": {
                task: {mode: one["ece_uncalibrated"] for mode, one in part["modes"].items()}
                for task, part in found["tasks"].items()
            },
        }
    if len(data) != 1:
        raise SystemExit(f"expected evaluations of one dataset, got {len(data)}")
    record = {"data": data.pop(), "runs": runs}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, run in runs.items():
        for task, modes in run["accuracy"].items():
            shares = "  ".join(f"{mode} {100 * one['share']:.1f}" for mode, one in modes.items())
            print(f"{name:12} {task:12} {shares}")


if __name__ == "__main__":
    main()
