"""How wide an imagined wall should cost: `python benchmarks/mask_widening.py runs/widening`.

Drives errands in houses of the validation split with masks whose walls cost within several
distances: those of ipt_node, and true ones, which tell what the way through KeepoutFilter lets
through at all. The same command goes on where it was stopped; --part 1/2 and --part 2/2 share the
houses. At the end it writes benchmarks/results/mask_widening.json and the table in docs/nav2.md;
--report does nothing else.
"""

from __future__ import annotations

from ipt_ros import one_math_thread, yielding_threads  # noqa: F401  # isort: skip

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from machine import commit, processor_name
from pages import put

from ipt_model.spatial.maps import OccupancyGrid
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.mask.imagined_space import widened
from ipt_ros.navigation.course import Sensing, record_of
from ipt_ros.navigation.driving import Driver
from ipt_ros.navigation.errands.episodes import CELL_M, Errand, houses, true_map
from ipt_ros.navigation.errands.houses import House
from ipt_ros.navigation.masks import by_truth
from ipt_ros.navigation.moving import Look
from ipt_ros.navigation.planning.arms import ARMS, BASELINE, ORACLE, Arm
from ipt_ros.navigation.records import Records, all_records
from ipt_ros.navigation.results.page import signed
from ipt_ros.navigation.results.statistics import against, one_arm, whole
from ipt_ros.navigation.results.summary import model_hash
from ipt_ros.navigation.running import in_rounds, part, same_model
from ipt_ros.navigation.stage import Stage

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mask_widening.json"
PAGE = ROOT / "docs" / "nav2.md"
#: Of the validation split, behind those that masks of other errands come from.
SEEDS = range(800_010, 801_000)
WIDTHS_M = (0.0, 0.25, 0.45, 0.65, 0.9)
KINDS = {"drawn": "drawn by ipt-tiny", "true": "true"}
PICTURES = PictureGeometry()


def arm_of(kind: str, width_m: float) -> str:
    return f"{kind} {width_m:g}"


def names() -> list[str]:
    return [BASELINE, ORACLE, *(arm_of(kind, w) for kind in KINDS for w in WIDTHS_M)]


def said(
    kind: str, width_m: float, truth: OccupancyGrid, body: Sensing, grid: OccupancyGrid, look: Look
) -> np.ndarray | None:
    """The mask of this kind, its walls as wide."""
    if kind == "true":
        mask = by_truth(grid, look.robot, PICTURES, truth, 0.0)
    else:
        mask = body.imagined(grid, look)
    return None if mask is None else widened(mask, width_m / CELL_M)


def visit(house: House, errands: Sequence[Errand], body: Sensing, records: Records) -> None:
    truth = true_map(house)
    plain = {arm.name: arm for arm in ARMS}
    ways: dict[str, tuple[Arm, Any]] = {n: (plain[n], None) for n in (BASELINE, ORACLE)}
    for kind in KINDS:
        for width in WIDTHS_M:
            name = arm_of(kind, width)
            ways[name] = Arm(name, "", mask="imagined"), partial(said, kind, width, truth, body)
    for errand in errands:
        for name, (arm, mask) in ways.items():
            if (errand.id, name) not in records.finished:
                bounds = house.changed.bounds
                found = Driver(body, truth, bounds, errand, arm, mask).run()
                records.add(record_of(house, errand, arm, found))
                print(f"{errand.id} {name}: {found.outcome}, {found.driven_m:.1f} m", flush=True)


def drive(given: argparse.Namespace) -> None:
    same_model(given.out, given.model)
    index, of = given.part
    records = Records(given.out / f"drives-{index + 1}-of-{of}.jsonl")

    def left(errands: list[Errand]) -> int:
        return sum((e.id, name) not in records.finished for e in errands for name in names())

    # drawn as they are, and widened here
    bare = {"imagined_space_widening_m": 0.0}
    with Stage(given.model, given.out / f"scene-{index + 1}.json", ipt=bare) as stage:
        in_rounds(
            given,
            houses(SEEDS, given.houses, given.errands),
            given.houses,
            given.errands,
            2,
            stage,
            left,
            lambda house, turn: visit(house, turn, stage.robot, records),
        )


def report(given: argparse.Namespace) -> None:
    errands = whole(list(all_records(given.out)), names())
    kinds = {
        "decision-relevant": [e for e in errands if e[ORACLE]["relevant"]],
        "ordinary": [e for e in errands if not e[ORACLE]["relevant"]],
    }
    result = {
        "what": "errands in houses of the validation split, by how wide the walls of masks are",
        "command": "python benchmarks/mask_widening.py runs/widening",
        "commit": commit(),
        "machine": processor_name(),
        "model": model_hash(given.model),
        "errands": {
            kind: {
                "errands": len(some),
                "houses": len({e[ORACLE]["house"] for e in some}),
                "arms": {name: one_arm(some, name) for name in names()},
                "against": {name: against(some, name) for name in names() if name != BASELINE},
            }
            for kind, some in kinds.items()
        },
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    put(PAGE, "widening", table(result))
    print(table(result))


def table(result: dict[str, Any]) -> str:
    found = result["errands"]
    rows = [
        "| masks | a wall costs within | "
        + " | ".join(f"{kind}: SPL | less / same / more driven" for kind in found)
        + " |",
        "|---|--:|" + "--:|--:|" * len(found),
    ]

    def row(title: str, width: str, name: str) -> str:
        cells = []
        for of in found.values():
            one = of["against"][name]
            cells += [signed(one["spl"]), f"{one['win']} / {one['tie']} / {one['loss']}"]
        return f"| {title} | {width} | {' | '.join(cells)} |"

    for kind, title in KINDS.items():
        rows += [row(title, f"{w:g} m", arm_of(kind, w)) for w in WIDTHS_M]
    return "\n".join([*rows, row("*the true map*", "", ORACLE)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the drives")
    parser.add_argument("--model", default="ipt-tiny")
    parser.add_argument("--houses", type=int, default=20)
    parser.add_argument("--errands", type=int, default=8, help="in each house")
    parser.add_argument("--part", type=part, default=(0, 1), help="1/2: the first half of houses")
    parser.add_argument("--report", action="store_true", help="of what is finished, and no drive")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.report:
        drive(given)
    report(given)


if __name__ == "__main__":
    main()
