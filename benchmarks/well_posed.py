"""Measures whether the questions can be answered at all: `python benchmarks/well_posed.py`.

For each kind of question a dataset of train houses and one of test houses at 64 px, made where
they are missing, the two levels of `ipt_training.audits.well_posed`, and the blind baselines on
the train houses. Out: benchmarks/results/well_posed.json, a subject at a time, and its table in
docs/datasets.md. Needs some minutes of one core a subject and seed; `--only` and `--audits` take
some, the others keep their results.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from machine import processor_name
from pages import put

from ipt_training.audits.audit import run_audit
from ipt_training.audits.reader import Training
from ipt_training.audits.well_posed import AUDITS, markdown, run_well_posed
from ipt_training.datasets.generate import write_dataset
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.plan import DatasetPlan

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "datasets.md"
RESULTS = ROOT / "benchmarks" / "results" / "well_posed.json"
SIZE_PX = 64
ROWS_PER_SHARD = 200


@dataclass(frozen=True)
class Subject:
    """One kind of question. variants: empty for the plain ones. epochs: by audit."""

    task: str
    variants: tuple[str, ...]
    train: int
    test: int
    epochs: dict[str, int]


SUBJECTS = {
    "counting": Subject("counting", (), 2000, 600, {"readable": 24, "inferable": 8}),
    "counting by colour": Subject(
        "counting",
        ("rotation+by colour", "corners+by colour"),
        4000,
        600,
        {"readable": 24, "inferable": 8},
    ),
    "clearance": Subject("clearance", (), 1600, 500, {"readable": 24, "inferable": 8}),
    "clearance told radius": Subject(
        "clearance",
        ("one view+told radius", "two views+told radius"),
        1600,
        500,
        {"readable": 24, "inferable": 8},
    ),
    "perspective": Subject("perspective", (), 2000, 600, {"readable": 16, "inferable": 8}),
    "path": Subject("path", (), 2000, 600, {"readable": 10, "inferable": 4}),
}


def data_of(name: str, split: str, folder: Path) -> Dataset:
    """The dataset of a subject, made where it is missing."""
    subject = SUBJECTS[name]
    count = subject.train if split == "train" else subject.test
    plan = DatasetPlan(
        count,
        SIZE_PX,
        ((subject.task, 1.0),),
        variants=subject.variants,
        split=split,
        shards=max(1, count // ROWS_PER_SHARD),
    )
    out = folder / name.replace(" ", "_") / split
    out.mkdir(parents=True, exist_ok=True)
    write_dataset(plan, out)
    return Dataset(out)


def measure(name: str, audit: str, seeds: list[int], folder: Path) -> dict[str, Any]:
    train, test = data_of(name, "train", folder), data_of(name, "test", folder)
    (level,) = run_well_posed(
        train,
        test,
        audits=(audit,),
        seeds=seeds,
        training=Training(epochs=SUBJECTS[name].epochs[audit]),
        on_step=lambda text: print(text, file=sys.stderr, flush=True),
    )
    return {
        **asdict(level),
        "group": name,
        "passes": level.passes,
        "epochs": SUBJECTS[name].epochs[audit],
        "data": {"train": train.digest(), "test": test.digest()},
    }


def blind(name: str, folder: Path) -> dict[str, Any]:
    """The baselines that must fail, on a subject's train houses."""
    audit = run_audit(data_of(name, "train", folder).path)
    return {key: audit.to_dict()[key] for key in ("passes", "rows", "scores", "problems")}


def keep(out: Path, more: dict[str, Any]) -> None:
    """Put results into the file in place of those of the same subject and audit; another run may
    have written there meanwhile.
    """
    found = json.loads(out.read_text()) if out.exists() else {"levels": [], "blind": {}}
    new = {(one["group"], one["audit"]): one for one in more.get("levels", [])}
    old = {(one["group"], one["audit"]): one for one in found["levels"]}
    order = list(SUBJECTS)
    by_subject = sorted({**old, **new}.items(), key=lambda kv: (order.index(kv[0][0]), kv[0][1]))
    blinded = {**found["blind"], **more.get("blind", {})}
    found = {
        "processor": processor_name(),
        "levels": [one for _, one in by_subject],
        "blind": {name: blinded[name] for name in order if name in blinded},
    }
    out.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS))
    kinds = (*AUDITS, "blind")
    parser.add_argument("--audits", nargs="+", choices=kinds, default=list(kinds))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "well_posed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.only:
        for audit in given.audits:
            if audit == "blind":
                keep(given.out, {"blind": {name: blind(name, given.data)}})
                continue
            level = measure(name, audit, given.seeds, given.data)
            keep(given.out, {"levels": [level]})
            print(markdown([level]), flush=True)
    if given.out == RESULTS:
        put(PAGE, "well posed", markdown(json.loads(given.out.read_text())["levels"]))


if __name__ == "__main__":
    main()
