"""Writes the numbers and the page of a folder of searches into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipt_ros.navigation.exploring.page import page
from ipt_ros.navigation.exploring.summary import summary

RESULT, PAGE = "exploration.json", "exploration.md"


def write_report(folder: Path, model: str) -> str:
    """The path of the page, or why there is none yet."""
    found = summary(folder, model)
    if not found["all"]:
        return f"{folder}: no search was made in every arm yet"
    write(found, folder / RESULT, folder / PAGE)
    return str(folder / PAGE)


def write(found: dict[str, Any], result: Path, page_path: Path) -> None:
    result.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page_path.write_text(page(found), encoding="utf-8")
