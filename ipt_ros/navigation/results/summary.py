"""All numbers of a folder of drives, as one JSON object.

In: the folder that `python -m ipt_ros.navigation` wrote. Out: plain JSON, from which the page is
made. Nothing is drawn by chance but the bootstrap, whose seed is fixed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipt_model.weights.loading import find_folder, hash_folder
from ipt_ros.navigation.planning.arms import ARMS, BASELINE, ORACLE
from ipt_ros.navigation.records import all_records
from ipt_ros.navigation.results.statistics import (
    TIE,
    Errand,
    arrived,
    seconds,
    spl,
    table,
    whole,
)

#: The arm whose losses are listed, and how many of them.
WATCHED, WORST = "imagined", 8
SHOWN = (BASELINE, WATCHED, ORACLE)


def summary(folder: Path, model: str) -> dict[str, Any]:
    errands = whole(list(all_records(folder)), [arm.name for arm in ARMS])
    relevant = [e for e in errands if e[ORACLE]["relevant"]]
    ordinary = [e for e in errands if not e[ORACLE]["relevant"]]
    changes = {
        change: table([e for e in errands if e[ORACLE]["change"] == change])
        for change in ("blocked", "shortcut", "none")
    }
    return {
        "what": "errands in held-out simulated houses, with and without imagined space",
        "model": {"name": model, "hash": model_hash(model)},
        "arms": {arm.name: arm.words for arm in ARMS},
        "clock": clock_of(folder),
        "all": table(errands),
        "relevant": table(relevant),
        "ordinary": table(ordinary),
        "changes": {name: found for name, found in changes.items() if found},
        "hurts": hurts(errands),
    }


def model_hash(model: str) -> str:
    return hash_folder(find_folder(model))


def clock_of(folder: Path) -> dict[str, float]:
    """Simulated time against the machine's, of all visits."""
    simulated = took = 0.0
    for path in sorted(folder.glob("clock*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            visit = json.loads(line)
            simulated, took = simulated + visit["simulated_s"], took + visit["took_s"]
    return {
        "simulated_s": round(simulated),
        "took_s": round(took),
        "factor": round(simulated / took, 2) if took else 0.0,
    }


def hurts(errands: Sequence[Errand]) -> dict[str, Any]:
    """Where the watched arm did worse than the baseline: how often, and the worst."""
    lost = {e[WATCHED]["errand"]: spl(e, WATCHED) - spl(e, BASELINE) for e in errands}
    worse = sorted(
        (e for e in errands if lost[e[WATCHED]["errand"]] < -TIE),
        key=lambda e: (lost[e[WATCHED]["errand"]], seconds(e, BASELINE)),
    )
    both = [(arrived(e[WATCHED]), arrived(e[BASELINE])) for e in errands]
    return {
        "worse": len(worse),
        "better": sum(value > TIE for value in lost.values()),
        "stuck_only_there": sum(ends == (False, True) for ends in both),
        "stuck_only_before": sum(ends == (True, False) for ends in both),
        "worst": [_told(e, lost[e[WATCHED]["errand"]]) for e in worse[:WORST]],
        # of the first of them, for the picture
        "tracks": {name: worse[0][name]["track"] for name in SHOWN} if worse else {},
    }


def _told(errand: Errand, lost: float) -> dict[str, Any]:
    first = errand[WATCHED]
    return {
        "errand": first["errand"],
        "relevant": first["relevant"],
        "change": first["change"],
        "spl": round(lost, 3),
        "drives": {
            name: {
                key: errand[name][key]
                for key in ("outcome", "driven_m", "time_s", "other_ways", "near", "contacts")
            }
            for name in SHOWN
        },
    }
