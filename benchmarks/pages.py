"""Puts results into pages: what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`, or
the whole page of a long run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import commit, processor_name


def put(page: Path, name: str, text: str) -> None:
    """Replace the lines between the two marks of a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    page.write_text(f"{before}{begin}\n{text.rstrip()}\n{end}{after}", encoding="utf-8")


def put_run(
    about: str,
    results: Path,
    page: Path,
    command: str,
    wanted: int,
    summary: Callable[[Path, str], dict[str, Any]],
    write: Callable[[dict[str, Any], Path, Path], None],
) -> None:
    """By the arguments of the command line: JSON and page of a folder that `command` wrote, or
    without one the page of the JSON that is there. wanted: how many drives are a whole run.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("folder", type=Path, nargs="?", help=f"what {command} wrote")
    parser.add_argument("--model", default="ipt-tiny", help="that was driven with")
    given = parser.parse_args()
    if given.folder is None:
        found = json.loads(results.read_text(encoding="utf-8"))
    else:
        found = {
            "command": command,
            "commit": commit(),
            "processor": processor_name(),
            "wanted": wanted,
            **summary(given.folder, given.model),
        }
    write(found, results, page)
