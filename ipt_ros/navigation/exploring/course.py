"""All searches of some houses: every search in every arm, what became of each, line by line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ipt_model.spatial.maps import OccupancyGrid
from ipt_model.wording.rows import write_file
from ipt_ros.navigation.errands.episodes import true_map
from ipt_ros.navigation.errands.houses import House
from ipt_ros.navigation.exploring.arms import ARMS, Arm, Lender
from ipt_ros.navigation.exploring.searcher import Searcher, Viewer
from ipt_ros.navigation.exploring.searches import Search
from ipt_ros.navigation.exploring.sight import Sight
from ipt_ros.navigation.records import Records

#: Searches that scores are borrowed from.
BANKED = 3
#: Of some searches the scores of each decision.
Bank = Sequence[Sequence[Sequence[int]]]


def search_in(
    house: House,
    truth: OccupancyGrid,
    sight: Sight,
    search: Search,
    arm: Arm,
    body: Viewer,
    bank: Bank,
) -> dict[str, Any]:
    """One line of the records. bank: scores of searches elsewhere, for the arm that borrows."""
    lender = None
    if arm.by == "lent":
        lender = Lender(bank, (search.house, int(search.id.partition("/")[2])))
    found = Searcher(body, truth, house.changed.bounds, search, arm, sight, lender).run()
    return {
        "errand": search.id,
        "house": search.house,
        "thing": search.name,
        "oracle_m": search.oracle_m,
        "arm": arm.name,
        **found.to_dict(),
        "track": [[round(v, 2) for v in at] for at in found.track],
    }


def visit(
    house: House,
    searches: Sequence[Search],
    body: Viewer,
    bank: Bank,
    records: Records,
    tell: Callable[[str], Any],
) -> None:
    """Every search of these that is left."""
    truth, sight = true_map(house), Sight(house.changed)
    for search in searches:
        for arm in ARMS:
            if (search.id, arm.name) in records.finished:
                continue
            began = time.monotonic()
            record = search_in(house, truth, sight, search, arm, body, bank)
            records.add(record)
            tell(
                f"{search.id} {search.name}, {arm.name}: {record['outcome']}, "
                f"{record['driven_m']:.1f} m of {search.oracle_m:.1f} m, "
                f"{time.monotonic() - began:.1f} s"
            )


def left(searches: Sequence[Search], records: Records) -> int:
    return sum((s.id, arm.name) not in records.finished for s in searches for arm in ARMS)


def bank_at(path: Path, searches: Iterable[tuple[House, Search, Viewer]]) -> Bank:
    """Read it; or make these searches by imagined views, until there are BANKED that had anything
    to decide, and keep their scores.
    """
    if not path.exists():
        arm = next(arm for arm in ARMS if arm.by == "shown")
        bank: list[list[tuple[int, ...]]] = []
        for house, search, body in searches:
            bounds, sight = house.changed.bounds, Sight(house.changed)
            found = Searcher(body, true_map(house), bounds, search, arm, sight).run()
            if found.decisions:
                bank.append([one.scores for one in found.decisions])
            if len(bank) == BANKED:
                break
        write_file(path, json.dumps(bank).encode())
    return json.loads(path.read_text(encoding="utf-8"))
