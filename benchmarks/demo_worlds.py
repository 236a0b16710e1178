"""How the demo's four answers come out in several worlds: `python benchmarks/demo_worlds.py`.

    for s in $(seq 850000 850007) 850036
    do make demo DEMO_ARGS="--seed $s --out runs/demo/$s"; done
    python benchmarks/demo_worlds.py runs/demo

Reads the answers.json of every folder, which is named after its world's seed. Writes
benchmarks/results/demo_worlds.json and the table in README.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from machine import commit, processor_name
from pages import put

from ipt_model.weights import DEFAULT_MODEL
from ipt_model.weights.loading import find_folder, hash_folder
from ipt_ros.demo.report import verdict

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "demo_worlds.json"
PAGE = ROOT / "README.md"
OUTCOMES = ("right", "withheld", "wrong")
#: How many of them were read without the drawing, after which an answer had been withheld.
AGAIN = "asked again"


def counted(worlds: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, int]]:
    """By action, how often each outcome."""
    found: dict[str, dict[str, int]] = {}
    for answers in worlds.values():
        for answer in answers:
            row = found.setdefault(answer["action"], dict.fromkeys((*OUTCOMES, AGAIN), 0))
            row[verdict(answer)] += 1
            row[AGAIN] += "withheld_before" in answer
    return found


def all_right(answers: list[dict[str, Any]], least: float = 0.0) -> bool:
    """least: what every one's probability is above."""
    return all(verdict(a) == "right" and a["confidence"] > least for a in answers)


def table(result: dict[str, Any]) -> str:
    columns = (*OUTCOMES, AGAIN)
    head = f"| of {len(result['seeds'])} worlds | " + " | ".join(columns) + " |"
    lines = [head, "|---|" + "--:|" * len(columns)]
    for action, row in result["actions"].items():
        lines.append(f"| {action} | " + " | ".join(str(row[c]) for c in columns) + " |")
    lines.append(f"| all four of a world | {len(result['all_right'])} | | | |")
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
    model = hash_folder(find_folder(DEFAULT_MODEL))
    if hashes != {model}:
        raise SystemExit(f"{given.folder}: expected answers of {DEFAULT_MODEL}, found {hashes}")
    result = {
        "what": "the answers of the demo in several worlds",
        "command": "python benchmarks/demo_worlds.py runs/demo",
        "commit": commit(),
        "processor": processor_name(),
        "model": model,
        "seeds": [int(seed) for seed in worlds],
        "all_right": [int(seed) for seed, found in worlds.items() if all_right(found)],
        "all_right_and_surer_than_0.8": [
            int(seed) for seed, found in worlds.items() if all_right(found, 0.8)
        ],
        "actions": counted(worlds),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "demo worlds", table(result))


if __name__ == "__main__":
    main()
