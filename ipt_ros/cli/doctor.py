"""`ipt doctor`: looks at a robot, says what is wrong and what to do, one line each."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ipt_ros.cli import ANSWERED, ERROR
from ipt_ros.cli.checks import findings
from ipt_ros.cli.facts import FAIL, OK, WARN, Finding
from ipt_ros.cli.robot_graph import gather
from ipt_ros.client import Asker

_STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}


def run(options: argparse.Namespace) -> int:
    asker = Asker(options.node, name="ipt_doctor")
    try:
        found = findings(gather(asker, options.listen))
    finally:
        asker.close()
    if options.json:
        print(json.dumps([asdict(f) for f in found], indent=1))
    else:
        show(found)
    return ERROR if any(f.level == FAIL for f in found) else ANSWERED


def show(found: list[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    # lines are kept whole where the output is no terminal: somebody searches in it
    console = Console(soft_wrap=True, highlight=False)
    for finding in found:
        line = Text.assemble(
            (f"{finding.level:<5}", _STYLES[finding.level]),
            (f"{finding.about:<13} ", "bold"),
            finding.text,
        )
        if finding.remedy:
            line.append(f"  -> {finding.remedy}", "cyan")
        console.print(line)
    count = {level: sum(f.level == level for f in found) for level in (FAIL, WARN, OK)}
    console.print(f"{count[FAIL]} to mend, {count[WARN]} to look at, {count[OK]} fine")
