"""Settings of the small models that come with the package, a folder each: all but the weights."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def preset_folder(name: str) -> Path:
    """The folder with a preset's `config.json`, `ipt.json` and tokenizer."""
    folder = Path(str(files("ipt_model.presets") / name))
    if not (folder / "config.json").is_file():
        known = sorted(p.parent.name for p in folder.parent.glob("*/config.json"))
        raise FileNotFoundError(f"preset {name!r}: expected one of {known}")
    return folder
