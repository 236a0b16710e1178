"""Writes the table of docs/parity.md: `python benchmarks/parity_table.py [FOLDER]`.

Runs every golden case, keeps all results as benchmarks/results/parity.json, and puts the worst
error of each kind of case between the two marks in the page.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from pages import put

from ipt_model.weights.verify import Result, Verifier

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parity.md"
RESULTS = ROOT / "benchmarks" / "results" / "parity.json"
#: Kind of comparison by how its name begins; the first that fits counts.
KINDS = {
    "vit": "picture encoder and connector",
    "time": "time embedding",
    "vae": "VAE, both ways",
    "train.gradients": "gradients, first entries of 21 parameters",
    "train.grad_norms": "gradients, norms of all parameters",
    "train.last_hidden": "training: decoder output of all tokens",
    "train.ce": "training: cross-entropy per token",
    "train.mse": "training: velocity error per number",
    "train": "training: masks, positions, routing, means",
    "greedy": "greedy text: ids and logits",
    "generate": "drawing: latents after all steps",
    "turn": "whole turns: think, draw, decode, look, answer",
    "decode": "latents to 8-bit picture",
    "resize_sizes": "picture sizes",
}


def rows(results: list[Result]) -> list[str]:
    """One line per kind: comparisons, worst relative error, how many fail."""
    groups: dict[str, list[Result]] = {kind: [] for kind in KINDS}
    for r in results:
        groups[next(k for k in KINDS if r.case.startswith(k))].append(r)
    lines = ["| what | comparisons | worst relative error | failed |", "|---|---|---|---|"]
    for kind, group in groups.items():
        floats = [r.error for r in group if r.tolerance > 0 and "levels" not in r.note]
        worst = f"{max(floats):.1e}" if floats else "equal"
        failed = sum(not r.passed for r in group)
        lines.append(f"| {KINDS[kind]} | {len(group)} | {worst} | {failed} |")
    return lines


def main(folder: str) -> None:
    results = list(Verifier(folder).run())
    RESULTS.parent.mkdir(exist_ok=True)
    data = {"torch": torch.__version__, "results": [asdict(r) for r in results]}
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")
    put(PAGE, "table", "\n".join(rows(results)))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "tests" / "data" / "bagel_tiny"))
