"""What imagined views are worth to a robot that looks for a thing.

    python benchmarks/exploration.py exploration_out

Takes the searches that `make exploration FULL=1` wrote into a folder. Writes
benchmarks/results/exploration.json and docs/exploration.md. Without a folder it makes the page of
the JSON that is there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from machine import commit, processor_name

from ipt_ros.navigation.exploring.__main__ import FULL
from ipt_ros.navigation.exploring.report import write
from ipt_ros.navigation.exploring.summary import summary

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "exploration.json"
PAGE = ROOT / "docs" / "exploration.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="what make exploration FULL=1 wrote")
    parser.add_argument("--model", default="ipt-tiny", help="that was searched with")
    given = parser.parse_args()
    if given.folder is None:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
    else:
        found = {
            "command": "make exploration FULL=1",
            "commit": commit(),
            "processor": processor_name(),
            "wanted": FULL[0] * FULL[1],
            **summary(given.folder, given.model),
        }
    write(found, RESULTS, PAGE)


if __name__ == "__main__":
    main()
