"""The page of the comparison of searches: Markdown made of its JSON, byte for byte."""

from __future__ import annotations

from typing import Any

from ipt_ros.navigation.exploring.arms import BASELINE, ORACLE
from ipt_ros.navigation.exploring.searcher import MOST_STEPS, NEAREST
from ipt_ros.navigation.exploring.sight import FOUND_SHARE
from ipt_ros.navigation.moving import STEP_S
from ipt_ros.navigation.results.page import made, of_oracle, part_of_run, signed, verdict

HEAD = """# What imagined views are worth to a robot that looks for a thing

Made by `python benchmarks/exploration.py` from
[exploration.json](../benchmarks/results/exploration.json); change that script.

A robot is to find a thing, "the green chair", in a simulated house in which nothing was trained.
It has no map. It goes from frontier to frontier, to where what it knows of the floor ends, until
the thing is in sight. Nearest frontier first is the usual way. The other way asks
`~/imagine_view` what would be seen from each of the nearest frontiers, and goes where most of the
thing's colour is shown.
"""

WHY = """## What this cannot show

- **Furniture stands anywhere in these houses.** No room is a kitchen, and chairs do not stand at
  tables more than elsewhere. From what was seen nobody can tell where an unseen thing is, except
  that large unseen floors hold more than small ones, and that a bit of it was in sight already.
  In houses that people furnished there is more to tell from; nothing of that is measured here.
- **`ipt-tiny` learned in single rooms with plain shapes**, and these are houses with furniture. In
  all that it learned from, the thing that a question names was in the view. So it may draw the
  thing's colour because it was named; the table of views says how often it does.
- The score counts pixels of a colour. Other things have that colour too, and a near one counts
  for more than a far one.
"""


def page(found: dict[str, Any]) -> str:
    parts = [HEAD, _short(found), _searches(found), _views(found), WHY, _how(), made(found)]
    return "\n".join(parts)


def _short(found: dict[str, Any]) -> str:
    """The answer in a few sentences; which ones, the numbers decide."""
    table = found["all"]
    lines = ["## In short", "", *part_of_run(found, "searches")]
    mine = table["against"]["imagined"]
    lines.append(
        f"- Choosing by recalled and imagined views changes SPL by {signed(mine['spl'])} against "
        f"the nearest frontier: {verdict(mine['spl'], 'searches')}. The robot drives less on "
        f"{mine['win']}, as far on {mine['tie']} and farther on {mine['loss']} of "
        f"{table['errands']} searches."
    )
    for name, words in (
        ("recalled", "recalled views alone"),
        ("shuffled", "imagined views of another search"),
        ("true", "true views in place of imagined ones"),
        (ORACLE, "knowing where it is"),
    ):
        its = table["against"][name]["spl"]
        lines.append(f"  With {words} the change is {signed(its)} ({verdict(its, 'searches')}).")
    views = found["views"]["imagined"]
    if views["auc"] is not None:
        there, elsewhere = views["shown_there"], views["shown_elsewhere"]
        lines.append(
            f"- The imagined view shows the thing's colour in {_percent(there)} of the views in "
            f"which the thing is (n = {there['n']}), and in {_percent(elsewhere)} of those in "
            f"which it is not (n = {elsewhere['n']}). One of the first shows more of it than one "
            "of the "
            f"second in {100 * views['auc']['value']:.0f} % of pairs "
            f"[{100 * views['auc']['low']:.0f}, {100 * views['auc']['high']:.0f}]; 50 % is chance."
        )
    return "\n".join(lines) + "\n"


def _percent(share: dict[str, Any]) -> str:
    if not share["n"]:
        return "none"
    return f"{100 * share['share']:.0f} % [{100 * share['low']:.0f}, {100 * share['high']:.0f}]"


