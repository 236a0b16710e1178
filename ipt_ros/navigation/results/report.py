"""Writes the numbers and the page of a folder of drives into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipt_ros.navigation.results.page import PICTURE, page
from ipt_ros.navigation.results.picture import picture_of
from ipt_ros.navigation.results.summary import summary

RESULT, PAGE = "navigation_gain.json", "navigation_gain.md"


def write_report(folder: Path, model: str) -> str:
    """The path of the page, or why there is none yet."""
    found = summary(folder, model)
    if not found["all"]:
        return f"{folder}: no errand was driven in every arm yet"
    write(found, folder / RESULT, folder / PAGE)
    return str(folder / PAGE)


def write(found: dict[str, Any], result: Path, page_path: Path) -> None:
    result.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page_path.write_text(page(found), encoding="utf-8")
    if found["hurts"]["worst"]:
        picture = page_path.parent / PICTURE
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(picture_of(found["hurts"]), encoding="utf-8")
