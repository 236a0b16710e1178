"""The table of docs/training.md that sets the two shipped models side by side:
`python benchmarks/finer_patches.py`.

Takes every number from what `ipt-eval --before ipt-tiny` wrote about `ipt-tiny-finer` on test
questions without and with a memory.
"""

from __future__ import annotations

import json
from pathlib import Path

from pages import put
from what_works import points, rate

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "training.md"
RESULTS = ROOT / "benchmarks" / "results"
#: Which evaluation, what is said of its questions, and the modes that the table tells of.
ASKED = (
    ("ipt_tiny_finer_test", "", ("answer", "given")),
    ("ipt_tiny_finer_memory_test", ", with a memory", ("answer", "imagine", "recall")),
)


def table(results: Path) -> str:
    lines = [
        "| question | mode | n | `ipt-tiny` | `ipt-tiny-finer` | points gained |",
        "|---|---|--:|--:|--:|--:|",
    ]
    compared = {
        name: json.loads((results / f"{name}.json").read_text("utf-8"))["compared"]
        for name, _, _ in ASKED
    }
    for task in compared[ASKED[0][0]]:
        for name, memory, modes in ASKED:
            for mode in modes:
                found = compared[name][task][mode]
                cells = [f"{task}{memory}", f"`{mode}`", str(found["n"])]
                cells += [rate(found["before"]), rate(found["after"]), points(found)]
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    put(PAGE, "finer patches", table(RESULTS))


if __name__ == "__main__":
    main()
