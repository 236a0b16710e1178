"""The tables of docs/study.md from finished studies: `python benchmarks/study_page.py runs/study`.

    python benchmarks/study_page.py runs/study             of one task, from nothing
    python benchmarks/study_page.py runs/memory --memory   with a memory and without

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
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="folder that ipt-study wrote")
    parser.add_argument("--memory", action="store_true", help="it is one of --size memory")
    given = parser.parse_args()
    results = RESULTS / ("study_memory.json" if given.memory else "study.json")
    shutil.copyfile(given.study / "study.json", results)
    found = json.loads(results.read_text(encoding="utf-8"))
    _, _, tables = markdown(found["runs"], found["examples_per_run"]).partition("\n\n")
    put(PAGE, "memory study" if given.memory else "study", tables.replace("\n## ", "\n### "))


if __name__ == "__main__":
    main()
