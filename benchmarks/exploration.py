"""What imagined views are worth to a robot that looks for a thing.

    python benchmarks/exploration.py exploration_out

Takes the searches that `make exploration FULL=1` wrote into a folder. Writes
benchmarks/results/exploration.json and docs/exploration.md. Without a folder it makes the page of
the JSON that is there.
"""

from __future__ import annotations

from pathlib import Path

from pages import put_run

from ipt_ros.navigation.exploring.__main__ import FULL
from ipt_ros.navigation.exploring.report import write
from ipt_ros.navigation.exploring.summary import summary

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "exploration.json"
PAGE = ROOT / "docs" / "exploration.md"


def main() -> None:
    about, wanted = __doc__.splitlines()[0], FULL[0] * FULL[1]
    put_run(about, RESULTS, PAGE, "make exploration FULL=1", wanted, summary, write)


if __name__ == "__main__":
    main()
