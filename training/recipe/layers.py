"""A recipe file on top of its base, and entries of the command line on top of both.

A file that says `base: other.yaml`, a path relative to itself, holds only what differs from that
file: sections are merged entry by entry, anything else is replaced. The base may have a base too,
and no further. In: a path. Out: plain values as if all stood in one file, without `base`. What
entries mean and which there are is not known here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

#: Files that may lie on each other; a reader must still find where an entry stands.
MOST_FILES = 3


class RecipeFileError(ValueError):
    """A file that cannot be read, or whose base cannot; the message names the file."""


def read(path: Path) -> tuple[dict[str, Any], list[Path]]:
    """All entries, and the files they came from: `path` first, the last base last."""
    layers: list[dict[str, Any]] = []
    files: list[Path] = []
    following: Path | None = path
    while following is not None:
        _check_next(following, files)
        files.append(following)
        data = _mapping(following, files)
        base = data.pop("base", None)
        if base is not None and not (isinstance(base, str) and base.strip()):
            raise RecipeFileError(
                f"{following}: base: expected the path of a recipe relative to this file, "
                f"got {base!r}"
            )
        layers.append(data)
        following = following.parent / base if base else None
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged = _merged(merged, layer)
    return merged, files


def _check_next(path: Path, files: list[Path]) -> None:
    way = " on ".join(map(str, [*files, path]))
    if path.resolve() in {file.resolve() for file in files}:
        raise RecipeFileError(f"{files[0]}: base: goes round in a circle: {way}")
    if len(files) == MOST_FILES:
        raise RecipeFileError(
            f"{files[0]}: base: expected at most {MOST_FILES} files on each other, got {way}"
        )


def _mapping(path: Path, files: list[Path]) -> dict[str, Any]:
    said = str(path) if len(files) == 1 else f"{files[-2]}: base: {path}"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeFileError(f"{said}: cannot be read as YAML: {error}") from error
    if not isinstance(data, dict):
        raise RecipeFileError(f"{said}: expected a mapping, found {type(data).__name__}")
    return data


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for name, value in above.items():
        old = below.get(name)
        both = isinstance(value, dict) and isinstance(old, dict)
        out[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return out


def override(data: dict[str, Any], text: str) -> None:
    """Put `section.name=value` into the entries of a recipe, the value in YAML."""
    name, equals, value = text.partition("=")
    if not equals:
        raise RecipeFileError(f"override {text!r}: expected section.name=value")
    *sections, last = name.strip().split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeFileError(f"override {text!r}: {section} is no section")
        data = inner
    try:
        data[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeFileError(f"override {text!r}: the value is no YAML: {error}") from error
