"""The tables of docs/study.md from a finished study: `python benchmarks/study_page.py runs/study`.

Copies `study.json` to benchmarks/results and writes its tables between the page's markers.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from pages import put

from ipt_training.evaluation.study_table import markdown

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "study.md"
RESULTS = ROOT / "benchmarks" / "results" / "study.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder that ipt-study wrote")
    given = parser.parse_args()
    shutil.copyfile(given.study / "study.json", RESULTS)
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    _, _, tables = markdown(found["runs"], found["examples_per_run"]).partition("\n\n")
    put(PAGE, "study", tables)


if __name__ == "__main__":
    main()
