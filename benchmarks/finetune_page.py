"""What `make finetune-demo` gave: `python benchmarks/finetune_page.py finetune_out`.

Takes the numbers of finetune_out/finetune.json without the samples. Writes
benchmarks/results/finetune_demo.json and the paragraphs in docs/fine_tuning.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from machine import commit, processor_name
from pages import put
from what_works import points

from ipt_model.weights.loading import find_folder, hash_folder
from ipt_ros.demo.fine_tuning.verdict import LEAST_PLACES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "finetune_demo.json"
PAGE = ROOT / "docs" / "fine_tuning.md"


def kept(found: dict[str, Any]) -> dict[str, Any]:
    """The numbers that the page rests on."""
    converted = {k: v for k, v in found["converted"].items() if k != "samples"}
    return {
        "what": "make finetune-demo",
        "commit": commit(),
        "machine": processor_name(),
        "model": hash_folder(find_folder(found["weights"])),
        **{k: found[k] for k in ("look", "weights", "size", "houses", "verdict", "stages")},
        "converted": converted,
        "drives": found["recorded"]["drives"],
        "compared": found["evaluated"]["compared"],
        "looks": found["trained"]["looks"],
    }


def text(result: dict[str, Any]) -> str:
    rows = result["converted"]["train"]["rows"]
    kinds = ", ".join(f"{n} {task}" for task, n in rows.items())
    held = len(result["houses"]["held out"])
    lines = [
        f"{len(result['houses']['train'])} houses to learn from, {sum(rows.values())} rows of "
        f"them ({kinds}), {held} houses held out. Right answers in per cent, 95 % intervals "
        "over places, one seed:",
        "",
        "| task | mode | before | after | gain | questions in places |",
        "|---|---|---|---|---|---|",
    ]
    few = {}
    for task, modes in result["compared"].items():
        for mode, one in modes.items():
            if one["groups"] < LEAST_PLACES:
                few[task] = one["n"]
                continue
            before, after = (100 * one[when]["share"] for when in ("before", "after"))
            lines.append(
                f"| {task} | `{mode}` | {before:.1f} | {after:.1f} | {points(one)} | "
                f"{one['n']} in {one['groups']} |"
            )
    stages = ", ".join(f"{s['name']} {s['seconds']:.0f} s" for s in result["stages"])
    minutes = sum(s["seconds"] for s in result["stages"]) / 60
    counts = ", ".join(f"{n} {task}" for task, n in few.items())
    lines += [
        "",
        *result["verdict"]["sentences"],
        f"({counts} questions in the houses held out.)" if few else "",
        f"On two cores the stages took {stages}, {minutes:.1f} minutes together.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what make finetune-demo wrote")
    given = parser.parse_args()
    found = json.loads((given.folder / "finetune.json").read_text(encoding="utf-8"))
    result = kept(found)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "finetune demo", text(result))
    print(text(result))


if __name__ == "__main__":
    main()
