"""How the demo's four answers come out in several worlds: `python benchmarks/demo_worlds.py`.

    for s in $(seq 850000 850007) 850036
    do make demo DEMO_ARGS="--seed $s --out runs/demo/$s"; done
    python benchmarks/demo_worlds.py runs/demo

Reads the answers.json of every folder, which is named after its world's seed. Writes
benchmarks/results/demo_worlds.json and the table in README.md. Where the demo was asked with
`--model ipt-tiny-finer`, it writes another JSON and the table in docs/training.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from machine import commit, processor_name
from pages import put

from ipt_model.weights.loading import find_folder, hash_folder

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
#: By model the file in RESULTS and the page with the table.
TOLD = {
    "ipt-tiny": ("demo_worlds.json", ROOT / "README.md"),
    "ipt-tiny-finer": ("demo_worlds_finer.json", ROOT / "docs" / "training.md"),
}
OUTCOMES = ("right", "withheld", "wrong")


def outcome(answer: dict[str, Any]) -> str:
    """`unknown` is the word of a path that is withheld."""
    if answer["said"] == answer["truth"]:
        return "right"
    return "withheld" if answer["abstained"] or answer["said"] == "unknown" else "wrong"


def counted(worlds: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, int]]:
    """By action, how often each outcome."""
    found: dict[str, dict[str, int]] = {}
    for answers in worlds.values():
        for answer in answers:
            row = found.setdefault(answer["action"], dict.fromkeys(OUTCOMES, 0))
            row[outcome(answer)] += 1
    return found


def table(result: dict[str, Any]) -> str:
    head = f"| of {len(result['seeds'])} worlds | " + " | ".join(OUTCOMES) + " |"
    lines = [head, "|---|" + "--:|" * len(OUTCOMES)]
    for action, row in result["actions"].items():
        lines.append(f"| {action} | " + " | ".join(str(row[o]) for o in OUTCOMES) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with a folder of each world, named by its seed")
    given = parser.parse_args()
    worlds = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(given.folder.glob("*/answers.json"))
    }
    hashes = {answer["model_hash"] for answers in worlds.values() for answer in answers}
    shipped = {hash_folder(find_folder(name)): told for name, told in TOLD.items()}
    if len(hashes) != 1 or not hashes <= set(shipped):
        raise SystemExit(
            f"{given.folder}: expected answers of one shipped model, found {sorted(hashes)}"
        )
    model = hashes.pop()
    name, page = shipped[model]
    result = {
        "what": "the answers of the demo in several worlds",
        "command": "python benchmarks/demo_worlds.py runs/demo",
        "commit": commit(),
        "processor": processor_name(),
        "model": model,
        "seeds": [int(seed) for seed in worlds],
        "all_right": sum(all(outcome(a) == "right" for a in found) for found in worlds.values()),
        "actions": counted(worlds),
    }
    (RESULTS / name).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    put(page, "demo worlds", table(result))


if __name__ == "__main__":
    main()
