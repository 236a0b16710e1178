"""The page of a comparison: Markdown made of its JSON, byte for byte."""

from __future__ import annotations

from typing import Any

from ipt_ros.navigation.planning.arms import BASELINE, ORACLE

KINDS = {"relevant": "decision-relevant", "ordinary": "ordinary", "all": "all"}
CHANGES = {
    "blocked": "a way of the plain house is blocked",
    "shortcut": "there is a shorter way than in the plain house",
    "none": "the changes lie elsewhere",
}
#: Other arms of which the short answer tells.
OTHERS = {
    "network": "the small U-Net",
    "shuffled": "the shuffled mask",
    "truth": "a mask that is true",
}
PICTURE = "images/navigation_hurts.svg"

HEAD = """# What imagined space is worth to a planner

Made by `python benchmarks/navigation_gain.py` from
[navigation_gain.json](../benchmarks/results/navigation_gain.json); change that script.

A robot is sent on errands in simulated houses in which nothing was trained. It has no map of them.
In every house something was changed: doors are shut, doorways have a crate in them, walls have a
doorway more. The same errands are driven in every arm. All that differs is what the planner is
told of cells that nobody has seen.
"""

HOW = """## How it is measured

- **Closed loop over topics.** `sim_node` gives camera and odometry, the navigator sends `cmd_vel`
  and the map that it makes of them, and `ipt_node` publishes the mask on `~/imagined_space`. The
  three are nodes of one process. They go in lock step: no time passes between two steps, so
  nothing depends on how fast the machine is, and equal seeds give equal drives.
- **The planner** searches cells of 0.1 m by NavFn's rule ([nav2.md](nav2.md) has the table) every
  0.5 s. Obstacles are inflated as Nav2 does by default; masks go through KeepoutFilter's rule.
  The robot looks around once at the start, sees 5 m far, and knows 1 m around its start. Where no
  way leads to the goal it drives to the border of the known near the goal, and looks around.
- **Masks** are drawn every 2 s of simulated time, the node's default, and speak of the 6.4 m
  square ahead. What is seen is released at once, and what a wall there cost around itself with the
  next mask. Every arm with a mask goes this way.
- **Decision-relevant** errands: an ideal driver that takes the unknown for free drives over 10 %
  farther than one who knows the map. Half of the errands are such.
- **SPL** is success times the shortest way that any arm drove, over the way driven. A way is
  *another one* when it leaves the last by more than 1 m. Below 5 cm to spare is a near-collision.
- **Intervals** are 95 %: Wilson for success; for differences a bootstrap that draws whole houses.
  A drive is given up after 120 s of simulated time, and counts as one of 120 s.
- **Walls of masks are wide**: every mask speaks as the node does by default, with imagined walls
  that cost within 0.55 m ([what other widths do](nav2.md#how-wide-an-imagined-wall-is)).
- **A mask that is true** says in the same way what is there in the square ahead: the most that
  imagination could bring by this road.
- **Another errand's mask**: those of a drive in another house, turned and moved to where the robot
  stands. They are as plausible, and wrong.
- **The small U-Net** has half a million weights, trained for minutes on maps of training houses.

```bash
make navigation
make navigation FULL=1
```

The first drives a few errands in minutes, the second is this page's run. Ctrl-C stops it, and the
same command goes on.
"""


def page(found: dict[str, Any]) -> str:
    parts = [HEAD, _short(found)]
    parts += [_table(found, kind, words) for kind, words in KINDS.items() if found[kind]]
    parts += [_changes(found), _hurts(found), HOW, made(found)]
    return "\n".join(part for part in parts if part)


def _short(found: dict[str, Any]) -> str:
    """The answer in a few sentences; which ones, the numbers decide."""
    lines = ["## In short", "", *part_of_run(found, "errands")]
    for kind, words in list(KINDS.items())[:2]:
        table = found[kind]
        if not table:
            continue
        gain = table["against"]["imagined"]
        oracle = table["against"][ORACLE]["spl"]["value"]
        lines.append(
            f"- On {words} errands the imagined mask changes SPL by {signed(gain['spl'])} "
            f"against Nav2 today: {verdict(gain['spl'])}. Knowing the map changes it by "
            f"{oracle:+.3f}. The robot drives less on {gain['win']}, as far on {gain['tie']} and "
            f"farther on {gain['loss']} of {table['errands']} errands."
        )
        for other, name in OTHERS.items():
            its = table["against"][other]["spl"]
            lines.append(f"  For {name} the change is {signed(its)} ({verdict(its)}).")
    hurts = found["hurts"]
    lines.append(
        f"- Its SPL is lower than that of Nav2 today by more than 0.02 on {hurts['worse']} "
        f"errands, and higher by more than that on {hurts['better']}, of "
        f"{found['all']['errands']}."
    )
    return "\n".join(lines) + "\n"


def part_of_run(found: dict[str, Any], things: str) -> list[str]:
    """That a run is not finished, where it is not. things: what was to be done, in words."""
    table = found["all"]
    if (wanted := found.get("wanted", 0)) <= table["errands"]:
        return []
    return [
        f"**This is part of a run**: {table['errands']} of {wanted} {things}, in "
        f"{table['houses']} houses. The intervals are as wide as that makes them.",
        "",
    ]


