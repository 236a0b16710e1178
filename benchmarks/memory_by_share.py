"""docs/memory.md's table of answers by how much of the asked view was seen.

`python benchmarks/memory_by_share.py EVALUATION.json` takes what `ipt-eval` wrote for a dataset
with memory, keeps what the table needs in benchmarks/results/memory_by_share.json, and puts the
table between the marks of the page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pages import put

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "memory.md"
RESULTS = ROOT / "benchmarks" / "results" / "memory_by_share.json"
MODES = ("answer", "imagine", "recall", "given")
#: In the order of the README.
TASKS = ("perspective", "path", "counting", "clearance")


def kept(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What the table rests on, and where it is from."""
    return {
        "model": evaluation["model"],
        "data": evaluation["data"],
        "tasks": {
            name: {
                mode: {key: found[key] for key in ("accuracy", "by_seen") if key in found}
                for mode, found in task["modes"].items()
            }
            for name, task in evaluation["tasks"].items()
        },
    }


def rate(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    share, low, high = (100 * found[name] for name in ("share", "low", "high"))
    return f"{share:.0f} ({low:.0f}-{high:.0f})"


def table(record: dict[str, Any]) -> str:
    rows = [
        "| task | seen of the asked view | n | " + " | ".join(f"`{m}`" for m in MODES) + " |",
        "|---|---|--:|" + "--:|" * len(MODES),
    ]
    for task in TASKS:
        modes = record["tasks"].get(task)
        if modes is None:
            continue
        names = sorted({name for m in modes.values() for name in m.get("by_seen", {})}, key=_low)
        for name in names:
            found = [modes.get(mode, {}).get("by_seen", {}).get(name) for mode in MODES]
            number = next(one["n"] for one in found if one is not None)
            rows.append(f"| {task} | {name} | {number} | " + " | ".join(map(rate, found)) + " |")
        every = [modes.get(mode, {}).get("accuracy") for mode in MODES]
        number = next(one["n"] for one in every if one is not None)
        rows.append(f"| {task} | *all* | {number} | " + " | ".join(map(rate, every)) + " |")
    return "\n".join(rows)


def _low(name: str) -> float:
    return float(name.split()[0])


def main() -> None:
    evaluation = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    record = kept(evaluation)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "by share", table(record))
    print(table(record))


if __name__ == "__main__":
    main()
