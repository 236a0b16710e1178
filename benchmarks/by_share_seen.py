"""The table of docs/memory.md by how much of the asked view was seen:
`python benchmarks/by_share_seen.py`.

Takes every number from benchmarks/results/ipt_tiny_finer_memory_test.json, which ipt-eval wrote.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pages import put
from what_works import rate

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "memory.md"
RESULTS = ROOT / "benchmarks" / "results" / "ipt_tiny_finer_memory_test.json"
MODES = ("answer", "imagine", "recall", "given")


def table(results: dict[str, Any]) -> str:
    lines = head(MODES)
    for task, part in results["tasks"].items():
        modes = part["modes"]
        for name in modes["recall"]["by_seen"]:
            found = [modes[mode]["by_seen"][name] for mode in MODES]
            lines.append(row(task, name, found))
        lines.append(row(task, "*all*", [modes[mode]["accuracy"] for mode in MODES]))
    return "\n".join(lines)


def head(modes: Sequence[str]) -> list[str]:
    return [
        "| question | seen of the asked view | n | " + " | ".join(f"`{m}`" for m in modes) + " |",
        "|---|---|--:|" + "--:|" * len(modes),
    ]


def row(task: str, seen: str, found: list[dict[str, Any]]) -> str:
    return "| " + " | ".join([task, seen, f"{found[0]['n']:,}", *map(rate, found)]) + " |"


def reliance(results: dict[str, Any]) -> str:
    """How often left and right turn round with the mirrored picture, in one sentence."""
    modes = results["tasks"]["perspective"]["modes"]
    told = [
        f"{rate(modes[mode]['reliance'])} % in mode `{mode}` (n = {modes[mode]['reliance']['n']})"
        for mode in ("imagine", "recall", "given")
    ]
    return (
        "Mirrored, the picture that was answered from turns left and right round in "
        + ", ".join(told)
        + "."
    )


def main() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    put(PAGE, "by share seen", f"{table(results)}\n\n{reliance(results)}")


if __name__ == "__main__":
    main()