def _searches(found: dict[str, Any]) -> str:
    table = found["all"]
    lines = [
        "## The searches",
        "",
        f"{table['errands']} searches an arm, in {table['houses']} houses of the test split "
        f"(seeds {table['first_seed']} to {table['last_seed']}).",
        "",
        "| a frontier is chosen by | found | SPL | driven, m | time, s | frontiers | "
        "not the nearest |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, title in found["arms"].items():
        arm = table["arms"][name]
        other = _percent(arm["other"]) if arm["decisions"] else ""
        lines.append(
            f"| {title} | {_percent(arm['found'])} | {arm['spl']:.3f} | {arm['driven_m']:.1f} | "
            f"{arm['time_s']:.1f} | {arm['visits']:.1f} | {other} |"
        )
    lines += [
        "",
        f"Against *{found['arms'][BASELINE]}*, search by search; the way where both find it:",
        "",
        "| a frontier is chosen by | SPL | driven, m | found, points | "
        "less / same / more driven | share of the oracle's gain |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, title in found["arms"].items():
        if name == BASELINE:
            continue
        one = table["against"][name]
        way = one["driven_m"]
        told = "" if way is None else signed(way, 1)
        lines.append(
            f"| {title} | {signed(one['spl'])} | {told} | {100 * one['found']['value']:+.1f} | "
            f"{one['win']} / {one['tie']} / {one['loss']} | {of_oracle(one['of_oracle'])} |"
        )
    return "\n".join(lines) + "\n"


def _views(found: dict[str, Any]) -> str:
    lines = [
        "## What the views say",
        "",
        "A view has the thing when it would be found in it. The colour is shown when six pixels "
        "have it. The right columns are of decisions in which some frontiers have the thing in "
        "view and some have not: how often one that has was chosen, and how often the nearest one "
        "has.",
        "",
        "| views | colour shown where it is | where it is not | order right, % | decisions | "
        "right | the nearest | by chance |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, one in found["views"].items():
        auc, right = one["auc"], one["right"]
        order = (
            ""
            if auc is None
            else (f"{100 * auc['value']:.0f} [{100 * auc['low']:.0f}, {100 * auc['high']:.0f}]")
        )
        chance = "" if right["by_chance"] is None else f"{100 * right['by_chance']:.0f} %"
        lines.append(
            f"| {found['arms'][name]} | {_percent(one['shown_there'])} | "
            f"{_percent(one['shown_elsewhere'])} | {order} | {right['n']} | "
            f"{_percent(right['chosen'])} | {_percent(right['nearest'])} | {chance} |"
        )
    return "\n".join(lines) + "\n"


def _how() -> str:
    return f"""## How it is measured

- **Closed loop over topics**, in lock step, as in [navigation_gain.md](navigation_gain.md): the
  same simulator, robot, planner and map, and no time passes between two steps. Equal seeds give
  equal searches.
- **Searches**: a generated house of four rooms, a start, and the only thing of its colour and
  kind. It is out of sight at the start whichever way the robot turns. Colours that walls and wood
  have are left out.
- **Found**: the thing fills {100 * FOUND_SHARE:g} % of the camera's picture, by the true geometry.
  A search is given up after {MOST_STEPS * STEP_S:.0f} s of simulated time.
- **Frontiers**: clusters of known free cells beside unknown ones that the robot can get to, or
  nearly. It chooses among the {NEAREST} nearest by way, goes there, and looks around. Where all
  that was unknown there is seen on the way, it chooses again at once.
- **Views**: the node remembers the pictures of the search. A goal of `~/imagine_view` names the
  thing and a frontier's viewpoint; what comes back is what is remembered of that view, with the
  rest drawn. The score is the number of its pixels that are nearest to the thing's colour. Of
  equal scores the nearest frontier's counts. *Recalled views alone* count remembered pixels and
  nothing that was drawn.
- **Another search's views** are the control: the scores of a search in another house, taken in
  their order for the frontiers here. They are as large, and about another place.
- **SPL** is success times the shortest way that any arm drove, over the way driven. The oracle
  knows the map and the thing, and drives to the nearest place from which it is in sight.
- **Intervals** are 95 %: Wilson for shares; for differences a bootstrap that draws whole houses.

```bash
make exploration
make exploration FULL=1
```

The first makes a few searches in minutes, the second is this page's run. Ctrl-C stops it, and the
same command goes on.
"""
