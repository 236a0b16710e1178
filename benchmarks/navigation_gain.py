"""What imagined space is worth to a planner.

    python benchmarks/navigation_gain.py navigation_out

Takes the drives that `make navigation FULL=1` wrote into a folder. Writes
benchmarks/results/navigation_gain.json, docs/navigation_gain.md and the picture of the worst
errand. Without a folder it makes page and picture of the JSON that is there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from machine import commit, processor_name

from ipt_ros.navigation.__main__ import FULL
from ipt_ros.navigation.results.report import write
from ipt_ros.navigation.results.summary import summary

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "navigation_gain.json"
PAGE = ROOT / "docs" / "navigation_gain.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="what make navigation FULL=1 wrote")
    parser.add_argument("--model", default="ipt-tiny", help="that was driven with")
    given = parser.parse_args()
    if given.folder is None:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
    else:
        found = {
            "command": "make navigation FULL=1",
            "commit": commit(),
            "processor": processor_name(),
            "wanted": FULL[0] * FULL[1],
            **summary(given.folder, given.model),
        }
    write(found, RESULTS, PAGE)


if __name__ == "__main__":
    main()
