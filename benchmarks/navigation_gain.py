"""What imagined space is worth to a planner.

    python benchmarks/navigation_gain.py navigation_out

Takes the drives that `make navigation FULL=1` wrote into a folder. Writes
benchmarks/results/navigation_gain.json, docs/navigation_gain.md and the picture of the worst
errand. Without a folder it makes page and picture of the JSON that is there.
"""

from __future__ import annotations

from pathlib import Path

from pages import put_run

from ipt_ros.navigation.__main__ import FULL
from ipt_ros.navigation.results.report import write
from ipt_ros.navigation.results.summary import summary

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "navigation_gain.json"
PAGE = ROOT / "docs" / "navigation_gain.md"


def main() -> None:
    about, wanted = __doc__.splitlines()[0], FULL[0] * FULL[1]
    put_run(about, RESULTS, PAGE, "make navigation FULL=1", wanted, summary, write)


if __name__ == "__main__":
    main()