def verdict(interval: dict[str, float], things: str = "errands") -> str:
    """What a difference with its interval says, in words."""
    if interval["low"] > 0:
        return "a gain"
    return "a loss" if interval["high"] < 0 else f"no difference that these {things} could show"


def signed(interval: dict[str, float], digits: int = 3) -> str:
    value, low, high = (f"{interval[name]:+.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def of_oracle(ratio: dict[str, float] | None) -> str:
    """A share of the oracle's gain; empty where that gain says nothing."""
    if ratio is None:
        return ""
    return f"{100 * ratio['value']:.0f} % [{100 * ratio['low']:.0f}, {100 * ratio['high']:.0f}]"


def _table(found: dict[str, Any], kind: str, words: str) -> str:
    table = found[kind]
    lines = [
        f"## {words[0].upper()}{words[1:]} errands",
        "",
        f"{table['errands']} errands an arm, {table['houses']} houses.",
        "",
        "| unknown cells | arrived, % | SPL | time, s | way over the oracle's | other ways | "
        "near-collisions | contacts |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, title in found["arms"].items():
        arm = table["arms"][name]
        share = arm["success"]
        lines.append(
            f"| {title} | {100 * share['share']:.1f} [{100 * share['low']:.1f}, "
            f"{100 * share['high']:.1f}] | {arm['spl']:.3f} | {arm['time_s']:.1f} | "
            f"{_factor(arm['over_oracle'])} | {arm['other_ways']:.2f} | {arm['near']:.2f} | "
            f"{arm['contacts']:.2f} |"
        )
    lines += [
        "",
        f"Against *{found['arms'][BASELINE]}*, errand by errand:",
        "",
        "| unknown cells | SPL | time, s | arrived, points | less / same / more driven | "
        "share of the oracle's gain |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, title in found["arms"].items():
        if name == BASELINE:
            continue
        one = table["against"][name]
        lines.append(
            f"| {title} | {signed(one['spl'])} | {signed(one['time_s'], 1)} | "
            f"{100 * one['success']['value']:+.1f} | "
            f"{one['win']} / {one['tie']} / {one['loss']} | {of_oracle(one['of_oracle'])} |"
        )
    return "\n".join(lines) + "\n"


def _factor(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _changes(found: dict[str, Any]) -> str:
    lines = [
        "## By what the changes to the house do",
        "",
        "| errands where | n | imagined mask, SPL | shuffled mask, SPL | the true map, SPL |",
        "|---|--:|--:|--:|--:|",
    ]
    for change, table in found["changes"].items():
        gains = [signed(table["against"][a]["spl"]) for a in ("imagined", "shuffled", ORACLE)]
        lines.append(f"| {CHANGES[change]} | {table['errands']} | {' | '.join(gains)} |")
    return "\n".join(lines) + "\n"


def _hurts(found: dict[str, Any]) -> str:
    hurts = found["hurts"]
    lines = [
        "## Where it hurts",
        "",
        f"On {hurts['worse']} of {found['all']['errands']} errands the imagined mask costs "
        f"more than 0.02 of SPL against Nav2 today, on {hurts['better']} it gains as much. On "
        f"{hurts['stuck_only_there']} the robot arrives without it and not with it, on "
        f"{hurts['stuck_only_before']} the other way round. The worst:",
        "",
        "| errand | kind | Nav2 today | with the imagined mask | the true map | "
        "changes of the way, without and with |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for one in hurts["worst"]:
        kind = "decision-relevant" if one["relevant"] else "ordinary"
        flat, mine, best = (one["drives"][a] for a in (BASELINE, "imagined", ORACLE))
        lines.append(
            f"| {one['errand']} | {kind} | {_went(flat)} | {_went(mine)} | {_went(best)} | "
            f"{flat['other_ways']}, {mine['other_ways']} |"
        )
    if hurts["worst"]:
        lines += [
            "",
            f"![the worst errand: the true map and three ways through it]({PICTURE})",
            "",
            "The first of them. The filled dot is the start, the ring the goal.",
        ]
    return "\n".join(lines) + "\n"


def _went(drive: dict[str, Any]) -> str:
    way = f"{drive['driven_m']:.1f} m"
    return way if drive["outcome"] == "arrived" else f"{way}, {drive['outcome']}"


def made(found: dict[str, Any]) -> str:
    """The model, and how long everything took."""
    clock, model = found["clock"], found["model"]
    lines = [
        "## The run",
        "",
        f"Model `{model['name']}`, weights `{model['hash'][:23]}`. {clock['simulated_s']:,} s of "
        f"simulated time took {clock['took_s']:,} s of the machine's, {clock['factor']:g} times "
        "real time, with all nodes and the model on processor cores shared with other work.",
    ]
    if found.get("processor"):
        lines[-1] += f" Processor: {found['processor']}."
    return "\n".join(lines) + "\n"
