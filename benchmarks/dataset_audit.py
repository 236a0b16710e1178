"""Keeps the audit of a dataset: `make dataset && python benchmarks/dataset_audit.py dataset_out`.

In: a folder that `ipt-dataset --audit` wrote. Out: benchmarks/results/dataset_audit.json, the
audit with the command, the seed and the digest of what was audited, and its tables in
docs/datasets.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pages import put

from ipt_training.audits.audit import AUDIT_FILE
from ipt_training.audits.report import markdown
from ipt_training.datasets.parquet import DATASET_FILE

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "datasets.md"
RESULTS = ROOT / "benchmarks" / "results" / "dataset_audit.json"


def command_of(plan: dict[str, Any]) -> str:
    """The command that makes the same bytes again."""
    tasks = ",".join(f"{name}={share:g}" for name, share in plan["tasks"].items())
    return (
        f"ipt-dataset --count {plan['count']} --size {plan['size_px']} --tasks {tasks} "
        f"--split {plan['split']} --level {plan['level']} --seed {plan['seed']} --out dataset_out "
        "--audit"
    )


def main(folder: Path) -> None:
    made = json.loads((folder / DATASET_FILE).read_text())
    audit = json.loads((folder / AUDIT_FILE).read_text())
    kept = {
        "command": command_of(made["plan"]),
        "plan": made["plan"],
        "sha256": made["sha256"],
        **audit,
    }
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    put(PAGE, "audit", markdown(audit))
    if not audit["passes"]:
        sys.exit("this audit does not pass")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
